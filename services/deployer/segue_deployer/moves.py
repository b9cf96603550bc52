"""Move a slot to another node: its successor begins first, and relieves it once it is ready.

What may never run twice is stopped first instead, and only while others of its service can spare
it and another node has a place for it. A move that fails leaves everything as it was and is tried
again after the wait of a restart. Data on a node are never left behind.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from segue.core import Decision
from segue.envelope import Cause
from segue.picture import App, Container, Picture, Service, Slot
from segue.placement import allows
from segue.spec import Resources
from segue.wants import current, ready, spec_of

from segue_deployer.restart import delay_s
from segue_deployer.slots import request, retire, spare
from segue_deployer.tally import Tally

_NOTHING = Resources()


class Way(msgspec.Struct, frozen=True):
    """How a slot can be moved now, or why it cannot."""

    how: Literal["start_first", "stop_first", "held"]
    reason: str = ""


class Budget:
    """How many more of each service's slots may be moved, within one decision."""

    def __init__(self, tallies: Mapping[str, Mapping[str, Tally]]) -> None:
        self._tallies = tallies
        self._taken: dict[tuple[str, str], int] = {}

    def left(self, app: App, service: Service) -> bool:
        """Tell whether one more that works may be moved now."""
        tally = self._tallies[app.name][service.name]
        return spare(tally) > self._taken.get((app.name, service.name), 0)

    def take(self, app: App, service: Service) -> None:
        """Count one that works and is moved."""
        key = app.name, service.name
        self._taken[key] = self._taken.get(key, 0) + 1

    def spares(self, app: App, service: Service) -> bool:
        """Tell whether without one that works as many stay up as the service wants."""
        tally = self._tallies[app.name][service.name]
        up = tally.at_hand - tally.missing - self._taken.get((app.name, service.name), 0)
        return up - 1 >= service.spec.least_up(tally.at_hand)


def can_start_first(service: Service, container: Container) -> bool:
    """Tell whether a slot's successor may begin while what fills it works."""
    return ready(service, container) and not spec_of(service, container).strict


def way(picture: Picture, app: App, service: Service, container: Container, budget: Budget) -> Way:
    """Say how what fills a slot can be moved now; it takes its share of the budget."""
    spec = spec_of(service, container)
    if spec.local_volumes:
        return Way("held", f"the data of volume {', '.join(spec.local_volumes)} are on this node")
    if spec.is_job and container.phase != "assigned":
        return Way("held", "it is a job, which may come to its end")
    if not current(service, container):
        return Way("held", "it waits to be replaced by what its slot is to run")
    works = ready(service, container)
    if works and not budget.left(app, service):
        return Way("held", "others of its service are not up")
    starts_first = can_start_first(service, container)
    if not starts_first and not _has_place(picture, service, container):
        return Way("held", "no other node has a place for it")
    if works and not starts_first and not budget.spares(app, service):
        return Way("held", "it has to be stopped first, and its service cannot spare it")
    if works:
        budget.take(app, service)
    return Way("start_first" if starts_first else "stop_first")


def _has_place(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a node has room, as far as can be said without choosing it."""
    spec = spec_of(service, container)
    wants = spec.resources
    for node in picture.nodes.values():
        if node.name == container.node or not node.usable or allows(spec, node):
            continue
        used = picture.used.get(node.name, _NOTHING)
        fits = (
            used.cpu_millicores + wants.cpu_millicores <= node.facts.cpu_millicores
            and used.memory_bytes + wants.memory_bytes <= node.facts.memory_bytes
        )
        if fits and not picture.refusal(container, node):
            return True
    return False


def start_first(
    picture: Picture, app: App, service: Service, slot: Slot, cause: Cause, *, target: str = ""
) -> Decision:
    """Ask for the container that is to relieve the one that fills the slot."""
    old = slot.container
    assert old is not None, "what is moved is there"
    at = 0.0
    if slot.streak and slot.ended_at:
        seed = f"{old.name}@{slot.attempt}"
        at = slot.ended_at[-1] + delay_s(service.spec.restart.delay_s, slot.streak, seed)
    return request(
        picture,
        app,
        service,
        slot,
        cause,
        not_before=at,
        moves=old.attempt,
        target=target or None,
    )


def stop_first(service: Service, container: Container, cause: Cause) -> Decision:
    """Stop a container; its slot is filled again on another node."""
    return retire(service, container, "moved", cause)
