"""Fold what happens to containers.

The greater attempt is the newer; a container's state only moves forward; news of a container that
the picture does not know is taken as far as it tells (a runner follows only its node's events).
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.container import (
    NOWHERE,
    ContainerAssigned,
    ContainerEvent,
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
    ContainerUnplaceable,
)
from segue.events.node import Held
from segue.picture import fold_rollout, fold_run
from segue.picture.ending import end, revive
from segue.picture.indexed import Indexed
from segue.picture.state import RANK, UP, Container, Phase, Slot

TRUSTED_AFTER_S = 60.0  # A container that was up this long did not begin badly.
ENDS_KEPT = 32
ENDED_KEPT = 1_000
NODE_FAILURES_KEPT = 10


def requested(picture: Indexed, record: Record, event: ContainerRequested) -> None:
    """Open an attempt; what filled the slot until now is leaving."""
    service = picture.service(event.app, event.service)
    if service is None or fold_run.is_forgotten(service, event.slot):
        return
    slot = _slot(picture, event)
    if slot is None or event.attempt <= slot.attempt:
        return
    if service.spec.is_job:
        slot.begun_at = slot.begun_at or record.time
    made = Container(
        app=event.app,
        service=event.service,
        slot=event.slot,
        attempt=event.attempt,
        revision=event.revision,
        digest=event.digest,
        cause=record.as_cause(),
        not_before=event.not_before,
        pinned=event.pinned or "",
        previous=event.previous or "",
        moves=event.moves,
        target=event.target or "",
        requested_at=record.time,
        requested_seq=record.sequence,
    )
    old = slot.container
    if old is not None and old.attempt == made.moves and old.digest == made.digest:
        fold_rollout.note_loss(picture, record, old)
    _fill(picture, slot, made)
    if slot.pinned != made.pinned:
        slot.pinned = made.pinned
        picture.touch(event.app, event.service)  # Which slot is which node's follows from all.
    picture.pending[made.key] = made
    picture.touch(event.app, event.service, event.slot)


def _slot(picture: Indexed, event: ContainerEvent) -> Slot | None:
    service = picture.service(event.app, event.service)
    if service is None:
        return None
    slot = service.slots.get(event.slot)
    if slot is None:
        slot = service.slots[event.slot] = Slot(number=event.slot)
        if service.spec.is_global:
            picture.touch(event.app, event.service)  # As its slots' pins: the next has to be free.
    return slot


def _fill(picture: Indexed, slot: Slot, made: Container) -> None:
    old = slot.container
    if old is not None:
        picture.pending.pop(old.key, None)
        if old.node and not old.ended:
            slot.leaving[old.attempt] = old
        lives = not old.ended and not old.retired
        if old.phase in ("failed", "finished") or (lives and not made.moves):
            slot.restarts += 1
        if made.digest != (slot.last_digest or old.digest):
            slot.streak = 0
    slot.container, slot.attempt = made, made.attempt


def assigned(picture: Indexed, record: Record, event: ContainerAssigned) -> None:
    """Give a container its node: whatever else was decided meanwhile, that node will start it.

    Deployer and scheduler decide side by side, so an attempt may be retired while it has no node
    and be assigned all the same. Then it is wanted gone, and lives: the deployer retires it again.
    """
    container = picture.container(event.app, event.service, event.slot, event.attempt)
    if container is None:
        container = _unheard(picture, record, event)
    elif container.phase == "stopped" and not container.node:
        container.retired, container.retired_at, container.ended_at = "", 0.0, 0.0
    elif container.phase != "requested":
        return
    if container is None:
        return
    picture.pending.pop(container.key, None)
    container.phase, container.node = "assigned", event.node
    container.cause, container.assigned_at, container.refused = record.as_cause(), record.time, []
    picture.occupy(container)
    _adopt_older(picture, record, event)
    slot = picture.slot(event.app, event.service, event.slot)
    spec = picture.spec(container)
    if slot is not None and slot.container is container and spec and spec.local_volumes:
        if slot.home != event.node:
            slot.home_attempt = event.attempt
        slot.home = event.node
    picture.touch(event.app, event.service, event.slot)


def _unheard(picture: Indexed, record: Record, event: ContainerAssigned) -> Container | None:
    """Make the container of an assignment whose request is not known here (any more)."""
    slot = _slot(picture, event)
    if slot is None:
        return None
    made = Container(
        app=event.app,
        service=event.service,
        slot=event.slot,
        attempt=event.attempt,
        revision=event.revision,
        digest=event.digest,
        cause=record.as_cause(),
        not_before=event.not_before,
        moves=event.moves,
        requested_at=record.time,
    )
    if event.attempt > slot.attempt:
        _fill(picture, slot, made)
    else:
        slot.leaving[made.attempt] = made
    return made


def unplaceable(picture: Indexed, record: Record, event: ContainerUnplaceable) -> None:
    """Note why a container waits."""
    container = picture.container(event.app, event.service, event.slot, event.attempt)
    if container is not None and container.phase == "requested":
        container.refused, container.cause = event.refused, record.as_cause()
        picture.touch(event.app, event.service, event.slot)


def _move(picture: Indexed, record: Record, event: Any, phase: Phase) -> Container | None:
    """Move a container forward on the node that speaks of it; None when this is old news."""
    container = picture.container(event.app, event.service, event.slot, event.attempt)
    if container is None or container.ended or RANK[phase] < RANK[container.phase]:
        return None
    if container.node != event.node:
        return None
    container.phase, container.cause = phase, record.as_cause()
    picture.touch(event.app, event.service, event.slot)
    return container


def started(picture: Indexed, record: Record, event: ContainerStarted) -> None:
    """Note that the engine runs it, and where. Being adopted does not change since when."""
    known = picture.container(event.app, event.service, event.slot, event.attempt)
    if known is not None and known.phase in UP and known.node == event.node:
        known.addresses, known.cause = event.addresses, record.as_cause()
        picture.touch(event.app, event.service, event.slot)
    container = _move(picture, record, event, "started")
    if container is not None:
        container.engine_id, container.image = event.engine_id, event.image
        container.addresses = event.addresses
        container.started_at = container.started_at or record.time
        fold_rollout.note_ready(picture, record, container)
        _progress(picture, container, record)


def _progress(picture: Indexed, container: Container, record: Record) -> None:
    app = picture.apps.get(container.app)
    if app is not None:
        app.progressed_at, app.progress = record.time, record.as_cause()


def healthy(picture: Indexed, record: Record, event: ContainerHealthy) -> None:
    """Note that its checks pass."""
    container = _move(picture, record, event, "healthy")
    if container is not None:
        container.streak, container.probe = 0, ""
        container.started_at = container.started_at or record.time
        container.healthy_at = container.healthy_at or record.time
        fold_rollout.note_ready(picture, record, container)
        _progress(picture, container, record)


def unhealthy(picture: Indexed, record: Record, event: ContainerUnhealthy) -> None:
    """Note that its health check or a probe fails."""
    container = _move(picture, record, event, "unhealthy")
    slot = picture.slot(event.app, event.service, event.slot)
    if container is not None and slot is not None:
        if _trusted(container.healthy_at, record.time):
            slot.streak = 0
        fold_rollout.note_loss(picture, record, container)
        container.streak, container.message, container.healthy_at = event.streak, event.output, 0.0
        container.probe = event.probe


def failed(picture: Indexed, record: Record, event: ContainerFailed) -> None:
    """End it; count the failure against its slot and its node."""
    container = _end_by_itself(picture, record, event, "failed")
    if container is None:
        return
    container.reason, container.message = event.reason, event.message
    container.exit_code = event.exit_code
    slot = picture.slot(event.app, event.service, event.slot)
    if slot is not None and not container.retired:
        slot.last_reason, slot.last_exit_code = event.message or event.reason, event.exit_code
    if slot is not None and slot.home_attempt == event.attempt and not container.started_at:
        slot.home = ""  # It never ran there, so there are no data to go back to.
    node = picture.nodes.get(event.node)
    if node is not None and event.reason == "unhealthy":  # It runs until its runner has read this.
        node.ended = [*node.ended[-ENDED_KEPT + 1 :], container.key]
    if node is not None and not container.retired:
        name = f"{event.app}/{event.service}"
        node.failures[name] = [*node.failures.get(name, [])[-NODE_FAILURES_KEPT + 1 :], record.time]
        if event.final and event.reason != "image":  # A registry may yet have what it lacked.
            node.refusals[name] = container.digest, event.message or event.reason


def finished(picture: Indexed, record: Record, event: ContainerFinished) -> None:
    """End it with success."""
    container = _end_by_itself(picture, record, event, "finished")
    if container is not None:
        container.exit_code = 0
        slot = picture.slot(event.app, event.service, event.slot)
        if slot is not None and not container.retired:
            slot.last_reason, slot.last_exit_code = "finished", 0
        _progress(picture, container, record)
        _next_turn(picture, event)


def _end_by_itself(
    picture: Indexed, record: Record, event: ContainerFailed | ContainerFinished, phase: Phase
) -> Container | None:
    known = picture.container(event.app, event.service, event.slot, event.attempt)
    up_at = _up_since(picture, known) if known is not None else 0.0
    container = _move(picture, record, event, phase)
    if container is None:
        return None
    end(picture, container, record.time)
    fold_rollout.note_end(picture, record, container, event)
    slot = picture.slot(event.app, event.service, event.slot)
    if slot is not None and not container.retired:
        slot.streak = 1 if _trusted(up_at, record.time) else slot.streak + 1
        slot.last_digest = container.digest
        kept = max(ENDS_KEPT, _attempts(picture, event) + 1)
        slot.ended_at = [*slot.ended_at[-kept + 1 :], record.time]
    service = picture.service(event.app, event.service)
    if service is not None:
        fold_run.prune(picture, event.app, service)
    return container


def _up_since(picture: Indexed, container: Container) -> float:
    """Give since when it does its work; 0 if it does not. What is checked has its checks' word."""
    spec = picture.spec(container)
    if spec is not None and spec.checked:
        return container.healthy_at
    return container.started_at if container.phase in UP else 0.0


def _trusted(up_at: float, now: float) -> bool:
    return up_at > 0 and now - up_at >= TRUSTED_AFTER_S


def _attempts(picture: Indexed, event: ContainerEvent) -> int:
    """Give how many ends the restart policy must be able to count."""
    service = picture.service(event.app, event.service)
    return (service.spec.restart.max_attempts or 0) if service else 0


def stopped(picture: Indexed, record: Record, event: ContainerStopped) -> None:
    """End it as asked."""
    container = _move(picture, record, event, "stopped")
    if container is not None:
        container.exit_code = event.exit_code
        end(picture, container, record.time)
        _progress(picture, container, record)


def retired(picture: Indexed, record: Record, event: ContainerRetired) -> None:
    """Want it gone. Without a node it is gone at once, and an older one may fill the slot again.

    A retirement that does not name its node was decided before the assignment was seen: the node's
    runner does not read it, so it counts for nothing and is decided again.
    """
    container = _known(picture, record, event)
    if container is None or container.retired or container.ended:
        return
    if event.node != (container.node or NOWHERE):
        picture.touch(event.app, event.service, event.slot)
        return
    fold_rollout.note_loss(picture, record, container)
    container.retired, container.retired_at = event.reason, record.time
    container.grace_s, container.cause = event.grace_s, record.as_cause()
    picture.touch(event.app, event.service, event.slot)
    slot = picture.slot(event.app, event.service, event.slot)
    if slot is not None and event.reason == "deadline":
        slot.over_time = True
    node = picture.nodes.get(container.node)
    if node is not None and node.drain is not None:
        node.drain.moved += 1
    if container.node:
        return
    picture.pending.pop(container.key, None)
    container.phase, container.ended_at = "stopped", record.time
    if slot is None:
        return
    slot.leaving.pop(container.attempt, None)
    if slot.container is container:
        revive(picture, slot)


def _next_turn(picture: Indexed, event: ContainerEvent) -> None:
    """Look at all slots of a job again: one that is done lets another begin."""
    service = picture.service(event.app, event.service)
    if service is not None and service.spec.job.parallelism:
        picture.touch(event.app, event.service)


def _adopt(picture: Indexed, record: Record, slot: Slot, held: Held, node: str) -> Container:
    """Know from now on a container that until now only its node did: it is to leave."""
    made = Container(
        app=held.app,
        service=held.service,
        slot=held.slot,
        attempt=held.attempt,
        revision=0,
        digest="",
        cause=record.as_cause(),
        phase="started",
        node=node,
        engine_id=held.engine_id,
        adopted=True,
    )
    slot.attempt = max(slot.attempt, made.attempt)
    slot.leaving[made.attempt] = made
    picture.occupy(made)
    del picture.strangers(held.app, held.service, held.slot)[node]
    return made


def _adopt_older(picture: Indexed, record: Record, event: ContainerAssigned) -> None:
    """Know what runs of a slot from before its log, now that another, or it, is in its place."""
    slot = _slot(picture, event)
    strangers = picture.strangers(event.app, event.service, event.slot)
    for node, held in list(strangers.items()):
        if node == event.node and held.attempt == event.attempt:
            del strangers[node]
        elif slot is not None and held.running and held.attempt < event.attempt:
            _adopt(picture, record, slot, held, node)


def _known(picture: Indexed, record: Record, event: ContainerRetired) -> Container | None:
    """Find a container that is retired: its runner may not have read what took its place."""
    known = picture.container(event.app, event.service, event.slot, event.attempt)
    slot = _slot(picture, event)
    held = picture.strangers(event.app, event.service, event.slot).get(event.node)
    if known is not None or slot is None or held is None or held.attempt != event.attempt:
        return known
    return _adopt(picture, record, slot, held, event.node)


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    ContainerRequested.type: requested,
    ContainerAssigned.type: assigned,
    ContainerUnplaceable.type: unplaceable,
    ContainerStarted.type: started,
    ContainerHealthy.type: healthy,
    ContainerUnhealthy.type: unhealthy,
    ContainerFailed.type: failed,
    ContainerFinished.type: finished,
    ContainerStopped.type: stopped,
    ContainerRetired.type: retired,
}
