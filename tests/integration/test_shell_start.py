"""How a service starts: from which snapshot, and with a bus that goes away meanwhile."""

import argparse
import pathlib
import shutil
from collections.abc import AsyncGenerator, MutableMapping, Sequence
from typing import Any

import anyio
import pytest
import structlog
from segue import asks
from segue.bus import (
    Bus,
    LogReplacedError,
    NobodyAnswersError,
    Settings,
    connect,
    jetstream,
    stream,
)
from segue.bus.jetstream import call
from segue.envelope import encode
from segue.events.deploy import RemovalRequested
from segue.log import Stretch
from segue.shell import command
from segue.shell.errors import LogReplacedError as LogLostError
from segue.shell.pump import Pump
from segue.testing.nats_server import NatsServer
from segue_deployer.core import Deployer
from segue_node_runner import __main__ as node_runner
from segue_node_runner.policy import Policy


@pytest.fixture(autouse=True)
def every_line() -> None:
    """Have every log line made, whatever another test of this process has told structlog."""
    structlog.reset_defaults()


async def ask(bus: Bus, *apps: str) -> None:
    for app in apps:
        event = RemovalRequested(app=app)
        message = encode(event, id=app, source="/test", time=1.0)
        assert (await bus.append([message])).kind == "stored"


async def followed(bus: Bus, at: int) -> Pump:
    """Follow the log until everything up to `at` is folded."""
    pump = Pump(Deployer(), bus, instance="a", leads=False)
    pump.machine.leads = True  # It restores as a leader does; nothing here asks it to decide.
    await pump._restore()
    pump.machine.leads = False
    async for stored in bus.read(pump.machine.read_to + 1, at):
        pump.machine.read([stored], 1.0)
    return pump


async def save(bus: Bus, at: int) -> None:
    """Keep a snapshot as a leader would that has read so far."""
    pump = await followed(bus, at)
    await bus.put("snapshots", str(at), pump.core.picture.snapshot(pump.machine.mark))


async def exhaust(following: AsyncGenerator[Stretch, None]) -> None:
    async for _ in following:
        pass


def apps(pump: Pump) -> list[str]:
    return [request.data["app"] for request in pump.core.picture.state.requests.values()]


class OlderCopy:
    """The log's files as they were; the snapshots' stay as they are."""

    def __init__(self, nats: NatsServer, bus: Bus, folder: pathlib.Path) -> None:
        self.nats, self.bus, self.folder = nats, bus, folder
        (self.log,) = (nats.directory / "store").rglob("streams/EVENTS")

    async def take(self) -> None:
        self.nats.stop()
        shutil.copytree(self.log, self.folder)
        await self._start()

    async def put_back(self) -> None:
        self.nats.stop()
        shutil.rmtree(self.log)
        shutil.copytree(self.folder, self.log)
        await self._start()

    async def _start(self) -> None:
        await self.bus.until(connected=False)
        self.nats.start()
        await self.bus.until(connected=True)


@pytest.fixture
def copy(bus: Bus, nats: NatsServer, tmp_path: pathlib.Path) -> OlderCopy:
    return OlderCopy(nats, bus, tmp_path / "copy")


async def test_a_snapshot_of_this_history_is_believed(bus: Bus) -> None:
    await ask(bus, "a", "b", "c")
    await save(bus, 2)
    pump = await followed(bus, 2)
    assert pump.machine.read_to == 2
    assert apps(pump) == ["a", "b"]


async def test_a_snapshot_of_an_abandoned_history_is_not_believed(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a")
    await copy.take()
    await save(bus, 1)
    await ask(bus, "b", "c")
    await save(bus, 2)
    await save(bus, 3)
    await copy.put_back()
    await ask(bus, "x", "y", "z")
    with structlog.testing.capture_logs() as logs:
        pump = await followed(bus, 4)
    assert apps(pump) == ["a", "x", "y", "z"]
    (said,) = [entry for entry in logs if "another history" in entry["event"]]
    assert (said["sequences"], said["starts_from"]) == ([2, 3], 1)


async def test_a_snapshot_whose_last_message_was_purged_is_believed_unless_a_newer_one_lied(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a", "b")
    await save(bus, 2)
    await copy.take()
    await ask(bus, "c")
    await call(bus._connection, "STREAM.PURGE.EVENTS", {"seq": 3}, dict)
    assert apps(await followed(bus, 3)) == ["a", "b", "c"]
    await save(bus, 3)
    await copy.put_back()
    await ask(bus, "x")
    await call(bus._connection, "STREAM.PURGE.EVENTS", {"seq": 3}, dict)
    with pytest.raises(LogLostError, match="begins at 3 and no snapshot"):
        await followed(bus, 3)


async def test_a_follower_is_told_of_a_log_that_grew_again_from_an_older_copy(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a")
    await copy.take()
    await ask(bus, "b")
    following = bus.follow(0)
    while (await anext(following)).upto < 2:
        pass
    await copy.put_back()
    await ask(bus, "x", "y")
    with pytest.raises(LogReplacedError, match="holds another message at 2"):
        await exhaust(following)


async def test_who_starts_from_a_snapshot_is_told_when_another_log_lies_behind_it(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a")
    await copy.take()
    await ask(bus, "b")
    pump = await followed(bus, 2)
    following = bus.follow(2, mark=pump.machine.mark)
    assert (await anext(following)).upto == 2
    await copy.put_back()
    await ask(bus, "x", "y")
    with pytest.raises(LogReplacedError, match="holds another message at 2"):
        await exhaust(following)


async def test_a_follower_of_a_part_is_told_when_the_older_copy_grew_beside_what_it_had_read(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a", "b")
    await copy.take()
    await ask(bus, "c", "d")
    following = bus.follow(0, ["*.*.b", "*.*.x"])
    while (await anext(following)).upto < 4:
        pass
    await copy.put_back()
    await ask(bus, "x", "y", "z")
    with pytest.raises(LogReplacedError, match="a message at 3 that was not there"):
        await exhaust(following)


async def test_a_follower_of_a_part_goes_on_where_nothing_new_lies_in_what_it_had_read(
    bus: Bus, copy: OlderCopy
) -> None:
    await ask(bus, "a", "b")
    await copy.take()
    await ask(bus, "c", "d")
    following = bus.follow(0, ["*.*.b", "*.*.x"])
    while (await anext(following)).upto < 4:
        pass
    await copy.put_back()
    await ask(bus, "y", "z", "x")
    got: list[int] = []
    while not got:
        got = [one.sequence for one in (await anext(following)).messages]
    assert got == [5]


async def test_a_service_waits_for_a_bus_that_goes_away_before_its_log_is_made(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(logs: Sequence[MutableMapping[str, Any]]) -> int:
        return len([entry for entry in logs if entry["event"] == "waits for the bus"])

    async def connecting(settings: Settings, *, name: str) -> Bus:
        bus = await connect(settings, name=name)
        nats.kill()
        return bus

    async def serve(bus: Bus, _: argparse.Namespace) -> None:
        assert (await bus.head()).last == 0
        served.set()

    served = anyio.Event()
    monkeypatch.setattr(command, "connect", connecting)
    monkeypatch.setitem(stream.set_up.__kwdefaults__ or {}, "timeout_s", 0.3)
    flags = command.parser("test", "").parse_args(["--nats", nats.url])
    with structlog.testing.capture_logs() as logs, anyio.fail_after(90):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(command._run, "test", flags, serve)
            while not waits(logs):
                await anyio.sleep(0.05)
            nats.start()
            await served.wait()
            tasks.cancel_scope.cancel()
    assert waits(logs) == 1


async def test_a_node_runner_waits_for_a_bus_that_goes_away_before_it_has_asked_for_the_log(
    bus: Bus, nats: NatsServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(jetstream.call.__kwdefaults__ or {}, "timeout_s", 0.3)
    nats.kill()
    flags = node_runner._flags()
    folders = ["--state", str(tmp_path / "state"), "--runtime", str(tmp_path / "run")]
    named = ["--node", "a", "--docker", f"unix://{tmp_path}/no.sock", *folders]
    flags.set_defaults(policy=Policy(everything=True))
    with anyio.fail_after(90):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(node_runner.serve, bus, flags.parse_args(named))
            await anyio.sleep(2)
            nats.start()
            async with await connect(Settings(url=nats.url), name="other") as other:
                await answers(other)
            tasks.cancel_scope.cancel()


async def answers(bus: Bus) -> None:
    while True:
        try:
            await bus.ask(asks.subject("a", "ping"))
        except NobodyAnswersError:
            await anyio.sleep(0.1)
        else:
            return
