"""Hollow nodes: the real core and shell over the real bus, on an engine that runs nothing.

For tests and benchmarks of everything but Docker: hundreds of nodes fit in one process. What such a
node says of itself begins with "simulated", so that nobody takes it for a host.
"""

import argparse
import asyncio
import random
import time
import uuid
from typing import Any

import anyio
import msgspec
import structlog
from segue.beats import NODE_BEAT_EVERY_S, NodeBeat
from segue.bus import Bus
from segue.shell.pump import Pump

from segue_node_runner import news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import GiveWay
from segue_node_runner.simulated import Manner, SimulatedEngine

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.node_runner")


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve `--count` hollow nodes until cancelled: NAME, or NAME-1 to NAME-N."""
    count = arguments.count
    names = (
        [f"{arguments.node}-{n}" for n in range(1, count + 1)] if count > 1 else [arguments.node]
    )
    log.warning("these nodes are simulated: they run nothing", nodes=len(names))
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(_node, bus, name, dict(arguments.label))


async def _node(bus: Bus, name: str, labels: dict[str, str]) -> None:
    session = uuid.uuid4().hex
    pump = Pump(
        NodeRunner(name, session, {"simulated": "true", **labels}),
        bus,
        instance=name,
        leads=False,
        subjects=follows(name),
    )
    dice = random.Random(name)  # noqa: S311 — a simulated engine's dice, not a secret.
    engine = SimulatedEngine(asyncio.get_running_loop().call_later, dice, Manner(), time.time)
    engine.hear = pump.hear

    async def perform(effect: Any) -> None:
        if isinstance(effect, GiveWay):
            log.error("another runner has joined under this node's name", node=name)
        else:
            engine.perform(effect)

    pump.perform = perform
    pump.hear(engine.facts())
    pump.hear(news.Guard(lease=1, missing=""))  # It runs nothing, so nothing runs twice.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_beat, bus, name, session)
        await pump.run()


async def _beat(bus: Bus, name: str, session: str) -> None:
    beat = msgspec.json.encode(NodeBeat(name, session))
    while True:
        await bus.say(f"beat.node_runner.{name}", beat)
        await anyio.sleep(NODE_BEAT_EVERY_S)
