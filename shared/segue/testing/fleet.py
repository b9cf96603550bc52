"""Play short random histories against deciding cores, small enough to be shrunk when one fails.

Cores and hosts take turns in any order. Whoever has its turn either decides, or, if it has already
decided, its decisions reach the log: so everything can cross everything. There is no shell, bus or
engine here; those are the world's.
"""

from collections.abc import Sequence
from typing import Any

from segue.beats import NodeBeat
from segue.core import Core, Decision
from segue.envelope import Cause, Record
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
    NodeContainerEvent,
)
from segue.events.deploy import DeployAccepted, RemovalAccepted, RemovalCompleted
from segue.events.node import Held, NodeEvent, NodeJoined
from segue.ids import derived
from segue.picture import UP, Container, Picture
from segue.picture.indexed import Key
from segue.testing.board import Board
from segue.testing.shop import joined

BEAT_S = 0.9  # Often enough never to be suspected, seldom enough to be quick.


class Host:
    """A pretend node runner and what its engine holds; it follows the part of the log it would."""

    def __init__(self, name: str, **facts: Any) -> None:
        self.name, self.facts = name, facts
        self.picture = Picture()
        self.held: dict[Key, str] = {}  # Running containers: fresh, well or ill.
        self.ended: dict[Key, int] = {}  # Exit codes of those that ended by themselves.
        self.unread: list[Record] = []
        self.flight: list[tuple[Event, Cause | None]] = []
        self.fence = 0  # What it knew of its own loss when it decided what is in flight.
        self.cut = False
        self.session = 1

    def hears(self, record: Record) -> None:
        """Read what concerns it, now or once it is connected again."""
        event = record.event
        own = isinstance(event, NodeContainerEvent | NodeEvent) and event.node == self.name
        if own or isinstance(event, DeployAccepted | RemovalAccepted | RemovalCompleted):
            self.unread.append(record)
        if not self.cut:
            while self.unread:
                self.picture.fold(self.unread.pop(0))

    @property
    def lost_seq(self) -> int:
        """The newest loss of this node that it has read of."""
        me = self.picture.nodes.get(self.name)
        return me.lost_seq if me else 0

    def decide(self) -> list[tuple[Event, Cause | None]]:
        """Give what it would say, after doing what it would do."""
        me = self.picture.nodes.get(self.name)
        if me is None or me.phase in ("lost", "left") or me.facts.session != self._session:
            inventory = [Held(*key, running=key not in self.ended) for key in sorted(self.held)]
            event: NodeJoined = joined(
                self.name,
                session=self._session,
                lost_seq=self.lost_seq,
                inventory=inventory,
                **self.facts,
            )
            return [(event, None)]
        ordered = list(self.picture.on_node.get(self.name, {}).values())
        newest = {c.key[:3]: c.attempt for c in sorted(ordered, key=lambda c: c.attempt)}
        said: list[tuple[Event, Cause | None]] = []
        for container in ordered:
            event_ = self._compare(container, over=container.attempt < newest[container.key[:3]])
            if event_ is not None:
                said.append((event_, container.cause))
        self._sweep()
        return said

    @property
    def _session(self) -> str:
        return f"{self.name}-{self.session}"

    def _compare(self, container: Container, *, over: bool) -> Event | None:
        key = container.key
        about: dict[str, Any] = dict(
            zip(("app", "service", "slot", "attempt"), key, strict=True), node=self.name
        )
        if container.retired or over:
            self.held.pop(key, None)
            return ContainerStopped(**about)
        if key in self.ended:
            self.held.pop(key, None)
            code = self.ended[key]
            if code:
                return ContainerFailed(**about, reason="exited", exit_code=code)
            return ContainerFinished(**about)
        if container.phase == "assigned":
            self.held.setdefault(key, "fresh")
            return ContainerStarted(**about, engine_id="e")
        if container.phase in UP and key not in self.held:
            return ContainerFailed(**about, reason="vanished")
        spec = self.picture.spec(container)
        if spec is None or not spec.checked:
            return None
        if self.held[key] == "ill":
            return ContainerUnhealthy(**about, streak=3) if container.phase != "unhealthy" else None
        return ContainerHealthy(**about) if container.phase != "healthy" else None

    def _sweep(self) -> None:
        """Stop what runs although its end stands in the log."""
        there = self.picture.on_node.get(self.name, {})
        for key in [key for key in self.held if key not in there]:
            slot = self.picture.slot(*key[:3])
            if slot is not None and key[3] <= slot.attempt:
                del self.held[key]


class Fleet(Board):
    """Cores and hosts on one log."""

    def __init__(self, *cores: Core, hosts: Sequence[Host] = ()) -> None:
        super().__init__(*cores)
        self.hosts = {host.name: host for host in hosts}
        self.flights: dict[int, list[Decision]] = {}
        self.ids: dict[str, Event] = {}
        self.number = 0

    @property
    def picture(self) -> Picture:
        """What the first core knows."""
        return self.cores[0].picture

    def say(self, event: Event, cause: Cause | None = None, event_id: str = "") -> Record:
        """Store an event; every core folds it, and the hosts whom it concerns."""
        self.number += 1
        record = super().say(event, cause, event_id or derived("fleet", self.number))
        known = self.ids.setdefault(record.id, event)
        assert known == event, f"one id for two contents:\n{known}\n{event}"
        for host in self.hosts.values():
            host.hears(record)
        return record

    def turn(self, index: int) -> bool:
        """Let a core or a host decide, or what it decided reach the log; tell if it did either."""
        if index < len(self.cores):
            return self._turn_core(index)
        return self._turn_host(list(self.hosts.values())[index - len(self.cores)])

    def has_decided(self, index: int) -> bool:
        """Tell whether somebody's decisions are on their way to the log."""
        if index < len(self.cores):
            return bool(self.flights.get(index))
        return bool(list(self.hosts.values())[index - len(self.cores)].flight)

    def _turn_core(self, index: int) -> bool:
        flight = self.flights.pop(index, [])
        if not flight:
            self.flights[index] = self.cores[index].decide(self.now)
            return bool(self.flights[index])
        for decision in flight:
            assert decision.id not in self.ids, f"decided twice: {decision.event}"
            self.say(decision.event, decision.cause, decision.id)
        return True

    def _turn_host(self, host: Host) -> bool:
        if host.cut:
            return False
        if host.flight:
            said, host.flight = host.flight, []
            truth = self.picture.nodes.get(host.name)
            if host.fence != (truth.lost_seq if truth else 0):
                return True  # The bus refuses it: the node was declared lost meanwhile.
            for event, cause in said:
                self.say(event, cause)
            return True
        host.fence, host.flight = host.lost_seq, host.decide()
        return bool(host.flight)

    def beat(self) -> None:
        """Let every host that is connected beat."""
        for host in self.hosts.values():
            if not host.cut:
                for core in self.cores:
                    core.hear(NodeBeat(host.name, "s"), self.now)

    def calm(self, for_s: float) -> None:
        """Let time pass without faults, everybody at work."""
        end = self.now + for_s
        while self.now < end:
            self.rest()
            self.now += BEAT_S
            self.beat()
        self.rest()

    def rest(self, turns: int = 2_000) -> None:
        """Let everybody take turns until nobody has anything to do at this moment."""
        everybody = range(len(self.cores) + len(self.hosts))
        for _ in range(turns):
            moved = [self.turn(index) for index in everybody]  # All of them, not until one does.
            if not any(moved):
                return
        raise AssertionError(f"never at rest: {[r.event for r in self.log[-6:]]}")

    def heal(self, dead: str = "") -> None:
        """End every fault that hosts have, but for one that is dead from now on."""
        for host in self.hosts.values():
            host.cut = host.name == dead
            if host.cut:
                host.held = {}
                continue
            host.held = dict.fromkeys(host.held, "well")
            host.unread, unread = [], host.unread
            for record in unread:
                host.picture.fold(record)

    def running(self) -> dict[tuple[str, str, int], list[tuple[int, str]]]:
        """Give what really runs: by slot, the attempts and their hosts."""
        found: dict[tuple[str, str, int], list[tuple[int, str]]] = {}
        for host in self.hosts.values():
            for app, service, slot, attempt in host.held:
                found.setdefault((app, service, slot), []).append((attempt, host.name))
        return found
