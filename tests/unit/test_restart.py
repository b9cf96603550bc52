"""When an ended container is followed by another, and after how long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.envelope import Cause
from segue.events.container import (
    ContainerAssigned,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerStarted,
    ContainerUnhealthy,
)
from segue.events.deploy import DeployFailed
from segue.events.scale import ScaleRequested
from segue.picture import Container, Slot
from segue.spec import Health, Restart, ServiceSpec
from segue.testing.shop import APP, Shop, accepted
from segue_deployer.core import Deployer
from segue_deployer.restart import MOST_S, delay_s, exhausted, restart_at, tried_again_at
from segue_scheduler.core import Scheduler

NOW = 1_000_000.0
CHECKED = ServiceSpec(image="w", health=Health(test=["CMD", "true"]))


def ended(phase: Any = "failed", at: float = NOW, cause: str = "c") -> Container:
    return Container(
        app=APP,
        service="web",
        slot=1,
        attempt=1,
        revision=1,
        digest="d",
        cause=Cause(cause, cause),
        phase=phase,
        ended_at=at,
    )


def slot(*ends: float, streak: int = 1) -> Slot:
    return Slot(number=1, streak=streak, ended_at=list(ends))


def spec(mode: Any = "replicated", **policy: Any) -> ServiceSpec:
    return ServiceSpec(image="w", mode=mode, restart=Restart(**policy))


def service(**policy: Any) -> Shop:
    shop = Shop(Deployer())
    shop.deploy(web=spec(**policy))
    return shop


def crash(shop: Shop, times: int, every_s: float = 0.0) -> None:
    for _ in range(times):
        container = shop.container("web")
        if not container.ended:
            shop.fail(container)
        shop.now += every_s
        shop.up(*shop.settle())


# The wait.


@given(st.integers(0, 200), st.text(max_size=10))
def test_the_own_back_off_is_nothing_at_first_and_never_more_than_its_doubling(
    streak: int, seed: str
) -> None:
    wait = delay_s(None, streak, seed)
    assert 0 <= wait <= min(MOST_S, 2.0 ** max(0, streak - 2))
    assert streak > 1 or wait == 0


@given(st.floats(0.001, 1e6), st.integers(0, 200), st.text(max_size=10))
def test_with_a_users_delay_no_wait_is_shorter_and_none_longer_than_a_minute_beyond(
    base_s: float, streak: int, seed: str
) -> None:
    assert base_s <= delay_s(base_s, streak, seed) <= max(base_s, MOST_S)


@given(st.integers(0, 40), st.text(max_size=10))
def test_a_delay_of_zero_is_no_licence_to_spin(streak: int, seed: str) -> None:
    assert delay_s(0.0, streak, seed) == delay_s(None, streak, seed)


def test_the_waits_of_one_streak_are_spread_over_the_whole_delay() -> None:
    waits = [delay_s(None, 8, f"seed {number}") for number in range(500)]
    assert min(waits) < 3
    assert max(waits) > 57
    assert 25 < sum(waits) / len(waits) < 35


def test_the_same_end_waits_the_same_in_every_replay() -> None:
    assert delay_s(None, 5, "cause") == delay_s(None, 5, "cause") != delay_s(None, 5, "other")


def test_the_wait_begins_at_the_end() -> None:
    at = restart_at(spec(delay_s=90.0), slot(NOW, streak=3), ended(at=NOW), 0)
    assert at == NOW + 90


# Whether there is another at all.


@pytest.mark.parametrize(
    ("mode", "condition", "phase", "again"),
    [
        ("replicated", "any", "failed", True),
        ("replicated", "any", "finished", True),
        ("replicated", "on-failure", "failed", True),
        ("replicated", "on-failure", "finished", False),
        ("replicated", "none", "failed", False),
        ("replicated", "none", "finished", False),
        ("replicated-job", "any", "failed", True),
        ("replicated-job", "any", "finished", False),
        ("replicated-job", "on-failure", "finished", False),
        ("global-job", "none", "failed", False),
        ("global", "any", "finished", True),
    ],
)
def test_the_policy_decides_whether_there_is_another(
    *, mode: str, condition: str, phase: str, again: bool
) -> None:
    at = restart_at(spec(mode, condition=condition), slot(NOW), ended(phase), 0)
    assert (at is not None) is again


@pytest.mark.parametrize("most", [0, 1, 3, 31, 32, 40])
def test_as_many_restarts_as_allowed_and_no_more(most: int) -> None:
    shop = service(max_attempts=most)
    crash(shop, most + 10, every_s=61)
    assert len(shop.all(ContainerRequested)) == 1 + most


def test_attempts_outside_the_window_do_not_count() -> None:
    policy = spec(max_attempts=2, window_s=100.0)
    assert not exhausted(policy, slot(NOW - 200, NOW - 150, NOW - 50, NOW), ended(), 0)
    assert exhausted(policy, slot(NOW - 100, NOW - 50, NOW), ended(), 0)


def test_a_new_version_has_all_its_attempts_and_begins_its_back_off_anew() -> None:
    shop = service(max_attempts=2)
    crash(shop, 5, every_s=20)
    assert len(shop.all(ContainerRequested)) == 3
    shop.deploy(web=ServiceSpec(image="w:2", restart=Restart(max_attempts=2)))
    assert shop.slot("web").streak == 0
    shop.fail(shop.container("web"))
    (again,) = shop.settle()
    assert isinstance(again, ContainerRequested)
    assert again.not_before <= shop.now, "its first restart is at once"


@pytest.mark.parametrize("policy", [{"max_attempts": 1}, {"condition": "none"}])
def test_deploying_the_same_again_tries_once_more_what_had_failed(policy: dict[str, Any]) -> None:
    shop = service(**policy)
    crash(shop, 3, every_s=20)
    before = len(shop.all(ContainerRequested))
    shop.say(accepted(2, web=spec(**policy)))
    deployed = shop.log[-1]
    (again,) = shop.settle()
    assert isinstance(again, ContainerRequested)
    assert shop.log[-1].cause == deployed.id
    assert not [event for event in shop.all(DeployFailed) if event.revision == 2]
    shop.up(again)
    assert len(shop.all(ContainerRequested)) == before + 1


def test_deploying_the_same_again_leaves_alone_what_had_finished() -> None:
    shop = service(condition="on-failure")
    shop.tells(ContainerFinished, shop.container("web"))
    shop.settle()
    shop.now += 1
    said = shop.deploy(web=spec(condition="on-failure"))
    assert not [event for event in said if isinstance(event, ContainerRequested)]


@pytest.mark.parametrize("image", ["w", "w:2"])
def test_deploying_again_ends_the_back_off(image: str) -> None:
    shop = Shop(Deployer(), Scheduler())
    shop.deploy(web=spec())
    crash(shop, 6)
    assert shop.container("web").not_before > shop.now
    before = shop.container("web").attempt
    shop.now += 0.01
    shop.say(accepted(2, web=ServiceSpec(image=image)))
    deployed = shop.log[-1]
    said = shop.settle()
    [placed] = [one for one in said if isinstance(one, ContainerAssigned)]
    assert placed.attempt == before + (image != "w")
    if image == "w":
        assert shop.log[-1].cause == deployed.id, "it says why it did not wait"
    shop.tells(ContainerStarted, placed, engine_id="e")
    shop.settle()
    shop.fail(shop.container("web"))
    shop.settle()
    assert shop.container("web").not_before <= shop.now, "its first restart is at once again"


# What counts as an end.


def test_being_up_for_a_minute_ends_the_streak() -> None:
    shop = service()
    crash(shop, 4)
    assert shop.slot("web").streak == 4
    shop.now += 60
    shop.fail(shop.container("web"))
    assert shop.slot("web").streak == 1


def sick(shop: Shop, after_s: float) -> None:
    """Let the health check fail as often as it may; the health monitor judges it failed."""
    shop.now += after_s
    shop.tells(ContainerUnhealthy, shop.container("web"), streak=3)
    shop.fail(shop.container("web"), reason="unhealthy")


def test_with_a_health_check_only_being_healthy_is_being_up() -> None:
    """The engine's own defaults take 90 s to call it unhealthy: that must not look like success."""
    shop = Shop(Deployer())
    shop.deploy(web=CHECKED)
    for _ in range(5):
        sick(shop, 90)
        shop.up(*shop.settle())
    assert shop.slot("web").streak == 5
    (failed,) = shop.all(DeployFailed)
    assert failed.reason.startswith("web.1 ended 5 times in a row")


def test_a_minute_of_health_ends_the_streak_also_when_it_falls_ill_afterwards() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=CHECKED)
    sick(shop, 90)
    shop.up(*shop.settle())
    shop.tells(ContainerHealthy, shop.container("web"))
    sick(shop, 60)
    assert shop.slot("web").streak == 1
    shop.up(*shop.settle())
    shop.tells(ContainerHealthy, shop.container("web"))
    sick(shop, 59)
    assert shop.slot("web").streak == 2


def test_being_stopped_as_asked_is_no_end_by_itself() -> None:
    shop = service()
    shop.up(*shop.tell(ScaleRequested(app=APP, service="web", replicas=0)))
    assert (shop.slot("web").streak, shop.slot("web").ended_at) == (0, [])
    assert shop.slot("web").restarts == 0


def test_a_failure_on_the_way_to_being_stopped_is_no_end_by_itself() -> None:
    shop = service()
    shop.tell(ScaleRequested(app=APP, service="web", replicas=0))
    shop.fail(shop.container("web"))
    assert (shop.slot("web").streak, shop.slot("web").ended_at) == (0, [])
    assert shop.picture.nodes["a"].failures == {}


def test_every_attempt_has_its_own_wait_and_the_slot_counts_its_restarts() -> None:
    shop = service()
    crash(shop, 6)
    assert shop.slot("web").restarts == 6
    assert shop.slot("web").attempt == 7
    attempts = [event.attempt for event in shop.all(ContainerRequested)]
    assert attempts == list(range(1, 8))
    assert len(shop.all(ContainerStarted)) == 7


# A newer version that fails beside the older one, which works on.


def beside(*ends: float, streak: int = 1, **policy: Any) -> float | None:
    """Give when the version `d` begins in a slot in which it failed at these times."""
    tried = Slot(number=1, attempt=7, streak=streak, ended_at=list(ends), last_digest="d")
    return tried_again_at(spec(**policy), tried, "d", NOW - 100)


def test_a_version_that_has_not_failed_yet_begins_at_once() -> None:
    failed = Slot(number=1, streak=3, ended_at=[NOW], last_digest="older")
    assert tried_again_at(spec(), failed, "d", NOW - 100) == 0.0
    assert beside() == 0.0
    assert beside(NOW, streak=0) == 0.0, "it was trusted since"


@pytest.mark.parametrize(("ends", "again"), [(1, True), (2, True), (3, False)])
def test_a_version_is_tried_again_as_often_as_its_policy_allows(ends: int, *, again: bool) -> None:
    failed = beside(*[NOW] * ends, max_attempts=2)
    assert (failed is not None) == again
    assert beside(*[NOW] * ends) is not None, "without a limit it always is"
    assert beside(*[NOW - 100] * ends, max_attempts=2) == (NOW - 100 if again else None)
    assert beside(*[NOW - 101] * 9, NOW, max_attempts=2) == NOW, "what was before the deploy"


def test_a_version_that_is_not_to_be_restarted_is_tried_once() -> None:
    assert beside(NOW, condition="none") is None


def test_a_version_that_failed_waits_from_its_last_end_as_its_policy_says() -> None:
    wait = beside(NOW - 50, NOW, streak=5, delay_s=5.0)
    assert wait is not None
    assert NOW + 5 <= wait <= NOW + 60
    seeds = [
        Slot(number=1 + number, attempt=7, streak=9, ended_at=[NOW], last_digest="d")
        for number in range(20)
    ]
    assert len({tried_again_at(spec(), one, "d", 0.0) for one in seeds}) == 20
