"""The command `segue export`: write a stretch of the log to a file that `segue replay` reads.

It copies what is stored, readable or not. Where the stretch does not begin with the log, the
picture right before it comes along. Nothing is left out and nothing is judged.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from segue.bus import Bus
from segue.log import Head
from segue.recording import Recording, written

from segue_cli.amounts import count
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError, NotFoundError
from segue_cli.listing import when
from segue_cli.moment import FORMS, Moment
from segue_cli.reading import sequence_at, sequence_of, sight
from segue_cli.tables import note

_File = Annotated[Path, Parameter(help="Where to write it; - is standard output.")]
_From = Annotated[
    str | None, Parameter(name="--from", help=f"From then on: {FORMS} (default: all there is).")
]
_To = Annotated[str | None, Parameter(name="--to", help="No longer than then (default: now).")]


async def export(
    file: _File, /, *, start: _From = None, end: _To = None, bus: BusFlags | None = None
) -> None:
    """Write a stretch of the log to a file.

    `segue replay` reads it. The file holds everything that was said, as it was said: Compose
    documents, environment variables in them, the last lines of containers that failed. Look before
    you pass it on.
    """
    async with connected(bus) as connection:
        head = await connection.head()
        first, last = await _bounds(connection, head, start, end)
        recording = await recorded(connection, head, first, last)
    _write(file, written(recording))
    note(f"{count(len(recording.messages), 'message')}, sequences {first} to {last}.")
    if recording.partial:
        note("The log has lost what came before, and no snapshot makes up for it.", always=True)


async def _bounds(bus: Bus, head: Head, start: str | None, end: str | None) -> tuple[int, int]:
    """Give the first and the last sequence of a stretch that has something in it."""
    first, last = head.first, head.last
    if start is not None:
        at = when(start, head)
        earliest = at.sequence
        if earliest is None:
            assert at.time is not None, "a moment is a sequence or a time"
            earliest = await sequence_at(bus, head, at.time) + 1
        first = max(first, earliest)
    if end is not None:
        last = await sequence_of(bus, head, when(end, head))
    if first > last and start is not None and end is not None:
        raise InvalidError(f"nothing was said from {start} to {end}", "turn --from and --to round")
    if first > last:
        raise NotFoundError("the log has nothing there", f"it ends at {head.last}")
    return first, last


async def recorded(bus: Bus, head: Head, first: int, last: int) -> Recording:
    """Read a stretch, and the picture it begins with unless it begins with the log."""
    snapshot, partial = b"", False
    if first > 1:
        before = await sight(bus, Moment(sequence=first - 1), head)
        snapshot, partial = before.picture.snapshot(), before.partial
    async with aclosing(bus.read(first, last)) as messages:
        found = [stored async for stored in messages]
    return Recording(head.cluster, first, last, found, snapshot=snapshot, partial=partial)


def _write(file: Path, lines: Iterable[bytes]) -> None:
    """Write all of it or nothing: a recording that breaks off is none."""
    if str(file) == "-":
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
        return
    if file.exists() and not file.is_file():
        with file.open("wb") as out:  # A pipe or a device is written to, not replaced.
            out.writelines(lines)
        return
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        # Nobody else may read it: what was deployed may hold secrets.
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as out:
            out.writelines(lines)
        unfinished.replace(file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
