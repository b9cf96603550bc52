"""How many replicas the autoscaler decides on, what it waits for, and how it says why not."""

from typing import Any

import msgspec
import pytest
from segue.events import Event
from segue.events.container import ContainerRequested, ContainerRetired
from segue.events.deploy import RemovalAccepted
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import (
    ScaleAccepted,
    ScaleDecided,
    ScaleHeld,
    ScalePaused,
    ScalePauseRequested,
    ScaleRejected,
    ScaleRequested,
    ScaleResumed,
    ScaleResumeRequested,
)
from segue.spec import Autoscale, Pace, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_autoscaler.core import Autoscaler
from segue_deployer.core import Deployer

OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}


def web(replicas: int = 2, most: int = 10, **more: Any) -> ServiceSpec:
    target = more.pop("target", {"lag": 10.0})
    spec = Autoscale(max=most, target=target, **more)
    return ServiceSpec(image="w", replicas=replicas, autoscale=spec)


def stage(spec: ServiceSpec | None = None, *cores: Any) -> Shop:
    shop = Shop(Autoscaler(), *cores)
    shop.say(accepted(web=spec or web()))
    shop.settle()
    return shop


def high(value: float, metric: str = "lag", **more: Any) -> LoadHigh:
    return LoadHigh(**OF_WEB, metric=metric, value=value, **more)


def low(value: float, metric: str = "lag", **more: Any) -> LoadLow:
    return LoadLow(**OF_WEB, metric=metric, value=value, **more)


def normal(value: float = 10.0, metric: str = "lag") -> LoadNormal:
    return LoadNormal(**OF_WEB, metric=metric, value=value)


def numbers(events: list[Event]) -> list[int]:
    return [event.replicas for event in events if isinstance(event, ScaleDecided)]


def held(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, ScaleHeld)]


def test_a_load_that_is_high_brings_more_at_once_and_says_what_from() -> None:
    shop = stage()
    (said,) = shop.tell(high(25.0))
    assert isinstance(said, ScaleDecided)
    assert (said.previous, said.replicas, said.recommended, said.revision) == (2, 5, 5, 1)
    (asked,) = said.inputs
    assert (asked.metric, asked.level, asked.value, asked.target) == ("lag", "high", 25.0, 10.0)
    assert (asked.replicas, asked.recommended) == (2, 5)
    assert not said.clamps
    assert shop.log[-1].cause == shop.log[-2].id, "the load is its cause"


def test_the_number_that_was_decided_becomes_slots_without_another_word() -> None:
    shop = stage(web(2), Deployer())
    said = shop.tell(high(15.0))
    assert numbers(said) == [3]
    assert [event.slot for event in said if isinstance(event, ContainerRequested)] == [3]
    assert not any(isinstance(event, ScaleAccepted) for event in said)
    shop.at(60.0)
    shop.tell(low(1.0, replicas=3))
    said = shop.at(120.0)
    assert [event.slot for event in said if isinstance(event, ContainerRetired)] == [3, 2]


def test_a_load_is_followed_once_however_often_and_late_it_is_said() -> None:
    shop = stage()
    assert numbers(shop.tell(high(25.0), high(25.0), high(25.0))) == [5]
    assert not shop.tell(high(25.0, replicas=2))
    assert not shop.at(600.0)


def test_the_same_word_once_more_is_none() -> None:
    shop = stage()
    record = shop.say(high(25.0))
    shop.settle()
    picture = shop.cores[0].picture
    picture.fold(msgspec.structs.replace(record, sequence=len(shop.log) + 1))
    scaling = picture.apps["shop"].services["web"].scaling
    assert scaling is not None
    assert len(scaling.loads["lag"]) == 1


def test_of_several_metrics_the_one_that_wants_most_counts() -> None:
    shop = stage(web(target={"lag": 10.0, "rps": 50.0}))
    assert numbers(shop.tell(high(15.0), high(100.0, "rps"))) == [4]
    (decided,) = shop.all(ScaleDecided)
    assert {asked.metric: asked.recommended for asked in decided.inputs} == {"lag": 3, "rps": 4}


@pytest.mark.parametrize("second", [None, normal(50.0, "rps")])
def test_a_metric_that_is_unknown_or_as_it_should_be_lets_none_go(
    second: LoadEvent | None,
) -> None:
    shop = stage(web(4, target={"lag": 10.0, "rps": 50.0}))
    shop.tell(low(1.0), *([second] if second else []))
    assert not shop.at(600.0)
    assert numbers(shop.tell(low(5.0, "rps")) + shop.at(120.0)) == [1]


def test_a_metric_that_only_others_know_brings_its_own_target() -> None:
    shop = stage(web(target={}))
    assert numbers(shop.tell(high(9.0, "gpu", target=3.0))) == [6]
    assert not shop.tell(high(9.0, "odd")), "what it is to be was never said"


def test_fewer_stay_only_after_the_window_in_which_more_was_asked_for() -> None:
    shop = stage(web(4))
    said = shop.tell(low(2.0))
    assert held(said) == ["window"]
    (clamp,) = shop.all(ScaleHeld)[0].clamps
    assert (clamp.rule, clamp.before, clamp.after) == ("window", 1, 4)
    assert not shop.at(119.0)
    assert numbers(shop.at(1.0)) == [1]


def test_a_moment_of_less_is_forgotten_when_it_becomes_as_it_should_be() -> None:
    shop = stage(web(4))
    shop.tell(low(2.0))
    shop.at(60.0)
    shop.tell(normal())
    assert not shop.at(60.0)
    assert held(shop.tell(low(2.0))) == ["window"], "the window begins anew"
    assert numbers(shop.at(119.0)) == []
    assert numbers(shop.at(1.0)) == [1]


def test_more_come_only_as_fast_as_they_may() -> None:
    shop = stage(web(1, most=100))
    assert numbers(shop.tell(high(400.0))) == [5]
    (clamp,) = shop.all(ScaleDecided)[0].clamps
    assert (clamp.rule, clamp.before, clamp.after) == ("pace", 40, 5)
    assert not numbers(shop.at(14.0))
    assert numbers(shop.at(1.0)) == [10]
    assert [numbers(shop.at(15.0)) for _ in range(3)] == [[20], [40], []]


def test_bounds_are_kept_and_said_once() -> None:
    shop = stage(web(2, most=3))
    said = shop.tell(high(100.0))
    assert numbers(said) == [3]
    assert [clamp.rule for clamp in shop.all(ScaleDecided)[0].clamps] == ["pace", "max"]
    assert held(said) == ["max"]
    assert not shop.tell(high(120.0), high(110.0, replicas=3))
    assert held(shop.tell(normal(), high(150.0))) == ["max"], "it is another time"


def test_bounds_that_a_deploy_moves_are_followed_without_waiting() -> None:
    shop = stage(web(8))
    assert not shop.tell(accepted(2, web=web(8, most=10)))
    shop.tell(accepted(3, web=web(3, most=5)))
    assert shop.cores[0].picture.apps["shop"].services["web"].replicas == 5


def test_a_deploy_goes_on_from_the_number_there_is() -> None:
    shop = stage(web(2))
    shop.tell(high(25.0))
    shop.tell(accepted(2, web=web(2)))
    service = shop.cores[0].picture.apps["shop"].services["web"]
    assert service.replicas == 5
    shop.tell(accepted(3, web=ServiceSpec(image="w", replicas=2)))
    assert (service.replicas, service.scaling) == (2, None)


def test_what_a_deploy_gives_another_target_is_unknown_again() -> None:
    shop = stage(web(4))
    shop.tell(low(1.0))
    shop.tell(accepted(2, web=web(4, target={"lag": 20.0})))
    assert not shop.at(600.0)


def test_a_decision_that_a_persons_word_crossed_changes_nothing() -> None:
    shop = stage(web(2))
    late = ScaleDecided(**OF_WEB, replicas=6, previous=2, revision=1, recommended=6)
    shop.say(ScaleAccepted(**OF_WEB, replicas=3, previous=2))
    shop.tell(late)
    assert shop.cores[0].picture.apps["shop"].services["web"].replicas == 3


def test_a_decision_of_another_revision_changes_nothing() -> None:
    shop = stage(web(2))
    shop.say(accepted(2, web=web(2)))
    shop.tell(ScaleDecided(**OF_WEB, replicas=6, previous=2, revision=1, recommended=6))
    assert shop.cores[0].picture.apps["shop"].services["web"].replicas == 2


def test_a_persons_number_holds_until_the_next_deploy() -> None:
    shop = stage(web(2), Deployer())
    shop.tell(ScaleRequested(**OF_WEB, replicas=12))
    assert held(shop.tell(high(25.0))) == ["manual"]
    assert not numbers(shop.at(3_600.0))
    said = shop.tell(accepted(2, web=web(2)))
    assert shop.cores[0].picture.apps["shop"].services["web"].replicas == 10
    assert not numbers(said)


def test_a_persons_number_may_hold_for_a_while() -> None:
    shop = stage(web(2), Deployer())
    shop.tell(ScaleRequested(**OF_WEB, replicas=1, for_s=600.0))
    assert held(shop.tell(high(50.0))) == ["manual"]
    assert not numbers(shop.at(599.0))
    assert numbers(shop.at(1.0)) == [5]
    assert not shop.at(600.0)


def test_pausing_leaves_the_number_and_resuming_goes_on() -> None:
    shop = stage(web(2), Deployer())
    said = shop.tell(ScalePauseRequested(**OF_WEB))
    assert [type(event) for event in said] == [ScalePaused]
    assert held(shop.tell(high(25.0))) == ["paused"]
    said = shop.tell(ScaleResumeRequested(**OF_WEB))
    assert isinstance(said[0], ScaleResumed)
    assert numbers(said) == [5]


def test_what_follows_no_load_can_neither_be_paused_nor_held_for_a_while() -> None:
    shop = stage(ServiceSpec(image="w"), Deployer())
    for asked in (
        ScalePauseRequested(**OF_WEB),
        ScaleResumeRequested(**OF_WEB),
        ScaleRequested(**OF_WEB, replicas=2, for_s=60.0),
    ):
        (said,) = shop.tell(asked)
        assert isinstance(said, ScaleRejected)
        assert "does not follow its load" in said.problems[0].what
    (said,) = stage(web(2), Deployer()).tell(ScalePauseRequested(**OF_WEB, for_s=1e9))
    assert isinstance(said, ScaleRejected)


def test_nothing_is_decided_of_what_does_not_follow_its_load_or_is_gone() -> None:
    shop = stage(ServiceSpec(image="w"))
    assert not shop.tell(high(25.0, target=1.0))
    shop = stage()
    shop.tell(RemovalAccepted(app="shop"))
    assert not shop.tell(high(25.0))


def test_a_service_that_may_not_shrink_never_does() -> None:
    shop = stage(web(4, down=Pace(step=0, step_percent=0)))
    assert held(shop.tell(low(1.0))) == ["pace"]
    assert not numbers(shop.at(3_600.0))


def test_an_up_window_waits_until_more_was_asked_for_all_the_time() -> None:
    shop = stage(web(2, up=Pace(window_s=30.0)))
    assert held(shop.tell(high(15.0))) == ["window"]
    shop.at(20.0)
    shop.tell(high(40.0))
    assert numbers(shop.at(10.0)) == [3], "3 was asked for all the time, 8 only lately"
    assert numbers(shop.at(20.0)) == [7]
    assert numbers(shop.at(15.0)) == [8]


def test_a_second_instance_decides_the_same_from_a_snapshot() -> None:
    shop = stage(web(1, most=100))
    shop.tell(high(400.0))
    fresh = Autoscaler()
    fresh.picture.restore(shop.cores[0].picture.snapshot())
    shop.now += 15.0
    assert [d.event for d in fresh.decide(shop.now)] == [
        d.event for d in shop.cores[0].decide(shop.now)
    ]
    assert numbers([d.event for d in fresh.decide(shop.now)]) == [10]
