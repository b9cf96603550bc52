"""Fold what happens to apps, scales, leaders and requests.

A fold takes an event for granted; whether it was right to publish it is its author's affair.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from segue.envelope import Record
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployRejected,
    DeployRequested,
    DeployReverted,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRejected,
    RemovalRequested,
)
from segue.events.event import EventRejected
from segue.events.leader import LeaderElected
from segue.events.node import (
    NodeCordoned,
    NodeCordonRequested,
    NodeDrainRequested,
    NodeDrainStarted,
    NodeLabelled,
    NodeLabelRequested,
    NodeRemovalRequested,
    NodeRemoved,
    NodeRequestRejected,
    NodeUncordoned,
    NodeUncordonRequested,
)
from segue.events.rebalance import RebalancePlanned
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutPaused,
    RolloutPauseRequested,
    RolloutPromoted,
    RolloutPromoteRequested,
    RolloutRequestRejected,
    RolloutResumed,
    RolloutResumeRequested,
)
from segue.events.scale import (
    ScaleAccepted,
    ScalePaused,
    ScalePauseRequested,
    ScaleRejected,
    ScaleRequested,
    ScaleResumed,
    ScaleResumeRequested,
)
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.picture import fold_rollout, fold_run, fold_scale
from segue.picture.indexed import Indexed
from segue.picture.state import App, Forgotten, Leader, Request, Service
from segue.spec import ServiceSpec, digest

ANSWERED_KEPT = 1_000
REMOVED_APPS_KEPT, REMOVED_SLOTS_KEPT = 1_000, 10_000
FORGOTTEN_KEPT = 10_000
COMPLETED_KEPT = 10
ANSWERS = frozenset(
    kind.type
    for kind in (
        DeployAccepted,
        DeployRejected,
        RemovalAccepted,
        RemovalRejected,
        ScaleAccepted,
        ScaleRejected,
        ScalePaused,
        ScaleResumed,
        NodeCordoned,
        NodeUncordoned,
        NodeDrainStarted,
        NodeLabelled,
        NodeRemoved,
        NodeRequestRejected,
        RebalancePlanned,
        DeployReverted,
        RolloutPaused,
        RolloutResumed,
        RolloutPromoted,
        RolloutRequestRejected,
    )
)


def request(picture: Indexed, record: Record, event: Any) -> None:
    """Keep a request until its answer; one that comes again is the same request."""
    if record.key in picture.state.answered or record.key in picture.state.requests:
        return
    picture.state.requests[record.key] = Request(
        sequence=record.sequence,
        time=record.time,
        type=event.type,
        data=msgspec.to_builtins(event),
        cause=record.as_cause(),
        actor=record.actor,
    )


def answer(picture: Indexed, record: Record) -> None:
    """Close the request that an answer names as its cause."""
    state = picture.state
    if record.event.type not in ANSWERS:
        return
    key = record.cause_key
    if key not in state.requests and not record.cause_source:  # Answered before sources counted.
        same = (name for name, one in state.requests.items() if one.cause.id == record.cause)
        key = next(same, key)
    if state.requests.pop(key, None) is not None:
        state.answered[key] = None
        if len(state.answered) > ANSWERED_KEPT:
            del state.answered[next(iter(state.answered))]


def deploy_accepted(picture: Indexed, record: Record, event: DeployAccepted) -> None:
    """Take a revision as what the app must become."""
    app = picture.apps.get(event.app)
    before = app or picture.state.forgotten.get(event.app)
    if before is not None and event.revision <= before.revision:
        return
    if app is None:
        app = picture.apps[event.app] = App(name=event.app, cause=record.as_cause())
        app.attempts = before.attempts if before is not None else 0
        picture.state.forgotten.pop(event.app, None)
    given_up = app.reverted is not None and event.restores > 0
    app.taken_back = f"revision {app.revision} was taken back: {app.reason}" if given_up else ""
    app.revision, app.cause, app.phase = event.revision, record.as_cause(), "deploying"
    app.accepted_at = app.changed_at = app.progressed_at = record.time
    app.progress = app.reverted = None
    app.reason = ""
    app.restores = event.restores
    app.specs[event.revision] = event.spec
    for name, spec in event.spec.services.items():
        mark = digest(event.spec, name)
        service = app.services.get(name)
        if service is None:
            service = Service(
                name=name, spec=spec, digest=mark, revision=event.revision, replicas=spec.replicas
            )
            app.services[name] = service
        fold_run.deployed(service, spec, record)
        service.rollout = fold_rollout.opened(picture, record, app, service, spec, mark)
        if service.digest != mark or not service.wanted:
            service.revision = event.revision
        service.replicas = fold_scale.replicas(service, spec)
        service.spec, service.digest, service.wanted = spec, mark, True
    for name, service in app.services.items():
        service.wanted = name in event.spec.services
        if not service.wanted:
            service.rollout = None
        service.cause, service.changed_at = record.as_cause(), record.time
        fold_scale.deployed(service, record)
        fold_scale.forget_ends(service)
        _try_at_once(service, record)
        picture.touch(app.name, name)
    for node in picture.nodes.values():
        for name in [name for name in node.refusals if name.startswith(f"{app.name}/")]:
            del node.refusals[name]
    forget_specs(app)


def _try_at_once(service: Service, record: Record) -> None:
    """End the back-off of what is to run unchanged: who deploys again may have mended the world."""
    for slot in service.slots.values():
        slot.streak, slot.over_time = 0, False
        waiting = slot.container
        slot.begun_at = record.time if slot.begun_at and waiting and not waiting.ended else 0.0
        if waiting is None or waiting.phase != "requested" or waiting.digest != service.digest:
            continue
        if waiting.not_before > record.time:
            waiting.not_before, waiting.cause = 0.0, record.as_cause()


def forget_specs(app: App) -> None:
    """Drop the revisions that no service and no container refers to."""
    kept = {service.revision for service in app.services.values()} | {app.revision}
    kept |= app.completed.keys()
    for service in app.services.values():
        for slot in service.slots.values():
            kept |= {container.revision for container in slot.containers()}
    app.specs = {revision: spec for revision, spec in app.specs.items() if revision in kept}


def deploy_completed(picture: Indexed, record: Record, event: DeployCompleted) -> None:
    """Note that the revision is up."""
    app = picture.apps.get(event.app)
    if app and app.revision == event.revision and app.phase in ("deploying", "failed"):
        app.phase, app.settled_at, app.reason = "running", record.time, ""
        app.completed[app.revision] = {
            service.name: service.replicas for service in app.services.values() if service.wanted
        }
        for revision in sorted(app.completed)[:-COMPLETED_KEPT]:
            del app.completed[revision]
        forget_specs(app)


def deploy_failed(picture: Indexed, record: Record, event: DeployFailed) -> None:
    """Note that the revision did not come up."""
    app = picture.apps.get(event.app)
    if app and app.revision == event.revision and app.phase == "deploying":
        app.phase, app.settled_at, app.reason = "failed", record.time, event.reason


def removal_accepted(picture: Indexed, record: Record, event: RemovalAccepted) -> None:
    """Want nothing of the app any more."""
    app = picture.apps.get(event.app)
    if app is None:
        return
    app.phase, app.cause = "removing", record.as_cause()
    app.accepted_at = app.changed_at = record.time
    app.with_volumes, app.progress, app.reverted = event.volumes, None, None
    for service in app.services.values():
        service.wanted, service.rollout, service.scaling = False, None, None
        service.cause, service.changed_at = record.as_cause(), record.time
        fold_scale.forget_ends(service)
        picture.touch(app.name, service.name)


def removal_completed(picture: Indexed, record: Record, event: RemovalCompleted) -> None:
    """Keep of the app only what counts on: its revision and its slots' attempts."""
    app = picture.apps.get(event.app)
    if app is None or app.phase != "removing":
        return
    app.phase, app.settled_at, app.completed = "removed", record.time, {}
    for service in app.services.values():
        service.flapping_since, service.flapping_cause = 0.0, None
        fold_scale.forget_ends(service)
        for slot in service.slots.values():
            slot.home = "" if app.with_volumes else slot.home
            slot.restarts = slot.streak = 0
            slot.begun_at, slot.over_time = 0.0, False
    running = {
        container.revision
        for service in app.services.values()
        for slot in service.slots.values()
        for container in slot.containers()
        if not container.ended
    }
    app.specs = {revision: spec for revision, spec in app.specs.items() if revision in running}
    if not running:
        for service in app.services.values():
            service.spec, service.digest = ServiceSpec(image=service.spec.image), ""
    _forget_removed(picture)


def _forget_removed(picture: Indexed) -> None:
    """Forget the apps that were removed longest ago and that nothing refers to any more."""
    removed = [
        app
        for app in sorted(picture.apps.values(), key=lambda app: app.settled_at)
        if app.phase == "removed" and not _is_referred_to(picture, app)
    ]
    apps, slots = len(removed), sum(_slots(app) for app in removed)
    for app in removed:
        if apps <= REMOVED_APPS_KEPT and slots <= REMOVED_SLOTS_KEPT:
            return
        apps, slots = apps - 1, slots - _slots(app)
        _forget(picture, app)


def _slots(app: App) -> int:
    return sum(len(service.slots) for service in app.services.values())


def _is_referred_to(picture: Indexed, app: App) -> bool:
    """Tell whether something runs of it, or may, or has its data somewhere."""
    return any(
        slot.home
        or any(not container.ended for container in slot.containers())
        or picture.strangers(app.name, service.name, slot.number)
        for service in app.services.values()
        for slot in service.slots.values()
    )


def _forget(picture: Indexed, app: App) -> None:
    del picture.apps[app.name]
    slots = [slot for service in app.services.values() for slot in service.slots.values()]
    attempts = max((slot.attempt for slot in slots), default=0)
    attempts = max((attempts, *(service.pruned_attempts for service in app.services.values())))
    kept = picture.state.forgotten
    kept[app.name] = Forgotten(app.revision, max(attempts, app.attempts))
    while len(kept) > FORGOTTEN_KEPT:
        del kept[next(iter(kept))]
    for node in picture.nodes.values():
        for service in app.services:
            node.failures.pop(f"{app.name}/{service}", None)
            node.refusals.pop(f"{app.name}/{service}", None)


def service_flapping(picture: Indexed, record: Record, event: ServiceFlapping) -> None:
    """Note that a service's slot fails again and again."""
    service = picture.service(event.app, event.service)
    if service is not None and not service.flapping_since:
        service.flapping_since, service.flapping_cause = record.time, record.as_cause()


def service_steady(picture: Indexed, _: Record, event: ServiceSteady) -> None:
    """Note that a service has been quiet long enough."""
    service = picture.service(event.app, event.service)
    if service is not None:
        service.flapping_since, service.flapping_cause = 0.0, None


def leader_elected(picture: Indexed, record: Record, event: LeaderElected) -> None:
    """Take the newest election as what counts."""
    picture.leaders[event.service] = Leader(event.instance, record.sequence, record.time)


def event_rejected(picture: Indexed, _: Record, event: EventRejected) -> None:
    """Drop an unreadable message: it has its record now."""
    picture.state.unreadable.pop(event.sequence, None)


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    DeployRequested.type: request,
    RemovalRequested.type: request,
    ScaleRequested.type: request,
    ScalePauseRequested.type: request,
    ScaleResumeRequested.type: request,
    NodeCordonRequested.type: request,
    NodeUncordonRequested.type: request,
    NodeDrainRequested.type: request,
    NodeLabelRequested.type: request,
    NodeRemovalRequested.type: request,
    RollbackRequested.type: request,
    RolloutPauseRequested.type: request,
    RolloutResumeRequested.type: request,
    RolloutPromoteRequested.type: request,
    RolloutAbortRequested.type: request,
    DeployAccepted.type: deploy_accepted,
    DeployCompleted.type: deploy_completed,
    DeployFailed.type: deploy_failed,
    RemovalAccepted.type: removal_accepted,
    RemovalCompleted.type: removal_completed,
    ServiceFlapping.type: service_flapping,
    ServiceSteady.type: service_steady,
    LeaderElected.type: leader_elected,
    EventRejected.type: event_rejected,
}
