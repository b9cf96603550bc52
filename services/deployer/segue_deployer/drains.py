"""Empty a node: move what is on it, say what is in the way, and when it is done.

At the deadline what is left is stopped without waiting for a successor; only slots whose data are
on the node stay. Until the node is uncordoned, what comes there all the same is moved away too.
"""

from collections.abc import Collection

from segue.core import Decision
from segue.events.node import Blocker, NodeDrained, NodeDrainHeld
from segue.picture import Container, Node, Picture, Slot
from segue.picture.state import Drain
from segue.wants import spec_of

from segue_deployer import moves
from segue_deployer.moves import Budget

BLOCKERS_SHOWN = 100


def decide(
    picture: Picture, budget: Budget, now: float, undecided: Collection[str]
) -> list[Decision]:
    """Say what is owed to the nodes that are to be empty, once their apps are decided on."""
    owed: list[Decision] = []
    for name in sorted(picture.draining):
        node = picture.nodes[name]
        if node.drain is not None:
            owed += _Sweep(picture, node, node.drain, budget, now, undecided).decide()
    return owed


def deadline(picture: Picture, now: float) -> float | None:
    """Give when the clock alone makes what is left be stopped."""
    drains = (picture.nodes[name].drain for name in picture.draining)
    ends = [drain.deadline_at for drain in drains if drain is not None and not drain.done]
    return min((end for end in ends if end > now), default=None)


class _Sweep:
    """One look at all that is on a node."""

    def __init__(  # noqa: PLR0917 — made in one place.
        self,
        picture: Picture,
        node: Node,
        drain: Drain,
        budget: Budget,
        now: float,
        undecided: Collection[str],
    ) -> None:
        self.picture, self.node, self.drain, self.budget = picture, node, drain, budget
        self.undecided, self.over = undecided, now >= drain.deadline_at
        self.owed: list[Decision] = []
        self.blockers: list[Blocker] = []
        self.left: list[str] = []
        self.waits = False  # For something that is under way.

    def decide(self) -> list[Decision]:
        there = self.picture.on_node.get(self.node.name, {})
        for key in sorted(there):
            self._look(there[key])
        if self.owed or self.waits or self.drain.done:
            return self.owed
        if not self.blockers:
            event = NodeDrained(node=self.node.name, moved=self.drain.moved, left=self.left)
            return [Decision(event, self.drain.cause)]
        blockers = self.blockers[:BLOCKERS_SHOWN]
        if blockers == self.drain.blockers:
            return []
        return [Decision(NodeDrainHeld(node=self.node.name, blockers=blockers), self.drain.cause)]

    def _look(self, container: Container) -> None:
        if self.picture.is_gone(container):
            return
        app = self.picture.apps[container.app]
        service = app.services[container.service]
        slot = service.slots[container.slot]
        goes_anyway = (
            container.retired
            or app.phase in ("removing", "removed")
            or not service.wanted
            or service.spec.is_global
            or slot.number > service.replicas
        )
        if goes_anyway or app.name in self.undecided or self.node.phase == "lost":
            self.waits = True
        elif self.over:
            if spec_of(service, container).local_volumes:
                self.left.append(container.name)
            else:
                self.owed.append(moves.stop_first(service, container, self.drain.cause))
        elif container is not slot.container:
            self._look_at_leaving(container, slot)
        else:
            self._move(container, slot)

    def _look_at_leaving(self, container: Container, slot: Slot) -> None:
        successor = slot.container
        if container is slot.moving and successor is not None and successor.refused:
            reasons = "; ".join(refusal.reason for refusal in successor.refused)
            self._hold(container, f"no other node can take it: {reasons}")
        else:
            self.waits = True

    def _move(self, container: Container, slot: Slot) -> None:
        app = self.picture.apps[container.app]
        service = app.services[container.service]
        way = moves.way(self.picture, app, service, container, self.budget)
        if way.how == "start_first":
            cause = self.drain.cause
            self.owed.append(moves.start_first(self.picture, app, service, slot, cause))
        elif way.how == "stop_first":
            self.owed.append(moves.stop_first(service, container, self.drain.cause))
        else:
            self._hold(container, way.reason)

    def _hold(self, container: Container, reason: str) -> None:
        blocker = Blocker(container.app, container.service, container.slot, reason)
        self.blockers.append(blocker)
