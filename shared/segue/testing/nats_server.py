"""A real bus server of a test's own: started, stopped, killed, frozen and started again.

It listens on a loopback port of the test's own and keeps it, with its store, over restarts.
Every process is ended by its own handle.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from segue.bus.server import ServerConfig, find_server, render
from segue.testing.ports import free_port

START_TIMEOUT_S = 60.0


class NatsServer:
    """`port` 0 takes any free one. `extra` is in the server's own syntax."""

    def __init__(
        self, directory: Path, *, port: int = 0, sync_always: bool = False, extra: str = ""
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.sync_always = sync_always
        self.extra = extra
        self.log = directory / "server.log"
        self.enter: Sequence[str] = ()  # A command that runs the words after it somewhere else.
        self.environment: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process, which must be running."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start it and return once clients are served."""
        assert self._process is None, "the server is running already"
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.configure()
        self.log.write_bytes(b"")
        command = [*self.enter, str(find_server()), "-c", str(file), "-l", str(self.log)]
        environment = {**os.environ, **self.environment}
        with self.log.open("ab") as log:  # It complains of its configuration before it has a log.
            self._process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise
        return self

    def configure(self) -> Path:
        """Write the configuration; give its file."""
        config = ServerConfig(
            store_dir=self.directory / "store",
            port=self.port,
            sync_always=self.sync_always,
            extra=self.extra,
        )
        file = self.directory / "server.conf"
        file.write_text(render(config))
        return file

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it as a supervisor would, in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """End it and start it again with the same port and store."""
        self._end(signal.SIGKILL if kill else signal.SIGTERM)
        self.start()

    def freeze(self) -> None:
        """Stop its clock: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)
        while self._runs():
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _runs(self) -> bool:
        """Tell whether any of its threads has not heard yet that it is to stop."""
        stats = [file.read_text() for file in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        return any(stat.rsplit(")", 1)[1].split()[0] != "T" for stat in stats)

    def __enter__(self) -> Self:
        """Start it for a `with` block."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill it: the directory goes with the test."""
        self.kill()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)  # A frozen one would not hear the first.
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for its word."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"Server is ready" not in (log := self.log.read_bytes()):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the bus server did not start:\n{log.decode()}")
            time.sleep(0.002)
