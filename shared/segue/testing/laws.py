"""What must hold of a real log: the simulator's laws, on what an outside reader has read."""

from collections.abc import Iterable, Sequence

import anyio

from segue.bus import Bus, BusError
from segue.log import Stored
from segue.testing.cluster import WITHIN_S
from segue.testing.world.invariants import LogChecker
from segue.testing.world.process import Decoded
from segue.testing.world.sim import Sim


async def check_log(bus: Bus, *, secrets: Sequence[bytes] = ()) -> LogChecker:
    """Read the whole log, once the bus gives it, and hold every law of it on each message."""
    checker = LogChecker(Sim(0), Decoded(), {})
    messages = await _read(bus)
    checker.check(messages)
    told = no_secret_is_told(messages, secrets)
    assert not told, told
    return checker


def no_secret_is_told(messages: Iterable[Stored], secrets: Sequence[bytes]) -> str:
    """I15: what a secret holds stands in no message of the log."""
    for stored in messages:
        words = [stored.subject, *stored.headers.values()]
        said = b"\n".join([stored.data, *(word.encode() for word in words)])
        if any(secret in said for secret in secrets):
            return f"message {stored.sequence} ({stored.subject}) holds a secret"
    return ""


async def _read(bus: Bus) -> list[Stored]:
    with anyio.fail_after(WITHIN_S):
        while True:
            try:
                return [stored async for stored in bus.read()]
            except BusError:
                await anyio.sleep(0.2)
