"""When a gateway says that a container is led to, or drained, and what it has the host do."""

from typing import Any

import msgspec
import pytest
from segue.beats import GatewayBeat
from segue.core import Decision
from segue.events import Event
from segue.events.container import (
    Address,
    ContainerAssigned,
    ContainerFailed,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.deploy import DeployAccepted, RemovalAccepted
from segue.events.gateway import EndpointDrained, EndpointReady, GatewayJoined, GatewayLeft
from segue.events.node import NodeLost, NodeRemoved
from segue.events.request import RequestWaiting
from segue.events.scale import ScaleDecided
from segue.spec import (
    AppSpec,
    Autoscale,
    FileSpec,
    Ingress,
    NetworkRef,
    NetworkSpec,
    Port,
    ServiceSpec,
    digest,
)
from segue.testing.board import Board
from segue.testing.shop import joined
from segue_gateway.core import Applied, Apply, Flowing, Gateway, GiveWay, Tell, Waiting

WEB = ServiceSpec(
    image="web",
    replicas=2,
    expose=[80],
    ports=[Port(target=9000, published=9000)],
    networks={"default": NetworkRef(aliases=["www"])},
)
SPEC = AppSpec(services={"web": WEB}, networks={"default": NetworkSpec(name="shop_default")})


def gateway(node: str, session: str = "", **facts: Any) -> GatewayJoined:
    told: dict[str, Any] = {
        "session": session or f"g-{node}",
        "address": f"192.0.2.{ord(node) - 96}",
    }
    return GatewayJoined(node=node, **told | {"names": True} | facts)


class Stand:
    """A gateway on node a, and all that it hears; it applies whatever it is told to, at once."""

    def __init__(self, spec: AppSpec = SPEC, nodes: str = "ab") -> None:
        self.core = Gateway(gateway("a"))
        self.board = Board(self.core)
        self.tables: list[Apply] = []
        self.beats: list[GatewayBeat] = []
        self.works = True
        for node in nodes:
            self.board.say(joined(node))
        self.board.say(DeployAccepted(app="shop", revision=1, spec=spec))
        self.spec = spec

    def turn(self) -> list[Event]:
        """Let it do and say what it owes."""
        said: list[Event] = []
        for _ in range(50):
            owed = self.core.decide(self.board.now)
            if not owed:
                return said
            for one in owed:
                match one:
                    case Decision():
                        self.board.say(one.event, one.cause, one.id)
                        said.append(one.event)
                    case Apply():
                        self.tables.append(one)
                        self.core.hear(Applied(one.table.sequence, self.works), self.board.now)
                    case Tell(beat=beat):
                        self.beats.append(beat)
        raise AssertionError(f"never settles: {said[-3:]}")

    def later(self, seconds: float) -> list[Event]:
        self.board.now += seconds
        return self.turn()

    def up(self, slot: int, node: str = "a", attempt: int = 1) -> dict[str, Any]:
        """Have a container run on a node; give its names."""
        names: dict[str, Any] = {"app": "shop", "service": "web", "slot": slot}
        names |= {"attempt": attempt, "node": node}
        mark = digest(self.spec, "web")
        self.board.say(ContainerAssigned(**names, revision=1, digest=mark))
        where = Address("shop_default", f"172.18.0.{slot}", 16, "172.18.0.1")
        self.board.say(ContainerStarted(**names, engine_id="e", addresses=[where]))
        return names

    def beat(self, node: str, **in_flight: int) -> list[Event]:
        """Hear that another gateway has applied everything."""
        flows = {f"shop/web {name[1:].replace('_', '-')}": n for name, n in in_flight.items()}
        sequence = self.board.log[-1].sequence
        self.core.hear(GatewayBeat(node, f"g-{node}", sequence, flows), self.board.now)
        return self.turn()

    @property
    def table(self) -> Any:
        return self.tables[-1].table


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    assert [type(event) for event in stand.turn()] == [GatewayJoined]
    return stand


def test_a_container_is_led_to_once_this_gateway_has_applied_it(stand: Stand) -> None:
    names = stand.up(1)
    assert stand.turn() == [EndpointReady(**names)]
    assert stand.turn() == [], "it is said once"


def test_another_gateway_is_waited_for_until_it_has_applied_it(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    names = stand.up(1)
    assert stand.turn() == []
    assert stand.beat("b") == [EndpointReady(**names)]


def test_a_silent_gateway_is_waited_for_no_longer_than_three_seconds(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    names = stand.up(1)
    assert stand.turn() == []
    assert stand.later(2.9) == []
    assert stand.core.wake_at is not None
    assert stand.later(0.2) == [EndpointReady(**names, unheard=["b"])]


def test_a_gateway_that_hangs_behind_is_waited_for_five_seconds(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    stand.turn()
    stand.beat("b")
    names = stand.up(1)
    said = [stand.turn()]
    for _ in range(11):
        stand.core.hear(GatewayBeat("b", "g-b", 1), stand.board.now)
        said.append(stand.later(0.5))
    assert [event for events in said for event in events] == [EndpointReady(**names, unheard=["b"])]


@pytest.mark.parametrize("gone", [GatewayLeft(node="b"), NodeLost(node="b", silent_s=3.0)])
def test_a_gateway_that_is_gone_is_not_waited_for(stand: Stand, gone: Event) -> None:
    stand.board.say(gateway("b"))
    names = stand.up(1)
    stand.board.say(gone)
    assert stand.turn() == [EndpointReady(**names)]


def test_only_the_gateway_of_its_own_node_speaks_for_a_container(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    stand.up(1, "b")
    assert stand.turn() == []
    assert stand.later(20) == []


def test_a_retired_container_is_drained_when_nothing_flows_anywhere(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    names = stand.up(1)
    stand.turn()
    stand.beat("b")
    stand.board.say(ContainerRetired(**names, reason="replaced"))
    stand.core.hear(Flowing({"shop/web 1-1": 2}), stand.board.now)
    assert stand.turn() == []
    [endpoint] = stand.table.routes[0].endpoints
    assert endpoint.draining
    assert stand.beat("b", _1_1=1) == []
    stand.core.hear(Flowing({"shop/web 1-1": 0}), stand.board.now)
    assert stand.turn() == [], "it flows through the other one"
    assert stand.beat("b") == [EndpointDrained(**names)]


def test_an_app_that_is_removed_is_led_to_until_nothing_flows(stand: Stand) -> None:
    names = stand.up(1)
    stand.turn()
    stand.board.say(RemovalAccepted(app="shop"))
    stand.board.say(ContainerRetired(**names, reason="removed"))
    stand.core.hear(Flowing({"shop/web 1-1": 1}), stand.board.now)
    assert stand.turn() == []
    [route] = stand.table.routes
    assert [one.draining for one in route.endpoints] == [True]
    stand.core.hear(Flowing({}), stand.board.now)
    assert stand.turn() == [EndpointDrained(**names)]


def test_what_flows_on_after_ten_seconds_is_told_and_not_waited_for(stand: Stand) -> None:
    names = stand.up(1)
    stand.turn()
    stand.board.say(ContainerRetired(**names, reason="replaced"))
    stand.core.hear(Flowing({"shop/web 1-1": 2}), stand.board.now)
    assert stand.turn() == []
    assert stand.later(9.9) == []
    assert stand.later(0.2) == [EndpointDrained(**names, in_flight=2)]
    stand.board.say(ContainerStopped(**names))
    stand.turn()
    assert stand.table.routes == [] or stand.table.routes[0].endpoints == []


def test_what_has_failed_is_led_to_no_more(stand: Stand) -> None:
    names = stand.up(1)
    stand.up(2)
    stand.turn()
    stand.board.say(ContainerFailed(**names, reason="exited", exit_code=1))
    stand.turn()
    assert [one.name for one in stand.table.routes[0].endpoints] == ["2-1"]


def test_a_service_has_an_address_where_its_app_is_and_leads_to_all_nodes(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    stand.up(1)
    stand.up(2, "b")
    stand.turn()
    [route] = stand.table.routes
    assert route.vip
    assert route.sources == ["172.18.0.0/16"]
    assert route.networks == {"shop_default": ["www"]}
    assert [port.number for port in route.ports] == [80, 9000]
    here, there = route.endpoints
    assert (here.address, here.local) == ("172.18.0.1", True)
    assert (there.address, there.port, there.local) == ("192.0.2.2", 7443, False)
    assert [one.port for one in stand.table.inbound] == [80, 9000]
    assert [one.node for one in stand.table.neighbours] == ["b"]


def test_elsewhere_it_has_none_but_its_published_ports_are_served(stand: Stand) -> None:
    stand.board.say(gateway("b"))
    stand.up(1, "b")
    stand.turn()
    [route] = stand.table.routes
    assert not route.vip
    [published] = stand.table.published
    assert (published.published, published.target) == (9000, 9000)
    assert [one.node for one in route.endpoints] == ["b"]


def test_a_gateway_with_another_kind_of_mesh_is_not_led_through_and_is_told_of(
    stand: Stand,
) -> None:
    stand.board.say(gateway("b", mesh="plain"))
    stand.up(1, "b")
    stand.turn()
    assert stand.table.neighbours == []
    assert [one.node for one in stand.table.apart] == ["b"]


def test_host_names_lead_to_their_service_as_http() -> None:
    web = ServiceSpec(image="web", ingress=[Ingress(port=80, host="shop.example")])
    stand = Stand(AppSpec(services={"web": web}))
    stand.turn()
    [one] = stand.table.ingress
    assert (one.host, one.path, one.target, one.tls) == ("shop.example", "/", 80, "")
    assert stand.table.routes[0].ports[0].http


def test_a_new_certificate_is_served_though_the_service_stays_as_it_is() -> None:
    web = ServiceSpec(image="web", ingress=[Ingress(port=8080, host="shop.example", tls="cert")])
    old, new = (
        AppSpec(services={"web": web}, secrets={"cert": FileSpec(name="cert", digest=mark)})
        for mark in ("old", "new")
    )
    stand = Stand(old)
    stand.turn()
    assert [one.tls for one in stand.table.ingress] == ["old"]
    stand.board.say(DeployAccepted(app="shop", revision=2, spec=new))
    stand.turn()
    assert [one.tls for one in stand.table.ingress] == ["new"]


def test_a_table_that_cannot_be_applied_is_tried_again_and_counts_for_nothing(
    stand: Stand,
) -> None:
    stand.works = False
    names = stand.up(1)
    assert stand.turn() == []
    tried = len(stand.tables)
    assert stand.turn() == []
    assert len(stand.tables) == tried
    stand.works = True
    assert stand.later(1.1) == [EndpointReady(**names)]


def test_a_change_that_is_not_its_own_is_applied_at_once(stand: Stand) -> None:
    tables = len(stand.tables)
    stand.board.say(joined("c"))
    stand.turn()
    assert len(stand.tables) == tables
    assert stand.core.applied == stand.board.log[-1].sequence


def test_beats_tell_how_far_it_is(stand: Stand) -> None:
    stand.later(0.6)
    stand.up(1)
    stand.later(0.6)
    stand.later(0.2)
    assert stand.beats[-1].applied == stand.board.log[-1].sequence


def test_it_gives_way_to_a_newer_one_under_its_name(stand: Stand) -> None:
    stand.board.say(gateway("a", "other"))
    assert stand.core.decide(stand.board.now) == [GiveWay("other")]


def test_on_a_removed_node_it_leads_to_nothing_until_the_node_joins_again(stand: Stand) -> None:
    stand.up(1)
    stand.up(2, "b")
    stand.beat("b")
    assert stand.table.routes
    stand.board.say(NodeLost(node="a", silent_s=3.0))
    stand.board.say(NodeRemoved(node="a"))
    assert stand.turn() == [], "nothing is said for a node that there is not"
    assert (stand.table.routes, stand.table.published) == ([], [])
    stand.board.say(joined("a"))
    assert [type(event) for event in stand.turn()] == [GatewayJoined]
    assert len({record.id for record in stand.board.log}) == len(stand.board.log), (
        "a fact of its own"
    )
    assert stand.table.published


def test_a_late_word_of_the_gateway_before_is_no_reason_to_give_way() -> None:
    stand = Stand()
    stand.board.say(gateway("a", "before"))
    stand.turn()
    stand.board.say(gateway("a", "before", limits=["late"]))
    assert GiveWay("before") not in stand.core.decide(stand.board.now)
    assert stand.turn() == [gateway("a")], "it is said again who is at work"
    stand.board.say(gateway("a", "other"))
    assert stand.core.decide(stand.board.now) == [GiveWay("other")]


def test_beats_are_kept_of_known_gateways_only(stand: Stand) -> None:
    for number in range(1_000):
        stand.core.hear(GatewayBeat(f"made-up-{number}", "s", 1), stand.board.now)
    assert stand.core._heard == {}
    stand.board.say(gateway("b"))
    stand.beat("b")
    assert list(stand.core._heard) == ["b"]
    stand.board.say(NodeLost(node="b", silent_s=3.0))
    stand.board.say(NodeRemoved(node="b"))
    assert stand.core._heard == {}


def held(replicas: int = 1) -> Stand:
    web = msgspec.structs.replace(WEB, replicas=replicas, autoscale=Autoscale(min=0, max=3))
    return Stand(msgspec.structs.replace(SPEC, services={"web": web}), "a")


def test_what_waits_for_a_service_without_replicas_is_said_once() -> None:
    stand = held()
    stand.turn()
    [route] = stand.table.routes
    assert route.held
    assert route.waits
    stand.core.hear(Waiting({"shop/web": 2}), stand.board.now)
    assert stand.turn() == [], "its first replica is on its way"
    decided: dict[str, Any] = {"app": "shop", "service": "web", "revision": 1, "recommended": 0}
    emptied = stand.board.say(ScaleDecided(**decided, replicas=0, previous=1))
    assert stand.turn() == [RequestWaiting(app="shop", service="web", node="a", waiting=2)]
    assert stand.board.log[-1].cause == emptied.id
    stand.core.hear(Waiting({"shop/web": 3}), stand.board.now)
    assert stand.turn() == []
    stand.board.say(ScaleDecided(**decided, replicas=1, previous=0))
    stand.board.say(ScaleDecided(**decided, replicas=0, previous=1))
    assert stand.turn() == [RequestWaiting(app="shop", service="web", node="a", waiting=3)]
    stand.core.hear(Waiting({}), stand.board.now)
    assert stand.turn() == []


def test_nothing_waits_where_a_container_is_led_to_or_nothing_may_be_held() -> None:
    stand = held()
    stand.up(1)
    stand.turn()
    assert not stand.table.routes[0].waits
    plain = Stand(nodes="a")
    plain.turn()
    assert not plain.table.routes[0].held
    plain.core.hear(Waiting({"shop/web": 1, "shop/gone": 1}), plain.board.now)
    assert not any(isinstance(one, RequestWaiting) for one in plain.turn())
