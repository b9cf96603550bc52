"""What must hold of a real log: the simulator's laws, on what an outside reader has read."""

from segue.bus import Bus
from segue.testing.world.invariants import LogChecker
from segue.testing.world.process import Decoded
from segue.testing.world.sim import Sim


async def check_log(bus: Bus) -> LogChecker:
    """Read the whole log and hold every law of the log on each of its messages."""
    checker = LogChecker(Sim(0), Decoded(), {})
    checker.check([stored async for stored in bus.read()])
    return checker
