"""Decide what a service's slots are owed: a first container, another, a newer one, or their end.

Everything follows from the picture. A slot that is wanted has one container that runs what the
slot is to run: with a rollout, the old version until the slot was advanced. One that is not wanted
has none. What nothing has come up of yet is replaced stop-first, a quarter of the slots at once.
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
from segue.picture.ending import revivable
from segue.picture.fold_rollout import config
from segue.spec import ServiceSpec
from segue.wants import current, is_new, ready, version

from segue_deployer.restart import restart_at, tried_again_at
from segue_deployer.settling import RetireReason, unneeded
from segue_deployer.tally import Tally, begins_anew, ended_as_told, over

AT_ONCE = 0.25


def decide(
    picture: Picture, app: App, service: Service, tallies: Mapping[str, Tally]
) -> Iterator[Decision]:
    """Say what the service is owed now, slot by slot."""
    tally = tallies[service.name]
    for _, number in reversed(tally.places("unwanted")):
        yield from _leave(picture, app, service, service.slots[number])
    gates, budget = _Gates(app, service, tallies), 0
    due = [tally.places("owing")]
    if (tally.places("outdated") or tally.places("turned")) and gates.newest is not None:
        budget = spare(tally) if service.rollout is None else room(service, tally)
        due += [tally.places("turned"), tally.places("outdated")[:budget]]
    due.append([place for place in tally.places("gated") if gates.of(place[1]) is not None])
    for (pinned, number), _ in itertools.groupby(heapq.merge(*due)):
        slot = service.slots.get(number) or Slot(number=number)
        gone: set[int] = set()
        for unwanted, reason, cause in unneeded(picture, service, slot):
            gone.add(unwanted.attempt)
            yield retire(service, unwanted, reason, cause)
        container = slot.container
        if container is None or over(picture, service, container):
            decision = _next(picture, app, service, slot, pinned, gates)
        elif container.retired or container.attempt in gone or current(service, container):
            continue
        else:
            decision = _replace(picture, app, service, slot, gates, budget)
            if decision is not None and isinstance(decision.event, ContainerRetired):
                budget -= ready(service, container)
        if decision is not None:
            yield decision


def _replace(  # noqa: PLR0917 — all six are what the decision is made from, of six types.
    picture: Picture, app: App, service: Service, slot: Slot, gates: "_Gates", budget: int
) -> Decision | None:
    """Replace what is not what its slot is to run: at once if it does not work."""
    container, rollout = slot.container, service.rollout
    assert container is not None, "it is there"
    works = ready(service, container)
    if works and rollout is not None:
        if slot.number not in rollout.advanced or gates.newest is None:
            return None
        if rollout.order == "start-first":
            return _relieve(picture, app, service, slot)
    if works and budget <= 0:
        return None
    return retire(service, container, "replaced", service.cause or app.cause)


def _relieve(picture: Picture, app: App, service: Service, slot: Slot) -> Decision | None:
    """Ask for the newer version of what works: that is retired once the newer works, too."""
    old, rollout = slot.container, service.rollout
    assert old is not None, "it works"
    assert rollout is not None, "it is what replaces it"
    at = tried_again_at(service.spec, slot, service.digest, app.accepted_at)
    if at is None:
        return None
    return request(
        picture,
        app,
        service,
        slot,
        rollout.cause,
        not_before=at,
        moves=old.attempt,
        pinned=slot.pinned or None,
    )


def room(service: Service, tally: Tally) -> int:
    """Tell how many more that work may be stopped by a rollout; what it gave up counts no more."""
    assert service.rollout is not None, "it rolls out"
    at_once = config(service).at_once(tally.at_hand)
    return at_once - max(0, tally.missing - len(service.rollout.skipped))


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
    picture: Picture, app: App, service: Service, slot: Slot, pinned: str, gates: "_Gates"
) -> Decision | None:
    """Decide the next attempt of a slot that has no container."""
    if slot.over_time:
        return None
    old = slot.container
    at = 0.0
    if old is None or begins_anew(service, old):
        gate = gates.of(slot.number)
        if gate is None:
            return None
        run = service.runs.get(slot.number)
        begun = gate if run is None else run.cause
        cause = begun if old is None else _newer(old, app, service)
    elif not old.ended:
        cause = picture.nodes[old.node].cause  # It is gone with its node.
    elif ended_as_told(old) or _runs_already(picture, app.name, service, slot):
        cause = old.cause
    else:
        due = restart_at(version(service, slot.number).spec, slot, old, app.accepted_at)
        if due is None:
            return None
        cause, at = old.cause, due
        if old.ended_at < app.accepted_at:
            cause = service.cause or app.cause
    fixed: dict[str, Any] = {"not_before": at, "pinned": pinned or None}
    works_on = revivable(picture, slot)
    if works_on is not None and service.rollout is not None:
        fixed["moves"] = works_on.attempt  # Of another version: its successor's node is lost.
    if there := _runs_already(picture, app.name, service, slot):
        fixed["attempt"], fixed["target"] = there
    return request(picture, app, service, slot, cause, **fixed)


def request(
    picture: Picture, app: App, service: Service, slot: Slot, cause: Cause, **more: Any
) -> Decision:
    """Ask for a slot's next container, as the slot is to be now."""
    old, wanted = slot.container, version(service, slot.number)
    attempt = more.pop("attempt", 1 + picture.greatest_attempt(app.name, service.name, slot))
    event = ContainerRequested(
        app=app.name,
        service=service.name,
        slot=slot.number,
        attempt=attempt,
        revision=wanted.revision,
        digest=wanted.digest,
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
    wanted = version(service, slot.number).digest
    return (greatest, newest[0]) if held.running and held.digest == wanted else None


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


class _Gates:
    """What lets a service's slots begin: what the version that a slot is to run depends on."""

    def __init__(self, app: App, service: Service, tallies: Mapping[str, Tally]) -> None:
        self._app, self._service, self._tallies = app, service, tallies
        self._known: dict[bool, Cause | None] = {}

    @property
    def newest(self) -> Cause | None:
        """Give what lets the newest version begin."""
        return self._of(self._service.spec, new=True)

    def of(self, slot: int) -> Cause | None:
        """Give what lets a slot begin."""
        return self._of(version(self._service, slot).spec, new=is_new(self._service, slot))

    def _of(self, spec: ServiceSpec, *, new: bool) -> Cause | None:
        if new not in self._known:
            self._known[new] = gate_of(self._app, self._service, spec, self._tallies)
        return self._known[new]


def gate_of(
    app: App, service: Service, spec: ServiceSpec, tallies: Mapping[str, Tally]
) -> Cause | None:
    """Give the event that lets containers of a version begin, or None while they must wait."""
    gate, opened_at = service.cause or app.cause, app.changed_at
    for name, dependency in spec.depends_on.items():
        other = app.services.get(name)
        if other is None or not other.wanted:
            if dependency.required and spec is service.spec:
                return None
            continue  # An older version does not wait for what the newer revision has no more.
        if _comes_first(service, other):
            return None
        tally = tallies[name]
        opened = tally.opened(other, dependency.condition)
        if opened is None:
            if tally.at_hand:
                return None
            continue
        if opened[0] >= opened_at:
            opened_at, gate = opened
    return gate


def _comes_first(service: Service, other: Service) -> bool:
    """Tell whether a service that is new waits for the new version of what it depends on."""
    if service.rollout is not None or other.rollout is None:
        return False
    return service.revision > other.rollout.old.revision
