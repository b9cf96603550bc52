"""What each follower of a part of the log costs the bus server: `just bench followers`.

So many node runners follow what concerns them, by their own filters, and are still connected while events
that concern each in turn are stored. Processor time of the server for each event; beside it the same
number of followers with a single filter each, and of plain subscriptions without a consumer.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing

import anyio

from segue.bus import Bus, Settings, connect
from segue.envelope import encode
from segue.events.container import ContainerAssigned
from segue.log import Message
from segue.testing.bench import Table, asked, cpu_s
from segue.testing.nats_server import NatsServer
from segue_node_runner.core import follows

AT_ONCE = 500


def message(number: int, nodes: int) -> Message:
    event = ContainerAssigned(
        app="shop",
        service="web",
        slot=1 + number,
        attempt=1,
        node=f"node-{number % nodes}",
        revision=1,
        digest="d",
    )
    return encode(event, id=f"b-{number}", source="/segue/bench/1", time=1_782_000_000.0)


async def follow(bus: Bus, filters: Sequence[str], wanted: int, heard: list[int]) -> None:
    async with aclosing(bus.follow(0, filters)) as stretches:
        async for stretch in stretches:
            heard[0] += len(stretch.messages)
            wanted -= len(stretch.messages)
            if wanted <= 0:
                return


async def listen(bus: Bus, node: str, wanted: int, heard: list[int]) -> None:
    async for _ in bus.listen(f"container.*.*.*.*.{node}", room=100_000):
        heard[0] += 1
        wanted -= 1
        if wanted <= 0:
            return


async def cost(folder: pathlib.Path, nodes: int, events: int, way: str) -> float:
    """Give the server's processor time for each event, in microseconds."""
    with NatsServer(folder) as server:
        async with AsyncExitStack() as stack:
            settings = Settings(url=server.url)
            bus = await stack.enter_async_context(await connect(settings, name="bench"))
            await bus.set_up()
            heard = [0]
            async with anyio.create_task_group() as tasks:
                for number in range(nodes):
                    node, share = f"node-{number}", events // nodes
                    if way == "plain":
                        tasks.start_soon(listen, bus, node, share, heard)
                        continue
                    own = follows(node) if way == "own" else [f"container.*.*.*.*.{node}"]
                    tasks.start_soon(follow, bus, own, share, heard)
                await anyio.sleep(2 if nodes > 4 else 0.5)
                before = cpu_s(server.pid)
                for first in range(0, events, AT_ONCE):
                    batch = [message(n, nodes) for n in range(first, min(first + AT_ONCE, events))]
                    outcome = await bus.append(batch, timeout_s=60)
                    assert outcome.kind == "stored", outcome
                with anyio.fail_after(300):
                    while heard[0] < events:
                        await anyio.sleep(0.01)
                used_s = cpu_s(server.pid) - before
    return used_s / events * 1e6


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--nodes", type=int, nargs="*", default=[16, 64, 256])
        flags.add_argument("--events", type=int, default=5_120)

    given = asked(__doc__, more)
    if given.smoke:
        given.nodes, given.events = [2], 100
    table = Table("followers", given.out)
    for nodes in given.nodes:
        found = {}
        for way in ("plain", "one", "own"):
            with tempfile.TemporaryDirectory() as folder:
                found[way] = [anyio.run(cost, pathlib.Path(folder), nodes, given.events, way)]
        table.add(f"an event, {nodes} plain subscriptions", found["plain"], "us")
        for way, words in (("one", "followers of one filter"), ("own", "node runners")):
            limit = found["plain"]
            table.add(f"an event, {nodes} {words}", found[way], "us", beside="plain", limit=limit)


if __name__ == "__main__":
    main()
