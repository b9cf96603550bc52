"""How long a service takes to be caught up, beside reading the log by itself: `just bench replay_start`.

The log of an app whose containers die and are replaced; a snapshot stands before the tail. Measured
is the scheduler's shell and core from its connection to its first decision on the whole log. Beside
it: the same messages through a plain push consumer of nats-py, which does nothing with them, and
through our own follower.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import anyio
import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from segue.bus import Bus, Settings, connect
from segue.envelope import Record, decode, encode
from segue.events import Event
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerRequested,
    ContainerStarted,
)
from segue.log import Message
from segue.picture import Picture
from segue.shell import snapshots
from segue.shell.pump import Pump
from segue.spec import ServiceSpec, digest
from segue.testing.bench import Table, asked
from segue.testing.nats_server import NatsServer
from segue.testing.shop import accepted, joined
from segue_scheduler.core import Scheduler

AT_ONCE = 1_000


def history(nodes: int, slots: int) -> Iterator[Event]:
    """What the log of a busy app is made of, for ever."""
    for number in range(nodes):
        yield joined(f"node-{number}", cpu_millicores=10**6)
    spec = accepted(web=ServiceSpec(image="w", replicas=slots))
    yield spec
    of = {"app": "shop", "service": "web"}
    made: dict[str, Any] = {"revision": 1, "digest": digest(spec.spec, "web")}
    attempt = 0
    while True:
        attempt += 1
        for slot in range(1, slots + 1):
            node = f"node-{(slot + attempt) % nodes}"
            scope: dict[str, Any] = {**of, "slot": slot, "attempt": attempt}
            yield ContainerRequested(**scope, **made)
            yield ContainerAssigned(**scope, **made, node=node, score=90.0)
            yield ContainerStarted(**scope, node=node, engine_id="0" * 12)
            yield ContainerFailed(**scope, node=node, reason="exited", exit_code=1)


async def write(bus: Bus, events: Iterator[Event], count: int, first: int) -> None:
    for begin in range(0, count, AT_ONCE):
        messages: list[Message] = []
        for number in range(begin, min(begin + AT_ONCE, count)):
            name = f"bench-{first + number}"
            event = next(events)
            messages.append(encode(event, id=name, source="/segue/bench/1", time=1_782_000_000.0))
        outcome = await bus.append(messages, timeout_s=60)
        assert outcome.kind == "stored", outcome


async def by_client(url: str, after: int, count: int) -> float:
    """Read so many messages by nats-py's own ordered consumer."""
    client, left, done = await nats.connect(url), count, anyio.Event()

    async def take(_: Msg) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    begun = time.perf_counter()
    start = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1)
    await client.jetstream().subscribe(
        ">", stream="EVENTS", ordered_consumer=True, config=start, cb=take, pending_msgs_limit=10**7
    )
    with anyio.fail_after(300):
        await done.wait()
    took = time.perf_counter() - begun
    await client.close()
    return took


async def by_follower(settings: Settings, after: int) -> float:
    async with await connect(settings, name="bench") as bus:
        begun = time.perf_counter()
        async for _ in bus.read(after + 1):
            pass
        return time.perf_counter() - begun


async def by_service(settings: Settings) -> float:
    """Start the scheduler until it has read all there was."""
    async with await connect(settings, name="bench") as bus:
        begun = time.perf_counter()
        pump = Pump(Scheduler(), bus, instance="bench", leads=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            while not pump.machine.caught_up:
                await anyio.sleep(0.001)
            took = time.perf_counter() - begun
            tasks.cancel_scope.cancel()
    return took


async def measure(table: Table, folder: pathlib.Path, before: int, tail: int, rounds: int) -> float:
    with NatsServer(folder) as server:
        settings = Settings(url=server.url)
        async with await connect(settings, name="bench") as bus:
            await bus.set_up()
            events = history(20, 500)
            await write(bus, events, before, 0)
            picture, last = Picture(), None
            async for stored in bus.read():
                last = stored
                record: Record = decode(stored)
                picture.fold(record)
            assert last is not None
            picture.state.cluster = (await bus.head()).cluster
            await snapshots.keep(bus, last.sequence, picture.snapshot(last.mark))
            await write(bus, events, tail, before)
        ours, client, follower = [], [], []
        for _ in range(rounds):
            client.append(await by_client(server.url, last.sequence, tail))
            follower.append(await by_follower(settings, last.sequence))
            ours.append(await by_service(settings))
        of = f"snapshot and {tail:,} events"
        row = table.add(f"a service, {of}", ours, beside="nats-py", limit=client, goal="≤ 1.5")
        table.add(f"our follower alone, {of}", follower, beside="nats-py", limit=client)
        return row.median


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--events", type=int, default=100_000)
        flags.add_argument("--rounds", type=int, default=5)

    given = asked(__doc__, more)
    events, rounds = (2_000, 1) if given.smoke else (given.events, given.rounds)
    table = Table("replay_start", given.out)
    for part in (16, 4, 1):
        with tempfile.TemporaryDirectory() as folder:
            anyio.run(measure, table, pathlib.Path(folder), 2_000, events // part, rounds)


if __name__ == "__main__":
    main()
