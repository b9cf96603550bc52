"""Decide what the host's gateway leads to, and what is to be said of it.

Laws:
- The table follows from the picture alone (`making`); one is applied at a time, the newest.
- A container counts as led to, or as drained, once every live gateway has applied the log up to
  where it became so. Who has been silent for 3 s, or hangs behind for 5 s, is not waited for; its
  name is said.
- A drained container that still has connections after `drain_s` is said to be drained all the same.
- Of two gateways under one name the newer in the log goes on and the other gives way; a late word
  of one that was there before is none.
- What it says counts only while no other has joined under its name.
- On a node that was removed it leads to nothing and says nothing, until the node joins again.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

import msgspec
from segue.beats import GATEWAY_BEAT_EVERY_S, GatewayBeat
from segue.core import BusReturned, Core, Decision
from segue.envelope import Cause, Record
from segue.events import subjects
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeRemoved
from segue.log import Fence
from segue.picture import UP, Container
from segue.picture.indexed import Key
from segue.wants import routed

from segue_gateway import making, says
from segue_gateway.table import Table
from segue_gateway.vips import POOL

SILENT_S, BEHIND_S, DRAIN_S = 3.0, 5.0, 10.0
AGAIN_S = 1.0  # After a table that could not be applied.
NEWS_EVERY_S = 0.1


class GiveWay(msgspec.Struct, frozen=True):
    """Effect: stop running here, a newer gateway has joined under this node's name."""

    session: str


class Apply(msgspec.Struct, frozen=True):
    """Effect: have the host as the table says; answered with `Applied`."""

    table: Table


class Tell(msgspec.Struct, frozen=True):
    """Effect: say a beat."""

    beat: GatewayBeat


class Applied(msgspec.Struct, frozen=True):
    """News: what became of a table; if `done`, its sequence holds."""

    sequence: int
    done: bool


class Flowing(msgspec.Struct, frozen=True):
    """News: how many connections there are to what is drained, by `says.name_of`."""

    counts: dict[str, int]


class Waiting(msgspec.Struct, frozen=True):
    """News: how much waits for services without containers, by app and service."""

    counts: dict[str, int]


class Gateway(Core):
    """The gateway's core."""

    service = "gateway"

    def __init__(
        self,
        me: GatewayJoined | None = None,
        held: dict[str, str] | None = None,
        pool: ipaddress.IPv4Network = POOL,
    ) -> None:
        super().__init__()
        self.me = me or GatewayJoined(node="", session="", address="")
        self.held, self.pool = held or {}, pool
        self.applied = 0  # What the log says up to here is so on this host.
        self._done: Table | None = None  # The table that was applied last, whatever its sequence.
        self._doing: Table | None = None
        self._made: Table | None = None
        self._again_at = 0.0
        self._flowing: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._heard: dict[str, tuple[GatewayBeat, float]] = {}
        self._listens_since: float | None = None
        self._since: dict[tuple[Key, str], tuple[int, float]] = {}  # When what was noticed.
        self._beat_at = 0.0
        self._told: GatewayBeat | None = None
        self.has_joined = False
        self._removed: Cause | None = None  # That the node was, last.
        self._usurper = ""
        self._before: set[str] = set()  # Sessions of the gateways before this one.

    def fence(self) -> Fence | None:
        """A fact counts only while this is the newest gateway of its node."""
        known = self.picture.gateways.get(self.me.node)
        return Fence(subjects(GatewayJoined, node=self.me.node), known.joined_seq if known else 0)

    def fold(self, record: Record) -> None:
        """Correct the picture; notice what concerns this gateway itself."""
        before = self.picture.gateways.get(self.me.node)
        if before is not None and not self.has_joined:
            self._before.add(before.facts.session)
        super().fold(record)
        self._made = None
        event = record.event
        if isinstance(event, GatewayJoined) and event.node == self.me.node:
            if event.session == self.me.session:
                self.has_joined, self._usurper = True, ""
            elif self.has_joined and event.session not in self._before:
                self._usurper = event.session  # Not a late word of one that is dead by now.
        elif isinstance(event, NodeRemoved):
            self._heard.pop(event.node, None)
            if event.node == self.me.node:
                self._removed = record.as_cause()

    def hear(self, news: Any, now: float) -> None:
        """Note what other gateways say, and what came of a table."""
        if isinstance(news, GatewayBeat):
            if news.node in self.picture.gateways:  # Whoever may beat can make up any name.
                self._heard[news.node] = news, now
        elif isinstance(news, Applied):
            if news.done:
                self._done, self.applied = self._doing, max(self.applied, news.sequence)
            else:
                self._again_at = now + AGAIN_S
            self._doing = None
        elif isinstance(news, Flowing):
            self._flowing = {name: count for name, count in news.counts.items() if count}
        elif isinstance(news, Waiting):
            self._waiting = news.counts
        elif isinstance(news, BusReturned):
            self._listens_since = now

    # What is owed.

    def decide(self, now: float) -> list[Any]:
        """Say what is to be done and what is to be said."""
        self.wake_at = None
        if self._usurper:
            return [GiveWay(self._usurper)]
        if self._listens_since is None:
            self._listens_since = now
        owed: list[Any] = [*self._table(now)]
        me = self.picture.gateways.get(self.me.node)
        if self._is_removed:
            return owed
        if me is None or me.left or me.facts != self.me:
            if self._done is not None:
                owed.append(says.joined(self.me, me.cause if me else self._removed))
        else:
            owed += self._said(now)
            owed += self._held()
            owed += self._beat(now)
        return owed

    @property
    def _is_removed(self) -> bool:
        return self.me.node in self.picture.state.removed

    def _wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def _table(self, now: float) -> Iterator[Apply]:
        """Have the newest table applied; one that changes nothing holds as it is."""
        if self._made is None:
            if self._is_removed:
                cluster = self.picture.state.cluster
                self._made = Table(node=self.me.node, cluster=cluster, mesh_port=self.me.port)
            else:
                self._made, self.held = making.table(self.picture, self.me, self.held, self.pool)
        sequence = self.picture.state.sequence
        if self._doing is not None:
            return
        if self._made == self._done:
            self.applied = sequence
        elif now < self._again_at:
            self._wake(self._again_at)
        else:
            self._doing = self._made
            yield Apply(msgspec.structs.replace(self._made, sequence=sequence))

    def _said(self, now: float) -> Iterator[Decision]:
        """Say which containers of this node are led to, and which no more."""
        noticed: dict[tuple[Key, str], tuple[int, float]] = {}
        for container, what in self._awaited():
            key = (container.key, what)
            since = noticed[key] = self._since.get(key) or (self.picture.state.sequence, now)
            spec = self.picture.spec(container)
            end = container.retired_at + (spec.drain_s if spec is not None else DRAIN_S)
            waits, missed = self._others(since, now)
            if what == "drained":
                in_flight = self._in_flight(container)
                if now >= end or not (waits or in_flight):
                    yield says.drained(container, in_flight, missed)
                else:
                    self._wake(end)
            elif not waits:
                yield says.ready(container, missed)
        self._since = noticed

    def _held(self) -> Iterator[Decision]:
        """Say for which services something waits; said once, by whoever is first to see it."""
        for name, count in sorted(self._waiting.items()):
            app, _, service_name = name.partition("/")
            service = self.picture.service(app, service_name)
            if service is None or service.replicas or service.scaling is None:
                continue
            if count and service.wanted and service.scaling.waiting is None:
                yield says.waiting(self.me.node, app, service, count)

    def _awaited(self) -> Iterator[tuple[Container, str]]:
        ready: dict[Key, None] = {}
        on_node = list(self.picture.on_node.get(self.me.node, {}).values())
        for app, service in dict.fromkeys((one.app, one.service) for one in on_node):
            if (found := self.picture.service(app, service)) is not None:
                ready.update((one.key, None) for one in routed(self.picture, found))
        for container in on_node:
            spec = self.picture.spec(container)
            if spec is None or not spec.routed:
                continue
            if container.key in ready and not container.routed_at:
                yield container, "ready"
            elif container.retired and container.phase in UP and not container.drained_at:
                yield container, "drained"

    def _others(self, since: tuple[int, float], now: float) -> tuple[bool, list[str]]:
        """Tell whether a gateway is still waited for, this one too, and which are not any more."""
        sequence, at = since
        waits, missed = self.applied < sequence, list[str]()
        for node in sorted(self.picture.gateways):
            gateway = self.picture.gateway(node)
            if gateway is None or node == self.me.node:
                continue
            beat, heard_at = self._heard.get(node, (None, 0.0))
            silent_at = max(heard_at, gateway.joined_at, self._listens_since or now) + SILENT_S
            is_it = beat is not None and beat.session == gateway.facts.session
            if is_it and beat is not None and beat.applied >= sequence:
                continue
            if now >= silent_at or (is_it and now >= at + BEHIND_S):
                missed.append(node)
            else:
                waits = True
                self._wake(min(silent_at, at + BEHIND_S) if is_it else silent_at)
        return waits, missed

    def _in_flight(self, container: Container) -> int:
        name = says.name_of(container)
        others = (
            beat.in_flight.get(name, 0)
            for node, (beat, _) in self._heard.items()
            if self.picture.gateway(node) is not None
        )
        return self._flowing.get(name, 0) + sum(others)

    def _beat(self, now: float) -> Iterator[Tell]:
        """Say how far it is: regularly, and soon when that has changed."""
        beat = GatewayBeat(self.me.node, self.me.session, self.applied, dict(self._flowing))
        every_s = GATEWAY_BEAT_EVERY_S if beat == self._told else NEWS_EVERY_S
        due = self._beat_at + every_s
        if now >= due or now < self._beat_at:
            self._beat_at, self._told = now, beat
            yield Tell(beat)
            self._wake(now + GATEWAY_BEAT_EVERY_S)
        else:
            self._wake(due)
