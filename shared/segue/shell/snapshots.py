"""Snapshots of the picture on the bus: which there are, what one is worth, keep one, drop old ones.

A snapshot is named by the sequence of the last event that it holds. It is worth nothing where the
log holds another message there than was folded.
"""

import msgspec
import structlog

from segue.bus import Bus
from segue.picture import Picture
from segue.picture.picture import claim

BUCKET = "snapshots"
KEPT = 200

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.shell")


async def found(bus: Bus) -> list[int]:
    """Give the sequences of those there are, oldest first."""
    return sorted(int(key) for key in await bus.keys(BUCKET) if key.isdecimal())


async def read(bus: Bus, sequence: int) -> bytes:
    """Give one, empty if it is gone or not whole."""
    return await bus.get(BUCKET, str(sequence)) or b""


async def can_be_used(bus: Bus, sequence: int) -> bool:
    """Tell whether this code can start from one, and the log's own message says it is of this log.

    A start believes also one whose message is gone; whoever takes messages away must not.
    """
    data = await read(bus, sequence)
    try:
        said = claim(data)
        Picture().restore(data)
    except msgspec.MsgspecError:
        return False
    stored = await bus.at(said.sequence)
    return said.sequence == sequence and stored is not None and stored.mark == said.mark


async def keep(bus: Bus, sequence: int, data: bytes) -> None:
    """Keep one, and of the older ones as many as are worth it."""
    await bus.put(BUCKET, str(sequence), data)
    older = [key for key in await found(bus) if key <= sequence]
    for key in older[:-KEPT]:
        await bus.delete(BUCKET, str(key))
    log.info("saved a snapshot", sequence=sequence, size_bytes=len(data))


async def drop_before(bus: Bus, first: int) -> None:
    """Drop those that no log continues which begins at `first`."""
    for key in await found(bus):
        if key < first - 1:
            await bus.delete(BUCKET, str(key))
