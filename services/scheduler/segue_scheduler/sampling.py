"""Choose among a few of a large cluster's nodes: enough to spread well, and few to be quick.

Which nodes are looked at follows from the container's name and attempt, so that equal pictures
give equal decisions. The best of so many taken by chance is hardly worse than the best of all, and
the price of a decision does not grow with the cluster. Where too few of them can take the
container, all are looked at instead: a refusal is never said by sample.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from segue.events.container import Candidate, Refusal
from segue.picture import Node, Picture
from segue.picture.indexed import EVERY_SLOT
from segue.placement import fact
from segue.spec import Resources

from segue_scheduler.filters import EVERYBODY, Ask, refusal
from segue_scheduler.marks import Marks
from segue_scheduler.scores import WEIGHTS, balance, reliable, spread

EXACT_TO = 200  # A cluster of so many nodes is looked at as a whole.
FITS, FITS_LEAST, LOOKS_MOST = 8, 4, 250
NODES_NAMED = 5
_NOTHING = Resources()
_SPREAD, _BALANCE, _RELIABLE, _IMAGE = WEIGHTS.values()
_STEPS = (10_007, 7_919, 15_485_863, 104_729, 1_299_709)  # Primes: one divides no cluster's size.


class Sample(NamedTuple):
    """The best of the nodes that were looked at, best first, and why the others were none."""

    best: list[Candidate]
    refused: list[Refusal]
    looks: int


class Mates:
    """Where the slots of a service are, by what each of its keys finds there."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.counts = [Counter[str]() for _ in keys]
        self.seen = -1
        self._at: dict[int, tuple[str, ...]] = {}

    def recount(self, picture: Picture, ask: Ask, marks: Marks) -> None:
        """Count again the slots that have changed."""
        if self.seen == marks.moment:
            return
        of = ask.container
        service = picture.service(of.app, of.service)
        slots = service.slots if service is not None else {}
        changed = marks.slots(of.app, of.service, self.seen) if self.seen >= 0 else [EVERY_SLOT]
        self.seen = marks.moment
        for number in {**self._at, **slots} if EVERY_SLOT in changed else changed:
            slot = slots.get(number)
            mate = slot.container if slot is not None else None
            node = None
            if mate is not None and mate.node and not picture.is_gone(mate):
                node = picture.nodes.get(mate.node)
            self._move(number, self.values(node) if node is not None else None)

    def values(self, node: Node) -> tuple[str, ...]:
        """Say what each key finds on a node."""
        if len(self.keys) == 1:
            return (node.name,)
        return tuple(fact(node, key) for key in self.keys)

    def on(self, node: Node) -> list[int]:
        """Tell for each key how many slots share what it finds on a node."""
        if len(self.keys) == 1:
            return [self.counts[0].get(node.name, 0)]
        found = zip(self.counts, self.values(node), strict=True)
        return [counts.get(value, 0) for counts, value in found]

    def _move(self, number: int, to: tuple[str, ...] | None) -> None:
        before = self._at.pop(number, None)
        if to is not None:
            self._at[number] = to
        if before == to:
            return
        for values, by in ((before, -1), (to, 1)):
            if values is not None:
                for counts, value in zip(self.counts, values, strict=True):
                    counts[value] += by


class Sampler:
    """Takes samples of the nodes of one picture."""

    def __init__(self, picture: Picture, marks: Marks, exact_to: int = EXACT_TO) -> None:
        self.picture, self.marks, self.exact_to = picture, marks, exact_to
        self._names: list[str] = []
        self._mates: dict[tuple[str, str], Mates] = {}

    def forget(self) -> None:
        """Nodes have come, gone, or changed."""
        self._names, self._mates = [], {}

    def take(self, ask: Ask, now: float) -> Sample | None:
        """Take a sample; None: the cluster is small, or too few of it can take the container."""
        if len(self.picture.nodes) <= self.exact_to:
            return None
        fits: list[Node] = []
        reasons: dict[str, list[str]] = {}
        looks, places, known = 0, self._places(ask), self.picture.nodes
        for name in places or self._chance(ask):
            node = known.get(name)
            if node is None:
                continue
            looks += 1
            if why := self._refusal(ask, node):
                reasons.setdefault(why, []).append(name)
                continue
            fits.append(node)
            if len(fits) == FITS:
                break
        if not fits or (not places and len(fits) < FITS_LEAST):
            return None
        refused = [Refusal(why, len(of), sorted(of)[:NODES_NAMED]) for why, of in reasons.items()]
        return Sample(self._ranked(ask, fits, now), refused, looks)

    def _refusal(self, ask: Ask, node: Node) -> str:
        """Ask the filters, but for a node that is as most are: it passes those that concern all."""
        if node.usable and not node.refusals and len(ask.checks) == len(EVERYBODY):
            used = self.picture.used.get(node.name)
            wants, has = ask.spec.resources, node.facts
            if used is None:
                used = _NOTHING
            if (
                wants.cpu_millicores + used.cpu_millicores <= has.cpu_millicores
                and wants.memory_bytes + used.memory_bytes <= has.memory_bytes
            ):
                return ""
        return "node has left" if node.phase == "left" else refusal(self.picture, ask, node)

    @staticmethod
    def _places(ask: Ask) -> list[str]:
        """Give the only nodes where it can be, if there are such."""
        only = ask.container.pinned or ask.container.target
        if not only and ask.spec.local_volumes:
            only = ask.slot.home
        return [only] if only else sorted(ask.data)

    def _chance(self, ask: Ask) -> Iterator[str]:
        if not self._names:
            self._names = sorted(self.picture.nodes)
        names, of = self._names, ask.container
        dice = crc32(f"{of.app}/{of.service}.{of.slot}@{of.attempt}".encode())
        step = next(step for step in _STEPS[dice % 4 :] if len(names) % step)
        at, many = dice % len(names), len(names)
        for _ in range(min(many, LOOKS_MOST)):
            yield names[at]
            at = (at + step) % many

    def _ranked(self, ask: Ask, fits: list[Node], now: float) -> list[Candidate]:
        of, name = ask.container, f"{ask.container.app}/{ask.container.service}"
        keys = [*ask.spec.placement.spread, "node.id"]
        mates = self._mates.get((of.app, of.service))
        if mates is None or mates.keys != keys:
            mates = self._mates[of.app, of.service] = Mates(keys)
        mates.recount(self.picture, ask, self.marks)
        there = [mates.on(node) for node in fits]
        leasts = [min(counts) for counts in zip(*there, strict=True)]
        image, found = ask.spec.image, list[tuple[float, str, tuple[float, ...]]]()
        for node, counts in zip(fits, there, strict=True):
            times = node.failures.get(name) if node.failures else None
            parts = (
                _SPREAD * spread(counts, leasts),
                _BALANCE * balance(self.picture, ask, node),
                _RELIABLE * reliable(times, now) if times else _RELIABLE,
                _IMAGE if image in node.images else 0.0,
            )
            found.append((-parts[0] - parts[1] - parts[2] - parts[3], node.name, parts))
        found.sort()
        return [
            Candidate(
                name,
                round(-total, 2),
                {word: round(part, 2) for word, part in zip(WEIGHTS, parts, strict=True)},
            )
            for total, name, parts in found[:FITS_LEAST]
        ]
