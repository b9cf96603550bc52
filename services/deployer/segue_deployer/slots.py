"""Decide what a service's slots are owed: a first container, another, a newer one, or their end.

Everything follows from the picture. A slot that is wanted has one container that runs the
service's current digest; one that is not wanted has none. Replacing is stop-first and keeps at
least three quarters of the slots up.
"""

import math
from collections.abc import Iterator
from typing import Literal

from segue.core import Decision
from segue.envelope import Cause
from segue.events.container import NOWHERE, ContainerRequested, ContainerRetired
from segue.picture import UP, App, Container, Picture, Service, Slot
from segue.picture.fold_container import revivable
from segue.wants import at_hand, current, ready, wanted_slots

from segue_deployer.restart import restart_at

REPLACED_AT_ONCE = 0.25
RetireReason = Literal["scaled", "replaced", "removed", "superseded", "unhealthy", "moved"]


def decide(picture: Picture, app: App, service: Service) -> Iterator[Decision]:
    """Say what the service is owed now, slot by slot."""
    wanted = wanted_slots(picture, app, service)
    for number in sorted(service.slots, reverse=True):
        if number not in wanted:
            yield from _leave(app, service, service.slots[number])
    gate = _gate(picture, app, service)
    wanted = at_hand(picture, app, service)
    budget = _budget(picture, service, wanted)
    for number, pinned in wanted.items():
        slot = service.slots.get(number) or Slot(number=number)
        yield from _supersede(picture, service, slot)
        container = slot.container
        if container is not None and not _over(picture, service, container):
            if not current(service, container) and not container.retired:
                works = ready(service, container)
                if not works or (gate is not None and budget > 0):
                    budget -= works
                    yield _retire(service, container, "replaced", service.cause or app.cause)
            continue
        decision = _next(picture, app, service, slot, pinned, gate)
        if decision is not None:
            yield decision


def _leave(app: App, service: Service, slot: Slot) -> Iterator[Decision]:
    reason: RetireReason = "scaled"
    if not service.wanted or app.phase == "removing":
        reason = "removed"
    for container in slot.containers():
        if not container.ended and not container.retired:
            yield _retire(service, container, reason, service.cause or app.cause)


def _supersede(picture: Picture, service: Service, slot: Slot) -> Iterator[Decision]:
    """Settle a slot with two containers: its node came back after it had been replaced."""
    now = slot.container
    if now is None or not slot.leaving:
        return
    back = revivable(picture, slot)
    if back is not None and now.phase == "requested" and not now.retired:
        unwanted = now if back.digest == service.digest else back
        yield _retire(service, unwanted, "superseded", picture.nodes[back.node].cause)
        return
    if ready(service, now):
        for container in slot.leaving.values():
            if not container.retired and not picture.is_gone(container):
                yield _retire(service, container, "superseded", now.cause)


def _over(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether the slot has to go on without this container."""
    if container.ended:
        return True
    return picture.is_gone(container) and not service.spec.is_global


def _next(  # noqa: PLR0917 — all six are what the decision is made from, of six types.
    picture: Picture, app: App, service: Service, slot: Slot, pinned: str, gate: Cause | None
) -> Decision | None:
    """Decide the next attempt of a slot that has no container."""
    old = slot.container
    at = 0.0
    if old is None or old.digest != service.digest or old.phase == "stopped":
        if gate is None:
            return None
        cause = gate if old is None else _newer(old, app, service)
    elif not old.ended:
        cause = picture.nodes[old.node].cause  # It is gone with its node.
    elif old.retired and (old.phase != "finished" or old.retired in ("scaled", "removed")):
        cause = old.cause
    else:
        due = restart_at(service.spec, slot, old, app.accepted_at)
        if due is None:
            return None
        cause, at = old.cause, due
        if old.ended_at < app.accepted_at:
            cause = service.cause or app.cause
    event = ContainerRequested(
        app=app.name,
        service=service.name,
        slot=slot.number,
        attempt=slot.attempt + 1,
        revision=service.revision,
        digest=service.digest,
        not_before=at,
        pinned=pinned or None,
        previous=(old.node or old.previous or None) if old else None,
    )
    name = f"{app.name}/{service.name}.{slot.number}@{slot.attempt + 1}"
    return Decision(event, cause, unique=name)


def _newer(old: Container, app: App, service: Service) -> Cause:
    """Name what made the slot be filled again: its container's end, or a later wish for it."""
    return old.cause if old.retired_at >= service.changed_at else service.cause or app.cause


def _retire(service: Service, container: Container, reason: RetireReason, cause: Cause) -> Decision:
    event = ContainerRetired(
        app=container.app,
        service=container.service,
        slot=container.slot,
        attempt=container.attempt,
        node=container.node or NOWHERE,
        reason=reason,
        grace_s=service.spec.stop_grace_s,
    )
    return Decision(event, cause, key=str(container.attempt))


def _budget(picture: Picture, service: Service, wanted: dict[int, str]) -> int:
    """Give how many working slots may be taken down now to be replaced."""
    missing = 0
    for number in wanted:
        slot = service.slots.get(number)
        container = slot.container if slot else None
        works = container is not None and ready(service, container) and not container.retired
        if container is None or not works or picture.is_gone(container):
            missing += 1
    return max(1, math.floor(len(wanted) * REPLACED_AT_ONCE)) - missing


def _gate(picture: Picture, app: App, service: Service) -> Cause | None:
    """Give the event that lets the service's containers begin, or None while they must wait."""
    gate, opened_at = service.cause or app.cause, 0.0
    for name, dependency in service.spec.depends_on.items():
        other = app.services.get(name)
        if other is None or not other.wanted:
            if dependency.required:
                return None
            continue
        for number in at_hand(picture, app, other):
            slot = other.slots.get(number)
            container = slot.container if slot else None
            if container is None or not _opens(other, container, dependency.condition):
                return None
            since = container.ended_at or container.healthy_at or container.started_at
            if since >= max(opened_at, app.changed_at):
                gate, opened_at = container.cause, since
    return gate


def _opens(service: Service, container: Container, condition: str) -> bool:
    if container.digest != service.digest:
        return False
    if condition == "completed":
        return container.phase == "finished"
    if condition == "healthy":
        return ready(service, container)
    return container.phase in UP or container.phase == "finished"
