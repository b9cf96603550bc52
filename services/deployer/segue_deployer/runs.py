"""Decide when a scheduled job is run, and how each of its runs came out.

Instants count from the deploy that brought the schedule. After an outage only the last of those
that were missed is looked at, and run if it is not too late; the others are counted. An instant has
one event, by whomever it is decided.
"""

from collections.abc import Iterator
from typing import Any

from segue import schedules
from segue.core import Decision
from segue.events.job import RunCompleted, RunFailed, ScheduleDue
from segue.picture import App, Service
from segue.picture.state import Run

from segue_deployer.restart import restart_at


def decide(app: App, service: Service, now: float) -> Iterator[Decision]:
    """Say which runs are over, and whether one is to begin."""
    for run in service.runs.values():
        yield from _end(app, service, run, now)
    yield from _due(app, service, now)


def times(service: Service) -> list[float]:
    """Give when the next run is to begin."""
    if service.spec.schedule is None or not service.wanted:
        return []
    at = schedules.following(service.spec.schedule, service.due_at)
    return [] if at is None else [at]


def _due(app: App, service: Service, now: float) -> Iterator[Decision]:
    schedule = service.spec.schedule
    if schedule is None or not service.wanted or now <= service.due_at:
        return
    found = schedules.due(schedule, service.due_at, now)
    if found is None:
        return
    instant, missed = found
    going = [run.number for run in service.runs.values() if run.replaced is None]
    skipped = ""
    if now - instant > schedule.late_s:
        skipped = f"it is too late: {schedule.late_s:g} s at most"
    elif going and schedule.overlap == "skip":
        skipped = f"run {going[0]} is under way"
    event = ScheduleDue(
        app=app.name,
        service=service.name,
        due=instant,
        run=0 if skipped else service.last_run + 1,
        skipped=skipped,
        replaces=going if schedule.overlap == "replace" and not skipped else [],
        missed=missed,
    )
    name = f"{app.name}/{service.name}@{instant:.0f}"
    yield Decision(event, service.cause or app.cause, unique=name)


def _end(app: App, service: Service, run: Run, now: float) -> Iterator[Decision]:
    slot = service.slots.get(run.number)
    container = slot.container if slot is not None else None
    common: dict[str, Any] = {
        "app": app.name,
        "service": service.name,
        "run": run.number,
        "attempts": slot.restarts + 1 if slot is not None else 0,
        "took_s": round(max(0.0, now - run.begun_at), 3),
    }
    key, cause = str(run.number), container.cause if container is not None else run.cause
    if container is not None and container.phase == "finished":
        yield Decision(RunCompleted(**common), cause, key=key)
    elif not service.wanted or service.spec.schedule is None:
        said = RunFailed(**common, reason="removed")
        yield Decision(said, service.cause or app.cause, key=key)
    elif run.replaced is not None:
        yield Decision(RunFailed(**common, reason="replaced"), run.replaced, key=key)
    elif slot is not None and slot.over_time:
        words = f"it took longer than {service.spec.job.deadline_s:g} s"
        yield Decision(RunFailed(**common, reason="deadline", message=words), cause, key=key)
    elif (
        slot is not None
        and container is not None
        and container.phase == "failed"
        and restart_at(service.spec, slot, container, app.accepted_at) is None
    ):
        failed = RunFailed(
            **common,
            reason="failed",
            exit_code=container.exit_code,
            message=container.message or container.reason,
        )
        yield Decision(failed, cause, key=key)
