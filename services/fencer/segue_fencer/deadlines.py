"""Read by when the node's strict containers must be dead, as its runners last wrote it.

One file for each runner, written anew at every renewal of its lease:

    {"deadline": 8127.25, "containers": ["<engine's full id>", …]}

`deadline` is in seconds of CLOCK_BOOTTIME, which goes on while the host sleeps and which nobody can
set. What was read last stands: a file that is gone or unreadable takes nothing back.
"""

import json
import math
import pathlib
import re
from typing import NamedTuple

_ID = re.compile(r"[0-9a-f]{64}")


class Deadline(NamedTuple):
    """By when which containers must be dead."""

    at: float
    containers: frozenset[str]


class Deadlines:
    """The files of one folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._last: dict[str, tuple[tuple[int, int], Deadline]] = {}
        self.problems: dict[str, str] = {}  # By file: why it could not be read.

    def overdue(self, now: float) -> frozenset[str]:
        """Give the containers whose time is over."""
        self._look()
        ids: frozenset[str] = frozenset()
        for _, deadline in self._last.values():
            if now >= deadline.at:
                ids |= deadline.containers
        return ids

    def _look(self) -> None:
        try:
            paths = sorted(self.folder.glob("*.json"))
        except OSError as error:
            self.problems[str(self.folder)] = str(error)
            return
        for path in paths:
            try:
                status = path.stat()
                version = (status.st_mtime_ns, status.st_ino)
                if path.name in self._last and self._last[path.name][0] == version:
                    continue
                self._last[path.name] = version, read(path.read_text(encoding="utf-8"))
                self.problems.pop(path.name, None)
            except (OSError, ValueError) as error:
                self.problems[path.name] = str(error)


def read(text: str) -> Deadline:
    """Read a file's content, or raise ValueError."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 — of a text, the value is wrong.
    at, containers = found.get("deadline"), found.get("containers")
    if not isinstance(at, int | float) or isinstance(at, bool) or not math.isfinite(at):
        raise ValueError("its deadline is not a number")
    if not isinstance(containers, list) or not all(
        isinstance(one, str) and _ID.fullmatch(one) for one in containers
    ):
        raise ValueError("its containers are not full ids")
    return Deadline(float(at), frozenset(containers))
