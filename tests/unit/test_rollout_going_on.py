"""What a rollout says as it goes on: each step, whom it waits for, and how it ended."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
)
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutCompleted,
    RolloutHeld,
    RolloutPauseRequested,
    RolloutPromoted,
    RolloutPromoteRequested,
    RolloutResumed,
    RolloutResumeRequested,
    RolloutStalled,
)
from segue.events.scale import ScaleRequested
from segue.spec import Dependency, Restart, ServiceSpec, Strategy, Update
from segue.testing.shop import APP, Shop, accepted
from segue.testing.versions import CHECK, board, finish, images, said, shop, spec, step, steps


def caused_by(there: Shop, kind: type[Event]) -> Event:
    """Give what the newest event of a kind follows from."""
    newest = [record for record in there.log if isinstance(record.event, kind)][-1]
    (cause,) = [record for record in there.log if record.id == newest.cause]
    return cause.event


# How it goes on.


def test_each_step_says_how_many_were_advanced_before_it() -> None:
    there = shop(replicas=3)
    there.say(accepted(2, web=spec("w:2", replicas=3, update=Update(parallelism=2))))
    finish(there)
    assert there.all(RolloutAdvanced) == [
        RolloutAdvanced(app=APP, service="web", slots=[1, 2], done=0, total=3),
        RolloutAdvanced(app=APP, service="web", slots=[3], done=2, total=3),
    ]


def test_its_end_says_how_long_it_took_and_for_how_many() -> None:
    there = shop(replicas=2)
    there.say(accepted(2, web=spec("w:2", replicas=2)))
    began = there.now
    step(there, 0.12345)
    finish(there)
    took_s = there.now - began
    assert there.all(RolloutCompleted) == [
        RolloutCompleted(app=APP, service="web", slots=2, took_s=round(took_s, 3))
    ]
    assert took_s > 20
    assert round(took_s, 3) != round(took_s, 4)


def test_what_stalls_and_is_passed_over_is_listed_at_the_end_up_to_a_hundred() -> None:
    update = Update(parallelism=0, failure_action="continue")
    more = {"replicas": 102, "health": CHECK, "update": update}
    there = shop(replicas=102)
    there.up(*there.tell(accepted(2, web=spec("w:2", **more))))
    step(there, 301)
    step(there, 301)
    (completed,) = there.all(RolloutCompleted)
    assert completed.skipped == [*range(1, 101)]
    assert (completed.slots, completed.failed) == (102, 0)


def test_who_waits_for_a_person_says_for_which_word() -> None:
    canary = Strategy(kind="canary", promote="manual")
    green = Strategy(kind="blue_green", promote="manual")
    words = {
        canary: "the canary is ready; promote the new version, or abort",
        green: "the new version is ready; promote it, or abort",
    }
    for way, reason in words.items():
        there = shop()
        there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way))))
        assert said(step(there), RolloutHeld) == [
            RolloutHeld(app=APP, service="web", reason=reason)
        ]


def test_what_is_promoted_by_itself_is_said_to_be_once_it_is_trusted() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=Strategy(kind="blue_green")))))
    assert step(there, 9.9) == []
    (promoted,) = said(step(there, 0.1), RolloutPromoted)
    assert promoted == RolloutPromoted(app=APP, services=["web"])
    assert isinstance(caused_by(there, RolloutPromoted), RolloutAdvanced)


def test_slots_added_while_blue_green_waits_are_brought_up_too_before_it_is_promoted() -> None:
    green = Strategy(kind="blue_green", promote="manual")
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=green))))
    step(there)
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=6)))
    step(there)
    step(there)
    assert there.all(RolloutAdvanced)[-1] == RolloutAdvanced(
        app=APP, service="web", slots=[5, 6], done=4, total=6
    )
    assert images(there)[-3:] == ["4 w:2", "5 w:2", "6 w:2"]
    assert len(images(there)) == 10
    there.up(*there.tell(RolloutPromoteRequested(app=APP)))
    finish(there)
    assert images(there) == [f"{number} w:2" for number in range(1, 7)]


def test_a_canary_of_several_is_brought_up_in_as_many_steps_as_it_takes() -> None:
    way = Strategy(kind="canary", canary=3, promote="manual")
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way, update=Update(parallelism=2)))))
    step(there)
    (held,) = said(step(there), RolloutHeld)
    assert held.reason.startswith("the canary is ready")
    assert steps(there) == [[1, 2], [3]]


def test_a_canary_that_is_all_of_its_service_waits_for_a_person_too() -> None:
    way = Strategy(kind="canary", promote="manual")
    there = shop(replicas=1)
    there.up(*there.tell(accepted(2, web=spec("w:2", replicas=1, strategy=way))))
    step(there)
    step(there)
    assert images(there) == ["1 w:2"]
    assert [one.reason for one in there.all(RolloutHeld)] == [
        "the canary is ready; promote the new version, or abort"
    ]
    assert there.all(RolloutCompleted) == []
    there.up(*there.tell(RolloutPromoteRequested(app=APP)))
    finish(there)
    assert len(there.all(RolloutCompleted)) == 1


def test_who_goes_on_without_what_fails_says_once_that_a_dependency_is_not_there() -> None:
    needs = {"db": Dependency()}
    db = ServiceSpec(image="d", restart=Restart(condition="none"))
    update = Update(parallelism=1, failure_action="continue")
    there = board()
    there.deploy(web=spec("w:1", depends_on=needs), db=db)
    there.up(*there.tell(accepted(2, web=spec("w:2", depends_on=needs, update=update), db=db)))
    there.fail(there.container("db"))
    for _ in range(4):
        step(there, 301)
    assert [one.reason for one in there.all(RolloutHeld)] == ["what it depends on is not there"]
    assert there.all(RolloutStalled) == []


def test_a_dependent_names_the_rollout_that_comes_first() -> None:
    needs = {"db": Dependency(condition="started"), "log": Dependency(condition="started")}
    there = board()
    one: dict[str, Any] = {"log": spec("l:1", replicas=1)}
    there.deploy(web=spec("w:1", depends_on=needs), db=spec("d:1", replicas=1), **one)
    there.tell(accepted(2, web=spec("w:2", depends_on=needs), db=spec("d:2", replicas=1), **one))
    (held,) = there.all(RolloutHeld)
    assert held == RolloutHeld(app=APP, service="web", reason="the rollout of db comes first")


def test_a_pause_keeps_what_is_trusted_from_the_next_step_and_not_from_relieving() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.tell(RolloutPauseRequested(app=APP))
    step(there)
    step(there)
    assert images(there) == ["1 w:2", "2 w:1", "3 w:1", "4 w:1"]
    there.up(*there.tell(RolloutResumeRequested(app=APP)))
    assert steps(there) == [[1], [2]]
    (second,) = [r for r in there.log if r.event == there.all(RolloutAdvanced)[1]]
    (cause,) = [record for record in there.log if record.id == second.cause]
    assert isinstance(cause.event, RolloutResumed)


def test_what_becomes_healthy_late_starts_its_time_of_trust_only_then() -> None:
    there = shop(replicas=2)
    more = {"replicas": 2, "health": CHECK, "update": Update(parallelism=2, monitor_s=30)}
    there.up(*there.tell(accepted(2, web=spec("w:2", **more))))
    for number in (1, 2):
        there.now += 20
        there.tells(ContainerHealthy, there.container("web", number))
    assert step(there, 29) == []
    assert step(there, 1)


# How it goes back.


def test_the_way_back_is_start_first_and_step_by_step_too() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    step(there)
    there.fail(there.container("web", 3))
    events = there.up(*there.settle()) + finish(there)
    assert steps(there) == [[1], [2], [3], [1], [2]]
    assert [(one.slot, one.moves > 0) for one in said(events, ContainerRequested)] == [
        (1, True),
        (2, True),
    ]
    assert images(there) == [f"{number} w:1" for number in range(1, 5)]


def heal(there: Shop, *numbers: int) -> None:
    for number in numbers:
        there.tells(ContainerHealthy, there.container("web", number))


def half_way_back() -> Shop:
    """Give what goes back from a version that works in slot 1 and failed in slot 2."""
    there, stop = board(), Update(order="stop-first")
    more: dict[str, Any] = {"health": CHECK, "update": stop}
    more["rollback"] = Update(order="stop-first", failure_action="continue")
    there.up(*there.tell(accepted(1, web=spec("w:1", **more))))
    heal(there, 1, 2, 3, 4)
    step(there, 0)
    there.up(*there.tell(accepted(2, web=spec("w:2", **more))))
    heal(there, 1)
    step(there)
    there.fail(there.container("web", 2))
    step(there, 0)
    assert there.picture.apps[APP].restores == 1
    assert images(there) == ["1 w:2", "2 w:1", "3 w:1", "4 w:1"]
    return there


def test_on_the_way_back_what_works_waits_for_what_does_not() -> None:
    there = half_way_back()
    step(there, 60)
    assert steps(there) == [[1], [2]]
    heal(there, 2)
    step(there)
    assert steps(there) == [[1], [2], [1]]
    heal(there, 1)
    finish(there)
    assert images(there) == [f"{number} w:1" for number in range(1, 5)]


def test_on_the_way_back_what_does_not_come_up_is_waited_for_until_the_deadline() -> None:
    there = half_way_back()
    (stalled,) = said(step(there, 301), RolloutStalled)
    assert (stalled.slots, steps(there)) == ([2], [[1], [2], [1]])
    heal(there, 1)
    step(there)
    assert [one.skipped for one in there.all(RolloutCompleted)] == [[2]]


# What may end well.


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
@pytest.mark.parametrize("condition", ["on-failure", "none"])
def test_a_newer_version_that_ends_well_and_may_has_arrived(order: Any, condition: Any) -> None:
    """What is to run once is no version that does not come up, however soon it is done."""
    there = shop(replicas=2)
    more = {"restart": Restart(condition=condition), "update": Update(order=order)}
    there.up(*there.tell(accepted(2, web=spec("w:2", replicas=2, **more))))
    for number in (1, 2):
        there.tells(ContainerFinished, there.container("web", number))
        step(there)
    finish(there, 3)
    assert steps(there) == [[1], [2]]
    assert images(there) == [], "the older ones are relieved"
    assert not there.all(RolloutStalled)
    assert said([record.event for record in there.log], RolloutCompleted)[0].skipped == []
