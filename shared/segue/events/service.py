"""What is noticed about a service as a whole.

flapping ─→ steady
idle ─→ busy          of a service that may have no replicas (`x-autoscale.min: 0`)
"""

from segue.events.base import Event


class ServiceFlapping(Event, type="service.flapping", scope=("app", "service")):
    """A slot fails again and again. The notifier and people react; restarts go on, slower."""

    app: str
    service: str
    slot: int
    failures: int
    within_s: float
    last_reason: str
    last_exit_code: int | None = None
    logs: list[str] = []  # Always empty: the last lines are in the slot's `container.failed`.


class ServiceSteady(Event, type="service.steady", scope=("app", "service")):
    """No slot of a service that was flapping has failed for long enough to trust it again."""

    app: str
    service: str
    quiet_s: float


class ServiceIdle(Event, type="service.idle", scope=("app", "service")):
    """Nobody has asked anything of the service for as long as it says. The autoscaler reacts."""

    app: str
    service: str
    quiet_s: float  # So long at least.


class ServiceBusy(Event, type="service.busy", scope=("app", "service")):
    """Something is asked of a service that was idle or has no replicas. The autoscaler reacts."""

    app: str
    service: str
    words: str = ""  # What is asked.
