"""Fold how services go from one version to another.

A rollout is opened by a deploy that changes what runs, and goes back to the last version that came
up. From then on a slot is to run the old version until the log says that it was advanced. What
fails and what becomes ready is counted here; what follows from it is the deployer's affair.
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.container import ContainerFailed, ContainerFinished
from segue.events.deploy import DeployReverted
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutAnswerEvent,
    RolloutCompleted,
    RolloutEvent,
    RolloutFailed,
    RolloutHeld,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStalled,
    RolloutStarted,
)
from segue.picture.indexed import Indexed
from segue.picture.state import (
    UP,
    App,
    Container,
    Failure,
    Reversion,
    Rollout,
    Service,
    Verdict,
    Version,
)
from segue.spec import ServiceSpec, Update, digest

OWN_FAULTS = frozenset(("exited", "oom", "unhealthy", "create", "start", "image"))


def opened(  # noqa: PLR0917 — what was and what is to be, of six types.
    picture: Indexed, record: Record, app: App, service: Service, spec: ServiceSpec, mark: str
) -> Rollout | None:
    """Give the rollout that leads a service to the version that a deploy wants of it, if any.

    There is none where nothing has come up yet, or nothing works that would have to be kept; and
    the slots of a job run anew at once.
    """
    before = service.rollout
    if before is not None and service.digest == mark and service.wanted:
        return _begun_again(before, app, record)
    old = before.old if before is not None else _last(app, service)
    if (
        old is None
        or not _rolls(service, spec, old.spec, mark)
        or not _something_else_runs(picture, service, mark)
    ):
        service.hidden.pop(mark, None)
        return None
    superseded = {**(before.superseded if before is not None else {}), service.digest: service.spec}
    return Rollout(
        old=old,
        cause=record.as_cause(),
        begun_at=record.time,
        progressed_at=record.time,
        back=app.restores > 0 or old.digest == mark,
        superseded={
            name: one for name, one in superseded.items() if name not in (mark, old.digest)
        },
    )


def _rolls(service: Service, spec: ServiceSpec, old: ServiceSpec, mark: str) -> bool:
    """Tell whether a version may follow another step by step."""
    if not service.wanted or service.digest == mark:
        return False
    return not (spec.is_job or old.is_job or spec.is_global != old.is_global)


def _begun_again(rollout: Rollout, app: App, record: Record) -> Rollout:
    """Go on to the same version, and forgive what has failed: the world may have been mended.

    What was promoted stays so: of its older version nothing may be left.
    """
    _forgive(rollout, record)
    rollout.begun_at, rollout.paused = record.time, False
    rollout.back = rollout.back or app.restores > 0
    rollout.strategy = ""  # It may be another one now.
    return rollout


def _forgive(rollout: Rollout, record: Record) -> None:
    rollout.verdict, rollout.failure, rollout.held = None, None, ""
    rollout.failed, rollout.skipped = {}, {}
    rollout.cause, rollout.progressed_at = record.as_cause(), record.time


def _last(app: App, service: Service) -> Version | None:
    """Give what the service was when its app last came up."""
    revision = max(app.completed, default=0)
    spec = app.specs.get(revision)
    if spec is None or service.name not in spec.services:
        return None
    return Version(spec.services[service.name], digest(spec, service.name), revision)


def _something_else_runs(picture: Indexed, service: Service, mark: str) -> bool:
    return any(
        container.phase in UP and container.digest != mark and not picture.is_gone(container)
        for slot in service.slots.values()
        for container in slot.containers()
    )


def config(service: Service) -> Update:
    """Give how the service's slots are to be replaced."""
    back = service.rollout is not None and service.rollout.back
    return service.spec.rollback if back else service.spec.update


# What the steps change.


def _rollout(picture: Indexed, record: Record, event: RolloutEvent) -> Rollout | None:
    """Find the rollout that a step is about; it needs to be looked at again."""
    service = picture.service(event.app, event.service)
    if service is None or service.rollout is None:
        return None
    picture.touch(event.app, "")
    service.rollout.cause = record.as_cause()
    return service.rollout


def started(picture: Indexed, record: Record, event: RolloutStarted) -> None:
    """Know in which way it is done."""
    rollout, service = _rollout(picture, record, event), picture.service(event.app, event.service)
    if rollout is not None and service is not None:
        rollout.strategy, rollout.order = event.strategy, event.order
        rollout.progressed_at = record.time
        service.hidden.pop(service.digest, None)
        if event.strategy == "blue_green" and not rollout.promoted:
            service.hidden[service.digest] = None


def advanced(picture: Indexed, record: Record, event: RolloutAdvanced) -> None:
    """Want the new version in these slots; what runs it already is watched as if it were new."""
    rollout, service = _rollout(picture, record, event), picture.service(event.app, event.service)
    if rollout is not None and service is not None:
        rollout.held, rollout.progressed_at = "", record.time
        for number in event.slots:
            rollout.advanced[number] = None
            picture.touch(event.app, event.service, number)
            for one in service.slots[number].containers() if number in service.slots else ():
                if one.digest == service.digest:
                    rollout.ready_at = max(rollout.ready_at, one.ready_at)


def held(picture: Indexed, record: Record, event: RolloutHeld) -> None:
    """Note why it does not go on."""
    rollout = _rollout(picture, record, event)
    if rollout is not None:
        rollout.held, rollout.progressed_at = event.reason, record.time


def stalled(picture: Indexed, record: Record, event: RolloutStalled) -> None:
    """Note that its time is over; what goes on all the same waits for those slots no longer."""
    rollout, service = _rollout(picture, record, event), picture.service(event.app, event.service)
    if rollout is None or service is None:
        return
    if config(service).failure_action == "continue":
        rollout.progressed_at = record.time
        for number in event.slots:
            rollout.skipped[number] = None
            picture.touch(event.app, event.service, number)
    else:
        rollout.verdict = Verdict("stalled", event.reason, record.as_cause(), event.slots)


def failed(picture: Indexed, record: Record, event: RolloutFailed) -> None:
    """Note that the new version does not work."""
    rollout = _rollout(picture, record, event)
    if rollout is not None:
        slots = [*rollout.failed]
        rollout.verdict = Verdict("failed", event.reason, record.as_cause(), slots)


def completed(picture: Indexed, record: Record, event: RolloutCompleted) -> None:
    """Know only the new version from now on."""
    service = picture.service(event.app, event.service)
    app = picture.apps.get(event.app)
    if app is not None and service is not None and service.rollout is not None:
        service.rollout, service.hidden = None, {}
        app.progressed_at, app.progress = record.time, record.as_cause()
        picture.touch(event.app, event.service)


def _answer(
    change: Callable[[Record, Service, Rollout], None], *, every_slot: bool = False
) -> Callable[[Indexed, Record, RolloutAnswerEvent], None]:
    def fold(picture: Indexed, record: Record, event: RolloutAnswerEvent) -> None:
        picture.touch(event.app, "")
        for name in event.services:
            service = picture.service(event.app, name)
            if service is not None and service.rollout is not None:
                service.rollout.cause = record.as_cause()
                change(record, service, service.rollout)
                if every_slot:
                    picture.touch(event.app, name)

    return fold


def _pause(_: Record, __: Service, rollout: Rollout) -> None:
    rollout.paused, rollout.held = True, ""


def _resume(record: Record, _: Service, rollout: Rollout) -> None:
    rollout.paused = False
    _forgive(rollout, record)


def _promote(record: Record, service: Service, rollout: Rollout) -> None:
    service.hidden.pop(service.digest, None)
    rollout.promoted, rollout.held, rollout.progressed_at = True, "", record.time


def reverted(picture: Indexed, record: Record, event: DeployReverted) -> None:
    """Want the next revision to restore an older one; one that never came up cannot be."""
    app = picture.apps.get(event.app)
    if app is None or app.revision != event.revision:
        return
    if event.to in app.completed and event.to in app.specs:
        app.reverted, app.reason = Reversion(event.to, record.as_cause()), event.reason
        picture.touch(event.app, "")


# What happens to containers meanwhile.


def _of_new(picture: Indexed, container: Container) -> tuple[Service, Rollout] | None:
    """Find the rollout for which a container is the new version in its place."""
    service = picture.service(container.app, container.service)
    if service is None or service.rollout is None or container.digest != service.digest:
        return None
    return (service, service.rollout) if container.slot in service.rollout.advanced else None


def note_ready(picture: Indexed, record: Record, container: Container) -> None:
    """Note when a container does its work, and what that means for its service's rollout."""
    spec = picture.spec(container)
    if spec is None or spec.is_job or (spec.checked and container.phase != "healthy"):
        return
    container.ready_at = container.ready_at or record.time
    found = _of_new(picture, container)
    if found is None:
        return
    rollout = found[1]
    rollout.ready_at = record.time
    if container.slot not in rollout.seen:
        rollout.seen[container.slot] = None
        rollout.progressed_at = record.time


def note_pull(picture: Indexed, record: Record, container: Container) -> None:
    """Leave the time of a pull out of what a rollout waits for."""
    found = _of_new(picture, container)
    if found is not None:
        found[1].progressed_at = max(found[1].progressed_at, record.time)


def note_loss(picture: Indexed, record: Record, container: Container) -> None:
    """Count the time anew in which what worked for long has to come back."""
    found = _of_new(picture, container)
    if found is not None and _is_trusted(found[0], container, record.time):
        found[1].progressed_at = record.time


def _is_trusted(service: Service, container: Container, now: float) -> bool:
    return container.ready_at > 0 and now - container.ready_at >= config(service).monitor_s


def note_end(
    picture: Indexed,
    record: Record,
    container: Container,
    event: ContainerFailed | ContainerFinished,
) -> None:
    """Count a failure of the new version's own; what was ready for long enough was none."""
    found = _of_new(picture, container)
    if found is None or container.retired:
        return
    service, rollout = found
    if _is_trusted(service, container, record.time):
        rollout.progressed_at = record.time
        return
    failure = Failure(
        slot=container.slot,
        attempt=container.attempt,
        reason="exited",
        cause=record.as_cause(),
        exit_code=0,
        logs=event.logs,
    )
    if isinstance(event, ContainerFailed):
        if event.reason not in OWN_FAULTS or (event.reason == "image" and not event.final):
            return
        failure.reason, failure.message = event.reason, event.message
        failure.exit_code = event.exit_code
    elif service.spec.restart.condition != "any":
        return  # It may end well.
    rollout.failed[container.slot], rollout.failure = None, failure
    picture.touch(container.app, "")


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    RolloutStarted.type: started,
    RolloutAdvanced.type: advanced,
    RolloutHeld.type: held,
    RolloutStalled.type: stalled,
    RolloutFailed.type: failed,
    RolloutCompleted.type: completed,
    RolloutPaused.type: _answer(_pause),
    RolloutResumed.type: _answer(_resume, every_slot=True),
    RolloutPromoted.type: _answer(_promote, every_slot=True),
    DeployReverted.type: reverted,
}
