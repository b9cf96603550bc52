"""`x-job` and `x-schedule`: how and when a service is run whose containers end by themselves.

deploy: {mode: replicated-job, replicas: 100}
x-job: {parallelism: 4, retries: 3, deadline: 10m, keep: 1h}
x-schedule: {cron: "0 3 * * *", timezone: Europe/Berlin, overlap: skip, late: 1h}
"""

from typing import Any

from segue import schedules
from segue.compose.attributes.autoscale import some_time
from segue.compose.attributes.service_values import ours
from segue.compose.findings import ABSENT, Form, Place, Row
from segue.compose.forms import choice, duration, text, whole
from segue.jobs import Schedule


def _row(name: str, form: Form, field: str = "", says: str = "") -> Row:
    return Row(f"services.*.x-job{name}", "honour", form, field=field, says=says)


def scheduled(place: Place, value: Any) -> Any:
    """Read when: five fields, or a mapping with them."""
    before = len(place.findings.problems)
    found = ours(place, {"cron": value} if isinstance(value, str) else value)
    if len(place.findings.problems) > before:
        return ABSENT  # What is missing may be what was misspelt.
    if found is ABSENT or "cron" not in found:
        return place.wrong("has no cron", 'write {cron: "0 3 * * *", timezone: Europe/Berlin}')
    asked = Schedule(cron=found["cron"], zone=found.get("timezone", "UTC"))
    if why := schedules.wrong(asked.cron, asked.zone):
        return place.wrong(why)
    return found


def _when(name: str, form: Form, field: str, says: str = "") -> Row:
    return Row(f"services.*.x-schedule{name}", "honour", form, field=field, says=says)


JOBS: tuple[Row, ...] = (
    _row("", ours, "job", "how a job is run; `deploy.replicas` is how often it has to end well"),
    _row(".parallelism", whole(1, 100_000), "job.parallelism", "so many at once; without it all"),
    _row(
        ".retries",
        whole(0, 100_000),
        "restart.max_attempts",
        "so often a slot that failed is tried again; without it 6",
    ),
    _row(
        ".deadline",
        some_time,
        "job.deadline_s",
        "so long a slot may take, all its attempts together; then it is stopped and has failed",
    ),
    _row(
        ".keep",
        duration,
        "job.keep_s",
        "so long an ended container stays on its node; without it until the slot has a newer one",
    ),
    _when("", scheduled, "schedule", "when a `replicated-job` is run again; text is its `cron`"),
    _when(".cron", text, "schedule.cron", "minute, hour, day, month, day of the week"),
    _when(".timezone", text, "schedule.zone", "such as `Europe/Berlin`; without it UTC"),
    _when(
        ".overlap",
        choice("skip", "allow", "replace"),
        "schedule.overlap",
        "what is done while the run before is under way; without it skip",
    ),
    _when(".late", duration, "schedule.late_s", "so late a run may still begin; without it 1h"),
)
