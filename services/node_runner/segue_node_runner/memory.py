"""Remember over the runner's own restarts how far its log had come.

A bus that lost its disk, or was restored from a backup, begins again with a lower sequence: what
it then orders was overtaken long ago. It may have grown past that sequence since, so the last
message is remembered by its mark too; where the bus has purged that message, the sequence alone
tells. The node keeps what runs and a person decides.
"""

import contextlib
import pathlib
from typing import NoReturn

from segue.bus import LogReplacedError
from segue.log import Head, Stored


class Memory:
    """How far this node has read one cluster's log, and which message it has read last."""

    def __init__(self, folder: pathlib.Path, cluster: str) -> None:
        self.path = folder / f"{cluster or 'unnamed'}.sequence"
        self.kept, self.last, self._mark = self._read()

    def check(self, head: Head, stored: Stored | None) -> None:
        """Raise `LogReplacedError` when the log is not the one that was read before.

        `stored` is what the log holds at `last`, or None.
        """
        if head.last < self.kept:
            self._refuse(f"ends at {head.last}, but this node has read it to {self.kept}")
        if self._mark and stored is not None and stored.mark != self._mark:
            self._refuse(f"holds another message at {self.last} than this node has read there")

    def _refuse(self, what: str) -> NoReturn:
        raise LogReplacedError(
            f"the log {what}: the bus was restored from an older copy. Containers run on and no "
            f"order is taken. If the log as it is now is to count, remove {self.path} and start "
            "again"
        )

    def keep(self, sequence: int, last: int, mark: str) -> None:
        """Remember how far the log was read; where nothing can be written, go on without."""
        if sequence <= self.kept:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(f"{sequence} {last} {mark}\n")
            fresh.replace(self.path)
            self.kept = sequence

    def _read(self) -> tuple[int, int, str]:
        try:
            sequence, last, mark = [*self.path.read_text().split(), "0", ""][:3]
            return int(sequence), int(last), mark
        except (OSError, ValueError):
            return 0, 0, ""
