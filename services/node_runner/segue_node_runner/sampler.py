"""Say over and over what this node's containers use; whoever listens makes something of it.

It decides nothing and waits for nobody: a sample that cannot be said is followed by the next.
"""

import time
from collections.abc import Callable, Iterable

import anyio
import msgspec
from segue.bus import Bus
from segue.samples import SAMPLE_EVERY_S, ContainerSample, NodeSample

from segue_node_runner.cgroups import Cgroups
from segue_node_runner.inventory import Found


async def run(bus: Bus, node: str, there: Callable[[], Iterable[Found]]) -> None:
    """Sample until cancelled what is there."""
    cgroups, encode = Cgroups(), msgspec.json.Encoder().encode
    while True:
        running = [found for found in there() if found.runs and found.pid]
        if running:
            sample = await anyio.to_thread.run_sync(measured, cgroups, node, running)
            await bus.say(f"sample.containers.{node}", encode(sample))
        await anyio.sleep(SAMPLE_EVERY_S)


def measured(cgroups: Cgroups, node: str, running: Iterable[Found]) -> NodeSample:
    """Measure containers that run; those that have just ended are left out."""
    at_s = time.monotonic()
    samples = []
    kept = set()
    for found in running:
        usage = cgroups.usage(found.engine_id, found.pid)
        kept.add((found.engine_id, found.pid))
        if usage is not None:
            one = found.identity
            samples.append(ContainerSample(one.app, one.service, one.slot, one.attempt, *usage))
    cgroups.forget_all_but(kept)
    return NodeSample(node, round(at_s, 6), samples)
