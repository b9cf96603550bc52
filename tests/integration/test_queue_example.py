"""The example that tells how long a queue is, against a real JetStream consumer's backlog."""

import os
import pathlib
import sys
from typing import Any

import anyio
import nats
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.events.load import LoadHigh, LoadLow
from segue.events.scale import ScaleDecided
from segue.testing.cluster import CONTROL, running
from segue.testing.process import Process
from segue.testing.puppet_node import PuppetNode

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "queue" / "monitor.py"
OF_WORKER: dict[str, Any] = {"app": "packing", "service": "worker"}
SCALING = {"max": 5, "target": {"lag": 10}, "down": {"window": "1s", "every": "1s"}}


async def test_a_long_queue_brings_workers_and_an_empty_one_takes_them_away(
    tmp_path: pathlib.Path,
) -> None:
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "node-a").run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        worker = {"image": "worker:1", "x-autoscale": SCALING}
        await cluster.say(DeployRequested(app="packing", compose={"services": {"worker": worker}}))
        await cluster.wait_event(DeployCompleted, app="packing")
        client = await nats.connect(cluster.server.url)
        jetstream = client.jetstream()
        await jetstream.add_stream(name="ORDERS", subjects=["orders.>"])
        packers = await jetstream.pull_subscribe("orders.>", durable="packers")
        for number in range(30):
            await jetstream.publish("orders.created", str(number).encode())
        command = [sys.executable, str(EXAMPLE), "ORDERS", "packers", "packing/worker"]
        environment = {**os.environ, "NATS_URL": cluster.server.url}
        monitor = Process("monitor", command, tmp_path / "monitor.log", environment)
        try:
            high = await cluster.wait_event(LoadHigh, **OF_WORKER, metric="lag")
            assert (high.event.value, high.event.target) == (30.0, 10.0)  # type: ignore[attr-defined]  # By the wait.
            await cluster.wait_event(ScaleDecided, **OF_WORKER, previous=1, replicas=3)
            for message in await packers.fetch(30, timeout=30):
                await message.ack()
            await cluster.wait_event(LoadLow, **OF_WORKER, after=high.sequence)
            await cluster.wait_event(ScaleDecided, **OF_WORKER, replicas=1)
        finally:
            monitor.stop()
            await client.close()
        tasks.cancel_scope.cancel()
