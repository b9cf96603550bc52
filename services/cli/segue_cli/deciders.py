"""Replay a recording with the deciding services' cores, here or in a process of its own.

Which cores those are is found by name when they are asked for: the command line knows no service
and runs without any. Changed ones are imported where nothing else has been.

    python -m segue_cli.deciders FILE FOLDER        prints the comparison as JSON
"""

import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
from segue.core import Core
from segue.differences import Comparison
from segue.recording import RecordingError, read
from segue.replay import replay

from segue_cli.errors import INVALID, CommandError, FailedError, InvalidError, debugging

DECIDING = ("deployer", "scheduler")
_HINT = "`uv tool install 'segue[all]'` brings every service"


def compare(file: Path) -> Comparison:
    """Replay with the cores that this Python imports."""
    with file.open("rb") as lines:
        try:
            recording = read(lines)
            return replay(recording, [_core(service) for service in DECIDING])
        except RecordingError as error:
            raise InvalidError(f"{file}: {error}") from error


def compare_with(file: Path, folder: Path) -> Comparison:
    """Replay with the cores under `folder`, and the installed ones of what is not there."""
    if not _changed(folder):
        wanted = " nor ".join(f"segue_{service}" for service in DECIDING)
        hint = "copy a service's package there, all of it, and change the copy"
        raise InvalidError(f"{folder} has no package {wanted}", hint)
    file.open("rb").close()  # Whoever was asked says that it cannot be read.
    search = [str(folder.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "segue_cli.deciders", str(file), search[0]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
        stdout=subprocess.PIPE,
        stderr=None if debugging() else subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or b"").decode("utf-8", "replace").strip().rpartition("\n")[2]
        if done.returncode == INVALID:
            raise InvalidError(last)
        hint = "SEGUE_DEBUG=1 shows where"
        raise FailedError(f"the services under {folder} cannot be replayed: {last}", hint)
    return msgspec.json.decode(done.stdout, type=Comparison)


def _changed(folder: Path) -> list[str]:
    """Name the services whose packages are there; a folder without `__init__.py` is none."""
    found = {service: folder / f"segue_{service}" / "__init__.py" for service in DECIDING}
    return [service for service, file in found.items() if file.is_file()]


def _core(service: str) -> Core:
    name = f"segue_{service}.core"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, name.partition(".")[0]):
            raise
        raise FailedError(f"the {service} is not installed here", _HINT) from error
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, Core) and kind.__module__ == name:
            return kind()
    raise FailedError(f"{module.__file__} has no core", "it defines the one subclass of `Core`")


def _main() -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # A core may print; the answer is ours.
            comparison = compare(Path(sys.argv[1]))
        for service in _changed(folder := Path(sys.argv[2])):
            origin = sys.modules[f"segue_{service}.core"].__file__ or ""
            assert Path(origin).is_relative_to(folder), f"{origin} came before {folder}"
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
    sys.stdout.buffer.write(msgspec.json.encode(comparison))


if __name__ == "__main__":
    _main()
