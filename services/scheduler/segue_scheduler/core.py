"""Decide which node runs each requested container, and say why, also when none can.

It also says how much room is missing, and plans which containers to move when nodes are unevenly
used. Ties go to the smaller name, so
that equal pictures give equal decisions. It never decides that something is to run or to stop.
"""

from typing import NamedTuple

from segue.core import MOST_DECISIONS, Core, Decision
from segue.envelope import Record
from segue.events.container import (
    ContainerAssigned,
    ContainerHealthy,
    ContainerStarted,
    ContainerUnhealthy,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import DeployAccepted, RemovalAccepted, RemovalCompleted
from segue.events.image import ImageEvent
from segue.events.leader import LeaderElected
from segue.events.node import NodeEvent
from segue.events.rebalance import RebalancePlanned, RebalanceRequested
from segue.picture import Container
from segue.picture.ending import revivable
from segue.picture.indexed import EVERY_SLOT

from segue_scheduler.choice import Choice
from segue_scheduler.filters import Ask, Kind, asked
from segue_scheduler.marks import Marks
from segue_scheduler.rebalance import (
    CALM_S,
    LOOK_S,
    Opportunity,
    answer,
    newest_fit,
    opportunity,
    plan,
)
from segue_scheduler.room import Room
from segue_scheduler.sampling import EXACT_TO, Sampler
from segue_scheduler.scores import Scale

RUNNERS_UP = 3
LOOKS_AT_ONCE = 10_000  # A tenth of a second: its beats as leader must go on.
NODES_KEPT = 100_000  # In all choices together: some 50 MB.
Slot = tuple[str, str, int]
_EVERYDAY = (  # Where a container can go is the same before and after it.
    ContainerStarted,
    ContainerHealthy,
    ContainerUnhealthy,
    ImageEvent,
    LeaderElected,
)


_ANOTHER_SPEC = (DeployAccepted, RemovalAccepted, RemovalCompleted)  # They are rare.


class Held(NamedTuple):
    """A container that waits, by what its equals were told."""

    ask: Ask
    choice: Choice
    refused: list[Refusal]


class Scheduler(Core):
    """The scheduler's core."""

    service = "scheduler"

    def __init__(self, exact_to: int = EXACT_TO) -> None:
        super().__init__()
        self._exact_to = exact_to
        self._stale = True  # Something changed that may let a waiting container be placed.
        self._news = True  # Something changed at all: another plan may come of it.
        self._fit: Opportunity | None = None  # Until another node's news.
        self._looks = 0  # In one decision.
        self._marks = Marks()
        self._sampler = Sampler(self.picture, self._marks, exact_to)
        self._room = Room(self.picture)
        self._choices: dict[Kind, Choice] = {}  # By what equals have in common, least used first.
        self._held: dict[Slot, Held] = {}  # What no node took.

    def fold(self, record: Record) -> None:
        """Correct the picture; what is no everyday news may open or close a place."""
        super().fold(record)
        self._stale = self._stale or not isinstance(record.event, _EVERYDAY)
        self._news = True
        if isinstance(record.event, NodeEvent):
            self._fit = None
            self._sampler.forget()
        if isinstance(record.event, _ANOTHER_SPEC):
            self._marks, self._choices, self._held = Marks(), {}, {}
            self._sampler = Sampler(self.picture, self._marks, self._exact_to)

    def decide(self, now: float) -> list[Decision]:
        """Place what waits; once nothing can be placed, look whether something is to be moved."""
        due = self.wake_at is not None and now >= self.wake_at
        owed: list[Decision] = []
        if self._stale or due:
            later = [c.not_before for c in self.picture.pending.values() if c.not_before > now]
            self.wake_at = min(later, default=None)
            owed = self._place_all(now)
        if not owed:
            owed = self._room.decide(now)
        if not owed and (self._news or due):
            owed = self._rebalance(now)
            self._news = bool(owed)
        if self._room.wakes and not owed:
            self.wake_at = min(self.wake_at or self._room.look_at, self._room.look_at)
        return owed

    def _rebalance(self, now: float) -> list[Decision]:
        """Plan when asked, and unasked for a while after nodes or the last plan have settled."""
        for request in self.picture.state.requests.values():
            if request.type == RebalanceRequested.type:
                moves, reason = answer(self.picture)
                event = RebalancePlanned(moves=moves, reason=reason)
                return [Decision(event, request.cause, actor=request.actor)]
        if self._fit is None:
            self._fit = newest_fit(self.picture)
        if self._fit is None:
            return []
        last = opportunity(self.picture, self._fit)
        begin = last.at + CALM_S
        if now < begin:
            self.wake_at = min(self.wake_at or begin, begin)
        if not begin <= now <= begin + LOOK_S or self.picture.moves():
            return []
        moves = plan(self.picture)
        return [Decision(RebalancePlanned(moves=moves), last.cause)] if moves else []

    def _place_all(self, now: float) -> list[Decision]:
        """Place what waits, oldest first; each decision counts for the next.

        What is left over when that takes long is decided once this is in the log.
        """
        owed: list[Decision] = []
        placed: list[Container] = []
        self._looks = 0
        self._take_marks()
        for container in list(self.picture.pending.values()):
            if container.not_before > now or self._is_held(container):
                continue
            if owed and (len(owed) >= MOST_DECISIONS or self._looks >= LOOKS_AT_ONCE):
                break
            decision = self._place(container, now, placed)
            if decision is not None:
                owed.append(decision)
        for container in placed:  # The log, not this loop, makes an assignment true.
            self.picture.vacate(container)
            container.node = ""
            self.picture.touch(container.app, container.service, container.slot)
        self._stale = bool(owed)  # Until it is seen in the log, it is owed again.
        return owed

    def _take_marks(self) -> None:
        for (app, service), numbers in self.picture.touched.items():
            if EVERY_SLOT in numbers:
                self._held = {}
            for number in numbers:
                self._held.pop((app, service, number), None)
        self._marks.take(self.picture)

    def _is_held(self, container: Container) -> bool:
        """Tell whether it waits, and nothing has changed of what its equals were told."""
        held = self._held.get((container.app, container.service, container.slot))
        if held is None or held.ask.container is not container:
            return False
        if held.choice.behind:
            self._catch_up(held.choice, held.ask)
        return held.choice.refused is held.refused and not held.choice.scale.fits

    def _place(self, container: Container, now: float, placed: list[Container]) -> Decision | None:
        spec = self.picture.spec(container)
        slot = self.picture.slot(container.app, container.service, container.slot)
        if spec is None or slot is None:
            return None
        old = slot.moving
        if revivable(self.picture, slot) not in (None, old):
            return None
        if spec.strict and not all(map(self.picture.is_gone, slot.leaving.values())):
            return None  # Its own assignment crossed a retirement: that one may run yet.
        ask = asked(self.picture, container, spec, slot)
        sample, looked_at = self._sampler.take(ask, now), 0
        if sample is not None:
            self._looks += sample.looks
            (best, *runners_up), refused, looked_at = sample
        else:
            choice = self._choice(ask)
            refused = choice.refused
            if not choice.scale.fits:
                decision = self._unplaceable(container, refused)
                if decision is None and not ask.data:
                    self._held[container.key[:3]] = Held(ask, choice, refused)
                return decision
            best, *runners_up = choice.scale.best(1 + RUNNERS_UP, now)
        container.node = best.node
        self.picture.occupy(container)
        self.picture.touch(container.app, container.service, container.slot)
        self._take_marks()
        placed.append(container)
        event = ContainerAssigned(
            app=container.app,
            service=container.service,
            slot=container.slot,
            attempt=container.attempt,
            node=best.node,
            revision=container.revision,
            digest=container.digest,
            not_before=container.not_before,
            moves=old.attempt if old is not None and old.node == best.node else 0,
            score=best.score,
            parts=best.parts,
            runners_up=runners_up,
            refused=refused,
            looked_at=looked_at,
        )
        # An assignment whose fate is unknown is never made a second time, to whichever node.
        return Decision(event, container.cause, unique=f"{container.name}@{container.attempt}")

    def _choice(self, ask: Ask) -> Choice:
        """Find where its equals can go, as it is now, and keep it for the next of them."""
        kind = ask.kind
        found = self._choices.pop(kind, None)
        if found is None:
            while len(self._choices) * len(self.picture.nodes) > NODES_KEPT:
                del self._choices[next(iter(self._choices))]
                self._held = {}
            found = Choice(self.picture, self._marks, ask, Scale)
            self._looks += found.looks
        else:
            self._catch_up(found, ask)
        self._choices[kind] = found
        return found

    def _catch_up(self, choice: Choice, ask: Ask) -> None:
        before = choice.looks
        choice.catch_up(ask)
        self._looks += choice.looks - before

    def _unplaceable(self, container: Container, refused: list[Refusal]) -> Decision | None:
        refused = refused or [Refusal("there is no node", 0)]
        if refused == container.refused:
            return None
        event = ContainerUnplaceable(
            app=container.app,
            service=container.service,
            slot=container.slot,
            attempt=container.attempt,
            refused=refused,
        )
        # Its cause moves on with every `unplaceable`, so each change of reasons has its own id.
        return Decision(event, container.cause, key=str(container.attempt))
