"""Word the facts that a gateway says: one function for each of its events.

Which of them is owed stands in `core`. Here stands only how an event's id is made its own.
"""

from segue.core import Decision
from segue.envelope import Cause
from segue.events.gateway import EndpointDrained, EndpointReady, GatewayJoined, GatewayLeft
from segue.events.request import RequestWaiting
from segue.picture import Container, Service


def joined(facts: GatewayJoined, before: Cause | None) -> Decision:
    """The gateway is at work; said again when its limits change."""
    return Decision(facts, before, key=" ".join([facts.session, *facts.limits]))


def left(node: str) -> GatewayLeft:
    """It was stopped on purpose."""
    return GatewayLeft(node=node)


def ready(container: Container, unheard: list[str]) -> Decision:
    """Every live gateway leads to the container."""
    event = EndpointReady(
        app=container.app,
        service=container.service,
        slot=container.slot,
        node=container.node,
        attempt=container.attempt,
        unheard=unheard,
    )
    return Decision(event, container.cause, key=str(container.attempt))


def drained(container: Container, in_flight: int, unheard: list[str]) -> Decision:
    """No live gateway leads to it any more."""
    event = EndpointDrained(
        app=container.app,
        service=container.service,
        slot=container.slot,
        node=container.node,
        attempt=container.attempt,
        in_flight=in_flight,
        unheard=unheard,
    )
    return Decision(event, container.cause, key=str(container.attempt))


def waiting(node: str, app: str, service: Service, count: int) -> Decision:
    """Something is asked of a service that has no replicas."""
    assert service.scaling is not None, "it follows its load"
    event = RequestWaiting(app=app, service=service.name, node=node, waiting=count)
    return Decision(event, service.cause, key=str(service.scaling.sequence))


def name_of(container: Container) -> str:
    """Name a container among those that are drained, as its route and endpoint are named."""
    return f"{container.app}/{container.service} {container.slot}-{container.attempt}"
