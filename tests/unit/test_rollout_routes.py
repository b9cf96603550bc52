"""A newer container relieves an older one once gateways lead to it, where they lead anywhere."""

from typing import Any

import pytest
from segue.events.container import ContainerRetired
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.events.rollout import RolloutPromoted
from segue.spec import Ingress, Port, Strategy
from segue.testing.shop import Shop, accepted
from segue.testing.versions import board, finish, images, said, service, spec, step
from segue.wants import routed


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


def leads_to(there: Shop) -> list[str]:
    """Give the images of what gateways lead to."""
    found = []
    for one in routed(there.picture, service(there)):
        known = there.picture.spec(one)
        assert known is not None, "it was accepted"
        found.append(f"{one.slot} {known.image}")
    return found


def prepared(**more: Any) -> Shop:
    """Give an app whose second version stands beside the first and waits to be promoted."""
    there = routed_shop(expose=[80])
    green = Strategy(kind="blue_green", promote="manual")
    there.say(accepted(2, web=spec("w:2", replicas=1, expose=[80], strategy=green, **more)))
    step(there)
    assert images(there) == ["1 w:1", "1 w:2"]
    return there


def test_nothing_leads_to_what_blue_green_has_prepared_until_it_is_promoted() -> None:
    there = prepared()
    assert leads_to(there) == ["1 w:1"]
    there.say(RolloutPromoted(app="shop", services=["web"]))
    assert leads_to(there) == ["1 w:1", "1 w:2"]


@pytest.mark.parametrize("wanted", ["w:1", "w:3"])
def test_nothing_ever_leads_to_what_was_prepared_and_is_given_up(wanted: str) -> None:
    there = prepared()
    there.tell(accepted(3, web=spec(wanted, replicas=1, expose=[80])))
    assert leads_to(there) == ["1 w:1"]


def test_what_was_prepared_is_led_to_once_it_is_taken_step_by_step() -> None:
    there = prepared()
    there.tell(accepted(3, web=spec("w:2", replicas=1, expose=[80])))
    assert leads_to(there) == ["1 w:1", "1 w:2"]


def test_what_was_promoted_is_led_to_when_it_is_deployed_once_more() -> None:
    there = prepared()
    there.tell(RolloutPromoted(app="shop", services=["web"]))
    green = Strategy(kind="blue_green", promote="manual")
    there.tell(accepted(3, web=spec("w:2", replicas=1, expose=[80], strategy=green)))
    assert "1 w:2" in leads_to(there)


def test_what_is_replaced_keeps_the_newest_wishes_that_took_no_new_container() -> None:
    there = routed_shop(expose=[80], drain_s=10.0)
    there.say(accepted(2, web=spec("w:1", replicas=1, expose=[80], drain_s=120.0)))
    finish(there)
    there.say(accepted(3, web=spec("w:2", replicas=1, expose=[80], drain_s=60.0)))
    older = service(there).slots[1].containers()[0]
    found = there.picture.spec(older)
    assert found is not None
    assert (older.revision, found.drain_s) == (1, 120.0)
