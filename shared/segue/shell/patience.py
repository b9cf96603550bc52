"""Do at the start what needs the bus, however long the bus is away meanwhile."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import structlog

from segue.bus import (
    Bus,
    BusError,
    BusRefusedError,
    BusTimeoutError,
    BusUnreachableError,
    NobodyAnswersError,
)

RETRY_S = 0.5
T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.shell")


async def patiently(bus: Bus, act: Callable[[], Awaitable[T]]) -> T:
    """Try until it is done, and say once that it has to wait; raise what time cannot mend."""
    said = False
    while True:
        try:
            return await act()
        except BusError as error:
            if not _passes(error):
                raise
            if not said:
                said = True
                log.warning("waits for the bus", why=str(error))
        await anyio.sleep(RETRY_S)
        await bus.until(connected=True)


def _passes(error: BusError) -> bool:
    if isinstance(error, BusRefusedError):
        return not error.lasting
    return isinstance(error, BusTimeoutError | BusUnreachableError | NobodyAnswersError)
