"""What happens to requests for which there is no replica yet.

waiting ─→ scale.decided (from none to one) ─→ container.started ─→ it is led there
"""

from segue.events.base import Event


class RequestWaiting(Event, type="request.waiting", scope=("app", "service", "node")):
    """A gateway holds requests for a service that has no replicas. The autoscaler reacts.

    Said once until the service has one; it is led there as soon as that is ready.
    """

    app: str
    service: str
    node: str  # Whose gateway holds them.
    waiting: int = 1  # Requests, or connections of TCP, when it was said.
