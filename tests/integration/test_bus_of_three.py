"""What a writer meets on three real servers, each on a host of its own, while they elect."""

import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus
from segue.bus import Bus, Settings, connect
from segue.bus.follow import SILENCE_S
from segue.bus.stream import Plan
from segue.log import Message
from segue.shell.pump import Pump
from segue.testing.hosts import Hosts
from segue.testing.nats_cluster import NatsCluster
from segue_deployer.core import Deployer

pytestmark = [pytest.mark.engine, pytest.mark.hosts]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsCluster]:
    with Hosts(3, tmp_path / "hosts") as hosts, NatsCluster(hosts, tmp_path / "bus") as servers:
        yield servers


async def insist(bus: Bus, messages: list[Message]) -> int:
    while (outcome := await bus.append(messages)).kind == "unknown":
        await anyio.sleep(0.05)
    assert outcome.kind == "stored"
    return outcome.sequence


async def test_no_try_to_write_takes_longer_than_it_may_while_a_leader_is_elected(
    servers: NatsCluster,
) -> None:
    async with await connect(servers.settings, name="test") as bus:
        await bus.set_up(Plan(bytes_max=10**8))
        servers.leader().kill()
        took = []
        kind = ""
        while kind != "stored":
            begun = time.monotonic()
            kind = (await bus.append([Message("load.x", "1", b"")], timeout_s=0.5)).kind
            took.append(time.monotonic() - begun)
        assert len(took) > 1, "there was an election"
        assert max(took) < 4.5
        assert [message.sequence async for message in bus.read()] == [1]


def test_a_client_connects_to_the_server_on_its_own_host_as_long_as_that_lives(
    servers: NatsCluster,
) -> None:
    async def where() -> str:
        async with await connect(servers.settings, name="test") as bus:
            url = bus._connection.connected_url
            return str(url.hostname if url else "")

    for server in servers.servers:
        host = server.host
        for _ in range(3):
            assert host.network.inside(host.number, lambda: anyio.run(where)) == host.address
    host = servers.servers[0].host
    servers.servers[0].kill()
    assert host.network.inside(host.number, lambda: anyio.run(where)) != host.address


async def test_followers_do_not_notice_that_another_host_is_cut_off(servers: NatsCluster) -> None:
    delays: list[float] = []
    stored_at: dict[int, float] = {}

    async def follow(bus: Bus, *, task_status: TaskStatus[None]) -> None:
        async with aclosing(bus.follow(0)) as stretches:
            async for stretch in stretches:
                if not stretch.messages:
                    task_status.started()
                for message in stretch.messages:
                    now = time.monotonic()
                    delays.append(now - stored_at.get(message.sequence, now))
                if stretch.upto == 40:
                    return

    async def write() -> None:
        async with (
            await connect(servers.settings, name="test") as bus,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(6):
                await tasks.start(follow, bus)
            servers[3].host.cut()
            for number in range(40):
                sequence = await insist(bus, [Message("load.x", str(number), b"")])
                stored_at[sequence] = time.monotonic()
                await anyio.sleep(0.1)

    async with await connect(servers.settings, name="test") as bus:
        await bus.set_up(Plan(bytes_max=10**8))
    await servers.lead(1)
    host = servers[2].host
    inside = host.network.inside
    await anyio.to_thread.run_sync(inside, host.number, lambda: anyio.run(write))
    assert len(delays) == 6 * 40
    assert max(delays) < SILENCE_S, "nobody had to find out that he hears nothing any more"


async def test_a_follower_is_not_told_that_it_has_all_by_a_server_that_lags(
    servers: NatsCluster,
) -> None:
    async def read_all() -> list[int]:
        async with await connect(servers.settings, name="late") as bus:
            return [message.sequence async for message in bus.read(subjects=["load.rare"])]

    async with await connect(servers.settings, name="test") as bus:
        await bus.set_up(Plan(bytes_max=10**9))
        await servers.lead(1)
        servers[3].kill()
        many = [Message("load.x", str(number), bytes(9_000)) for number in range(8_000)]
        for start in range(0, len(many), 500):
            await insist(bus, many[start : start + 500])
        rare = await insist(bus, [Message("load.rare", "rare", b"")])
        await anyio.to_thread.run_sync(servers.restore)
        inside = servers[3].host.network.inside
        for _ in range(5):
            found = await anyio.to_thread.run_sync(inside, 3, lambda: anyio.run(read_all))
            assert found == [rare]


async def test_what_a_server_that_was_cut_off_still_answers_is_no_lost_log(
    servers: NatsCluster,
) -> None:
    """It led, and believes so until it hears of the others again."""
    network = servers[1].host.network
    async with await connect(servers.settings, name="test") as bus:
        await bus.set_up(Plan(bytes_max=10**8))
        await insist(bus, [Message("load.x", "1", b"")])
    await servers.lead(1)
    for other in (2, 3):
        network.part(1, other)
    async with await connect(Settings(url=servers[2].url), name="others") as bus:
        read_to = await insist(bus, [Message("load.x", "2", b"")])
    seen: list[int] = []

    async def follow(bus: Bus) -> None:
        async with aclosing(bus.follow(read_to)) as stretches:
            async for stretch in stretches:
                seen.extend(message.sequence for message in stretch.messages)
                if seen:
                    return

    async with await connect(Settings(url=servers[1].url), name="behind") as bus:
        assert (await bus.head()).last < read_to
        pump = Pump(Deployer(), bus, instance="a", leads=False)
        pump.machine.read_to = read_to
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pump._ask_head)
                tasks.start_soon(follow, bus)
                await anyio.sleep(5.0)
                network.mend(1)
                await insist(bus, [Message("load.x", "3", b"")])
    assert (pump.machine.target or 0) >= read_to
    assert seen == [read_to + 1]
