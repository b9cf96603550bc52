"""What must hold of a real log: the simulator's laws, on what an outside reader has read."""

import anyio

from segue.bus import Bus, BusError
from segue.log import Stored
from segue.testing.cluster import WITHIN_S
from segue.testing.world.invariants import LogChecker
from segue.testing.world.process import Decoded
from segue.testing.world.sim import Sim


async def check_log(bus: Bus) -> LogChecker:
    """Read the whole log, once the bus gives it, and hold every law of it on each message."""
    checker = LogChecker(Sim(0), Decoded(), {})
    checker.check(await _read(bus))
    return checker


async def _read(bus: Bus) -> list[Stored]:
    with anyio.fail_after(WITHIN_S):
        while True:
            try:
                return [stored async for stored in bus.read()]
            except BusError:
                await anyio.sleep(0.2)
