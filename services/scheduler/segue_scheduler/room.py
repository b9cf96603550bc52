"""Say how much room is missing where slots wait for it: once, and again when it is another.

Only what every other filter lets through waits for room. Who is about to stop makes room soon, so
a slot has to have waited for a while. It decides nothing else: who adds nodes, or takes less, does.
"""

from collections.abc import Iterator
from typing import NamedTuple

from segue.core import Decision
from segue.events.capacity import CapacityEased, CapacityExhausted, Shortage
from segue.picture import Container, Picture
from segue.picture.state import Capacity
from segue.spec import Resources

from segue_scheduler.filters import SHORT_OF, Ask, asked, room_aside

PATIENCE_S = 3.0
AGAIN_S = 10.0  # At most so often, but for its beginning and its end.
LOOK_S = 1.0
SHOWN = 20
_NOTHING = Resources()


class Lack(NamedTuple):
    """What a node lacks for so many equal slots."""

    cpu_millicores: int
    memory_bytes: int
    node: str

    @property
    def size(self) -> float:
        """Compare lacks: a core weighs as much as 4 GiB."""
        return self.cpu_millicores / 1_000 + self.memory_bytes / (4 << 30)


class Room:
    """What is said of one cluster's room."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.look_at = 0.0
        self.wakes = False  # Somebody waits, or it is to be said that nobody does any more.

    def decide(self, now: float) -> list[Decision]:
        """Say what is new, looking once a second."""
        if now < self.look_at:
            return []
        told = self._picture.state.capacity
        waiting = [one for one in self._picture.pending.values() if _lacks_room(one)]
        self.wakes = bool(waiting or (told is not None and told.shortages))
        if not self.wakes:
            return []
        patient = [one for one in waiting if now - _since(one) >= PATIENCE_S]
        owed = list(self._said(patient, waiting, told, now))
        if not owed:  # What is owed is asked for again until it is in the log.
            self.look_at = now + LOOK_S
        return owed

    def _said(
        self, patient: list[Container], waiting: list[Container], told: Capacity | None, now: float
    ) -> Iterator[Decision]:
        key = told.cause.id if told is not None else ""
        if told is not None and told.shortages and not waiting:
            yield Decision(_eased(told, now), told.cause, key=key)
            return
        found = list(self._shortages(patient))
        if not found:
            if patient and told is not None and told.shortages:
                yield Decision(_eased(told, now), told.cause, key=key)
            return
        if told is not None and told.shortages:
            same = told.slots == sum(one.slots for one in found) and told.shortages == found[:SHOWN]
            if same or now - told.at < AGAIN_S:
                return
        event = CapacityExhausted(
            slots=sum(one.slots for one in found),
            lacks_cpu_millicores=sum(one.lacks_cpu_millicores for one in found),
            lacks_memory_bytes=sum(one.lacks_memory_bytes for one in found),
            shortages=found[:SHOWN],
        )
        newest = max(patient, key=lambda one: (one.requested_at, one.name))
        yield Decision(event, newest.cause, key=key)

    def _shortages(self, waiting: list[Container]) -> Iterator[Shortage]:
        equals: dict[tuple[str, str, str], list[Container]] = {}
        for one in waiting:
            equals.setdefault((one.app, one.service, one.digest), []).append(one)
        taken: set[str] = set()  # Nodes whose free room was counted already.
        for key in sorted(equals):
            shortage = self._shortage(equals[key], taken)
            if shortage is not None:
                taken.add(shortage.node)
                yield shortage

    def _shortage(self, waiting: list[Container], taken: set[str]) -> Shortage | None:
        first = waiting[0]
        spec = self._picture.spec(first)
        slot = self._picture.slot(first.app, first.service, first.slot)
        if spec is None or slot is None:
            return None
        ask, count, wants = asked(self._picture, first, spec, slot), len(waiting), spec.resources
        lacks = list(self._lacks(ask, count, taken))
        if not lacks:
            return None
        least = min(lacks, key=lambda one: (one.size, one.node))
        return Shortage(
            app=first.app,
            service=first.service,
            slots=count,
            cpu_millicores=wants.cpu_millicores,
            memory_bytes=wants.memory_bytes,
            lacks_cpu_millicores=least.cpu_millicores,
            lacks_memory_bytes=least.memory_bytes,
            node=least.node,
            candidates=len(lacks),
        )

    def _lacks(self, ask: Ask, count: int, taken: set[str]) -> Iterator[Lack]:
        """Give of each node that may run it what it lacks for all of them."""
        wants = ask.spec.resources
        for name, node in self._picture.nodes.items():
            if node.phase == "left" or room_aside(self._picture, ask, node):
                continue
            used = self._picture.used.get(name, _NOTHING)
            cpu = max(0, node.facts.cpu_millicores - used.cpu_millicores)
            memory = max(0, node.facts.memory_bytes - used.memory_bytes)
            if name in taken:
                cpu = memory = 0
            yield Lack(
                max(0, count * wants.cpu_millicores - cpu),
                max(0, count * wants.memory_bytes - memory),
                name,
            )


def _eased(told: Capacity, now: float) -> CapacityEased:
    return CapacityEased(waited_s=round(max(0.0, now - told.since), 3))


def _lacks_room(container: Container) -> bool:
    return any(refusal.reason.startswith(SHORT_OF) for refusal in container.refused)


def _since(container: Container) -> float:
    return max(container.requested_at, container.not_before)
