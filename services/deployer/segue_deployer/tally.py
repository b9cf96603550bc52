"""Keep, of each service, which of its slots are owed something, so that news costs what it touches.

A tally follows from the picture alone: a slot is looked at again once the picture has marked it,
and every slot once what concerns them all has changed. Losing a tally loses nothing.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec
from segue.envelope import Cause
from segue.picture import UP, App, Container, Picture, Service, Slot
from segue.wants import at_hand, current, digest_of, ready, serves, spec_of, version, wanted_slots

from segue_deployer.restart import restart_at
from segue_deployer.settling import unneeded, works

LOOP_FAILURES = 5
Place = tuple[str, int]  # The node that a slot is pinned to and its number: the slots' order.
Kind = Literal[
    "unwanted",  # A container is to go, whatever else is.
    "owing",  # Something is owed now.
    "gated",  # A container is owed once the service may begin.
    "outdated",  # A working container is to be replaced once the others can spare it.
    "turned",  # A working container is to be replaced now: its slot was advanced.
    "first",  # Its slot is to be advanced before others: there is nothing to lose.
    "rest",  # Its slot is still to be advanced.
    "advancing",  # Its slot was advanced and is not yet as it is to be.
    "relief",  # The new version works, and the old one that it relieves does so still.
    "leftover",  # Not advanced, and has both versions from a rollout before; one goes in this look.
    "blocking",  # It is not yet as the revision wants it …
    "used_up",  # … and its restarts are used up …
    "looping",  # … or it fails again and again.
]


class Look(msgspec.Struct, frozen=True):
    """What one slot adds to its service's tally."""

    place: Place
    kinds: tuple[Kind, ...] = ()
    missing: int = 0  # It does not work, or is being stopped.
    extra: int = 0  # Containers that still run and are not wanted.
    running: int = 0


class Tally:
    """A service's slots by what is owed to them, each kind in the slots' order."""

    def __init__(self, picture: Picture, app: App, service: Service) -> None:
        self.missing = self.extra = self.running = 0
        self._wanted = wanted_slots(picture, app, service)
        self._at_hand = at_hand(picture, app, service)
        self.at_hand = len(self._at_hand)
        self._looks: dict[int, Look] = {}
        self._places: dict[Kind, list[Place]] = {}
        self._opened: dict[str, tuple[float, Cause] | None] = {}
        self.refresh(picture, app, service, self._wanted.keys() | service.slots.keys())

    def places(self, kind: Kind) -> list[Place]:
        """Give the slots of a kind, in their order."""
        return self._places.get(kind, [])

    def refresh(self, picture: Picture, app: App, service: Service, changed: Iterable[int]) -> None:
        """Look again at the slots that changed."""
        for number in sorted(changed):
            if number in self._wanted or number in service.slots:
                self._take(number, self._look(picture, app, service, number))
                self._opened = {}

    def _take(self, number: int, new: Look) -> None:
        old = self._looks.get(number) or Look(new.place)
        self._looks[number] = new
        self.missing += new.missing - old.missing
        self.extra += new.extra - old.extra
        self.running += new.running - old.running
        for kind in old.kinds:
            if kind not in new.kinds:
                places = self._places[kind]
                del places[bisect_left(places, old.place)]
        for kind in new.kinds:
            if kind not in old.kinds:
                insort(self._places.setdefault(kind, []), new.place)

    def _look(self, picture: Picture, app: App, service: Service, number: int) -> Look:
        slot = service.slots.get(number) or Slot(number=number)
        place = self._wanted.get(number, ""), number
        there = [one for one in slot.containers() if not picture.is_gone(one)]
        if number not in self._wanted:
            leaves = any(not one.ended and not one.retired for one in slot.containers())
            kinds: tuple[Kind, ...] = ("unwanted",) if leaves else ()
            return Look(place, kinds, extra=len(there), running=len(there))
        extra = sum(one not in (slot.container, slot.moving) for one in there)
        if number not in self._at_hand:
            return Look(place, extra=extra, running=len(there))
        container = slot.container
        arrived = container is not None and _is_done(service, container)
        missing = not arrived and (container is None or not works(picture, service, container))
        return Look(
            place,
            (
                *_owed(picture, app, service, slot),
                *_rolls(picture, service, slot),
                *_blocks(picture, app, service, slot),
            ),
            missing=missing,
            extra=extra,
            running=len(there),
        )

    def opened(self, service: Service, condition: str) -> tuple[float, Cause] | None:
        """Give when and by which event the last slot met a dependent's condition, if all do."""
        if condition not in self._opened:
            self._opened[condition] = self._all_open(service, condition)
        return self._opened[condition]

    def _all_open(self, service: Service, condition: str) -> tuple[float, Cause] | None:
        last: tuple[float, Cause] | None = None
        for number in (*(number for _, number in self.places("blocking")), *self._at_hand):
            if _opener(service, service.slots.get(number), condition) is None:
                return None
        for number in self._at_hand:
            container = _opener(service, service.slots[number], condition)
            assert container is not None, "it was asked above"
            since = container.ended_at or container.healthy_at or container.started_at
            if last is None or since >= last[0]:
                last = since, container.cause
        return last


def _owed(picture: Picture, app: App, service: Service, slot: Slot) -> Iterator[Kind]:
    """Say what is owed to a slot that is at hand, for all that the slot alone tells."""
    container = slot.container
    owing = any(unneeded(picture, service, slot))
    if slot.over_time:
        pass  # Nothing more is tried.
    elif container is not None and not over(picture, service, container):
        if not current(service, container) and not container.retired:
            if not ready(service, container):
                owing = True
            elif service.rollout is None:
                yield "outdated"
            elif container.slot in service.rollout.advanced:
                yield "turned"
    elif container is None or begins_anew(service, container):
        yield "gated"
    elif not container.ended or ended_as_told(container):
        owing = True
    else:
        spec = version(service, slot.number).spec
        restarts = restart_at(spec, slot, container, app.accepted_at) is not None
        owing = owing or restarts
    if owing:
        yield "owing"


def _rolls(picture: Picture, service: Service, slot: Slot) -> Iterator[Kind]:
    """Say how far a slot is on its way from one version to another."""
    rollout, container = service.rollout, slot.container
    if rollout is None:
        return
    if container is not None and not works(picture, service, container):
        container = container if _settled(picture, service, container) else None
    if slot.number not in rollout.advanced:
        newest = container is not None and container.digest == service.digest
        if newest and relieved(picture, service, slot) and any(unneeded(picture, service, slot)):
            yield "leftover"
        if rollout.old.digest == service.digest:
            yield from _goes_back(service, slot, container)
        elif container is None or not current(service, container) or _drained(picture, container):
            yield "first"
        else:
            yield "rest"
    elif (
        container is None
        or not current(service, container)
        or not (_is_done(service, container) or serves(picture, service, container))
    ):
        if slot.number not in rollout.skipped:
            yield "advancing"
    elif relieved(picture, service, slot):
        yield "relief"


def _goes_back(service: Service, slot: Slot, works: Container | None) -> Iterator[Kind]:
    """Say it of a slot that is to run what came up before: only what works is replaced in steps."""
    if works is not None and not current(service, works):
        yield "rest"
    elif (
        works is None and service.rollout is not None and slot.number not in service.rollout.skipped
    ):
        yield "advancing"


def _drained(picture: Picture, container: Container) -> bool:
    node = picture.nodes.get(container.node)
    return node is not None and node.drain is not None


def relieved(picture: Picture, service: Service, slot: Slot) -> list[Container]:
    """Give the containers of other versions that what fills a slot is to relieve."""
    return [
        one
        for one in slot.leaving.values()
        if one.digest != service.digest and not one.retired and not picture.is_gone(one)
    ]


def _blocks(picture: Picture, app: App, service: Service, slot: Slot) -> Iterator[Kind]:
    """Say how a slot that is at hand holds up its app's deploy."""
    container = slot.container
    if service.spec.schedule is not None:
        return
    if container is not None and _settled(picture, service, container):
        return
    if slot.moving is not None and _settled(picture, service, slot.moving):
        return
    yield "blocking"
    if container is None:
        return
    failed = container.phase == "failed" and not container.retired
    spec = version(service, slot.number).spec
    if slot.over_time or (failed and restart_at(spec, slot, container, app.accepted_at) is None):
        yield "used_up"
    ends = sum(time >= app.accepted_at for time in slot.ended_at)
    if slot.streak >= LOOP_FAILURES and ends >= LOOP_FAILURES:
        yield "looping"


def _settled(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a slot's container is what the revision wants and does what it should."""
    if not current(service, container):
        return False
    if _is_done(service, container):
        return True
    return ready(service, container) and (container.ended or not picture.is_gone(container))


def _is_done(service: Service, container: Container) -> bool:
    """Tell whether a container ended well and its policy wants no other."""
    may_end = spec_of(service, container).restart.condition != "any"
    return may_end and container.phase == "finished" and not container.retired


def over(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether the slot has to go on without this container."""
    if container.ended:
        return True
    return picture.is_gone(container) and not service.spec.is_global


def begins_anew(service: Service, old: Container) -> bool:
    """Tell whether what follows a container is no restart of it: it has to wait for the gate."""
    return old.digest != digest_of(service, old.slot) or old.phase == "stopped"


def ended_as_told(old: Container) -> bool:
    """Tell whether a container ended because it was to go."""
    return bool(old.retired) and (old.phase != "finished" or old.retired in ("scaled", "removed"))


def _opener(service: Service, slot: Slot | None, condition: str) -> Container | None:
    """Find the container of a slot that meets a dependent's condition."""
    for container in (slot.container, slot.moving) if slot is not None else ():
        if container is not None and _opens(service, container, condition):
            return container
    return None


def _opens(service: Service, container: Container, condition: str) -> bool:
    if container.digest != digest_of(service, container.slot):
        return False
    if condition == "completed":
        return container.phase == "finished"
    if condition == "healthy":
        return ready(service, container)
    return container.phase in UP or container.phase == "finished"
