"""Score the nodes that can take a container: 0 to 100, the greater the better.

The parts and their weights, in the order of their weight: the service's slots are spread over the
preferences and the nodes, no node fills up before the others, a node where the service just failed
is avoided, an image that is already there is used.
"""

from bisect import bisect_left, insort
from collections import Counter

from segue.events.container import Candidate
from segue.picture import Node, Picture
from segue.placement import fact
from segue.spec import Resources

from segue_scheduler.filters import Ask

WEIGHTS = {"spread": 40.0, "balance": 30.0, "reliable": 20.0, "image": 10.0}
FAILURES_COUNT_FOR_S = 300.0  # SwarmKit's window: 5 failures in 5 minutes.
FAILURES_MOST = 5
_NOTHING = Resources()


class Scale:
    """The scores of the nodes that can take a container, and any other that is its equal.

    Once one of them has been placed, only what that changes is scored again.
    """

    def __init__(self, picture: Picture, ask: Ask, nodes: list[Node], now: float) -> None:
        self.picture, self.ask, self.now = picture, ask, now
        self.nodes = {node.name: node for node in nodes}
        self.scored = 0  # Nodes, to know how long it took.
        self.keys = [*ask.spec.placement.spread, "node.id"]
        self.mates = [Counter[str]() for _ in self.keys]
        service = picture.service(ask.container.app, ask.container.service)
        for slot in service.slots.values() if service else ():
            mate = slot.container
            if mate is None or slot.number == ask.container.slot or picture.is_gone(mate):
                continue
            node = picture.nodes.get(mate.node)
            if node is not None:
                self._count(node)
        self._own: dict[str, tuple[float, ...]] = {}  # The parts that no other node changes.
        self._ranked: list[tuple[float, str]] = []
        self._totals: dict[str, float] = {}
        self.lightest = self._lightest()
        for node in nodes:
            self._score(node)

    def placed(self, node: Node, *, mate: bool, fits: bool) -> None:
        """Know that a container was placed on a node, and whether another fits on it."""
        if mate:
            self._count(node)
        self._own.pop(node.name, None)
        if node.name in self.nodes and not fits:
            del self.nodes[node.name]
            self._unrank(node.name)
        lightest = self._lightest() if mate or not fits else self.lightest
        if lightest != self.lightest or (mate and len(self.keys) > 1):
            self.lightest = lightest
            for one in self.nodes.values():
                self._score(one)
        elif fits:
            self._score(node)

    def best(self, most: int) -> list[Candidate]:
        """Give the best nodes, best first; a tie goes to the smaller name."""
        return [
            Candidate(name, -total, dict(zip(WEIGHTS, self._parts(self.nodes[name]), strict=True)))
            for total, name in self._ranked[:most]
        ]

    def _count(self, node: Node) -> None:
        for count, key in zip(self.mates, self.keys, strict=True):
            count[fact(node, key)] += 1

    def _lightest(self) -> list[int]:
        return [
            min((count[fact(node, key)] for node in self.nodes.values()), default=0)
            for count, key in zip(self.mates, self.keys, strict=True)
        ]

    def _score(self, node: Node) -> None:
        self.scored += 1
        total = -round(sum(self._parts(node)), 2)
        if total != self._totals.get(node.name):
            self._unrank(node.name)
            self._totals[node.name] = total
            insort(self._ranked, (total, node.name))

    def _unrank(self, name: str) -> None:
        total = self._totals.pop(name, None)
        if total is not None:
            del self._ranked[bisect_left(self._ranked, (total, name))]

    def _parts(self, node: Node) -> tuple[float, ...]:
        """Score a node, in the order of the weights."""
        if node.name not in self._own:
            self._own[node.name] = (
                round(WEIGHTS["balance"] * self._balance(node), 2),
                round(WEIGHTS["reliable"] * self._reliable(node), 2),
                WEIGHTS["image"] if self.ask.spec.image in node.images else 0.0,
            )
        return (round(WEIGHTS["spread"] * self._spread(node), 2), *self._own[node.name])

    def _spread(self, node: Node) -> float:
        """An earlier preference outweighs all later ones together, as in Compose's list."""
        total, weight, most = 0.0, 1.0, 0.0
        for count, key, least in zip(self.mates, self.keys, self.lightest, strict=True):
            total += weight / (1 + count[fact(node, key)] - least)
            most += weight
            weight /= 4
        return total / most

    def _balance(self, node: Node) -> float:
        """Prefer the node whose fuller resource stays the emptiest."""
        used = self.picture.used.get(node.name, _NOTHING)
        wants = self.ask.spec.resources
        on_node = len(self.picture.on_node.get(node.name, ()))
        cpu = (used.cpu_millicores + wants.cpu_millicores) / max(1, node.facts.cpu_millicores)
        memory = (used.memory_bytes + wants.memory_bytes) / max(1, node.facts.memory_bytes)
        crowd = on_node / (on_node + 100)  # Containers without reservations weigh a little too.
        return max(0.0, 1 - max(cpu, memory, crowd))

    def _reliable(self, node: Node) -> float:
        if not node.failures:
            return 1.0
        container = self.ask.container
        times = node.failures.get(f"{container.app}/{container.service}", ())
        recent = sum(self.now - time < FAILURES_COUNT_FOR_S for time in times)
        return 1 - min(recent, FAILURES_MOST) / FAILURES_MOST
