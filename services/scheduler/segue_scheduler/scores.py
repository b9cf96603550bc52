"""Score the nodes that can take a container: 0 to 100, the greater the better.

The parts and their weights, in the order of their weight: the service's slots are spread over the
preferences and the nodes, no node fills up before the others, a node where the service just failed
is avoided, an image that is already there is used.
"""

import heapq
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
    """What one container's scores are relative to, computed once for all nodes."""

    def __init__(self, picture: Picture, ask: Ask, nodes: list[Node]) -> None:
        self.picture, self.ask, self.nodes = picture, ask, nodes
        self.keys = [*ask.spec.placement.spread, "node.id"]
        self.mates = [Counter[str]() for _ in self.keys]
        service = picture.service(ask.container.app, ask.container.service)
        for slot in service.slots.values() if service else ():
            mate = slot.container
            if mate is None or slot.number == ask.container.slot or picture.is_gone(mate):
                continue
            node = picture.nodes.get(mate.node)
            if node is not None:
                for count, key in zip(self.mates, self.keys, strict=True):
                    count[fact(node, key)] += 1
        self.lightest = [
            min((count[fact(node, key)] for node in nodes), default=0)
            for count, key in zip(self.mates, self.keys, strict=True)
        ]

    def best(self, most: int, now: float) -> list[Candidate]:
        """Give the best nodes, best first; a tie goes to the smaller name."""
        scored = [(self._parts(node, now), node.name) for node in self.nodes]
        ranked = heapq.nsmallest(most, scored, key=lambda one: (-round(sum(one[0]), 2), one[1]))
        return [
            Candidate(name, round(sum(parts), 2), dict(zip(WEIGHTS, parts, strict=True)))
            for parts, name in ranked
        ]

    def _parts(self, node: Node, now: float) -> tuple[float, ...]:
        """Score a node, in the order of the weights."""
        return (
            round(WEIGHTS["spread"] * self._spread(node), 2),
            round(WEIGHTS["balance"] * self._balance(node), 2),
            round(WEIGHTS["reliable"] * self._reliable(node, now), 2),
            WEIGHTS["image"] if self.ask.spec.image in node.images else 0.0,
        )

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

    def _reliable(self, node: Node, now: float) -> float:
        if not node.failures:
            return 1.0
        container = self.ask.container
        times = node.failures.get(f"{container.app}/{container.service}", ())
        recent = sum(now - time < FAILURES_COUNT_FOR_S for time in times)
        return 1 - min(recent, FAILURES_MOST) / FAILURES_MOST
