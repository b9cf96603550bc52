"""What happens to a service's number of replicas.

scale.requested ─→ scale.accepted | scale.rejected
"""

from segue.events.base import Event
from segue.events.deploy import Problem


class ScaleRequested(Event, type="scale.requested", scope=("app", "service")):
    """Someone wants another number of replicas. The deployer reacts as doorkeeper."""

    app: str
    service: str
    replicas: int


class ScaleAccepted(Event, type="scale.accepted", scope=("app", "service")):
    """From now on the service has this many slots."""

    app: str
    service: str
    replicas: int
    previous: int


class ScaleRejected(Event, type="scale.rejected", scope=("app", "service")):
    """The request cannot be met; nothing was changed."""

    app: str
    service: str
    problems: list[Problem]
