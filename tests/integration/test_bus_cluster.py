"""The log on three servers: fences and ids hold while leaders of the bus itself come and go."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import anyio
import pytest
from anyio.pytest_plugin import FreePortFactory
from segue.bus import Bus, Plan, Settings, connect
from segue.log import Fence, Message, Outcome, Stored
from segue.testing.nats_server import NatsServer

ELECTED = "leader.elected.scheduler"


@pytest.fixture
async def trio(
    tmp_path: Path, free_tcp_port_factory: FreePortFactory
) -> AsyncIterator[tuple[list[NatsServer], Bus]]:
    """Three servers with one replicated log, and a connection to any of them."""
    ports = [free_tcp_port_factory() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                NatsServer(
                    tmp_path / f"n{number}",
                    extra=f"server_name: n{number}\ncluster {{ name: trio, no_advertise: true\n"
                    f'listen: "127.0.0.1:{port}", routes: [{routes}] }}',
                )
            )
            for number, port in enumerate(ports)
        ]
        url = ",".join(server.url for server in servers)
        async with await connect(Settings(url=url), name="test") as bus:
            await bus.set_up(Plan(replicas=3, bytes_max=10**8))
            yield servers, bus


async def insist(bus: Bus, messages: list[Message], fence: Fence | None) -> Outcome:
    while (outcome := await bus.append(messages, fence, timeout_s=2)).kind == "unknown":
        await asyncio.sleep(random.uniform(0.01, 0.1))
    return outcome


async def stand(bus: Bus, name: str) -> int | None:
    """Stand for election once, against the newest leader; gives the term if it is won."""
    newest = await bus.last(ELECTED)
    fence = Fence(ELECTED, newest.sequence if newest else 0)
    outcome = await insist(bus, [Message(ELECTED, name, b"")], fence)
    return outcome.sequence if outcome.kind == "stored" else None


async def test_elections_and_decisions_hold_while_the_leading_server_dies(
    trio: tuple[list[NatsServer], Bus],
) -> None:
    servers, bus = trio
    done = anyio.Event()
    acknowledged: dict[str, int] = {}
    terms: dict[str, int] = {}

    async def lead(name: str) -> None:
        count = 0
        while not done.is_set():
            term = await stand(bus, f"election-{name}-{count}")
            terms.update({f"{name}-{count}": term} if term else {})
            while term and not done.is_set():
                ids = [f"{term}-{count}-{index}" for index in range(1 + count % 3)]
                batch = [Message("load.high", one, one.encode()) for one in ids]
                count += 1
                outcome = await insist(bus, batch, Fence(ELECTED, term))
                if outcome.kind != "stored":
                    break
                acknowledged.update(dict.fromkeys(ids, outcome.sequence))
                if count % 40 == 0:
                    break
            count += 1

    seen: list[Stored] = []

    async def follow() -> None:
        async with aclosing(bus.follow(0)) as stretches:
            async for stretch in stretches:
                seen.extend(stretch.messages)
                if done.is_set() and stretch.upto >= (await bus.head()).last:
                    return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        for name in ("a", "b", "c"):
            tasks.start_soon(lead, name)
        await asyncio.sleep(1)
        info = await bus._connection.query("$JS.API.STREAM.INFO.EVENTS", timeout_s=5)
        leading = info.data.partition(b'"leader":"n')[2][:1].decode()
        servers[int(leading)].restart(kill=True)
        before = len(acknowledged)
        with anyio.fail_after(30):
            while len(acknowledged) < before + 200:
                await asyncio.sleep(0.05)
        done.set()
    stored = [message async for message in bus.read()]
    assert seen == stored, "the follower has missed or repeated something"
    written = [m.data.decode() for m in stored if m.subject == "load.high"]
    assert len(written) == len(set(written)), "stored twice"
    assert set(acknowledged) <= set(written), "lost"
    term = 0
    for message in stored:
        if message.subject == ELECTED:
            term = message.sequence
        else:
            assert int(message.data.split(b"-")[0]) == term, "stored past its term"
    assert len(set(terms.values())) == len(terms), "two won one term"
