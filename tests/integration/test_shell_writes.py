"""How a service writes to a bus that does not answer, and what of the bus cannot stop it."""

import threading
import time
from functools import partial
from typing import Any

import anyio
import msgspec
from segue.beats import NODE_BEATS, NodeBeat
from segue.bus import Bus
from segue.core import Core, Decision
from segue.events.deploy import RemovalRequested
from segue.log import Outcome
from segue.shell.pump import Pump
from segue.testing.nats_server import NatsServer


class Asks(Core):
    """Owes one event from the moment it is told to."""

    service = "deployer"

    def __init__(self) -> None:
        super().__init__()
        self.owes = False

    def hear(self, news: Any, now: float) -> None:
        del now
        self.owes = self.owes or news == "say it"

    def fold(self, record: Any) -> None:
        super().fold(record)
        if isinstance(record.event, RemovalRequested):
            self.owes = False

    def decide(self, now: float) -> list[Any]:
        del now
        return [Decision(RemovalRequested(app="shop"))] if self.owes else []


async def test_a_write_that_a_bus_without_a_leader_has_dropped_is_soon_said_again(
    nats: NatsServer, bus: Bus
) -> None:
    # A bus that elects its leader drops what is said: whoever waits long after that, waits in vain.
    core = Asks()
    pump = Pump(core, bus, instance="a")
    tries: list[tuple[str, float]] = []
    wrote = pump.machine.wrote

    def note(number: int, outcome: Outcome, now: float) -> None:
        tries.append((outcome.kind, time.monotonic()))
        wrote(number, outcome, now)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        with anyio.fail_after(30):
            while not pump.machine.leading:
                await anyio.sleep(0.01)
        pump.machine.wrote = note  # type: ignore[method-assign]  # To look on.
        nats.freeze()
        begun = time.monotonic()
        pump.hear("say it")
        with anyio.fail_after(30):
            while not tries:
                await anyio.sleep(0.01)
        nats.thaw()
        ((kind, at), *_) = tries
        assert kind == "unknown"
        assert at - begun < 3.0
        with anyio.fail_after(30):
            while core.owes:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    said = [one async for one in bus.read(subjects=[RemovalRequested(app="shop").subject])]
    assert len(said) == 1


class Thinks(Core):
    """A core whose copies think until they are told to come to an end."""

    service = "deployer"
    begun, end = threading.Event(), threading.Event()

    def __init__(self, *, lives: bool = False) -> None:
        super().__init__()
        self.lives = lives

    def decide(self, now: float) -> list[Any]:
        del now
        if not self.lives:
            self.begun.set()
            assert self.end.wait(60)
        return []


async def test_a_leader_leads_on_while_somebody_asks_what_would_be_if(bus: Bus) -> None:
    pump = Pump(Thinks(lives=True), bus, instance="a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        with anyio.fail_after(60):
            while not pump.machine.leading:
                await anyio.sleep(0.01)
            async with anyio.create_task_group() as asking:
                asking.start_soon(partial(bus.ask, "rpc.deployer.what_if", b'{"events":[]}'))
                while not Thinks.begun.is_set():
                    await anyio.sleep(0.01)
                Thinks.end.set()
        assert pump.machine.leading
        tasks.cancel_scope.cancel()


class Listens(Core):
    """A core that only hears."""

    service = "health_monitor"

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def hear(self, news: Any, now: float) -> None:
        del now
        self.heard.append(news)

    def decide(self, now: float) -> list[Any]:
        del now
        return []


HOSTILE = [b'{"node":"\xff"}', b'{"more":' + b"[" * 100_000, b"\x00", b"[]", b""]


async def test_whatever_bytes_are_said_as_a_beat_end_no_service(bus: Bus) -> None:
    core = Listens()
    beats = (NODE_BEATS, msgspec.json.Decoder(NodeBeat))
    pump = Pump(core, bus, instance="a", beats=beats)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump.run)
        with anyio.fail_after(60):
            while not pump.machine.leading:
                await anyio.sleep(0.01)
            for data in HOSTILE:
                await bus.say("beat.node_runner.node-a", data)
                await bus.say("beat.health_monitor.b", data)
            for name in ("node-b", "node-a"):  # Only who is named by the subject is believed.
                beat = msgspec.json.encode(NodeBeat(name, "s"))
                await bus.say("beat.node_runner.node-a", beat)
            while not core.heard:
                await anyio.sleep(0.01)
        assert core.heard == [NodeBeat("node-a", "s")]
        assert pump.machine.leading
        tasks.cancel_scope.cancel()
