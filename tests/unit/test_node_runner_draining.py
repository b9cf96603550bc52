"""How long a node runner leaves a retired container at work while gateways lead to it."""

from typing import Any

import msgspec
import pytest
from segue.events.container import ContainerAssigned, ContainerRetired, ContainerUnhealthy
from segue.events.deploy import RemovalAccepted
from segue.events.gateway import EndpointDrained, EndpointReady, GatewayJoined, GatewayLeft
from segue.spec import Probe, ServiceSpec
from segue.testing.host import WEB, Host, web
from segue.testing.shop import scope
from segue_node_runner import news
from segue_node_runner.core import follows
from segue_node_runner.effects import Stop

GATEWAY = GatewayJoined(node="a", session="g", address="")
ASK = Probe(kind="tcp", port=80)
SLOW = msgspec.structs.replace(WEB, drain_s=60.0)


def routed(spec: ServiceSpec = WEB, *, gateway: bool = True) -> tuple[Host, ContainerAssigned]:
    host = Host(web=spec)
    if gateway:
        host.say(GATEWAY)
    event = host.brought_up()
    if gateway:
        host.say(EndpointReady(**scope(event), node="a"))
    host.settle()
    return host, event


def stops(host: Host) -> int:
    host.settle()
    return len(host.wants(Stop))


def test_what_gateways_lead_to_is_stopped_once_none_does() -> None:
    host, event = routed()
    host.retire(event)
    assert stops(host) == 0
    host.at(3.0)
    host.say(EndpointDrained(**scope(event), node="a"))
    assert stops(host) == 1


@pytest.mark.parametrize("reason", ["scaled", "removed", "moved", "replaced", "superseded"])
def test_it_is_drained_whatever_it_is_stopped_for(reason: Any) -> None:
    host, event = routed()
    if reason == "removed":
        host.say(RemovalAccepted(app=event.app))
    host.tells(ContainerRetired, event, reason=reason)
    assert stops(host) == 0
    host.say(EndpointDrained(**scope(event), node="a"))
    assert stops(host) == 1


@pytest.mark.parametrize(("spec", "drain_s"), [(WEB, 10.0), (SLOW, 60.0)])
def test_it_is_waited_for_at_most_as_long_as_the_service_allows(
    spec: ServiceSpec, drain_s: float
) -> None:
    host, event = routed(spec)
    host.retire(event)
    retired_at = host.now
    assert stops(host) == 0
    host.at(drain_s - 0.5)
    assert stops(host) == 0
    host.hear(news.Inventory([]))  # Anything at all may happen meanwhile.
    assert host.core.wake_at is not None
    assert host.core.wake_at <= retired_at + drain_s
    host.at(0.5)
    assert stops(host) == 1


def test_without_a_gateway_or_without_a_way_nothing_is_waited_for() -> None:
    host, event = routed(gateway=False)
    host.retire(event)
    assert stops(host) == 1
    host = Host()
    host.say(GATEWAY)
    host.retire(host.brought_up())
    assert stops(host) == 1, "no gateway has led to it"


def test_what_gateways_may_lead_to_already_is_drained_too() -> None:
    open_to_others = msgspec.structs.replace(WEB, expose=[80])
    for spec, waits in (
        (open_to_others, 0),
        (msgspec.structs.replace(open_to_others, readiness=ASK), 1),
    ):
        host = Host(web=spec)
        host.say(GATEWAY)
        host.retire(host.brought_up())
        assert stops(host) == waits, "nothing leads to what is not ready"


def test_a_gateway_that_leaves_is_not_waited_for() -> None:
    host, event = routed()
    host.retire(event)
    assert stops(host) == 0
    host.say(GatewayLeft(node="a"))
    assert stops(host) == 1


def test_what_is_ill_is_stopped_at_once_and_what_is_only_not_ready_is_drained() -> None:
    for probe, at_once in (("", 1), ("liveness", 1), ("readiness", 0)):
        host, event = routed()
        host.tells(ContainerUnhealthy, event, streak=3, probe=probe)
        host.retire(event)
        assert stops(host) == at_once, probe
    host, event = routed()
    host.tells(ContainerRetired, event, reason="unhealthy")
    assert stops(host) == 1


def test_what_dies_while_it_is_drained_is_removed() -> None:
    host, event = routed()
    host.retire(event)
    assert stops(host) == 0
    host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=1))
    assert stops(host) == 1


def test_what_a_newer_one_supersedes_makes_way_at_once() -> None:
    host, event = routed()
    host.retire(event)
    assert stops(host) == 0
    host.order(attempt=2)
    assert stops(host) == 1


def test_a_runner_reads_what_gateways_say_of_its_own_node() -> None:
    read = follows("a")
    assert "endpoint.ready.*.*.*.a" in read
    assert "endpoint.drained.*.*.*.a" in read
