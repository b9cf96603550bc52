"""From a load that a foreign program says to the container's node: `just bench load_to_assigned`.

A plain NATS client publishes `load.high` and hears `container.assigned`: autoscaler, deployer and
scheduler, each a process, lie between. Prints median and 99th percentile; asserts nothing of time.
"""

import json
import pathlib
import tempfile
import time
from typing import Any

import anyio
import nats

from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.testing.bench import Table, asked, share
from segue.testing.cluster import CONTROL, running
from segue.testing.puppet_node import PuppetNode

SCALING = {"max": 100_000, "target": {"lag": 10}, "up": {"step": 100_000, "every": "1s"}}


async def measure(folder: pathlib.Path, rounds: int) -> list[float]:
    """Ask for one more, again and again, and take the time until it has a node."""
    took: list[float] = []
    async with running(folder) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "node-a").run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        services: dict[str, Any] = {"web": {"image": "web:1", "x-autoscale": SCALING}}
        await cluster.say(DeployRequested(app="shop", compose={"services": services}))
        await cluster.wait_event(DeployCompleted, app="shop")
        client = await nats.connect(cluster.server.url)
        assigned = await client.subscribe("container.assigned.shop.web.*.*")
        await client.flush()
        for number in range(2, rounds + 2):
            body = json.dumps({"value": 10 * number, "replicas": 1}).encode()
            begun = time.perf_counter()
            await client.publish("load.high.shop.web.lag", body)
            message = await assigned.next_msg(timeout=60)
            took.append(time.perf_counter() - begun)
            assert message.subject.split(".")[4] == str(number)
            await anyio.sleep(0.05)
        await client.close()
        tasks.cancel_scope.cancel()
    return took


def main() -> None:
    given = asked(__doc__, lambda flags: flags.add_argument("--rounds", type=int, default=200))
    table = Table("load_to_assigned", given.out)
    with tempfile.TemporaryDirectory() as folder:
        took = anyio.run(measure, pathlib.Path(folder), 3 if given.smoke else given.rounds)
    figures = [one * 1000 for one in took]
    table.add("load.high -> container.assigned", figures, "ms")
    worst = [share(figures, 0.99)]
    table.add("load.high -> container.assigned, 99 of 100", worst, "ms", goal="≤ 20 ms")


if __name__ == "__main__":
    main()
