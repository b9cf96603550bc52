"""Who the health monitor takes for dead, ill or flapping, and when."""

import itertools

import pytest
from segue.beats import NodeBeat
from segue.core import BusReturned
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerHealthy,
    ContainerRetired,
    ContainerUnhealthy,
)
from segue.events.node import NodeDegraded, NodeLeft, NodeLost, NodeReturned, NodeSuspected
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.spec import Health, ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined, scope
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.nodes import GRACE_S, LEFT_LOST_AFTER_S

WEB = ServiceSpec(image="w", health=Health(test=["CMD", "true"]))


class Ward(Shop):
    """A health monitor whose grace is over, and nodes that beat when they are told to."""

    def __init__(self, nodes: str = "a", *, beats_s: float = GRACE_S) -> None:
        self.monitor = HealthMonitor()
        super().__init__(self.monitor, nodes=nodes)
        self.settle()
        self.beat(nodes, for_s=beats_s)

    def beat(self, nodes: str, *, for_s: float) -> list[Event]:
        """Let these nodes beat every half second."""
        said: list[Event] = []
        for _ in range(round(for_s * 2)):
            self.now += 0.5
            for node in nodes:
                self.monitor.hear(NodeBeat(node, f"s-{node}"), self.now)
            said += self.settle()
        return said

    def silence(self, for_s: float) -> list[Event]:
        """Wake the monitor whenever it wants to be woken, and tell it nothing."""
        end, said = self.now + for_s, self.settle()
        while (wake_at := self.monitor.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            said += self.settle()
        self.now = end
        return said + self.settle()

    def phase(self, node: str) -> str:
        return self.picture.nodes[node].phase


# Nodes.


def test_a_node_that_beats_is_left_alone() -> None:
    ward = Ward("ab")
    assert ward.beat("ab", for_s=60) == []


def test_a_silent_node_is_suspected_after_one_and_a_half_and_lost_after_three_seconds() -> None:
    ward = Ward("ab")
    heard_at = ward.now
    (suspected,) = ward.beat("b", for_s=1.5)
    assert isinstance(suspected, NodeSuspected)
    assert suspected.silent_s == ward.now - heard_at == 1.5
    (lost,) = ward.beat("b", for_s=1.5)
    assert isinstance(lost, NodeLost)
    assert lost.silent_s == ward.now - heard_at == 3.0
    assert ward.beat("b", for_s=30) == [], "once"


def test_it_wants_to_be_woken_exactly_when_a_node_becomes_suspect_and_lost() -> None:
    ward = Ward()
    heard_at = ward.now
    ward.silence(1.49)
    assert ward.monitor.wake_at == pytest.approx(heard_at + 1.5, abs=0.011)
    assert ward.phase("a") == "up"
    ward.silence(0.03)
    assert ward.phase("a") == "suspected"
    ward.silence(1.4)
    assert ward.phase("a") == "suspected"
    assert ward.monitor.wake_at == pytest.approx(heard_at + 3.0, abs=0.011)
    ward.silence(0.1)
    assert ward.phase("a") == "lost"


def test_a_suspected_node_that_is_heard_returns_at_once() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2)
    ward.monitor.hear(NodeBeat("a", "s-a"), ward.now)
    (back,) = ward.settle()
    assert isinstance(back, NodeReturned)
    assert ward.phase("a") == "up"


def test_a_lost_node_must_join_again() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=4)
    assert ward.beat("ab", for_s=5) == []
    assert ward.phase("a") == "lost"
    ward.tell(joined("a"))
    assert ward.beat("ab", for_s=5) == []
    assert ward.phase("a") == "up"
    assert len(ward.beat("b", for_s=4)) == 2


def test_each_verdict_on_one_node_has_an_id_and_a_cause_of_its_own() -> None:
    ward = Ward("ab")
    for _ in range(3):
        ward.beat("b", for_s=2)
        ward.beat("ab", for_s=1)
    verdicts = [r for r in ward.log if isinstance(r.event, NodeSuspected | NodeReturned)]
    assert len(verdicts) == 6
    assert len({record.id for record in verdicts}) == 6
    for before, after in itertools.pairwise(verdicts):
        assert after.cause == before.id


def test_a_node_that_joined_and_was_never_heard_is_lost_as_well() -> None:
    ward = Ward("b")
    ward.tell(joined("a"))
    assert [type(event) for event in ward.beat("b", for_s=3)] == [NodeSuspected, NodeLost]


def test_all_nodes_that_fall_silent_together_are_judged_in_the_order_of_their_names() -> None:
    ward = Ward("cab")
    said = ward.silence(5)
    assert [(event.type, event.node) for event in said if isinstance(event, NodeLost)] == [
        (NodeLost.type, name) for name in "abc"
    ]


def test_a_degraded_node_that_beats_is_not_lost() -> None:
    ward = Ward("ab")
    ward.tell(NodeDegraded(node="a", reason="engine"))
    assert ward.beat("ab", for_s=10) == []


def test_a_node_whose_runner_was_stopped_has_time_to_be_started_again() -> None:
    ward = Ward("ab")
    ward.tell(NodeLeft(node="a"))
    assert ward.beat("b", for_s=LEFT_LOST_AFTER_S - 1) == []
    ward.tell(joined("a"))
    assert ward.beat("ab", for_s=60) == []


def test_a_node_that_left_and_stays_away_is_lost() -> None:
    """A host that is shut down in good order must not keep its containers for ever."""
    ward = Ward("ab")
    ward.tell(NodeLeft(node="a"))
    (lost,) = ward.beat("b", for_s=LEFT_LOST_AFTER_S + 1)
    assert isinstance(lost, NodeLost)
    assert ward.phase("a") == "lost"


# When silence means nothing.


def test_after_its_own_start_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab", beats_s=0)
    assert ward.silence(GRACE_S - 0.01) == []
    assert ward.monitor.wake_at == ward.log[0].time + GRACE_S
    assert {type(event) for event in ward.silence(0.02)} >= {NodeSuspected}


def test_after_the_bus_was_away_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab")
    ward.now += 20
    ward.monitor.hear(BusReturned(), ward.now)
    assert ward.silence(GRACE_S - 0.1) == []
    assert len(ward.beat("ab", for_s=5)) == 0


def test_after_its_own_absence_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab")
    ward.now += 60
    assert ward.settle() == []
    assert ward.beat("ab", for_s=20) == []


def test_its_own_absence_is_noticed_also_when_news_comes_before_the_first_beat() -> None:
    ward = Ward("ab")
    ward.now += 60
    ward.tell(NodeDegraded(node="a", reason="engine"))
    assert ward.beat("ab", for_s=20) == []


def test_sleeping_until_the_planned_time_is_no_absence() -> None:
    ward = Ward("a")
    assert [type(event) for event in ward.silence(3.1)] == [NodeSuspected, NodeLost]


def test_a_clock_that_is_set_back_blinds_it_for_the_grace_and_no_longer() -> None:
    ward = Ward("ab")
    ward.now -= 3_600
    assert ward.beat("b", for_s=GRACE_S) == []
    assert [type(event) for event in ward.beat("b", for_s=5)] == [NodeSuspected, NodeLost]


def test_a_clock_that_is_set_forward_blinds_it_for_the_grace() -> None:
    ward = Ward("ab")
    ward.now += 3_600
    assert ward.beat("ab", for_s=30) == []


def test_a_suspected_node_that_is_heard_during_the_grace_returns_at_once() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2)
    ward.monitor.hear(BusReturned(), ward.now)
    assert ward.silence(1) == [], "being blind is no proof of life"
    (back,) = ward.beat("ab", for_s=0.5)
    assert isinstance(back, NodeReturned)


def test_a_monitor_that_takes_over_knows_who_beat_while_another_led() -> None:
    ward = Ward("ab")
    fellow = HealthMonitor()
    for record in ward.log:
        fellow.fold(record)
    start = ward.now
    for tick in range(40):
        ward.now = start + tick / 2
        fellow.hear(NodeBeat("b", "s-b"), ward.now)
    (verdict,) = fellow.decide(ward.now)
    assert isinstance(verdict.event, NodeSuspected)
    assert verdict.event.node == "a"


def test_beats_of_a_node_that_nobody_knows_are_harmless() -> None:
    ward = Ward("a")
    assert ward.beat("az", for_s=10) == []


# Containers.


def running(service: ServiceSpec = WEB, slots: int = 1) -> Ward:
    ward = Ward("a")
    ward.say(accepted(web=service))
    for slot in range(1, slots + 1):
        ward.run(ward.ask("web", slot))
    ward.settle()
    return ward


def test_an_unhealthy_container_is_judged_failed_once() -> None:
    ward = running()
    said = ward.tell(ContainerUnhealthy(**scope(ward.container("web")), node="a", streak=3))
    (failed,) = said
    assert isinstance(failed, ContainerFailed)
    assert (failed.reason, failed.attempt, failed.node) == ("unhealthy", 1, "a")
    assert "failed 3 times" in failed.message
    assert ward.log[-1].cause == ward.log[-2].id
    ward.tells(ContainerUnhealthy, ward.container("web"), streak=4)
    assert ward.settle() == []


def test_a_container_that_recovered_before_the_verdict_is_left_alone() -> None:
    ward = running()
    ward.tells(ContainerUnhealthy, ward.container("web"), streak=3)
    ward.tells(ContainerHealthy, ward.container("web"))
    assert ward.settle() == []


def test_an_unhealthy_container_that_is_to_go_anyway_is_not_judged() -> None:
    ward = running()
    ward.say(ContainerRetired(**scope(ward.container("web")), node="a", reason="scaled"))
    ward.tells(ContainerUnhealthy, ward.container("web"), streak=3)
    assert ward.settle() == []


# Services.


def crash(ward: Ward, slot: int = 1, every_s: float = 10.0) -> list[Event]:
    """Let a slot's container fail, and another take its place before the monitor has looked."""
    ward.beat("a", for_s=every_s)
    ward.fail(ward.container("web", slot), message="no route to db")
    ward.run(ward.ask("web", slot, ward.slot("web", slot).attempt + 1))
    return ward.settle()


def test_five_ends_within_five_minutes_are_flapping_and_it_is_said_once() -> None:
    ward = running()
    for _ in range(4):
        assert crash(ward) == []
    (flapping,) = crash(ward)
    assert isinstance(flapping, ServiceFlapping)
    assert (flapping.slot, flapping.failures, flapping.within_s) == (1, 5, 40.0)
    assert (flapping.last_reason, flapping.last_exit_code) == ("no route to db", 1)
    for _ in range(10):
        assert crash(ward) == []


def test_ends_further_apart_are_no_flapping() -> None:
    ward = running()
    for _ in range(12):
        assert crash(ward, every_s=76) == []


def test_ends_of_different_slots_are_not_added_up() -> None:
    ward = running(slots=3)
    for slot in (1, 2, 3, 1, 2, 3, 1, 2, 3):
        assert crash(ward, slot) == []


def test_a_flapping_service_is_steady_after_five_quiet_minutes_to_the_second() -> None:
    ward = running()
    for _ in range(5):
        crash(ward)
    ended_at = ward.slot("web").ended_at[-1]
    assert ward.beat("a", for_s=299.5) == []
    (steady,) = ward.beat("a", for_s=0.5)
    assert isinstance(steady, ServiceSteady)
    assert (steady.app, steady.service) == (APP, "web")
    assert steady.quiet_s == ward.now - ended_at == 300
    assert ward.beat("a", for_s=600) == []


def test_every_further_end_puts_off_being_steady() -> None:
    ward = running()
    for _ in range(5):
        crash(ward)
    ward.beat("a", for_s=200)
    crash(ward)
    assert ward.beat("a", for_s=299.5) == []
    assert len(ward.beat("a", for_s=0.5)) == 1


def test_a_service_may_flap_again_after_having_been_steady() -> None:
    ward = running()
    for _ in range(2):
        for _ in range(5):
            crash(ward)
        ward.beat("a", for_s=301)
    assert [len(ward.all(kind)) for kind in (ServiceFlapping, ServiceSteady)] == [2, 2]
    assert len({record.id for record in ward.log}) == len(ward.log)


def test_the_clock_alone_wakes_it_for_what_becomes_steady() -> None:
    ward = running()
    for _ in range(5):
        crash(ward)
    ended_at = ward.slot("web").ended_at[-1]
    later = HealthMonitor()
    later.picture.restore(ward.picture.snapshot())
    del later.picture.nodes["a"]
    later.decide(ended_at + 299)
    assert later.wake_at == ended_at + 300
