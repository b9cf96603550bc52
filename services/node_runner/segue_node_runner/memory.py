"""Remember over the runner's own restarts how far its log had come.

A bus that lost its disk, or was restored from a backup, begins again with a lower sequence: what
it then orders was overtaken long ago. The node keeps what runs and a person decides.
"""

import contextlib
import pathlib

from segue.bus import LogReplacedError
from segue.log import Head


class Memory:
    """The highest sequence of one cluster's log that this node has read."""

    def __init__(self, folder: pathlib.Path, cluster: str) -> None:
        self.path = folder / f"{cluster or 'unnamed'}.sequence"
        self._kept = self._read()

    def check(self, head: Head) -> None:
        """Raise `LogReplacedError` when the log is behind what was read of it before."""
        if head.last < self._kept:
            raise LogReplacedError(
                f"the log ends at {head.last}, but this node has read it to {self._kept}: the bus "
                "was restored from an older copy. Containers run on and no order is taken. If the "
                f"log as it is now is to count, remove {self.path} and start again"
            )

    def keep(self, sequence: int) -> None:
        """Remember a sequence; where nothing can be written, go on without."""
        if sequence <= self._kept:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(f"{sequence}\n")
            fresh.replace(self.path)
            self._kept = sequence

    def _read(self) -> int:
        try:
            return int(self.path.read_text())
        except (OSError, ValueError):
            return 0
