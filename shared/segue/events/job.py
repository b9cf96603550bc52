"""What happens to the runs of a job that is run again and again, each in a slot of its own.

schedule.due ─→ run.completed | run.failed
"""

from typing import Literal

from segue.events.base import Event


class ScheduleDue(Event, type="schedule.due", scope=("app", "service")):
    """An instant of a schedule has come. The deployer begins the run, unless it is skipped."""

    app: str
    service: str
    due: float  # The instant, in seconds since 1970.
    run: int = 0  # The run that begins, which is its slot's number; 0: none.
    skipped: str = ""  # Why none does.
    replaces: list[int] = []  # Runs that are ended for it.
    missed: int = 0  # Instants before this one that nothing could be done about; 100: or more.


class RunEvent(Event, scope=("app", "service")):
    """Common to the ends of runs."""

    app: str
    service: str
    run: int
    attempts: int
    took_s: float  # From the run's beginning, all its attempts together.


class RunCompleted(RunEvent, type="run.completed"):
    """A run has ended well; its container's last lines are in `container.finished`."""


class RunFailed(RunEvent, type="run.failed"):
    """A run has failed for good, or is not wanted any more. Whoever alerts reacts."""

    reason: Literal[
        "failed",  # Its retries are used up.
        "deadline",
        "replaced",  # By a later run.
        "removed",  # With its service, or the schedule.
    ]
    exit_code: int | None = None
    message: str = ""
