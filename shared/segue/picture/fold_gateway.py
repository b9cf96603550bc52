"""Fold what happens to gateways and to the containers that they lead to.

A gateway is there from its joining until it leaves; that a lost node's is gone too is derived
(`Indexed.gateway`). What is said of an endpoint is noted at its container and never taken back.
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.gateway import EndpointDrained, EndpointReady, GatewayJoined, GatewayLeft
from segue.picture.indexed import Indexed
from segue.picture.state import Gateway


def joined(picture: Indexed, record: Record, event: GatewayJoined) -> None:
    """Know the gateway as it describes itself now."""
    picture.gateways[event.node] = Gateway(
        node=event.node,
        facts=event,
        cause=record.as_cause(),
        joined_seq=record.sequence,
        joined_at=record.time,
    )
    _touch(picture, event.node)


def left(picture: Indexed, record: Record, event: GatewayLeft) -> None:
    """Know that nothing leads to the node's containers; what it said last is kept."""
    gateway = picture.gateways.get(event.node)
    if gateway is not None:
        gateway.left, gateway.cause = True, record.as_cause()
        _touch(picture, event.node)


def _touch(picture: Indexed, node: str) -> None:
    """Note that those who wait for the node's gateway need to wait for it now, or no more."""
    for container in picture.on_node.get(node, {}).values():
        picture.touch(container.app, container.service, container.slot)


def ready(picture: Indexed, record: Record, event: EndpointReady) -> None:
    """Note since when every gateway leads to the container."""
    container = picture.container(event.app, event.service, event.slot, event.attempt)
    if container is not None and container.node == event.node and not container.ended:
        container.routed_at = container.routed_at or record.time
        picture.touch(event.app, event.service, event.slot)


def drained(picture: Indexed, record: Record, event: EndpointDrained) -> None:
    """Note since when none leads to it any more."""
    container = picture.container(event.app, event.service, event.slot, event.attempt)
    if container is not None and container.node == event.node and not container.ended:
        container.drained_at = container.drained_at or record.time
        picture.touch(event.app, event.service, event.slot)


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    GatewayJoined.type: joined,
    GatewayLeft.type: left,
    EndpointReady.type: ready,
    EndpointDrained.type: drained,
}
