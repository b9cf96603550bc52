"""How a service is run whose containers end by themselves: what `x-job` becomes."""

import msgspec


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many at once, for how long, and what stays of those that have ended."""

    parallelism: int = 0  # So many slots at once; 0: all of them.
    deadline_s: float | None = None  # So long a slot may take, all its attempts together.
    keep_s: float | None = None  # So long an ended container stays on its node; None: as any does.


JOB = Job()
