"""How a service is run whose containers end by themselves: what `x-job` and `x-schedule` become."""

from typing import Literal

import msgspec


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many at once, for how long, and what stays of those that have ended."""

    parallelism: int = 0  # So many slots at once; 0: all of them.
    deadline_s: float | None = None  # So long a slot may take, all its attempts together.
    keep_s: float | None = None  # So long an ended container stays on its node; None: as any does.


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a job is run, each time in a slot of its own."""

    cron: str  # Five fields.
    zone: str = "UTC"  # Of the tz database.
    overlap: Literal["skip", "allow", "replace"] = "skip"  # When the run before is under way.
    late_s: float = 3_600.0  # So long after its instant a run may still begin.


JOB = Job()
