"""A whole cell of hollow nodes over a real bus, end to end: `just bench cell`.

Deployer, scheduler, health monitor and autoscaler, each a process; node runners whose engines run
nothing, in a few processes; one server. By the log's own clock:

- slots assigned a second, from the first request for a deploy to the last `container.assigned`;
- a node with its share of the slots is killed: from `node.lost` to the last of them assigned anew;
- what deployer and scheduler hold in memory for each slot, and the processor time of each service,
  from the first request until all containers are said to have started.
"""

import argparse
import pathlib
import tempfile
import time
from collections import Counter
from typing import Any

import anyio

from segue.envelope import ERRORS, decode
from segue.events.container import ContainerAssigned, ContainerStarted
from segue.events.leader import LeaderElected
from segue.events.node import NodeJoined, NodeLost
from segue.log import Message
from segue.testing.bench import Table, asked, cpu_s, pss_mib
from segue.testing.cluster import CONTROL, Cluster, bare, running

VICTIM = "victim"


async def nodes_up(cluster: Cluster, nodes: int, processes: int) -> None:
    """Start hollow nodes, one of them in a process of its own."""
    start, rest = cluster.start, nodes - 1
    for number in range(processes):
        count = rest // processes + (number < rest % processes)
        words = ["--node", f"h{number}", "--engine", "simulated", "--count", f"{count}"]
        start("node_runner", f"h{number}", *words)
    start("node_runner", VICTIM, "--node", VICTIM, "--engine", "simulated")
    await many(cluster, NodeJoined, nodes, 0, 600)


async def many(
    cluster: Cluster, kind: type[Any], count: int, after: int, within_s: float, **fields: Any
) -> list[float]:
    """Wait for so many events of a kind; give when the log got each, but for those of repeats."""
    seen: dict[str, float] = {}
    with anyio.fail_after(within_s):
        async for stretch in cluster.bus.follow(after, [f"{kind.type}.>"]):
            for stored in stretch.messages:
                try:
                    event: Any = decode(stored).event
                except ERRORS:
                    continue
                if all(getattr(event, name) == value for name, value in fields.items()):
                    seen.setdefault(event.subject, stored.time)
            if len(seen) >= count:
                return sorted(seen.values())
    raise AssertionError("the log ended")


async def deploy(cluster: Cluster, slots: int, apps: int, cpus: str) -> tuple[float, float]:
    """Ask for all apps at once; give when the first was asked for and the last slot assigned."""
    head, each = await cluster.head(), slots // apps
    wants = {"replicas": each, "resources": {"reservations": {"cpus": cpus, "memory": "16m"}}}
    body = bare({"services": {"web": {"image": "w", "deploy": wants}}})
    for number in range(apps):
        await cluster.insist(Message(f"deploy.requested.app-{number}", f"ask-{number}", body))
    asked_at = (await cluster.bus.at(head + 1)) or None
    assert asked_at is not None
    times = await many(cluster, ContainerAssigned, each * apps, head, 1_200)
    await many(cluster, ContainerStarted, each * apps, head, 1_200)
    return asked_at.time, times[-1]


async def lose(cluster: Cluster) -> tuple[float, float, int]:
    """Kill a node; seconds from its loss to the last new node, from the kill, and of how many."""
    await anyio.sleep(3)
    picture = await cluster.picture()
    count, head = len(picture.on_node.get(VICTIM, {})), await cluster.head()
    killed_at = time.time()
    cluster["node_runner", VICTIM].kill()
    lost = await cluster.wait_event(NodeLost, after=head, node=VICTIM, within_s=120)
    times = await many(cluster, ContainerAssigned, count, lost.sequence, 120)
    return times[count - 1] - lost.time, times[count - 1] - killed_at, count


async def measure(table: Table, given: argparse.Namespace, part: int) -> None:
    nodes, slots = max(2, given.nodes // part), given.slots // part
    apps = max(1, given.apps // part)
    of = f"{nodes:,} nodes, {slots:,} slots of {apps:,} apps"
    with tempfile.TemporaryDirectory() as folder:
        async with running(pathlib.Path(folder)) as cluster:
            cluster.start_control()
            for service in CONTROL:
                await cluster.wait_event(LeaderElected, service=service)
            await nodes_up(cluster, nodes, given.processes)
            empty, before = memory(cluster), processors(cluster)
            # Eight CPUs a node: twice as much as all slots ask for.
            begun, last = await deploy(cluster, slots, apps, f"{4 * nodes / slots:.3f}")
            table.add(f"assigned: {of}", [slots / (last - begun)], "slots/s", goal="≥ 3,000")
            full, after = memory(cluster), processors(cluster)
            for name, used in after.items():
                each_us = (used - before[name]) / slots * 1e6
                table.add(f"{name}'s processor time: {of}", [each_us], "us a slot")
            for name in ("deployer", "scheduler"):
                each = (full[name] - empty[name]) * 1024 / slots
                table.add(f"{name}'s memory: {of}", [each], "KiB a slot", goal="≤ 1")
            since_lost, since_killed, count = await lose(cluster)
            words = f"a node's {count} slots decided anew: {of}"
            table.add(words, [since_lost * 1000], "ms", goal="≤ 250")
            table.add(f"the same since it was killed: {of}", [since_killed], "s")
            spread = Counter(
                name for name, held in (await cluster.picture()).on_node.items() for _ in held
            )
            table.add(f"slots on the fullest node: {of}", [max(spread.values())], "")


def memory(cluster: Cluster) -> dict[str, float]:
    return {name: pss_mib(cluster[name, "a"].process.pid) for name in CONTROL}


def processors(cluster: Cluster) -> dict[str, float]:
    """Give the processor time that each service has used so far, all its processes together."""
    used = {"nats-server": cpu_s(cluster.server.pid)}
    for (name, _), service in cluster.services.items():
        word = "hollow nodes" if name == "node_runner" else name
        used[word] = used.get(word, 0.0) + cpu_s(service.process.pid)
    return used


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--nodes", type=int, default=500)
        flags.add_argument("--slots", type=int, default=50_000)
        flags.add_argument("--apps", type=int, default=50)
        flags.add_argument("--processes", type=int, default=2, help="of hollow nodes")
        flags.add_argument("--parts", type=int, nargs="*", default=[16, 4, 1])

    given = asked(__doc__, more)
    if given.smoke:
        given.nodes, given.slots, given.apps, given.parts = 4, 20, 2, [1]
    table = Table("cell", given.out)
    for part in given.parts:
        anyio.run(measure, table, given, part)


if __name__ == "__main__":
    main()
