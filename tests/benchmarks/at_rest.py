"""What Segue takes of a host while nothing happens: `just bench at_rest`.

A real engine runs an app of 100 services of one container each. Of every process of ours: memory
(what is shared is divided by those who share it) and processor time over half a minute; a gateway
with its HAProxy. What the engine takes by itself for its containers is not ours.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Iterable

import anyio

from segue.events.deploy import DeployCompleted
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.bench import Table, asked, cpu_s, pss_mib
from segue.testing.cluster import CONTROL, Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine, running_engine


def family(pid: int) -> list[int]:
    """Give a process and all that it has started."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def group(cluster: Cluster, names: Iterable[str]) -> dict[str, list[int]]:
    """Find the processes of each of these services."""
    ours = {name: one.process.pid for (name, _), one in cluster.services.items()}
    if cluster.fencer is not None:
        ours["fencer"] = cluster.fencer.process.pid
    return {name: family(ours[name]) for name in names if name in ours}


async def measure(
    table: Table, engine: Engine, services: int, settle_s: float, lasts_s: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(pathlib.Path(folder)) as cluster:
            cluster.start_control()
            cluster.start_node("node-a", engine)
            cluster.start_gateway("node-a", "--http-port", "0")
            await cluster.wait_event(NodeJoined, node="node-a")
            await cluster.wait_event(GatewayJoined, node="node-a")
            one = {"image": BUSYBOX, "command": ["sleep", "100000"], "expose": ["80"]}
            body = bare({"services": {f"s{number}": one for number in range(services)}})
            await cluster.insist(Message("deploy.requested.bench", "ask", body))
            await cluster.wait_event(DeployCompleted, within_s=600)
            await anyio.sleep(settle_s)
            worker = group(cluster, ("node_runner", "fencer", "gateway"))
            control = {**group(cluster, CONTROL), "nats-server": [cluster.server.pid]}
            for words, of, most, share in (
                ("a worker host", worker, "≤ 90 MiB", "≤ 0.3 %"),
                ("the control plane", control, "≤ 300 MiB", "≤ 1 %"),
            ):
                await tell(table, f"{words}, {services} services", of, lasts_s, (most, share))


async def tell(
    table: Table, words: str, of: dict[str, list[int]], lasts_s: float, goals: tuple[str, str]
) -> None:
    pids = [pid for family in of.values() for pid in family]
    before, begun = {pid: cpu_s(pid) for pid in pids}, time.monotonic()
    await anyio.sleep(lasts_s)
    took_s = time.monotonic() - begun
    used = {pid: (cpu_s(pid) - before[pid]) / took_s * 100 for pid in pids}
    for name, family in of.items():
        table.add(f"{words}: {name}, memory", [sum(map(pss_mib, family))], "MiB")
        table.add(f"{words}: {name}, processor", [sum(used[pid] for pid in family)], "%")
    table.add(f"{words}: memory", [sum(map(pss_mib, pids))], "MiB", goal=goals[0])
    table.add(f"{words}: processor", [sum(used.values())], "%", goal=goals[1])


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--services", type=int, default=100)
        flags.add_argument("--seconds", type=float, default=30.0)

    given = asked(__doc__, more)
    sizes = (2, 0.1, 0.5) if given.smoke else (given.services, 15.0, given.seconds)
    table = Table("at_rest", given.out)
    with running_engine() as engine:
        anyio.run(measure, table, engine, *sizes)


if __name__ == "__main__":
    main()
