"""A node without an engine, for tests of whatever follows a deploy on a real bus.

It joins, beats, and says at once what a runner would say of a container that it is assigned or is
to stop. What it is told of a service by name it says instead. It adopts nothing and keeps nothing.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any

import anyio
import msgspec

from segue.beats import NODE_BEAT_EVERY_S, NodeBeat
from segue.bus import Bus
from segue.envelope import ERRORS, Record, decode, encode
from segue.events import Event
from segue.events.container import (
    Address,
    ContainerAssigned,
    ContainerEvent,
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.node import NodeJoined
from segue.picture import Picture


class PuppetNode:
    """`fails`: services whose containers exit with 1; `stuck`: services that never start.

    `places`: by slot, where a gateway finds what is in it; the test has somebody listen there.
    """

    def __init__(
        self,
        bus: Bus,
        name: str,
        *,
        cpu_millicores: int = 4_000,
        memory_bytes: int = 8 << 30,
        fails: Sequence[str] = (),
        stuck: Sequence[str] = (),
        places: Mapping[int, str] | None = None,
    ) -> None:
        self.bus, self.name, self.places = bus, name, places or {}
        self.fails, self.stuck = set(fails), set(stuck)
        self.session = uuid.uuid4().hex
        self.facts = NodeJoined(
            node=name,
            session=self.session,
            cpu_millicores=cpu_millicores,
            memory_bytes=memory_bytes,
            hostname=name,
            engine="none",
            fenced=True,  # What it runs is nothing, so nothing runs twice.
        )
        self._picture = Picture()

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Be there until cancelled."""
        joined = await self._say(self.facts, None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat)
            task_status.started()
            async with aclosing(self.bus.follow(0)) as stretches:
                async for stretch in stretches:
                    for stored in stretch.messages:
                        try:
                            record = decode(stored)
                        except ERRORS:
                            continue
                        self._picture.fold(record)
                        if record.sequence > joined:
                            await self._react(record)

    async def _beat(self) -> None:
        beat = msgspec.json.encode(NodeBeat(self.name, self.session))
        while True:
            await self.bus.say(f"beat.node_runner.{self.name}", beat)
            await anyio.sleep(NODE_BEAT_EVERY_S)

    async def _react(self, record: Record) -> None:
        event = record.event
        if isinstance(event, ContainerAssigned) and event.node == self.name:
            for fact in self._fate(event):
                await self._say(fact, record)
        elif isinstance(event, ContainerRetired) and event.node == self.name:
            await self._say(ContainerStopped(**self._which(event)), record)

    def _fate(self, event: ContainerAssigned) -> list[Event]:
        which = self._which(event)
        if event.service in self.stuck:
            return []
        if event.service in self.fails:  # Before anyone could say that it had started.
            logs = ["trying", "cannot open the database"]
            return [ContainerFailed(**which, reason="exited", exit_code=1, logs=logs)]
        place = self.places.get(event.slot)
        at = [Address(network="shop_default", address=place, prefix=8)] if place else []
        started = ContainerStarted(**which, engine_id="0" * 12, took_s=0.001, addresses=at)
        facts: list[Event] = [started]
        app = self._picture.apps[event.app]
        spec = app.specs[event.revision].services[event.service]
        if spec.is_job:
            return [*facts, ContainerFinished(**which)]
        return [*facts, ContainerHealthy(**which)] if spec.checked else facts

    def _which(self, event: ContainerEvent) -> dict[str, Any]:
        fields = ("app", "service", "slot", "attempt")
        return {field: getattr(event, field) for field in fields} | {"node": self.name}

    async def _say(self, event: Event, cause: Record | None) -> int:
        message = encode(
            event,
            id=str(uuid.uuid4()),
            source=f"/segue/node_runner/{self.name}",
            time=time.time(),
            cause=cause.as_cause() if cause else None,
        )
        outcome = await self.bus.append([message])
        assert outcome.kind == "stored", outcome
        return outcome.sequence
