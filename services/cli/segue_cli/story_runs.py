"""Tell in words when a scheduled job was run, and how its runs came out."""

import datetime as dt
import zoneinfo
from collections.abc import Callable
from typing import Any

from segue import schedules
from segue.envelope import Record
from segue.events import job
from segue.picture import Picture, Service

from segue_cli.amounts import count, span
from segue_cli.story_nodes import Words


def plan(picture: Picture, service: Service) -> str:
    """Say which runs are under way, or when the next is to begin."""
    schedule = service.spec.schedule
    if service.runs:
        return f"under way: run {', '.join(map(str, service.runs))}"
    after = max(picture.state.time, service.due_at)
    at = schedules.following(schedule, after) if schedule is not None and service.wanted else None
    if schedule is None or at is None:
        return ""
    local = dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(schedule.zone))
    return f"next run at {local:%Y-%m-%d %H:%M} {schedule.zone}"


def _due(record: Record) -> Words:
    said: Any = record.event
    at = dt.datetime.fromtimestamp(said.due, dt.UTC)
    head = f"due at {at:%Y-%m-%d %H:%M} UTC: "
    head += f"not run, {said.skipped}" if said.skipped else f"run {said.run} begins"
    if said.replaces:
        head += f" instead of run {', '.join(map(str, said.replaces))}"
    missed = f"; {said.missed} before it were missed" if said.missed else ""
    return head + missed


def _completed(record: Record) -> Words:
    said: Any = record.event
    return f"run {said.run} ended well after {span(said.took_s)}, {_tries(said)}"


def _failed(record: Record) -> Words:
    said: Any = record.event
    why = {"removed": "it is not wanted any more", "replaced": "a later run takes its place"}
    code = f" with code {said.exit_code}" if said.exit_code is not None else ""
    words = why.get(said.reason) or f"{said.message}{code}"
    return f"run {said.run} has failed after {_tries(said)}: {words}"


def _tries(said: Any) -> str:
    return count(said.attempts, "attempt")


WORDS: dict[str, Callable[[Record], Words]] = {
    job.ScheduleDue.type: _due,
    job.RunCompleted.type: _completed,
    job.RunFailed.type: _failed,
}
