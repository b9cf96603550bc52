"""A whole Segue for tests: a real bus, every service as its own process, a real engine or several.

It starts, kills, freezes and thaws them, and looks from outside: at the log through a bus
connection of its own, at the engines through their own API.
"""

import json
import pathlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from segue.bus import Bus, BusError, Settings, connect
from segue.envelope import ERRORS, Record, decode, encode
from segue.events import Event
from segue.log import Message
from segue.picture import Picture
from segue.testing.engine import Engine
from segue.testing.nats_server import NatsServer
from segue.testing.process import STOP_WITHIN_S, Process

MODULES = {
    "deployer": "segue_deployer",
    "scheduler": "segue_scheduler",
    "health_monitor": "segue_health_monitor",
    "autoscaler": "segue_autoscaler",
    "node_runner": "segue_node_runner",
    "gateway": "segue_gateway",
}
CONTROL = ("deployer", "scheduler", "health_monitor", "autoscaler")
WITHIN_S = 60.0  # What a busy machine may take.


class Service(Process):
    """One instance of a service as a process."""

    def __init__(
        self,
        name: str,
        instance: str,
        folder: pathlib.Path,
        url: str,
        extra: list[str],
        *,
        enter: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.instance, self.extra = instance, extra
        command = [sys.executable, "-m", MODULES[name], "--instance", instance, *extra]
        super().__init__(
            name,
            [*enter, *command],
            folder / f"{name}.{instance}.log",
            {"NATS_URL": url, "SEGUE_LOG": "json", **(environment or {})},
        )


class Cluster:
    """Everything of one Segue; use `running` to get one."""

    def __init__(self, folder: pathlib.Path, server: NatsServer, bus: Bus) -> None:
        self.folder, self.server, self.bus = folder, server, bus
        self.services: dict[tuple[str, str], Service] = {}
        self.engines: dict[str, Engine] = {}
        self.fencer: Process | None = None  # One for all nodes: they are on this host.

    def start(self, name: str, instance: str = "a", *extra: str) -> Service:
        """Start an instance of a service, or start it again."""
        key = (name, instance)
        old = self.services.get(key)
        if old is not None:
            extra = extra or tuple(old.extra)
        service = Service(name, instance, self.folder, self.server.url, list(extra))
        self.services[key] = service
        return service

    def start_control(self, instance: str = "a") -> None:
        """Start deployer, scheduler, health monitor and autoscaler."""
        for name in CONTROL:
            self.start(name, instance)

    def start_node(self, name: str, engine: Engine) -> Service:
        """Start a node runner for an engine, and a fencer unless there is one."""
        self.engines[name] = engine
        if self.fencer is None:
            command = [sys.executable, "-m", "segue_fencer", "--folder", str(self.fence)]
            self.fencer = Process("fencer", command, self.folder / "fencer.log")
        folders = ["--state", str(self.folder / "state"), "--runtime", str(self.folder / "run")]
        folders += ["--fence", str(self.fence)]
        return self.start("node_runner", name, "--node", name, "--docker", engine.url, *folders)

    def start_gateway(self, name: str, *extra: str) -> Service:
        """Start a gateway that only publishes ports: names and walls are for hosts of one's own."""
        folders = ["--state", str(self.folder / "gateway"), "--runtime", str(self.folder / "proxy")]
        key = ("gateway", name)
        enter = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
        words = ["--node", name, *folders, *extra]
        self.services[key] = service = Service(
            "gateway", name, self.folder, self.server.url, words, enter=enter
        )
        return service

    @property
    def fence(self) -> pathlib.Path:
        """The fencer's folder."""
        return self.folder / "fence"

    def __getitem__(self, key: tuple[str, str]) -> Service:
        """Find an instance of a service."""
        return self.services[key]

    # The log.

    async def say(self, event: Event, actor: str = "test") -> str:
        """Publish a request like anyone else; give its id."""
        event_id = str(uuid.uuid4())
        message = encode(event, id=event_id, source="/test", time=time.time(), actor=actor)
        await self.insist(message)
        return event_id

    async def insist(self, message: Message, within_s: float = WITHIN_S) -> int:
        """Store a message as any program must while the bus elects: again, with the same id."""
        with anyio.fail_after(within_s):
            while (outcome := await self.bus.append([message], timeout_s=2)).kind == "unknown":
                await anyio.sleep(0.05)
        assert outcome.kind == "stored", outcome
        return outcome.sequence

    async def records(self, after: int = 0) -> list[Record]:
        """Read the log as it is now, as soon as the bus gives it."""
        with anyio.fail_after(WITHIN_S):
            while True:
                try:
                    return [record async for record in self._read(after)]
                except BusError:
                    await anyio.sleep(0.2)

    async def _read(self, after: int) -> AsyncIterator[Record]:
        async for stored in self.bus.read(after + 1):
            try:
                yield decode(stored)
            except ERRORS:
                continue  # Its rejection is in the log.

    async def wait_for(
        self, fits: Callable[[Record], bool], *, after: int = 0, within_s: float = WITHIN_S
    ) -> Record:
        """Give the first event after a sequence that fits, or fail and show what came instead."""
        seen: list[Record] = []
        with anyio.move_on_after(within_s):
            async for stretch in self.bus.follow(after):
                for stored in stretch.messages:
                    try:
                        record = decode(stored)
                    except ERRORS:
                        continue
                    seen.append(record)
                    if fits(record):
                        return record
        last = "\n".join(f"  {r.sequence} {r.event.subject} {r.event}" for r in seen[-15:])
        logs = "\n".join(f"--- {k}\n{s.tail(8)}" for k, s in self.services.items())
        raise AssertionError(f"it did not come within {within_s:g} s; the last:\n{last}\n{logs}")

    async def wait_event(self, kind: type[Event], *, after: int = 0, **fields: Any) -> Record:
        """Wait for an event of a type whose fields have these values."""
        within_s = float(fields.pop("within_s", WITHIN_S))
        return await self.wait_for(
            lambda record: (
                isinstance(record.event, kind)
                and all(getattr(record.event, name) == value for name, value in fields.items())
            ),
            after=after,
            within_s=within_s,
        )

    async def head(self) -> int:
        """Give the log's last sequence, as soon as the bus gives it."""
        with anyio.fail_after(WITHIN_S):
            while True:
                try:
                    return (await self.bus.head()).last
                except BusError:
                    await anyio.sleep(0.2)

    async def picture(self) -> Picture:
        """Fold the whole log."""
        picture = Picture()
        for record in await self.records():
            picture.fold(record)
        return picture

    # The engines, from outside.

    def running(self, app: str = "shop") -> dict[str, list[str]]:
        """Give, by slot (`web.3`), the short ids of the containers that run, on all engines."""
        found: dict[str, list[str]] = {}
        for engine in self.engines.values():
            for container in engine.containers():
                labels = container["Labels"] or {}
                if labels.get("segue.app") == app and container["State"] == "running":
                    slot = f"{labels['segue.service']}.{labels['segue.slot']}"
                    found.setdefault(slot, []).append(container["Id"][:12])
        return found

    def stop_services(self) -> None:
        """Ask every process to stop, all at once."""
        for service in self.services.values():
            service.send(signal.SIGCONT)
            service.send(signal.SIGTERM)
        if self.fencer is not None:
            self.fencer.stop()
        for service in self.services.values():
            try:
                service.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                service.kill()

    async def close(self) -> None:
        """Stop every process; remove every container of this cluster."""
        head_cluster = ""
        with anyio.move_on_after(10), suppress(BusError):
            head_cluster = (await self.bus.head()).cluster
        self.stop_services()
        await self.bus.close()
        if head_cluster:
            for engine in self.engines.values():
                engine.clear(head_cluster)


@asynccontextmanager
async def running(folder: pathlib.Path) -> AsyncIterator[Cluster]:
    """Run a bus, connected to; start services on it, and all of it ends with the block."""
    with NatsServer(folder / "nats", sync_always=True) as server:
        bus = await connect(Settings(url=server.url), name="test")
        await bus.set_up()
        cluster = Cluster(folder, server, bus)
        try:
            yield cluster
        finally:
            with anyio.CancelScope(shield=True):
                await cluster.close()


def bare(compose: dict[str, Any]) -> bytes:
    """Write a Compose document as a program does that knows nothing of Segue."""
    return json.dumps(compose).encode()
