"""Lay files down on a host and start what they describe, or say how: never over what is there.

Keys and what must fit them are written all or none; of other files each that is there is kept.
Where systemd does not run, nothing is started and the exact commands are given instead.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import msgspec

from segue_cli.errors import FailedError, InvalidError

UNITS = Path("/etc/systemd/system")
CONFIGURATION = Path("/etc/segue")
SHIPPED_BIN, SHIPPED_ETC = "/opt/segue/bin", "/etc/segue"
_SECRET = (".key", ".env", ".token", ".creds")


class Laid(msgspec.Struct, frozen=True):
    """What was written, and what was there and kept."""

    wrote: list[Path]
    kept: list[Path]


def shipped(kind: str, name: str) -> str:
    """Read a file of deploy/."""
    return (resources.files("segue_cli") / "shipped" / kind / name).read_text(encoding="utf-8")


def lay(together: Mapping[Path, str], each: Mapping[Path, str]) -> Laid:
    """Write files: those in `together` all anew; of `each` what is missing."""
    there = [path for path in together if path.exists()]
    if there:
        raise _broken_off(there[0])
    fresh = {path: text for path, text in each.items() if not path.exists()}
    before = os.umask(0o022)  # A stricter one would hide from services what they must read.
    try:
        for path in together:
            _write(path, together[path])
        for path, text in fresh.items():
            _write(path, text)
    except OSError as error:
        hint = "run it as root" if isinstance(error, PermissionError) else ""
        raise FailedError(f"{error.filename} cannot be written: {error.strerror}", hint) from error
    finally:
        os.umask(before)
    return Laid([*together, *fresh], [path for path in each if path not in fresh])


def whole(*paths: Path) -> None:
    """Refuse to go on where an earlier attempt broke off: keys are made together or not at all.

    The last one written tells; of several, each must be there.
    """
    if missing := [path for path in paths if not path.exists()]:
        raise _broken_off(missing[0].parent)


def _broken_off(there: Path) -> FailedError:
    return FailedError(
        f"{there} is there, but not all that belongs to it: an earlier attempt broke off, or it is "
        "someone else's",
        f"nothing was changed; move {there} away to begin anew",
    )


def _write(path: Path, text: str) -> None:
    """Write a whole file under its name, or none. Services that are nobody read what is public."""
    mode = 0o600 if path.suffix in _SECRET else 0o644
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.rename(path)


def program(name: str) -> Path:
    """Find a program: beside this one, else on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = beside if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise InvalidError(
            f"the program {name} is not installed here",
            "`uv tool install 'segue[all]'` brings every service and a bus server",
        )
    return Path(found)


def unit(name: str, programs: Mapping[str, Path], folder: Path, shipped_as: str = "") -> str:
    """Give a unit with this host's paths in it."""
    text = shipped("systemd", shipped_as or name)
    for called, path in programs.items():
        text = text.replace(f"{SHIPPED_BIN}/{called} ", f"{path} ")
        text = text.replace(f"{SHIPPED_BIN}/{called}\n", f"{path}\n")
    if programs:
        text = text.replace(f"{SHIPPED_BIN}/%p ", f"{next(iter(programs.values())).parent}/%p ")
    return text.replace(f"{SHIPPED_ETC}/", f"{folder}/")


def supervised(units: Path) -> bool:
    """Tell whether systemd runs here and reads these units."""
    return Path("/run/systemd/system").is_dir() and units == UNITS


def start(services: Sequence[str], optional: str = "") -> None:
    """Let systemd start services now and at every boot, and say so; one of them need not start."""
    names = [f"{service}.service" for service in services]
    _systemctl(["daemon-reload"], names[0])
    started = [*services]
    if optional:  # Before the others, which are to find it at work.
        try:
            _systemctl(["enable", "--now", f"{optional}.service"], optional)
            started.insert(0, optional)
        except FailedError as error:
            print(f"{optional} does not run: {error}", file=sys.stderr)
    _systemctl(["enable", "--now", *names], names[0])
    print(f"started {', '.join(started)}")


def _systemctl(words: Sequence[str], unit: str) -> None:
    done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise FailedError(
            f"systemctl {words[0]} failed: {done.stderr.strip()}",
            f"`journalctl -u {unit}` tells more; what was written stays",
        )


def report(laid: Laid, what: str) -> None:
    """Say what was written and what was kept."""
    if not laid.wrote:
        print(f"{what} is prepared already: nothing was changed")
        return
    for path in laid.wrote:
        print(f"wrote {path}")
    for path in laid.kept:
        print(f"kept  {path}, which was there")


def by_hand(commands: Sequence[str]) -> None:
    """Give the commands that a person is to run."""
    print("systemd does not run these here; by hand, each under a supervisor of yours:\n")
    for command in commands:
        print(f"  {command}")
