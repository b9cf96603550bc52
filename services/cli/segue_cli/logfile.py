"""Log files of processes that know nothing of them: bounded in size, readable at the end.

A process writes to its file itself, so it goes on when nobody reads along, and a stopped supervisor
stops nobody. A file that has grown is copied and cut; what is written in the microseconds between
is lost, which is the price of not standing between a process and its log.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

BYTES_MAX = 16 << 20
KEPT = 3


def open_for(path: Path) -> int:
    """Open a log for a process to append to; the caller closes the descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def rotate(path: Path, bytes_max: int = BYTES_MAX) -> bool:
    """Cut a log that has grown too large; the newest `KEPT` copies stay as `.1`, `.2`, ….

    Writers append, so after the cut they go on at the new end.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT - 1, 0, -1):
        older = _copy(path, number)
        if older.exists():
            older.replace(_copy(path, number + 1))
    with path.open("rb") as source, _copy(path, 1).open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    os.truncate(path, 0)
    return True


def _copy(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def size(path: Path) -> int:
    """Give where a log ends now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, lines: int, *, after: int = 0) -> list[str]:
    """Give the last lines that were written behind `after`."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, after if after <= end else 0, end - (64 << 10)))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]


_RAISED = re.compile(
    r"^[\s|+]*((?:\w+\.)*(?!\w*ExceptionGroup)\w*(?:Error|Exception)(?::.*)?)$", re.MULTILINE
)


def complaint(lines: Sequence[str]) -> str:
    """Give in words what the newest line complains of; empty if all is well.

    Services write JSON, one object a line; other lines are the bus's or a dying program's.
    """
    if not lines:
        return ""
    try:
        said = msgspec.json.decode(lines[-1], type=dict[str, Any])
    except msgspec.MsgspecError:
        return "" if " [INF] " in lines[-1] else lines[-1].strip()
    if said.get("level") not in ("warning", "error", "critical"):
        return ""
    raised = _RAISED.findall(str(said.get("exception", "")))
    why = said.get("why") or (raised[0] if raised else "")
    return f"{said.get('message', '')}: {why}".strip(": ")
