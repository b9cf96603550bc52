"""Where one host's `segue up` keeps what is its own: which file stands where, and who holds it.

    up.lock  held by the running `segue up`, with its pid      bus/   the bus server's store
    bus.url  where its bus is, while it runs                   logs/  one file for each process
    children.json  the processes it started, to end what outlives it

It decides nothing about processes; it never deletes what it did not write.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from segue_cli.errors import FailedError


class DataDir:
    """One data directory. Two `segue up` never hold the same one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "up.lock"
        self.bus_url = path / "bus.url"
        self.port = path / "bus" / "port"
        self.bus = path / "bus"
        self.logs = path / "logs"
        self.children = path / "children.json"

    def log(self, name: str) -> Path:
        """Give the log file of a process."""
        return self.logs / f"{name}.log"

    def holder(self) -> int | None:
        """Give the pid of the `segue up` that holds it now, 0 when it cannot be read."""
        try:
            file = self.lock.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read().strip()
                return int(said) if said.isdigit() else 0
        return None

    def make(self) -> None:
        """Make it if it is not there, or say why that cannot be."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FailedError(
                f"the data directory {self.path} cannot be made: {error.strerror}",
                "choose another with --data or SEGUE_DATA",
            ) from error

    def hold(self) -> int | None:
        """Take the lock until this process ends; give its descriptor, None when it is taken."""
        self.make()
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def running_bus(self) -> str | None:
        """Give the URL of its bus if somebody listens there; a crash leaves the file behind."""
        try:
            url = self.bus_url.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        with contextlib.suppress(OSError, ValueError):
            where = urlsplit(url)
            address = (where.hostname or "", where.port or 4222)
            with socket.create_connection(address, timeout=0.5):
                return url
        return None


def data_dir(given: Path | None = None, env: Mapping[str, str] = os.environ) -> DataDir:
    """Choose the directory: what is given, `SEGUE_DATA`, else the user's own data directory."""
    named = given or env.get("SEGUE_DATA") or platformdirs.user_data_path("segue")
    return DataDir(Path(named).expanduser().absolute())
