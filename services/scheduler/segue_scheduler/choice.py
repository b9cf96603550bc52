"""Part the nodes into those that can take a container and the reasons of the others, and rank them.

One choice serves all containers that are equal, for as long as it is kept: only the nodes and slots
that the picture has marked since are looked at again.
"""

from bisect import bisect_left, insort

from segue.events.container import Refusal
from segue.picture import Picture

from segue_scheduler.filters import Ask, refusal
from segue_scheduler.marks import Marks
from segue_scheduler.scores import Scale

NODES_NAMED = 5


class Choice:
    """Where a container and its equals can go."""

    def __init__(self, picture: Picture, marks: Marks, ask: Ask, scale: type[Scale]) -> None:
        self.picture, self.marks, self.ask = picture, marks, ask
        self.scale = scale(picture, ask)
        self._reasons: dict[str, list[str]] = {}  # With the nodes' names, in order.
        self._reason: dict[str, str] = {}  # By node.
        self._refused: list[Refusal] | None = None
        self._seen = marks.moment
        self.looks = self.scale.recount()  # How many nodes and slots were looked at so far.
        for name in sorted(picture.nodes):
            self._look(name)

    @property
    def refused(self) -> list[Refusal]:
        """Why the other nodes cannot take it; the same list for as long as it is the same."""
        if self._refused is None:
            in_order = sorted(self._reasons.items(), key=lambda item: item[1][0])
            self._refused = [
                Refusal(reason, len(names), names[:NODES_NAMED]) for reason, names in in_order
            ]
        return self._refused

    @property
    def behind(self) -> bool:
        """Something has changed since it last caught up."""
        return self._seen != self.marks.moment

    def catch_up(self, ask: Ask) -> None:
        """Look again, for this of the equals, at what has changed."""
        self.ask = ask  # What was placed before it is none of its own.
        since, self._seen = self._seen, self.marks.moment
        if since == self._seen:
            return
        of = self.ask.container
        self.looks += self.scale.recount(self.marks.slots(of.app, of.service, since))
        for name in self.marks.nodes(since):
            self._look(name)

    def _look(self, name: str) -> None:
        self.looks += 1
        node = self.picture.nodes.get(name)
        if node is None:
            self._put(name, None)
            self.looks += self.scale.gone(name)
            return
        reason = "node has left" if node.phase == "left" else refusal(self.picture, self.ask, node)
        self._put(name, reason)
        self.looks += self.scale.look(self.ask, node, fits=not reason)

    def _put(self, name: str, reason: str | None) -> None:
        """Keep why a node cannot take it; the empty reason is that of those that can."""
        before = self._reason.pop(name, None)
        if reason is not None:
            self._reason[name] = reason
        if reason == before:
            return
        self._refused = None
        if before:
            names = self._reasons[before]
            del names[bisect_left(names, name)]
            if not names:
                del self._reasons[before]
        if reason:
            insort(self._reasons.setdefault(reason, []), name)
