"""A log that fills up on a real server: it is trimmed in time, and what decides goes on."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from segue.bus import Bus, Plan, Settings, connect
from segue.envelope import decode, encode
from segue.events.deploy import RemovalRejected, RemovalRequested
from segue.events.log import LogEased, LogFilling, LogTrimmed
from segue.log import Message
from segue.shell import snapshots
from segue.shell.pump import Pump
from segue.testing.nats_server import NatsServer
from segue.testing.shop import joined
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.gauge import Gauge

LIMIT = 1 << 20
BALLAST = b'{"compose": {"services": {}, "x-ballast": "' + b"x" * 20_000 + b'"}}'


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    async with await connect(Settings(url=nats.url), name="test") as bus:
        await bus.set_up(Plan(bytes_max=LIMIT))
        yield bus


@contextlib.asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[dict[str, Pump]]:
    """Run a deployer, and a health monitor with its gauge."""
    pumps = {
        "deployer": Pump(Deployer(), bus, instance="a", saves=True),
        "health_monitor": Pump(HealthMonitor(), bus, instance="a"),
    }
    async with anyio.create_task_group() as tasks:
        for pump in pumps.values():
            tasks.start_soon(pump.run)
        tasks.start_soon(Gauge(bus, pumps["health_monitor"]).run)
        yield pumps
        tasks.cancel_scope.cancel()


async def fill(bus: Bus, times: int, start: int = 0) -> None:
    """Say what is large and means nothing to anybody; wait where the log takes no more."""
    for number in range(start, start + times):
        message = Message(f"image.pulled.node-{number}", f"ballast-{number}", BALLAST)
        while (await bus.append([message])).kind != "stored":
            await anyio.sleep(0.05)


async def ask(bus: Bus, app: str) -> None:
    """Ask for what is not there, and wait for the answer."""
    head = await bus.head()
    message = encode(RemovalRequested(app=app), id=app, source="/test", time=1.0)
    while (await bus.append([message])).kind != "stored":
        await anyio.sleep(0.05)
    async for stretch in bus.follow(head.last, [f"{RemovalRejected.type}.{app}"]):
        if stretch.messages:
            return


async def said(bus: Bus) -> list[object]:
    return [
        decode(stored).event
        async for stored in bus.read(subjects=["log.>"])
        if stored.subject.startswith("log.")
    ]


def trimmed(pump: Pump) -> bool:
    room = pump.core.picture.state.log
    return room is not None and room.first > 1


async def share(bus: Bus) -> float:
    info = await bus.stream("EVENTS")
    assert info is not None
    return info.state.bytes / LIMIT


async def test_far_more_than_fits_goes_through_a_small_log_and_decisions_go_on(bus: Bus) -> None:
    async with running(bus) as pumps:
        with anyio.fail_after(120):
            await ask(bus, "before")
            while not all(pump.machine.term for pump in pumps.values()):
                await anyio.sleep(0.05)
            terms = {name: pump.machine.term for name, pump in pumps.items()}
            for number in range(4):
                await fill(bus, 40, start=40 * number)  # 0.8 of the log at a time.
                await ask(bus, f"app-{number}")
            while not trimmed(pumps["health_monitor"]):
                await anyio.sleep(0.05)
        assert terms == {name: pump.machine.term for name, pump in pumps.items()}
        head = await bus.head()
        assert head.first > 1
        assert head.first in await snapshots.found(bus)
        told = await said(bus)
        assert any(isinstance(event, LogTrimmed) for event in told)


async def test_it_says_that_the_log_fills_up_that_it_was_trimmed_and_that_there_is_room(
    bus: Bus,
) -> None:
    async with running(bus):
        with anyio.fail_after(60):
            await fill(bus, 37)  # 0.74 of it, and the rejections.
            told: list[object] = []
            while not any(isinstance(event, LogFilling) for event in told):
                await anyio.sleep(0.1)
                told = await said(bus)
            await fill(bus, 8, start=100)
            while not any(isinstance(event, LogEased) for event in told):
                await anyio.sleep(0.1)
                told += [event for event in await said(bus) if event not in told]
    filling, *_, trimmed, eased = told
    assert isinstance(filling, LogFilling)
    assert filling.limit_bytes == LIMIT
    assert filling.used_bytes >= 0.7 * LIMIT
    assert isinstance(trimmed, LogTrimmed)
    assert trimmed.first == (await bus.head()).first
    assert trimmed.freed_bytes > 0.1 * LIMIT
    assert isinstance(eased, LogEased)


async def test_a_log_that_is_full_when_services_start_is_trimmed_though_nobody_can_lead(
    bus: Bus,
) -> None:
    number = 0
    message = Message("image.pulled.node-a", "", BALLAST)
    while (await bus.append([msgspec.structs.replace(message, id=f"{number}")])).kind == "stored":
        number += 1
    small = Message("image.pulled.node-a", "", b"x" * 100)
    while (await bus.append([msgspec.structs.replace(small, id=f"{number}")])).kind == "stored":
        number += 1
    async with running(bus):
        with anyio.fail_after(60):
            await ask(bus, "late")
    assert await share(bus) < 0.7


async def test_who_starts_after_a_trim_knows_what_was_there_before(bus: Bus) -> None:
    node = encode(joined("node-a"), id="joined", source="/test", time=1.0)
    assert (await bus.append([node])).kind == "stored"
    async with running(bus) as pumps:
        with anyio.fail_after(90):
            await fill(bus, 60)
            while not trimmed(pumps["deployer"]):
                await anyio.sleep(0.05)
    assert await bus.at(1) is None, "nobody can read any more that it joined"
    fresh = Pump(Deployer(), bus, instance="b")
    await fresh._restore()
    assert "node-a" in fresh.core.picture.nodes


async def test_without_a_snapshot_that_can_be_used_nothing_is_taken_away(bus: Bus) -> None:
    pump = Pump(HealthMonitor(), bus, instance="a")  # It does not run: it has read nothing.
    await fill(bus, 47)
    await bus.put("snapshots", "40", b"from another version")
    gauge = Gauge(bus, pump)
    found = await gauge._measured()
    assert found.share > 0.9
    pump.machine.term = 1  # As if it led.
    await gauge._make_room(found)
    assert (await bus.head()).first == 1
