"""Part the nodes into those that can take a container and the reasons of the others, and rank them.

One choice serves all containers that are equal, within one decision: what is placed meanwhile only
takes room, so only the nodes that it is placed on are looked at again.
"""

from bisect import insort

from segue.events.container import Refusal
from segue.picture import Container, Node, Picture

from segue_scheduler.filters import Ask, refusal
from segue_scheduler.scores import Scale

NODES_NAMED = 5


class Choice:
    """Where a container and its equals can go."""

    def __init__(self, picture: Picture, ask: Ask, now: float, scale: type[Scale]) -> None:
        self.picture, self.ask = picture, ask
        self._reasons: dict[str, list[str]] = {}  # With the nodes' names, in order.
        self._reason: dict[str, str] = {}  # By node.
        self._placed: list[tuple[Node, bool]] = []  # Since the last look.
        self._refused: list[Refusal] | None = None
        nodes = [picture.nodes[name] for name in sorted(picture.nodes)]
        fit = [node for node in nodes if not self._refuse(node)]
        service = picture.service(ask.container.app, ask.container.service)
        self._looks = len(nodes) + (len(service.slots) if service and fit else 0)
        self.scale = scale(picture, ask, fit, now)

    @property
    def looks(self) -> int:
        """Tell how many nodes and slots were looked at."""
        return self._looks + self.scale.scored

    @property
    def refused(self) -> list[Refusal]:
        """Why the other nodes cannot take it."""
        if self._refused is None:
            in_order = sorted(self._reasons.items(), key=lambda item: item[1][0])
            self._refused = [
                Refusal(reason, len(names), names[:NODES_NAMED]) for reason, names in in_order
            ]
        return self._refused

    def placed(self, container: Container, node: Node) -> None:
        """Note that a container, of whichever service, was placed on a node."""
        mine = self.ask.container
        mate = (container.app, container.service) == (mine.app, mine.service)
        self._placed.append((node, mate))

    def refresh(self, ask: Ask) -> None:
        """Look again, for the next of the equals, at the nodes on which something was placed."""
        self.ask = self.scale.ask = ask  # What was placed before it is none of its own.
        placed, self._placed = self._placed, []
        for node, mate in placed:
            self._looks += 1
            refused = self._refuse(node)
            self.scale.placed(node, mate=mate, fits=not refused)

    def _refuse(self, node: Node) -> bool:
        reason = "node has left" if node.phase == "left" else refusal(self.picture, self.ask, node)
        before = self._reason.get(node.name, "")
        if reason != before:
            self._refused = None
            self._reason[node.name] = reason
            if before:
                self._reasons[before].remove(node.name)
                if not self._reasons[before]:
                    del self._reasons[before]
            insort(self._reasons.setdefault(reason, []), node.name)
        return bool(reason)
