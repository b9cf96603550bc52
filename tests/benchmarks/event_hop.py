"""From a fact in the log to the decision it calls for, beside the bus by itself: `just bench event_hop`.

Replicas of an app are added one at a time. By the log's own clock: from `scale.requested` to
`scale.accepted` (deployer), from that to `container.requested` (deployer again), from that to
`container.assigned` (scheduler). Beside it, in the same run on the same server and log: a program of
ten lines that gets a message from a push consumer and publishes another, each fenced as ours are.
"""

import argparse
import asyncio
import pathlib
import sys
import tempfile
from typing import Any

import anyio
import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from segue.events.container import ContainerAssigned, ContainerRequested
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.events.scale import ScaleAccepted, ScaleRequested
from segue.testing.bench import Table, asked, share
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.process import Process
from segue.testing.puppet_node import PuppetNode

HOPS = (
    (ScaleRequested, ScaleAccepted),
    (ScaleAccepted, ContainerRequested),
    (ContainerRequested, ContainerAssigned),
)
PING, PONG = "load.high.bench.ping.raw", "load.low.bench.pong.raw"


async def echo(url: str) -> None:
    """Answer each message on one subject of the log by one on another."""
    client = await nats.connect(url)
    bus = client.jetstream()
    ready = ConsumerConfig(deliver_policy=DeliverPolicy.NEW, ack_policy=AckPolicy.NONE)
    pings = await bus.subscribe(PING, stream="EVENTS", config=ready, ordered_consumer=False)
    print("ready", flush=True)
    async for message in pings.messages:
        await bus.publish(PONG, message.data)


async def raw(cluster: Cluster, rounds: int) -> list[float]:
    """Let that program answer so many, one at a time; by the log's clock."""
    command = [sys.executable, __file__, "--echo", cluster.server.url]
    program = Process("echo", command, cluster.folder / "echo.log")
    try:
        with anyio.fail_after(60):
            while "ready" not in program.log.read_text():
                await anyio.sleep(0.05)
        head = await cluster.head()
        client = await nats.connect(cluster.server.url)
        bus = client.jetstream()
        for _ in range(rounds):
            ping = await bus.publish(PING, b"x" * 400)
            with anyio.fail_after(30):
                while (pong := await cluster.bus.last(PONG)) is None or pong.sequence < ping.seq:
                    await anyio.sleep(0.002)
        await client.close()
    finally:
        program.stop()
    times: dict[str, list[float]] = {PING: [], PONG: []}
    async for stored in cluster.bus.read(head + 1):
        if stored.subject in times:
            times[stored.subject].append(stored.time)
    return [pong - ping for ping, pong in zip(times[PING], times[PONG], strict=True)]


async def ours(cluster: Cluster, rounds: int) -> dict[str, list[float]]:
    head = await cluster.head()
    for replicas in range(2, rounds + 2):
        await cluster.say(ScaleRequested(app="shop", service="web", replicas=replicas))
        await cluster.wait_event(ContainerAssigned, after=head, slot=replicas)
        await anyio.sleep(0.02)
    at: dict[str, dict[int, float]] = {kind.type: {} for hop in HOPS for kind in hop}
    for record in await cluster.records(after=head):
        event: Any = record.event
        number = getattr(event, "slot", 0) or getattr(event, "replicas", 0)
        if event.type in at and number:
            at[event.type].setdefault(number, record.time)
    return {
        f"{after.type} -> {then.type}": [
            at[then.type][number] - time
            for number, time in at[after.type].items()
            if number in at[then.type]
        ]
        for after, then in HOPS
    }


async def measure(folder: pathlib.Path, rounds: int, table: Table) -> None:
    async with running(folder) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "node-a", cpu_millicores=10**6).run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        services: dict[str, Any] = {"web": {"image": "web:1"}}
        await cluster.say(DeployRequested(app="shop", compose={"services": services}))
        await cluster.wait_event(DeployCompleted, app="shop")
        found = await ours(cluster, rounds)
        limit = [one * 1000 for one in await raw(cluster, rounds)]
        for name, times in found.items():
            figures = [one * 1000 for one in times]
            table.add(name, figures, "ms", beside="raw", limit=limit, goal="≤ 2")
            worst = [share(limit, 0.99)]
            table.add(
                f"{name}, 99 of 100",
                [share(figures, 0.99)],
                "ms",
                beside="raw",
                limit=worst,
                goal="≤ 2",
            )
        tasks.cancel_scope.cancel()


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--rounds", type=int, default=200)
        flags.add_argument("--echo", help=argparse.SUPPRESS)

    given = asked(__doc__, more)
    if given.echo:
        asyncio.run(echo(given.echo))
        return
    table = Table("event_hop", given.out)
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measure, pathlib.Path(folder), 3 if given.smoke else given.rounds, table)


if __name__ == "__main__":
    main()
