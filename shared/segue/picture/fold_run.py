"""Fold the runs of jobs that are run again and again.

A run's number is its slot's, and no number is given twice. Of the runs that are over the newest
twenty are kept, for people to look at.
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.job import RunCompleted, RunFailed, ScheduleDue
from segue.picture.indexed import Indexed
from segue.picture.state import Run, Service
from segue.spec import ServiceSpec

KEPT = 20


def deployed(service: Service, spec: ServiceSpec, record: Record) -> None:
    """Let instants count from now on where the schedule is another than before."""
    before = service.spec.schedule if service.wanted else None
    if spec.schedule is None:
        if before is not None:
            _forget(service, 0)
    elif service.due_at == 0 or before is None or _instants(spec) != _instants(service.spec):
        service.due_at = record.time
    if spec.schedule is not None:
        service.last_run = max(service.last_run, *service.slots, 0)


def _instants(spec: ServiceSpec) -> tuple[str, str]:
    return (spec.schedule.cron, spec.schedule.zone) if spec.schedule is not None else ("", "")


def due(picture: Indexed, record: Record, event: ScheduleDue) -> None:
    """Let a run begin, unless the instant is skipped; an older instant changes nothing."""
    service = picture.service(event.app, event.service)
    if service is None or event.due <= service.due_at:
        return
    service.due_at = event.due
    for number in event.replaces:
        if number in service.runs:
            service.runs[number].replaced = record.as_cause()
    if event.run > service.last_run and service.wanted:
        service.runs[event.run] = Run(event.run, record.as_cause(), record.time)
        service.last_run = event.run
    picture.touch(event.app, event.service)


def over(picture: Indexed, _: Record, event: RunCompleted | RunFailed) -> None:
    """End a run."""
    service = picture.service(event.app, event.service)
    if service is not None and service.runs.pop(event.run, None) is not None:
        prune(picture, event.app, service)
        picture.touch(event.app, event.service)


def prune(picture: Indexed, app: str, service: Service) -> None:
    """Forget the oldest slots of runs that are over, once there are many."""
    if service.spec.schedule is not None and _forget(service, KEPT):
        picture.touch(app, service.name)


def _forget(service: Service, kept: int) -> bool:
    ended = [
        number
        for number, slot in service.slots.items()
        if number not in service.runs and all(one.ended for one in slot.containers())
    ]
    gone = sorted(ended)[: max(0, len(ended) - kept)]
    for number in gone:
        slot = service.slots.pop(number)
        service.pruned = max(service.pruned, number)
        service.pruned_attempts = max(service.pruned_attempts, slot.attempt)
    return bool(gone)


def is_forgotten(service: Service, number: int) -> bool:
    """Tell whether a slot is of a run that was over long ago, so that news of it is late."""
    known = number in service.slots or number in service.runs
    return service.spec.schedule is not None and number <= service.pruned and not known


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    ScheduleDue.type: due,
    RunCompleted.type: over,
    RunFailed.type: over,
}
