"""Score the nodes that can take a container: 0 to 100, the greater the better.

The parts and their weights, in the order of their weight: the service's slots are spread over the
preferences and the nodes, no node fills up before the others, a node where the service just failed
is avoided, an image that is already there is used.
"""

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence

from segue.events.container import Candidate
from segue.picture import Node, Picture
from segue.picture.indexed import EVERY_SLOT
from segue.placement import fact
from segue.spec import Resources

from segue_scheduler.filters import Ask

WEIGHTS = {"spread": 40.0, "balance": 30.0, "reliable": 20.0, "image": 10.0}
FAILURES_COUNT_FOR_S = 300.0  # SwarmKit's window: 5 failures in 5 minutes.
FAILURES_MOST = 5
_NOTHING = Resources()
Group = tuple[str | int, ...]  # What each preference finds on a node, and how many are on it.
Rank = tuple[float, str]  # Of a node in its group: its parts' sum, negative, and its name.


class Spread:
    """How many slots of a service share each value of one key, and the least of any to be had."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self._uses = Counter[str]()  # How many nodes that can take a slot have each value …
        self._levels = Counter[int]()  # … and how many such values have as many slots.

    @property
    def least(self) -> int:
        """The count of the value that has the fewest."""
        return min(self._levels, default=0)

    def count(self, value: str, by: int) -> None:
        """Count a slot more or less."""
        if self._uses[value]:
            self._level(self.counts[value], -1)
            self._level(self.counts[value] + by, 1)
        self.counts[value] += by

    def use(self, value: str, by: int) -> None:
        """Count a node more or less that can take a slot."""
        before = self._uses[value]
        self._uses[value] += by
        if not before or not self._uses[value]:
            self._level(self.counts[value], by)

    def _level(self, count: int, by: int) -> None:
        self._levels[count] += by
        if not self._levels[count]:
            del self._levels[count]


class Scale:
    """The scores of the nodes that can take a container, and any other that is its equal.

    Nodes are ranked within groups of those that have equally much of the service, for what is
    placed changes how such groups compare, but not the nodes within each.
    """

    def __init__(self, picture: Picture, ask: Ask) -> None:
        self.picture, self.ask, self.now = picture, ask, 0.0
        self.keys = [*ask.spec.placement.spread, "node.id"]
        self._values: dict[str, tuple[str, ...]] = {}  # Of each key, by node.
        self._at: dict[int, tuple[str, ...]] = {}  # Where each slot was counted, by its values.
        self._spreads = [Spread() for _ in self.keys]
        self._own: dict[str, tuple[float, ...]] = {}  # The parts that no other node changes.
        self._place: dict[str, tuple[Group, Rank]] = {}  # By node that can take it.
        self._groups: dict[Group, list[Rank]] = {}
        self._moved: set[str] = set()  # Nodes that may belong to another group now.
        self._shaky: dict[str, float] = {}  # Where it failed, until when the oldest of it counts …
        self._steady_at = math.inf  # … and the least of these times.

    @property
    def fits(self) -> bool:
        """Some node can take it."""
        return bool(self._place)

    def recount(self, numbers: Iterable[int] = (EVERY_SLOT,)) -> int:
        """Count again where these slots of the service are; tell how many were looked at."""
        container = self.ask.container
        service = self.picture.service(container.app, container.service)
        slots = service.slots if service is not None else {}
        changed = [*numbers]
        if EVERY_SLOT in changed:
            changed = [*{**self._at, **slots}]
        for number in changed:
            slot = slots.get(number)
            mate = slot.container if slot is not None else None
            at: tuple[str, ...] | None = None
            if mate is not None and mate.node and not self.picture.is_gone(mate):
                node = self.picture.nodes.get(mate.node)
                at = self._facts(node) if node is not None else None
            before = self._at.pop(number, None)
            if at is not None:
                self._at[number] = at
            if at != before:
                self._count(before, -1)
                self._count(at, 1)
        return len(changed)

    def look(self, ask: Ask, node: Node, *, fits: bool) -> int:
        """Score a node again that can take it, or know that it cannot; tell what else was."""
        self.ask = ask
        looks, values = 0, self._facts(node)
        if self._values.get(node.name) not in (None, values):
            looks = self.gone(node.name)  # Its labels have changed.
        self._values[node.name] = values
        if fits:
            if node.name not in self._place:
                for spread, value in zip(self._spreads, values, strict=True):
                    spread.use(value, 1)
            self._own[node.name] = self._score(node)
            self._rank(node.name)
        else:
            self._drop(node.name)
        return looks

    def gone(self, name: str) -> int:
        """Forget a node; what was counted there counts elsewhere, or nowhere."""
        self._drop(name)
        self._values.pop(name, None)
        return self.recount()

    def best(self, most: int, now: float) -> list[Candidate]:
        """Give the best nodes, best first; a tie goes to the smaller name."""
        self.now = now
        if now >= self._steady_at:
            steady = [name for name, at in self._shaky.items() if now >= at]
            self._steady_at = min((at for at in self._shaky.values() if now < at), default=math.inf)
            for name in steady:
                self._own[name] = self._score(self.picture.nodes[name])
            self._moved.update(steady)
        for name in self._moved:
            if name in self._place:
                self._rank(name)
        self._moved = set()
        leasts = [spread.least for spread in self._spreads]
        found: list[tuple[float, str, float]] = []
        for group, ranked in self._groups.items():
            part = round(WEIGHTS["spread"] * self._spread(group, leasts), 2)
            for _, name in ranked[:most]:
                found.append((-round(sum((part, *self._own[name])), 2), name, part))
        return [
            Candidate(name, -total, dict(zip(WEIGHTS, (part, *self._own[name]), strict=True)))
            for total, name, part in sorted(found)[:most]
        ]

    def _facts(self, node: Node) -> tuple[str, ...]:
        if len(self.keys) == 1:
            return (node.name,)
        return tuple(fact(node, key) for key in self.keys)

    def _count(self, at: tuple[str, ...] | None, by: int) -> None:
        if at is None:
            return
        for spread, value in zip(self._spreads, at, strict=True):
            spread.count(value, by)
        self._moved.add(at[-1])

    def _drop(self, name: str) -> None:
        if name in self._place:
            self._unrank(name)
            for spread, value in zip(self._spreads, self._values[name], strict=True):
                spread.use(value, -1)
        self._own.pop(name, None)
        self._shaky.pop(name, None)

    def _rank(self, name: str) -> None:
        group: Group = (*self._values[name][:-1], self._spreads[-1].counts[name])
        place = group, (-round(sum(self._own[name]), 2), name)
        if place != self._place.get(name):
            self._unrank(name)
            self._place[name] = place
            insort(self._groups.setdefault(group, []), place[1])

    def _unrank(self, name: str) -> None:
        place = self._place.pop(name, None)
        if place is not None:
            ranked = self._groups[place[0]]
            del ranked[bisect_left(ranked, place[1])]
            if not ranked:
                del self._groups[place[0]]

    def _spread(self, group: Group, leasts: list[int]) -> float:
        counts = [
            value if isinstance(value, int) else spread.counts[value]
            for spread, value in zip(self._spreads, group, strict=True)
        ]
        return spread(counts, leasts)

    def _score(self, node: Node) -> tuple[float, ...]:
        """Give the parts of a node's score that no other node changes, in order of the weights."""
        return (
            round(WEIGHTS["balance"] * self._balance(node), 2),
            round(WEIGHTS["reliable"] * self._reliable(node), 2),
            WEIGHTS["image"] if self.ask.spec.image in node.images else 0.0,
        )

    def _balance(self, node: Node) -> float:
        return balance(self.picture, self.ask, node)

    def _reliable(self, node: Node) -> float:
        self._shaky.pop(node.name, None)
        if not node.failures:
            return 1.0
        container = self.ask.container
        times = node.failures.get(f"{container.app}/{container.service}", ())
        if recent := _recent(times, self.now):
            self._shaky[node.name] = until = recent[0] + FAILURES_COUNT_FOR_S
            self._steady_at = min(self._steady_at, until)
        return reliable(times, self.now)


def spread(counts: Sequence[int], leasts: Sequence[int]) -> float:
    """Prefer where the fewest are; an earlier preference outweighs all later ones together.

    Both by preference, in the order of Compose's list: how many are there, and the least of any.
    """
    if len(counts) == 1:
        return 1 / (1 + counts[0] - leasts[0])
    total, weight, most = 0.0, 1.0, 0.0
    for count, least in zip(counts, leasts, strict=True):
        total += weight / (1 + count - least)
        most += weight
        weight /= 4
    return total / most


def balance(picture: Picture, ask: Ask, node: Node) -> float:
    """Prefer the node whose fuller resource stays the emptiest."""
    used = picture.used.get(node.name, _NOTHING)
    wants, has = ask.spec.resources, node.facts
    on_node = len(picture.on_node.get(node.name, ()))
    cpu = (used.cpu_millicores + wants.cpu_millicores) / (has.cpu_millicores or 1)
    memory = (used.memory_bytes + wants.memory_bytes) / (has.memory_bytes or 1)
    crowd = on_node / (on_node + 100)  # Containers without reservations weigh a little too.
    return max(0.0, 1 - max(cpu, memory, crowd))


def reliable(failures: Sequence[float], now: float) -> float:
    """Prefer a node where the service has not failed of late; the times are in order."""
    return 1 - min(len(_recent(failures, now)), FAILURES_MOST) / FAILURES_MOST


def _recent(failures: Sequence[float], now: float) -> list[float]:
    return [time for time in failures if now - time < FAILURES_COUNT_FOR_S]
