"""How a service comes to have no replicas, and one again: who is idle, and what wakes it."""

from typing import Any

import pytest
from segue.beats import NodeBeat
from segue.core import BusReturned
from segue.events import Event
from segue.events.gateway import GatewayJoined, GatewayLeft
from segue.events.load import LoadHigh, LoadLow
from segue.events.request import RequestWaiting
from segue.events.scale import ScaleAccepted, ScaleDecided, ScaleHeld, ScalePaused, ScaleResumed
from segue.events.service import ServiceBusy, ServiceIdle
from segue.samples import GatewaySample, ServiceSample, ServiceTraffic
from segue.spec import Autoscale, Pace, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_autoscaler.core import Autoscaler
from segue_health_monitor.core import HealthMonitor

OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}
IDLE_S = 60.0


class Place(Shop):
    """A service that may have no replicas, gateways that lead to it, and who decides on both."""

    def __init__(self, *gateways: str, replicas: int = 1, ports: bool = True, **more: Any) -> None:
        super().__init__(Autoscaler(), HealthMonitor())
        for node in gateways:
            self.say(GatewayJoined(node=node, session=f"g-{node}", address=""))
        target = more.pop("target", {"rps": 50.0})
        spec = Autoscale(**{"min": 0, "max": 9, "idle_s": IDLE_S, "target": target} | more)
        expose = [80] if ports else []
        self.say(
            accepted(web=ServiceSpec(image="w", replicas=replicas, autoscale=spec, expose=expose))
        )
        self.settle()

    def hear(self, news: Any) -> None:
        self.cores[1].hear(news, self.now)

    def lead(self, seconds: float, **traffic: dict[str, Any]) -> list[Event]:
        """Let so much time pass in which each gateway says what it leads; those named only."""
        said: list[Event] = []
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            self.hear(NodeBeat("a", "s-a"))
            for node, one in traffic.items():
                found = [ServiceTraffic(**OF_WEB, **one)]
                self.hear(GatewaySample(node, found))
            said += self.settle()
        return said

    def lag(self, seconds: float, value: float) -> list[Event]:
        said: list[Event] = []
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            self.hear(NodeBeat("a", "s-a"))
            self.hear(ServiceSample(**OF_WEB, metric="lag", value=value))
            said += self.settle()
        return said

    @property
    def replicas(self) -> int:
        service = self.picture.service("shop", "web")
        assert service is not None, "it was deployed"
        return service.replicas


def emptied(**more: Any) -> Place:
    place = Place("a", **more)
    place.lead(IDLE_S + 4, a={})
    assert place.replicas == 0
    return place


def kinds(events: list[Event]) -> list[str]:
    return [one.type for one in events if not one.type.startswith("node.")]


def test_who_is_asked_nothing_for_long_has_no_replicas_and_the_idleness_is_why() -> None:
    place = Place("a", replicas=3)
    assert kinds(place.lead(IDLE_S - 2, a={})) == ["load.low", "scale.held"]
    said = place.lead(6, a={})
    assert kinds(said) == [ServiceIdle.type, ScaleDecided.type]
    decided = next(one for one in said if isinstance(one, ScaleDecided))
    assert (decided.replicas, decided.previous, decided.inputs[0].metric) == (0, 3, "idle")
    idle, record = place.log[-2], place.log[-1]
    assert (idle.event.type, record.cause) == (ServiceIdle.type, idle.id)
    assert not place.lead(300, a={}), "and that is all there is to say"


@pytest.mark.parametrize("traffic", [{"rps": 0.5}, {"inflight": 1}])
def test_a_request_or_a_connection_that_is_open_is_something_to_do(traffic: dict[str, Any]) -> None:
    place = Place("a", "b")
    place.lead(IDLE_S - 10, a={}, b={})
    place.lead(2, a={}, b=traffic)
    assert ServiceIdle.type not in kinds(place.lead(IDLE_S - 2, a={}, b={}))
    assert ServiceIdle.type in kinds(place.lead(6, a={}, b={}))


def test_what_a_gateway_does_not_say_is_not_known_to_be_nothing() -> None:
    place = Place("a", "b")
    assert ServiceIdle.type not in kinds(place.lead(3 * IDLE_S, a={}))
    place.say(GatewayLeft(node="b"))
    assert ServiceIdle.type not in kinds(place.lead(IDLE_S - 4, a={}))
    assert ServiceIdle.type in kinds(place.lead(8, a={}))


def test_without_gateways_and_after_the_bus_was_away_the_time_begins_anew() -> None:
    assert ServiceIdle.type not in kinds(Place().lead(3 * IDLE_S, a={}))
    place = Place("a")
    place.lead(IDLE_S - 6, a={})
    place.hear(BusReturned())
    assert ServiceIdle.type not in kinds(place.lead(IDLE_S - 2, a={}))
    assert ServiceIdle.type in kinds(place.lead(6, a={}))


def test_with_a_least_number_above_none_nobody_is_idle() -> None:
    place = Place("a", min=1)
    assert ServiceIdle.type not in kinds(place.lead(3 * IDLE_S, a={}))


def test_no_metric_alone_asks_for_none() -> None:
    place = Place("a", replicas=2, down=Pace(window_s=0.0))
    place.lead(20, a={})
    assert place.replicas == 1


def test_what_waits_brings_one_at_once_and_is_why() -> None:
    place = emptied(up=Pace(window_s=300.0, step=0, step_percent=0))
    said = place.tell(RequestWaiting(**OF_WEB, node="a", waiting=2))
    [decided] = said
    assert isinstance(decided, ScaleDecided)
    assert (decided.replicas, decided.previous, decided.inputs[0].metric) == (1, 0, "waiting")
    waiting = place.log[-2]
    assert (waiting.event.type, place.log[-1].cause) == (RequestWaiting.type, waiting.id)
    assert not place.tell(RequestWaiting(**OF_WEB, node="b", waiting=1)), "late, or by another"
    assert place.replicas == 1


def test_who_was_woken_is_idle_again_only_after_as_long() -> None:
    place = emptied()
    place.tell(RequestWaiting(**OF_WEB, node="a"))
    assert ServiceIdle.type not in kinds(place.lead(IDLE_S - 4, a={}))
    assert ServiceIdle.type in kinds(place.lead(8, a={}))
    assert place.replicas == 0


def test_what_is_in_flight_wakes_where_the_gateways_word_was_lost() -> None:
    place = emptied()
    said = place.lead(2, a={"inflight": 3})
    assert kinds(said) == [ServiceBusy.type, ScaleDecided.type]
    assert [one.words for one in said if isinstance(one, ServiceBusy)] == ["3 requests in flight"]
    assert place.replicas == 1


def test_what_was_answered_before_there_was_none_wakes_nobody_when_it_is_told_late() -> None:
    place = emptied()
    assert not place.lead(2, a={"rps": 0.5}), "nothing waits for an answer"
    assert place.replicas == 0


def test_a_queue_without_gateways_empties_and_wakes_by_its_length() -> None:
    place = Place(ports=False, target={"lag": 10.0})
    place.lag(IDLE_S / 2, 3.0)
    place.lag(IDLE_S + 4, 0.0)
    assert place.replicas == 0
    assert kinds(place.lag(2, 1.0))[0] == ServiceBusy.type
    assert place.replicas == 1
    place.lag(IDLE_S + 14, 0.0)
    assert place.replicas == 0
    place.lag(20, 55.0)
    assert place.replicas >= 5, "as many as the length asks for, from none too"


def test_what_nobody_measures_is_never_idle() -> None:
    place = Place(ports=False, target={"lag": 10.0})
    place.lag(10, 0.0)
    assert ServiceIdle.type not in kinds(place.lead(3 * IDLE_S, a={}))


def test_a_foreign_program_keeps_it_and_wakes_it_by_its_own_word() -> None:
    place = Place("a", target={})
    place.tell(LoadHigh(**OF_WEB, metric="sales", value=1.5, target=1.0))
    before = place.replicas
    place.lead(2 * IDLE_S, a={})
    assert place.replicas == before > 0, "its word holds"
    place.tell(LoadLow(**OF_WEB, metric="sales", value=0.1, target=1.0))
    assert place.replicas == 0, "it is idle, and has been for long"
    place.tell(LoadHigh(**OF_WEB, metric="sales", value=3.0, target=1.0))
    assert place.replicas == 3


def test_what_is_asked_again_before_anything_followed_takes_the_idleness_back() -> None:
    place = Place("a")
    place.say(ScalePaused(**OF_WEB))
    assert ScaleHeld.type in kinds(place.lead(IDLE_S + 4, a={}))
    assert kinds(place.lead(2, a={"rps": 9.0}))[0] == ServiceBusy.type
    place.tell(ScaleResumed(**OF_WEB))
    assert place.replicas == 1


def test_a_persons_number_is_not_woken_until_that_is_over() -> None:
    place = emptied()
    place.tell(ScaleAccepted(**OF_WEB, replicas=0, previous=0))
    said = place.tell(RequestWaiting(**OF_WEB, node="a"))
    assert [one.reason for one in said if isinstance(one, ScaleHeld)] == ["manual"]
    assert place.replicas == 0
    place.tell(ScaleResumed(**OF_WEB))
    assert place.replicas == 1
