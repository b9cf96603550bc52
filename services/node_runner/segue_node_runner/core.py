"""Decide what the node's engine is to do, and what is to be said of what it did.

The picture (what was ordered) and the engine's containers (what is) are compared, and each
difference is either an effect or a fact. Laws:

- Nothing is stopped because something is missing: a container is stopped when it was retired,
  when its end stands in the log, or when a greater attempt of its slot was assigned here that does
  not move it. What is strict never runs beside another of its slot.
- While the engine is away nothing is concluded from what it does not say.
- A node that was declared lost says nothing but that it joins again, until that is in the log,
  or that its engine is of no use, which keeps it from joining.
- What is strict is started only under a lease that the node holds and has joined with, and is over
  with it.
- Of two runners under one name the newer in the log goes on and the other gives way.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from segue.core import Core, Decision
from segue.envelope import Record
from segue.events import REGISTRY, Event, container, deploy, gateway, image, leader, subjects
from segue.events.node import (
    Held,
    NodeJoined,
    NodeLost,
)
from segue.log import Fence
from segue.picture import UP, Container, Node
from segue.spec import Resources

from segue_node_runner import news, says
from segue_node_runner.draining import Draining
from segue_node_runner.effects import (
    Ask,
    Effect,
    Examine,
    GiveUp,
    GiveWay,
    List,
    RemoveApp,
    Start,
    Stop,
)
from segue_node_runner.health import Health
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.pulls import Pulls
from segue_node_runner.strict import Strict
from segue_node_runner.tidying import Tidying
from segue_node_runner.usefulness import Usefulness
from segue_node_runner.yard import Yard

LEASE_WITHIN_S = 20.0  # So long a strict order waits for one: an old one may have to end first.
_ENDS = (container.ContainerFailed, container.ContainerFinished, container.ContainerStopped)
Newest = dict[tuple[str, str, int], Container]  # By slot, of those that are ordered here.
Owed = Decision | Effect | Ask | List | RemoveApp | GiveWay


def follows(node: str) -> list[str]:
    """Give the part of the log that concerns a node: its own events and every app's wishes."""
    own = [event for event in REGISTRY.values() if _is_of_a_node(event)]
    apps: list[type[Event]] = [
        deploy.DeployAccepted,
        deploy.DeployCompleted,  # It tells which revisions are kept to go back to.
        deploy.RemovalAccepted,
        deploy.RemovalCompleted,
    ]
    return [
        *(subjects(event, node=node) for event in own),
        *(subjects(event) for event in apps),
        subjects(gateway.GatewayJoined, node=node),
        subjects(gateway.GatewayLeft, node=node),
        subjects(gateway.EndpointReady, node=node),
        subjects(gateway.EndpointDrained, node=node),
        f"node.*.{node}",
        subjects(leader.LeaderElected),
    ]


def _is_of_a_node(event: type[Event]) -> bool:
    return issubclass(event, container.NodeContainerEvent | image.ImageEvent)


class NodeRunner(Core):
    """The node runner's core."""

    service = "node_runner"

    def __init__(
        self, node: str = "", session: str = "", labels: dict[str, str] | None = None
    ) -> None:
        super().__init__()
        self.node, self.session, self.labels = node, session, labels or {}
        self.yard = Yard()
        self.strict = Strict(self.picture, node)
        self.draining = Draining(self.picture, node)
        self.health = Health(self.picture, node)
        self.tidying = Tidying(self.picture, node)
        self.pulls = Pulls(self.picture, node, session)
        self.usefulness = Usefulness(self.picture, node, session)
        self._has_joined = False
        self._before: set[str] = set()  # Sessions of the runners before this one.
        self._usurper = ""

    def fence(self) -> Fence | None:
        """A fact counts only while the node has not been declared lost since it last joined."""
        return Fence(subjects(NodeLost, node=self.node), self._lost_seq())

    def _lost_seq(self) -> int:
        me = self.picture.nodes.get(self.node) or self.picture.state.removed.get(self.node)
        return me.lost_seq if me else 0

    def fold(self, record: Record) -> None:
        """Correct the picture; notice what concerns this runner itself."""
        me = self.picture.nodes.get(self.node)
        if me is not None and not self._has_joined:
            self._before.add(me.facts.session)
        self.usefulness.fold(record)
        super().fold(record)
        self.pulls.said(record.id)
        event = record.event
        if isinstance(event, NodeJoined) and event.node == self.node:
            if event.session == self.session:
                self._has_joined = True
            elif self._has_joined and event.session not in self._before:
                self._usurper = event.session  # Not a late word of a runner that is dead by now.
        elif isinstance(event, deploy.RemovalCompleted):
            self.yard.list_now()  # Its networks and volumes can go.
        elif isinstance(event, _ENDS) and event.node == self.node:
            self.yard.forget(Identity(event.app, event.service, event.slot, event.attempt))

    def hear(self, said: Any, now: float) -> None:
        """Note what the engine has done or what an effect came to."""
        self.yard.hear(said, now)
        if isinstance(said, news.Guard):
            self.strict.hear(said)
        elif isinstance(said, news.Probed):
            self.health.hear(said)
        elif isinstance(said, news.PullProgress):
            self.pulls.comes_on(said)
        elif isinstance(said, news.StartDone):
            self.pulls.done(said)

    # What is owed.

    def decide(self, now: float) -> list[Any]:
        """Say what is to be done and what is to be said."""
        self.wake_at = None
        if self._usurper:
            return [GiveWay(session=self._usurper)]
        owed: list[Any] = []
        if self.yard.list_due(now):
            number = self.yard.list_begins()
            owed.append(List(cluster=self.picture.state.cluster, number=number))
        owed += self._said(now)
        wake_at = self.draining.wake_at(self.yard.wake_at(now))
        self.wake_at = self.usefulness.wake_at(wake_at, now)
        return owed

    def _said(self, now: float) -> Iterator[Owed]:
        me = self.picture.nodes.get(self.node)
        is_in = me is not None and me.phase not in ("lost", "left")
        words = self.yard.condition.words if self.yard.condition.state != "well" else ""
        if words:
            yield from self.usefulness.lost(words, now)
            return
        if me is None or not is_in or me.facts.session != self.session:
            if self.yard.listed and self.yard.facts is not None:
                joining = self._joining(self.yard.facts)
                before = me or self.picture.state.removed.get(self.node)
                yield Decision(joining, before.cause if before else None, key=self.session)
            return
        if not self.yard.listed:
            return
        yield from self._of_itself(me)
        yield from self.pulls.owed()
        newest = self._newest()
        for ordered in list(self.picture.on_node.get(self.node, {}).values()):
            yield from self._compare(ordered, newest, now)
        for found in list(self.yard.there.values()):
            yield from self._stray(found, now)
        if (ask := self.health.asks(self.yard.there)) is not None:
            yield ask
        if self.yard.untidy:
            self.yard.untidy = False
            yield from self.tidying.owed(self.yard, now)

    def _of_itself(self, me: Node) -> Iterator[Decision]:
        """Say that the engine is full, or well again, and which lease is held now."""
        yield from self.usefulness.filled(me, self.yard.condition.full)
        lease = self.strict.guard.lease
        if me.facts.lease != lease and self.yard.facts is not None:
            joining = self._joining(self.yard.facts)
            yield Decision(joining, me.cause, key=f"{self.session} {lease}")

    def _joining(self, facts: news.Facts) -> NodeJoined:
        return NodeJoined(
            node=self.node,
            session=self.session,
            cpu_millicores=facts.cpu_millicores,
            memory_bytes=facts.memory_bytes,
            disk_bytes=facts.disk_bytes,
            labels=self.labels,
            hostname=facts.hostname,
            platform=facts.platform,
            engine=facts.engine,
            version=facts.version,
            images=facts.images,
            inventory=[
                Held(
                    **msgspec.structs.asdict(found.identity),
                    running=found.runs,
                    engine_id=found.engine_id,
                    digest=found.digest,
                )
                for found in self.yard.there.values()
            ],
            lost_seq=self._lost_seq(),
            fenced=self.strict.guard.lease > 0,
            lease=self.strict.guard.lease,
        )

    def _newest(self) -> Newest:
        newest: Newest = {}
        for ordered in self.picture.on_node.get(self.node, {}).values():
            before = newest.setdefault(ordered.key[:3], ordered)
            if ordered.attempt > before.attempt:
                newest[ordered.key[:3]] = ordered
        return newest

    def _beside(self, ordered: Container) -> int:
        """Give the attempt of its slot that may run while it comes up; 0: none."""
        return 0 if self.picture.is_strict(ordered) else ordered.moves

    def _compare(self, ordered: Container, newest: Newest, now: float) -> Iterator[Owed]:
        identity = Identity(*ordered.key)
        found = self.yard.there.get(identity)
        if identity in self.yard.stopping:
            return
        newer = newest[ordered.key[:3]]
        over = ordered.attempt < newer.attempt and ordered.attempt != self._beside(newer)
        if identity in self.yard.starting:
            if (ordered.retired or over) and identity not in self.yard.giving_up:
                self.yard.giving_up[identity] = None
                yield GiveUp(**msgspec.structs.asdict(identity))
            return
        if ordered.retired or over:
            if found is None:
                yield says.stopped(ordered, self.yard.stopped.get(identity))
            elif over or not found.runs or not self.draining.lasts(ordered, now):
                yield from self._stop(found, ordered.grace_s, now)
        elif ordered.fenced:
            yield from self._end_fenced(ordered, found, now)
        elif ordered.phase == "assigned":
            yield from self._bring_up(ordered, identity, found, now)
        elif ordered.phase in UP:
            yield from self._watch_over(ordered, identity, found)

    def _stop(self, found: Found, grace_s: float, now: float) -> Iterator[Owed]:
        if (
            now < self.yard.again_at.get(found.identity, 0.0)
            or found.identity in self.yard.stopping
        ):
            return
        self.yard.stopping[found.identity] = None
        names = msgspec.structs.asdict(found.identity)
        yield Stop(**names, engine_id=found.engine_id, grace_s=grace_s)

    def _bring_up(
        self, ordered: Container, identity: Identity, found: Found | None, now: float
    ) -> Iterator[Owed]:
        failed = self.yard.failed.get(identity)
        if failed is not None:
            yield says.start_failed(ordered, failed)
        elif found is not None and found.runs:
            yield says.started(ordered, found, self.yard.started.get(identity))
        elif found is not None and found.ended:
            yield from self._say_end(ordered, identity, found)
        elif newer := self.yard.newest(identity.slot_name, above=identity.attempt):
            yield says.outdated(ordered, newer)
        elif self._blocked(ordered, identity, now):
            return
        elif words := self.yard.no_room(self.picture.used.get(self.node, Resources())):
            yield says.rejected(ordered, words)
        elif words := self.strict.lacks(ordered):
            since = max(ordered.assigned_at, self.picture.nodes[self.node].joined_at)
            if now - since >= LEASE_WITHIN_S:
                yield says.rejected(ordered, words)
        else:
            spec = self.picture.app_spec(ordered)
            if spec is None:
                return  # The revision is superseded: the order will be retired.
            self.yard.starting[identity] = None
            yield Start(
                **msgspec.structs.asdict(identity),
                cluster=self.picture.state.cluster,
                node=self.node,
                revision=ordered.revision,
                digest=ordered.digest,
                spec=spec,
                moves=self._beside(ordered),
                lease=self.strict.guard.lease if self.picture.is_strict(ordered) else 0,
                names=self._names_are_answered(),
                cause=ordered.cause.id,
                correlation=ordered.cause.correlation,
            )

    def _names_are_answered(self) -> bool:
        found = self.picture.gateway(self.node)
        return found is not None and found.facts.names

    def _blocked(self, ordered: Container, identity: Identity, now: float) -> bool:
        """Tell whether the slot's older container is still in the way, or a try just failed."""
        if now < self.yard.again_at.get(identity, 0.0):
            return True
        return self.yard.slot_is_taken(identity, self._beside(ordered))

    def _end_fenced(self, ordered: Container, found: Found | None, now: float) -> Iterator[Owed]:
        """End what was assigned under a lease that is over; the fencer has killed it already."""
        identity = Identity(*ordered.key)
        died = self.yard.died.get(identity)
        if found is not None and found.runs:
            yield from self._stop(found, 0.0, now)
        elif found is not None and found.ended and died is None:
            yield from self._say_end(ordered, identity, found)
        else:
            yield says.fenced(ordered, died)

    def _watch_over(
        self, ordered: Container, identity: Identity, found: Found | None
    ) -> Iterator[Owed]:
        if found is None:
            died = self.yard.died.get(identity)
            yield says.ended(ordered, died) if died else says.vanished(ordered)
            return
        yield from self.strict.mark(ordered, found)
        if found.ended:
            yield from self._say_end(ordered, identity, found)
        elif found.runs and found.addresses != ordered.addresses:
            yield says.readdressed(ordered, found)
        else:
            yield from self._judge(ordered, found)

    def _judge(self, ordered: Container, found: Found) -> Iterator[Decision]:
        verdict = self.health.verdict(ordered, found)
        is_said = ordered.phase == verdict.state and ordered.probe == verdict.probe
        if verdict.state == "healthy" and not is_said:
            yield says.healthy(ordered)
        elif verdict.state == "unhealthy" and not is_said:
            yield says.unhealthy(ordered, verdict)

    def _say_end(self, ordered: Container, identity: Identity, found: Found) -> Iterator[Owed]:
        died = self.yard.died.get(identity)
        if died is not None:
            yield says.ended(ordered, died)
        elif identity not in self.yard.examining:
            self.yard.examining[identity] = None
            yield Examine(**msgspec.structs.asdict(identity), engine_id=found.engine_id)

    def _stray(self, found: Found, now: float) -> Iterator[Owed]:
        """Stop what runs although its end stands in the log; leave alone what is unknown."""
        identity = found.identity
        key = (identity.app, identity.service, identity.slot, identity.attempt)
        if not found.runs or key in self.picture.on_node.get(self.node, {}):
            return
        slot = self.picture.slot(*key[:3])
        known = self.picture.container(*key)
        over = known.ended if known is not None else slot is not None
        if slot is not None and over and identity.attempt <= slot.attempt:
            yield from self._stop(found, known.grace_s if known else 10.0, now)
