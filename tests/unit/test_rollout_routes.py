"""A newer container relieves an older one once gateways lead to it, where they lead anywhere."""

from typing import Any

import pytest
from segue.events.container import ContainerRetired
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.spec import Ingress, Port
from segue.testing.shop import Shop, accepted
from segue.testing.versions import board, finish, images, said, service, spec, step


def routed_shop(**more: Any) -> Shop:
    """Give an app that is up on nodes with gateways."""
    there = board()
    for node in "ab":
        there.say(GatewayJoined(node=node, session=f"g-{node}", address=""))
    there.deploy(web=spec("w:1", replicas=1, **more))
    return there


@pytest.mark.parametrize(
    "more",
    [
        {"expose": [80]},
        {"ports": [Port(target=80, published=80)]},
        {"ingress": [Ingress(port=80, host="shop.example")]},
    ],
)
def test_what_gateways_lead_to_relieves_once_they_do(more: dict[str, Any]) -> None:
    there = routed_shop(**more)
    there.say(accepted(2, web=spec("w:2", replicas=1, **more)))
    for _ in range(3):
        assert said(step(there), ContainerRetired) == []
    newer = service(there).slots[1].container
    assert newer is not None
    told = EndpointReady(app="shop", service="web", slot=1, node=newer.node, attempt=newer.attempt)
    there.say(told)
    finish(there)
    assert images(there) == ["1 w:2"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ports": [Port(target=53, published=None, protocol="udp")]},
        {"expose": [80], "network_mode": "none"},
    ],
)
def test_what_no_gateway_leads_to_relieves_once_it_is_ready(more: dict[str, Any]) -> None:
    there = routed_shop(**more)
    there.say(accepted(2, web=spec("w:2", replicas=1, **more)))
    finish(there)
    assert images(there) == ["1 w:2"]
