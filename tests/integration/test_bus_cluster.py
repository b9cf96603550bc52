"""The log on three servers: fences and ids hold while leaders of the bus itself come and go."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from segue.bus import Bus, BusError, Plan, Settings, connect
from segue.log import Fence, Message, Outcome, Stored
from segue.testing.nats_server import NatsServer
from segue.testing.ports import free_port

pytestmark = pytest.mark.hosts

T = TypeVar("T")
ELECTED = "leader.elected.scheduler"


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[tuple[list[NatsServer], Bus]]:
    """Three servers with one replicated log, and a connection to any of them."""
    ports = [free_port() for _ in range(3)]
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
            await bus.set_up(Plan(bytes_max=10**8))
            yield servers, bus


async def insist(bus: Bus, messages: list[Message], fence: Fence | None) -> Outcome:
    while (outcome := await bus.append(messages, fence, timeout_s=2)).kind == "unknown":
        await asyncio.sleep(random.uniform(0.01, 0.1))
    return outcome


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again whenever the server that was asked has died."""
    while True:
        try:
            return await ask()
        except BusError:
            await asyncio.sleep(0.05)


async def stand(bus: Bus, name: str) -> int | None:
    """Stand for election once, against the newest leader; gives the term if it is won."""
    newest = await patiently(lambda: bus.last(ELECTED))
    fence = Fence(ELECTED, newest.sequence if newest else 0)
    outcome = await insist(bus, [Message(ELECTED, name, b"")], fence)
    return outcome.sequence if outcome.kind == "stored" else None


class Cell:
    """Leaders and a follower at work on one log, and what they were told."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.done = anyio.Event()
        self.acknowledged: set[str] = set()
        self.terms: list[int] = []
        self.seen: list[Stored] = []

    async def lead(self, name: str) -> None:
        """Stand for election, decide until deposed or tired of it, and stand again."""
        count = 0
        while not self.done.is_set():
            term = await stand(self.bus, f"election-{name}-{count}")
            self.terms += [term] if term else []
            for _ in range(40 if term else 0):
                if self.done.is_set():
                    break
                ids = [f"{term}-{count}-{index}" for index in range(1 + count % 3)]
                batch = [Message("load.high", one, one.encode()) for one in ids]
                count += 1
                if (await insist(self.bus, batch, Fence(ELECTED, term or 0))).kind != "stored":
                    break
                self.acknowledged |= set(ids)
            count += 1

    async def follow(self) -> None:
        async with aclosing(self.bus.follow(0)) as stretches:
            async for stretch in stretches:
                self.seen.extend(stretch.messages)
                if self.done.is_set():
                    head = await patiently(self.bus.head)
                    if stretch.upto >= head.last:
                        return

    async def check(self) -> None:
        """Compare what is stored with what was promised."""
        stored = [message async for message in self.bus.read()]
        assert self.seen == stored, "the follower has missed or repeated something"
        written = [m.data.decode() for m in stored if m.subject == "load.high"]
        assert len(written) == len(set(written)), "stored twice"
        assert self.acknowledged <= set(written), "lost"
        assert len(set(self.terms)) == len(self.terms), "two won one term"
        term = 0
        for message in stored:
            if message.subject == ELECTED:
                term = message.sequence
            else:
                assert int(message.data.split(b"-")[0]) == term, "stored past its term"


async def test_elections_and_decisions_hold_while_the_leading_server_dies(
    trio: tuple[list[NatsServer], Bus],
) -> None:
    servers, bus = trio
    cell = Cell(bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cell.follow)
        for name in ("a", "b", "c"):
            tasks.start_soon(cell.lead, name)
        await asyncio.sleep(1)
        info = await bus._connection.query("$JS.API.STREAM.INFO.EVENTS", timeout_s=60)
        assert b'"num_replicas":3' in info.data, "as many copies as there are servers"
        leading = info.data.partition(b'"leader":"n')[2][:1].decode()
        servers[int(leading)].restart(kill=True)
        before = len(cell.acknowledged)
        with anyio.fail_after(60):
            while len(cell.acknowledged) < before + 200:
                await asyncio.sleep(0.05)
        cell.done.set()
    await cell.check()
