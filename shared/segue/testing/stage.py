"""A board on which node runners play their part too, so that whole histories come about.

What is assigned is started, what is retired is stopped, each as its runner would say it, at once
unless the node is made slow. The log can be had as messages for a real bus.
"""

from collections.abc import Iterable
from typing import Any

from segue.bus import Bus
from segue.core import Core
from segue.envelope import Cause, Record, encode
from segue.events import Event
from segue.events.container import (
    ContainerAssigned,
    ContainerEvent,
    ContainerFailed,
    ContainerHealthy,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.node import NodeJoined
from segue.events.ring import ANYONE, RING
from segue.ids import derived
from segue.log import Message
from segue.testing.board import Board

GIB = 1 << 30


class Stage(Board):
    """Deciding cores, and nodes that do what they are told; `took_s` is what each step takes."""

    def __init__(self, *cores: Core, start: float = 1_782_000_000.0, took_s: float = 0.25) -> None:
        super().__init__(*cores, start=start)
        self.took_s = took_s
        self.silent: set[str] = set()  # Nodes whose runner says nothing.
        self._played = self._published = 0
        self._actor = ""

    def join(self, *names: str, **facts: Any) -> None:
        """Have nodes join."""
        for name in names:
            given: dict[str, Any] = {
                "cpu_millicores": 4000,
                "memory_bytes": 8 * GIB,
                "version": "0.1.0",
                "fenced": True,
            } | facts
            self.say(NodeJoined(node=name, session=f"s-{name}", **given))
        self.play()

    def ask(self, event: Event, actor: str = "maria@desk") -> Record:
        """Say what a person says, and let everything that follows happen."""
        self._actor = actor
        asked = self.say(event)
        self.play()
        return asked

    def play(self) -> None:
        """Let cores decide and runners act until nothing is owed."""
        while True:
            self.settle()
            news = self.log[self._played :]
            self._played = len(self.log)
            if not news:
                return
            for record in news:
                self._act(record)

    def later(self, seconds: float) -> None:
        """Move the clock and let everything that follows happen."""
        self.now += seconds
        self.play()

    def fail(self, name: str, **fields: Any) -> Record:
        """Have what fills a slot, such as `shop/web.3`, end by itself, and what follows happen."""
        newest = self._newest(name)
        said: dict[str, Any] = {"reason": "exited", "exit_code": 1} | fields
        event = ContainerFailed(**_named(newest.event), **said)
        record = self.say(event, newest.as_cause())
        self.play()
        return record

    def say(self, event: Event, cause: Cause | None = None, event_id: str = "") -> Record:
        """Store an event as its author would say it."""
        sequence = len(self.log) + 1
        event_id = event_id or derived("stage", sequence)
        record = Record(
            sequence=sequence,
            time=self.now,
            event=event,
            id=event_id,
            source=self._source(event),
            correlation=cause.correlation if cause else event_id,
            cause=cause.id if cause else "",
            cause_source=cause.source if cause else "",
            actor=self._actor if cause is None else "",
        )
        self._actor = ""
        self.log.append(record)
        for core in self.cores:
            core.fold(record)
        return record

    def messages(self, records: Iterable[Record] | None = None) -> list[Message]:
        """Give the log as what stands on a bus."""
        by_id = {record.id: record for record in self.log}
        return [
            encode(
                record.event,
                id=record.id,
                source=record.source,
                time=record.time,
                cause=by_id[record.cause].as_cause() if record.cause else None,
                actor=record.actor,
            )
            for record in (self.log if records is None else records)
        ]

    async def publish(self, bus: Bus) -> int:
        """Put what is new on an otherwise silent bus; give the last sequence."""
        new = self.log[self._published :]
        self._published = len(self.log)
        if new:
            outcome = await bus.append(self.messages(new))
            assert outcome.kind == "stored", outcome
            assert outcome.sequence == len(self.log), "the bus counts as the stage does"
        return len(self.log)

    def skip(self, count: int) -> None:
        """Count on from where others have written so many messages."""
        self.log += [self.log[-1]] * count
        self._published = self._played = len(self.log)

    def _newest(self, name: str) -> Record:
        for record in reversed(self.log):
            event = record.event
            if (
                isinstance(event, ContainerAssigned)
                and f"{event.app}/{event.service}.{event.slot}" == name
            ):
                return record
        raise AssertionError(f"{name} was never assigned")

    def _source(self, event: Event) -> str:
        author = RING[type(event)].authors[0]
        if author == ANYONE:
            return "/cli/desk"
        instance = getattr(event, "node", "") if author == "node_runner" else "1"
        return f"/segue/{author}/{instance}"

    def _act(self, record: Record) -> None:
        event, cause = record.event, record.as_cause()
        node = getattr(event, "node", "")
        if not node or node in self.silent:
            return
        if isinstance(event, ContainerAssigned):
            self.now += self.took_s
            engine_id = derived("engine", record.id)[:12]
            started = ContainerStarted(
                **_named(event), engine_id=engine_id, took_s=self.took_s, pulled_s=0.0
            )
            self.say(started, cause)
            spec = self.cores[0].picture.service(event.app, event.service)
            if spec is not None and spec.spec.checked:
                self.now += self.took_s
                self.say(ContainerHealthy(**_named(event)), cause)
        elif isinstance(event, ContainerRetired):
            self.now += self.took_s
            self.say(ContainerStopped(**_named(event)), cause)


def _named(event: Event) -> dict[str, Any]:
    """Give the fields that name a container on its node."""
    assert isinstance(event, ContainerEvent), "only containers are started and stopped"
    fields = ("app", "service", "slot", "attempt", "node")
    return {field: getattr(event, field) for field in fields}
