"""Which containers and services the health monitor takes for ill or flapping, and when."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerHealthy,
    ContainerRetired,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import RemovalAccepted, RemovalCompleted
from segue.events.scale import ScaleAccepted
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.spec import Health, ServiceSpec
from segue.testing.shop import APP, accepted, scope
from segue.testing.ward import Ward
from segue_health_monitor.core import HealthMonitor

WEB = ServiceSpec(image="w", health=Health(test=["CMD", "true"]))


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
    assert failed.message == "its health check failed 3 times"
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


def test_what_is_not_ready_is_left_alone_and_what_is_not_alive_is_judged() -> None:
    ward = running()
    told: dict[str, Any] = {"streak": 3, "output": "tcp 10.0.0.2:80: nothing listens there"}
    ward.tells(ContainerUnhealthy, ward.container("web"), probe="readiness", **told)
    assert ward.settle() == []
    ward.tells(ContainerUnhealthy, ward.container("web"), probe="liveness", **told)
    (failed,) = ward.settle()
    assert isinstance(failed, ContainerFailed)
    words = "its liveness probe failed 3 times: tcp 10.0.0.2:80: nothing listens there"
    assert (failed.reason, failed.message) == ("unhealthy", words)


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
    assert ward.log[-1].cause == ward.container("web").cause.id
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
    (flapped,) = [record.id for record in ward.log if isinstance(record.event, ServiceFlapping)]
    assert ward.log[-1].cause == flapped
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


def test_everything_due_at_one_moment_is_said_at_that_moment() -> None:
    ward = Ward("ab")
    ward.say(accepted(web=WEB, api=WEB))
    for service in ("web", "api"):
        ward.run(ward.ask(service))
        ward.tells(ContainerUnhealthy, ward.container(service), streak=3)
    ward.now += 1.5
    assert [decision.event.subject for decision in ward.monitor.decide(ward.now)] == [
        "node.suspected.a",
        "node.suspected.b",
        "container.failed.shop.web.1.a",
        "container.failed.shop.api.1.a",
    ]


def test_an_empty_slot_hides_no_other() -> None:
    ward = running(slots=2)
    ward.fail(ward.container("web", 1))
    ward.say(ScaleAccepted(app=APP, service="web", replicas=0, previous=2))
    ward.say(ScaleAccepted(app=APP, service="web", replicas=2, previous=0))
    assert ward.slot("web", 1).container is None
    (failed,) = ward.tell(ContainerUnhealthy(**scope(ward.container("web", 2)), node="a", streak=3))
    assert isinstance(failed, ContainerFailed)
    assert failed.slot == 2


@pytest.mark.parametrize(("every_s", "flaps"), [(74.5, 1), (75, 0)])
def test_the_fifth_end_counts_until_the_first_is_five_minutes_old(
    every_s: float, flaps: int
) -> None:
    ward = running()
    for _ in range(5):
        crash(ward, every_s=every_s)
    assert len(ward.all(ServiceFlapping)) == flaps


def test_how_long_it_flapped_and_how_long_it_was_quiet_is_told_to_the_millisecond() -> None:
    ward = running()
    for _ in range(5):
        ward.now += 0.10006
        crash(ward, every_s=2)
    ward.now += 0.20006
    ward.beat("a", for_s=300)
    assert [event.within_s for event in ward.all(ServiceFlapping)] == [8.4]
    assert [event.quiet_s for event in ward.all(ServiceSteady)] == [300.2]


def test_a_service_that_is_removed_while_it_flaps_is_forgotten() -> None:
    ward = running()
    for _ in range(4):
        crash(ward)
    ward.fail(ward.container("web"))
    ward.say(RemovalAccepted(app=APP))
    assert ward.settle() == []
    assert ward.beat("a", for_s=301) == []


def test_a_service_that_is_forgotten_before_it_was_looked_at_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segue.picture.fold_app.REMOVED_APPS_KEPT", 0)
    ward = running()
    ward.tells(ContainerStopped, ward.container("web"))
    ward.say(RemovalAccepted(app=APP))
    ward.say(RemovalCompleted(app=APP))
    assert APP not in ward.picture.apps
    assert ward.picture.touched
    assert ward.beat("a", for_s=1) == []


def test_a_version_that_was_taken_back_does_not_leave_its_service_flapping() -> None:
    ward = running()
    bad = ServiceSpec(image="bad", health=WEB.health)
    ward.say(accepted(2, web=bad))
    ward.run(ward.ask("web", 1, 2))
    for _ in range(5):
        crash(ward)
    assert len(ward.all(ServiceFlapping)) == 1
    quiet = ward.beat("a", for_s=10)
    assert quiet == [], "it flaps as long as it is to run what fails"
    [steady] = ward.tell(accepted(3, web=WEB))
    assert isinstance(steady, ServiceSteady)
    assert steady.quiet_s == 10
    assert ward.beat("a", for_s=300) == []
