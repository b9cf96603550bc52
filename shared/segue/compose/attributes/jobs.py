"""`x-job`: how a service of mode `replicated-job` or `global-job` is run.

deploy: {mode: replicated-job, replicas: 100}
x-job: {parallelism: 4, retries: 3, deadline: 10m, keep: 1h}
"""

from segue.compose.attributes.autoscale import some_time
from segue.compose.attributes.service_values import ours
from segue.compose.findings import Form, Row
from segue.compose.forms import duration, whole


def _row(name: str, form: Form, field: str = "", says: str = "") -> Row:
    return Row(f"services.*.x-job{name}", "honour", form, field=field, says=says)


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
)
