"""Processes by identity: a pid alone may be somebody else's tomorrow, with its start time never.

What is written down here lets the next `segue up` end what a killed one has left behind.
"""

import contextlib
import os
import signal
from pathlib import Path

import anyio
import msgspec


class Process(msgspec.Struct, frozen=True):
    """A process; `began` is its start in ticks since boot, empty where the system does not tell."""

    name: str
    pid: int
    began: str = ""

    @property
    def alive(self) -> bool:
        """It runs, and is still the one that was meant."""
        return bool(self.began) and began(self.pid) == self.began


def began(pid: int) -> str:
    """Give when a process began; empty when there is none, or only its end is left."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def named(name: str, pid: int) -> Process:
    """Identify a running process."""
    return Process(name, pid, began(pid))


async def gone(process: Process, within_s: float) -> bool:
    """Wait until a process that need not be a child has ended; tell whether it has."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.alive:
            return True
        with anyio.move_on_after(within_s):
            await anyio.wait_readable(descriptor)
            return True
        return False
    finally:
        os.close(descriptor)


async def end(process: Process, grace_s: float) -> None:
    """Ask a process to end, and make it end when it does not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if not process.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)
        if await gone(process, grace_s):
            return


def save(path: Path, processes: list[Process]) -> None:
    """Write processes down, all or nothing."""
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(processes))
    draft.replace(path)


def load(path: Path) -> list[Process]:
    """Read what was written down; an unreadable file names nobody."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Process])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return []
