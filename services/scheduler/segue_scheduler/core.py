"""Decide which node runs each requested container, and say why, also when none can.

It also plans which containers to move when nodes are unevenly used. Ties go to the smaller name, so
that equal pictures give equal decisions. It never decides that something is to run or to stop.
"""

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
from segue.events.image import ImageEvent
from segue.events.leader import LeaderElected
from segue.events.rebalance import RebalancePlanned, RebalanceRequested
from segue.picture import Container
from segue.picture.ending import revivable

from segue_scheduler.choice import Choice
from segue_scheduler.filters import Ask, asked
from segue_scheduler.rebalance import answer, opportunity, plan
from segue_scheduler.scores import Scale

RUNNERS_UP = 3
LOOKS_AT_ONCE = 20_000  # A tenth of a second: its beats as leader must go on.
_EVERYDAY = (  # Where a container can go is the same before and after it.
    ContainerStarted,
    ContainerHealthy,
    ContainerUnhealthy,
    ImageEvent,
    LeaderElected,
)


class Scheduler(Core):
    """The scheduler's core."""

    service = "scheduler"

    def __init__(self) -> None:
        super().__init__()
        self._stale = True  # Something changed that may let a waiting container be placed.
        self._news = True  # Something changed at all: another plan may come of it.
        self._looks = 0  # In one decision.
        self._choices: dict[object, Choice] = {}  # By what equal containers have in common.

    def fold(self, record: Record) -> None:
        """Correct the picture; what is no everyday news may open or close a place."""
        super().fold(record)
        self._stale = self._stale or not isinstance(record.event, _EVERYDAY)
        self._news = True

    def decide(self, now: float) -> list[Decision]:
        """Place what waits; once nothing can be placed, look whether something is to be moved."""
        self.picture.touched.clear()  # The deployer's marks: nobody reads them here.
        due = self.wake_at is not None and now >= self.wake_at
        owed: list[Decision] = []
        if self._stale or due:
            later = [c.not_before for c in self.picture.pending.values() if c.not_before > now]
            self.wake_at = min(later, default=None)
            owed = self._place_all(now)
        if not owed and (self._news or due):
            owed = self._rebalance(now)
            self._news = bool(owed)
        return owed

    def _rebalance(self, now: float) -> list[Decision]:
        """Plan when asked, and unasked for a while after nodes or the last plan have settled."""
        for request in self.picture.state.requests.values():
            if request.type == RebalanceRequested.type:
                moves, reason = answer(self.picture)
                event = RebalancePlanned(moves=moves, reason=reason)
                return [Decision(event, request.cause, actor=request.actor)]
        found = opportunity(self.picture)
        if found is None or now > found.until:
            return []
        if now < found.since:
            self.wake_at = min(self.wake_at or found.since, found.since)
            return []
        moves = plan(self.picture)
        return [Decision(RebalancePlanned(moves=moves), found.cause)] if moves else []

    def _place_all(self, now: float) -> list[Decision]:
        """Place what waits, oldest first; each decision counts for the next.

        What is left over when that takes long is decided once this is in the log.
        """
        owed: list[Decision] = []
        placed: list[Container] = []
        self._looks, self._choices = 0, {}
        for container in list(self.picture.pending.values()):
            if container.not_before > now:
                continue
            if owed and (len(owed) >= MOST_DECISIONS or self._looks >= LOOKS_AT_ONCE):
                break
            decision = self._place(container, now, placed)
            if decision is not None:
                owed.append(decision)
        for container in placed:  # The log, not this loop, makes an assignment true.
            self.picture.vacate(container)
            container.node = ""
        self._choices = {}
        self._stale = bool(owed)  # Until it is seen in the log, it is owed again.
        return owed

    def _place(self, container: Container, now: float, placed: list[Container]) -> Decision | None:
        spec = self.picture.spec(container)
        slot = self.picture.slot(container.app, container.service, container.slot)
        if spec is None or slot is None:
            return None
        if revivable(self.picture, slot) not in (None, slot.moving):
            return None
        ask = asked(self.picture, container, spec, slot)
        choice = self._choice(ask, now)
        refused = choice.refused
        if not choice.scale.nodes:
            return self._unplaceable(container, refused)
        best, *runners_up = choice.scale.best(1 + RUNNERS_UP)
        container.node = best.node
        self.picture.occupy(container)
        placed.append(container)
        for other in self._choices.values():
            other.placed(container, self.picture.nodes[best.node])
        event = ContainerAssigned(
            app=container.app,
            service=container.service,
            slot=container.slot,
            attempt=container.attempt,
            node=best.node,
            revision=container.revision,
            digest=container.digest,
            not_before=container.not_before,
            score=best.score,
            parts=best.parts,
            runners_up=runners_up,
            refused=refused,
        )
        # An assignment whose fate is unknown is never made a second time, to whichever node.
        return Decision(event, container.cause, unique=f"{container.name}@{container.attempt}")

    def _choice(self, ask: Ask, now: float) -> Choice:
        found = self._choices.get(ask.kind)
        before = found.looks if found else 0
        if found is None:
            found = self._choices[ask.kind] = Choice(self.picture, ask, now, Scale)
        else:
            found.refresh(ask)
        self._looks += found.looks - before
        return found

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
