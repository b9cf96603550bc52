"""Decide what a service's slots are owed: a first container, another, a newer one, or their end.

Everything follows from the picture. A slot that is wanted has one container that runs the
service's current digest; one that is not wanted has none. Replacing is stop-first and keeps at
least three quarters of the slots up.
"""

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from segue.core import Decision
from segue.envelope import Cause
from segue.events.container import NOWHERE, ContainerRequested, ContainerRetired
from segue.picture import App, Container, Picture, Service, Slot
from segue.wants import current, ready

from segue_deployer.restart import restart_at
from segue_deployer.tally import (
    RetireReason,
    Tally,
    begins_anew,
    ended_as_told,
    over,
    unneeded,
)

AT_ONCE = 0.25


def decide(
    picture: Picture, app: App, service: Service, tallies: Mapping[str, Tally]
) -> Iterator[Decision]:
    """Say what the service is owed now, slot by slot."""
    tally = tallies[service.name]
    for _, number in reversed(tally.places("unwanted")):
        yield from _leave(picture, app, service, service.slots[number])
    gate, budget = None, 0
    due = [tally.places("owing")]
    if tally.places("gated") or tally.places("outdated"):
        gate = _gate(app, service, tallies)
    if gate is not None:
        budget = spare(tally)
        due += [tally.places("gated"), tally.places("outdated")[:budget]]
    for (pinned, number), _ in itertools.groupby(heapq.merge(*due)):
        slot = service.slots.get(number) or Slot(number=number)
        for unwanted, reason, cause in unneeded(picture, service, slot):
            yield retire(service, unwanted, reason, cause)
        container = slot.container
        if container is not None and not over(picture, service, container):
            if not current(service, container) and not container.retired:
                works = ready(service, container)
                if not works or budget > 0:
                    budget -= works
                    yield retire(service, container, "replaced", service.cause or app.cause)
            continue
        decision = _next(picture, app, service, slot, pinned, gate)
        if decision is not None:
            yield decision


def spare(tally: Tally) -> int:
    """Tell how many more of a service's slots may be replaced or moved at once."""
    return max(0, max(1, math.floor(tally.at_hand * AT_ONCE)) - tally.missing)


def _leave(picture: Picture, app: App, service: Service, slot: Slot) -> Iterator[Decision]:
    reason: RetireReason = "scaled"
    if not service.wanted or app.phase == "removing":
        reason = "removed"
    for container in slot.containers():
        if container.ended or container.retired:
            continue
        node = picture.nodes.get(container.node)
        if reason == "scaled" and service.spec.is_global and node is not None and node.drain:
            yield retire(service, container, "moved", node.drain.cause)
        else:
            yield retire(service, container, reason, service.cause or app.cause)


def _next(  # noqa: PLR0917 — all six are what the decision is made from, of six types.
    picture: Picture, app: App, service: Service, slot: Slot, pinned: str, gate: Cause | None
) -> Decision | None:
    """Decide the next attempt of a slot that has no container."""
    old = slot.container
    at = 0.0
    if old is None or begins_anew(service, old):
        if gate is None:
            return None
        cause = gate if old is None else _newer(old, app, service)
    elif not old.ended:
        cause = picture.nodes[old.node].cause  # It is gone with its node.
    elif ended_as_told(old) or _runs_already(picture, app.name, service, slot):
        cause = old.cause
    else:
        due = restart_at(service.spec, slot, old, app.accepted_at)
        if due is None:
            return None
        cause, at = old.cause, due
        if old.ended_at < app.accepted_at:
            cause = service.cause or app.cause
    fixed: dict[str, Any] = {"not_before": at, "pinned": pinned or None}
    if there := _runs_already(picture, app.name, service, slot):
        fixed["attempt"], fixed["target"] = there
    return request(picture, app, service, slot, cause, **fixed)


def request(
    picture: Picture, app: App, service: Service, slot: Slot, cause: Cause, **more: Any
) -> Decision:
    """Ask for a slot's next container, as its service is to be now."""
    old = slot.container
    attempt = more.pop("attempt", 1 + picture.greatest_attempt(app.name, service.name, slot))
    event = ContainerRequested(
        app=app.name,
        service=service.name,
        slot=slot.number,
        attempt=attempt,
        revision=service.revision,
        digest=service.digest,
        previous=(old.node or old.previous or None) if old else None,
        **more,
    )
    name = f"{app.name}/{service.name}.{slot.number}@{attempt}"
    return Decision(event, cause, unique=name)


def _runs_already(
    picture: Picture, app: str, service: Service, slot: Slot
) -> tuple[int, str] | None:
    """Find the attempt that a node runs as the service is to be, though the log does not know it.

    The log was put back from an older copy: what has filled the slot since is taken over.
    """
    there = picture.strangers(app, service.name, slot.number)
    greatest = picture.greatest_attempt(app, service.name, slot)
    newest = [node for node, held in there.items() if held.attempt == greatest > slot.attempt]
    if len(newest) != 1:
        return None  # None, or two that cannot both go on.
    held = there[newest[0]]
    return (greatest, newest[0]) if held.running and held.digest == service.digest else None


def _newer(old: Container, app: App, service: Service) -> Cause:
    """Name what made the slot be filled again: its container's end, or a later wish for it."""
    return old.cause if old.retired_at >= service.changed_at else service.cause or app.cause


def retire(service: Service, container: Container, reason: RetireReason, cause: Cause) -> Decision:
    """Want a container gone."""
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


def _gate(app: App, service: Service, tallies: Mapping[str, Tally]) -> Cause | None:
    """Give the event that lets the service's containers begin, or None while they must wait."""
    gate, opened_at = service.cause or app.cause, app.changed_at
    for name, dependency in service.spec.depends_on.items():
        other = app.services.get(name)
        if other is None or not other.wanted:
            if dependency.required:
                return None
            continue
        tally = tallies[name]
        opened = tally.opened(other, dependency.condition)
        if opened is None:
            if tally.at_hand:
                return None
            continue
        if opened[0] >= opened_at:
            opened_at, gate = opened
    return gate
