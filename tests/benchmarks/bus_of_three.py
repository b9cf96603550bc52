"""How long writes block while servers of a bus of three die: `just bench bus_of_three`.

One writer repeats each event with its id until it is stored. Printed is, for each fault, the longest
time between two acknowledgements, and what was lost or stored twice.
"""

import argparse
import collections
import pathlib
import secrets
import tempfile
import time
from collections.abc import Callable

import anyio

from segue.bus import Bus, BusError, Plan, connect
from segue.log import Message
from segue.testing.bench import Table, asked
from segue.testing.hosts import Hosts
from segue.testing.nats_cluster import NatsCluster

DOWN_S = 8.0  # How long two of three, or all, stay away.


class Writer:
    """Writes one event after the other, and notes when each was acknowledged."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.done, self.name = bus, False, secrets.token_hex(4)
        self.acknowledged: list[str] = []
        self.times = [time.monotonic()]

    async def run(self) -> None:
        count = 0
        while not self.done:
            message = Message(
                "load.bench", name := f"{self.name}-{count}", name.encode().ljust(300)
            )
            while (await self.bus.append([message], timeout_s=1)).kind != "stored":
                await anyio.sleep(0.02)
            self.acknowledged.append(message.id)
            self.times.append(time.monotonic())
            count += 1

    def gap_after(self, moment: float) -> float:
        """The longest wait for an acknowledgement that ended after `moment`."""
        pairs = zip(self.times, self.times[1:], strict=False)
        return max(after - max(before, moment) for before, after in pairs if after > moment)


def follower_killed(servers: NatsCluster) -> float:
    since = time.monotonic()
    servers.followers()[0].kill()
    return since


def leader_killed(servers: NatsCluster) -> float:
    since = time.monotonic()
    servers.leader().kill()
    return since


def leader_stopped(servers: NatsCluster) -> float:
    since = time.monotonic()
    servers.leader().stop()
    return since


def leader_frozen(servers: NatsCluster) -> float:
    since = time.monotonic()
    servers.leader().freeze()
    return since


def leader_cut(servers: NatsCluster) -> float:
    since = time.monotonic()
    servers.leader().host.cut()
    return since


def leader_heard_by_nobody(servers: NatsCluster) -> float:
    since = time.monotonic()
    host = servers.leader().host
    host.network.mute(host.number)
    return since


def two_killed(servers: NatsCluster) -> float:
    for server in servers.followers():
        server.kill()
    time.sleep(DOWN_S)
    servers.restore()
    return time.monotonic()


def all_killed(servers: NatsCluster) -> float:
    for server in servers.servers:
        server.kill()
    time.sleep(DOWN_S)
    servers.restore()
    return time.monotonic()


FAULTS = (
    follower_killed,
    leader_stopped,
    leader_killed,
    leader_frozen,
    leader_cut,
    leader_heard_by_nobody,
    two_killed,
    all_killed,
)


async def round_of(
    fault: Callable[[NatsCluster], float], hosts: Hosts, servers: NatsCluster, bus: Bus
) -> tuple[Writer, float]:
    """Write, do the fault, write on for a while; give the gap, and undo the fault."""
    writer = Writer(bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(writer.run)
        await anyio.sleep(0.5)
        begun = time.monotonic()
        since = await anyio.to_thread.run_sync(fault, servers)
        count = len(writer.acknowledged)
        with anyio.fail_after(90):
            while len(writer.acknowledged) < count + 200 or time.monotonic() < begun + 12:
                await anyio.sleep(0.05)
        writer.done = True
    await anyio.to_thread.run_sync(hosts.restore)
    await anyio.to_thread.run_sync(servers.restore)
    await anyio.to_thread.run_sync(servers.current)
    return writer, writer.gap_after(since)


async def count_stored(bus: Bus) -> collections.Counter[str]:
    while True:
        try:
            return collections.Counter([m.data[:32].strip().decode() async for m in bus.read()])
        except BusError:
            await anyio.sleep(0.2)


async def measure(table: Table, rounds: int, only: list[str]) -> None:
    folder = pathlib.Path(tempfile.mkdtemp())
    with Hosts(3, folder) as hosts, NatsCluster(hosts, folder / "bus") as servers:
        async with await connect(servers.settings, name="bench") as bus:
            await bus.set_up(Plan(bytes_max=1 << 30))
            acknowledged: set[str] = set()
            for fault in FAULTS:
                if only and fault.__name__ not in only:
                    continue
                gaps = []
                for _ in range(rounds):
                    writer, gap = await round_of(fault, hosts, servers, bus)
                    acknowledged.update(writer.acknowledged)
                    gaps.append(gap)
                stored = await count_stored(bus)
                lost = len(acknowledged - set(stored))
                twice = sum(count > 1 for count in stored.values())
                name = fault.__name__.replace("_", " ")
                table.add(f"{name}: writes blocked", gaps)
                table.add(f"{name}: lost", [lost], "")
                table.add(f"{name}: stored twice", [twice], "")


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--rounds", type=int, default=3)
        flags.add_argument("only", nargs="*")

    given = asked(__doc__, more)
    anyio.run(measure, Table("bus_of_three", given.out), given.rounds, given.only)


if __name__ == "__main__":
    main()
