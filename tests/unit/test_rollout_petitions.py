"""Whom an answer about rollouts or replicas concerns, and what is offered where there is none."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import ContainerRetired
from segue.events.deploy import (
    DeployAccepted,
    DeployRejected,
    DeployReverted,
    Problem,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutFailed,
    RolloutPaused,
    RolloutPauseRequested,
    RolloutPromoted,
    RolloutPromoteRequested,
    RolloutRequestRejected,
    RolloutResumed,
    RolloutResumeRequested,
)
from segue.events.scale import (
    ScaleAccepted,
    ScalePaused,
    ScalePauseRequested,
    ScaleRejected,
    ScaleRequested,
    ScaleResumed,
    ScaleResumeRequested,
)
from segue.spec import Autoscale, Strategy, Update
from segue.testing.shop import APP, Shop, accepted
from segue.testing.versions import board, finish, images, said, shop, spec, step

CANARY = Strategy(kind="canary", promote="manual")
FOLLOWS = Autoscale(max=9, target={"queue": 10.0})


def two(way: Strategy = CANARY) -> Shop:
    """Give an app of which two services roll out, and one stays as it is."""
    there = board()
    there.deploy(web=spec("w:1"), api=spec("a:1"), db=spec("d:1"))
    there.up(
        *there.tell(accepted(2, web=spec("w:2", strategy=way), api=spec("a:2"), db=spec("d:1")))
    )
    return there


def answer(there: Shop, request: Event) -> Event:
    return there.tell(request)[0]


def problem(there: Shop, request: Event) -> Problem:
    found = answer(there, request)
    assert isinstance(found, DeployRejected | RolloutRequestRejected | ScaleRejected), found
    assert found.app == APP
    (one,) = found.problems
    return one


# Which services.


def test_without_a_service_named_all_that_roll_out_are_meant() -> None:
    there = two()
    assert answer(there, RolloutPauseRequested(app=APP)) == RolloutPaused(
        app=APP, services=["web", "api"]
    )
    assert answer(there, RolloutResumeRequested(app=APP)) == RolloutResumed(
        app=APP, services=["web", "api"]
    )


def test_of_those_that_roll_out_only_those_it_changes_something_for_are_named() -> None:
    there = two()
    assert answer(there, RolloutPauseRequested(app=APP, service="web")) == RolloutPaused(
        app=APP, services=["web"]
    )
    assert answer(there, RolloutPauseRequested(app=APP)) == RolloutPaused(app=APP, services=["api"])
    assert answer(there, RolloutResumeRequested(app=APP, service="api")) == RolloutResumed(
        app=APP, services=["api"]
    )


@pytest.mark.parametrize("kind", ["canary", "blue_green"])
def test_what_waits_for_a_word_is_promoted_once(kind: Any) -> None:
    there = two(Strategy(kind=kind, promote="manual"))
    request = RolloutPromoteRequested(app=APP)
    assert answer(there, request) == RolloutPromoted(app=APP, services=["web"])
    words = "nothing of it waits to be promoted: that is for canary and blue_green"
    assert problem(there, request) == Problem(where="app", what=words)


def test_what_a_failure_holds_is_resumed_though_nothing_is_paused() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", update=Update(failure_action="pause")))))
    there.fail(there.container("web"))
    assert said(there.settle(), RolloutFailed)
    assert answer(there, RolloutResumeRequested(app=APP)) == RolloutResumed(
        app=APP, services=["web"]
    )


def test_an_app_that_is_gone_cannot_be_rolled_back() -> None:
    there = shop()
    there.up(*there.tell(RemovalRequested(app=APP)))
    assert there.all(RemovalCompleted)
    for request in (RollbackRequested(app=APP), RolloutPauseRequested(app=APP)):
        found = answer(there, request)
        assert isinstance(found, DeployRejected | RolloutRequestRejected)
        assert found.app == APP
        assert found.problems == [Problem(where="app", what="there is no app called shop")]


def test_what_is_being_reverted_is_named_with_its_revision() -> None:
    there = two()
    there.say(DeployReverted(app=APP, revision=2, to=1, reason="it was aborted"))
    (rejected,) = said(there.tell(RolloutAbortRequested(app=APP)), RolloutRequestRejected)
    words = "revision 2 is being reverted to 1"
    assert rejected == RolloutRequestRejected(app=APP, problems=[Problem(where="app", what=words)])


# Going back.


def test_an_abort_names_what_was_advanced_of_all_services_up_to_ten() -> None:
    there = two()
    reverted = answer(there, RolloutAbortRequested(app=APP))
    assert reverted == DeployReverted(
        app=APP, revision=2, to=1, reason="it was aborted", blocking=["web.1", "api.1"]
    )
    there = shop(replicas=11)
    at_once = Update(parallelism=0)
    there.up(*there.tell(accepted(2, web=spec("w:2", replicas=11, update=at_once))))
    reverted = answer(there, RolloutAbortRequested(app=APP))
    assert isinstance(reverted, DeployReverted)
    assert reverted.blocking == [f"web.{number}" for number in range(1, 11)]


def test_what_restores_a_revision_goes_on_to_its_end() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    there.up(*there.tell(RolloutAbortRequested(app=APP)))
    assert problem(there, RolloutAbortRequested(app=APP)) == Problem(
        where="app",
        what="revision 3 restores 1, and goes on to its end",
        hint="pause it, or deploy what is wanted",
    )


def came_up(*revisions: int) -> Shop:
    there = shop()
    for revision in revisions:
        there.say(accepted(revision, web=spec(f"w:{revision}")))
        finish(there)
    return there


def refused(there: Shop, revision: int = 0) -> tuple[str, str]:
    found = problem(there, RollbackRequested(app=APP, revision=revision))
    assert found.where == "revision"
    return found.what, found.hint


def test_who_cannot_go_back_is_told_whereto_it_is_possible() -> None:
    there = came_up()
    none = "to go back to there are: none"
    assert refused(there) == ("no revision of shop before 1 came up", none)
    assert refused(there, 1) == ("revision 1 is what is there", none)
    there = came_up(2, 3)
    both = "to go back to there are: 1, 2"
    assert refused(there, 3) == ("revision 3 is what is there", both)
    assert refused(there, 7) == ("revision 7 is not among the last that came up", both)


def test_without_a_revision_it_goes_back_to_the_newest_that_came_up_before() -> None:
    there = came_up(2, 3)
    accepted_ = answer(there, RollbackRequested(app=APP))
    assert isinstance(accepted_, DeployAccepted)
    assert (accepted_.app, accepted_.revision, accepted_.restores) == (APP, 4, 2)


def test_what_is_being_reverted_can_still_be_rolled_back_to_another_revision() -> None:
    there = came_up(2)
    there.up(*there.tell(accepted(3, web=spec("w:3"))))
    there.say(DeployReverted(app=APP, revision=3, to=2, reason="it was aborted"))
    events = there.tell(RollbackRequested(app=APP, revision=1))
    first = events[0]
    assert isinstance(first, DeployAccepted)
    assert (first.revision, first.restores) == (4, 1)
    there.up(*events)
    finish(there)
    assert images(there) == [f"{number} w:1" for number in range(1, 5)]


# Numbers of replicas.


def test_a_number_can_be_held_for_a_while_only_where_it_follows_a_load() -> None:
    there = shop(autoscale=FOLLOWS)
    request = ScaleRequested(app=APP, service="web", replicas=2, for_s=60.0)
    assert answer(there, request) == ScaleAccepted(
        app=APP, service="web", replicas=2, previous=4, for_s=60.0
    )
    stays = Problem(
        where="service",
        what="web does not follow its load: its number stays as it is",
        hint="give it x-autoscale, or scale it",
    )
    there = shop()
    for kind in (ScalePauseRequested, ScaleResumeRequested):
        assert problem(there, kind(app=APP, service="web")) == stays
    assert problem(there, request) == stays


def test_what_follows_a_load_can_be_held_and_let_go() -> None:
    there = shop(autoscale=FOLLOWS)
    paused = answer(there, ScalePauseRequested(app=APP, service="web", for_s=5.0))
    assert paused == ScalePaused(app=APP, service="web", for_s=5.0)
    resumed = answer(there, ScaleResumeRequested(app=APP, service="web"))
    assert resumed == ScaleResumed(app=APP, service="web")


@pytest.mark.parametrize(("for_s", "shown"), [(-1.0, "-1"), (30 * 86_400.0 + 0.5, "2.592e+06")])
def test_nothing_is_held_for_ever_or_for_less_than_no_time(for_s: float, shown: str) -> None:
    there = shop(autoscale=FOLLOWS)
    for request in (
        ScaleRequested(app=APP, service="web", replicas=2, for_s=for_s),
        ScalePauseRequested(app=APP, service="web", for_s=for_s),
    ):
        assert problem(there, request) == Problem(
            where="for_s",
            what=f"{shown} s is no time to hold a number; up to 30 days are possible",
            hint="without it, it holds until the next deploy",
        )


def test_a_number_is_held_for_thirty_days_at_most() -> None:
    there = shop(autoscale=FOLLOWS)
    request = ScalePauseRequested(app=APP, service="web", for_s=30 * 86_400.0)
    assert isinstance(answer(there, request), ScalePaused)


def test_a_number_is_none_at_least() -> None:
    there = shop()
    assert isinstance(
        answer(there, ScaleRequested(app=APP, service="web", replicas=0)), ScaleAccepted
    )
    assert problem(there, ScaleRequested(app=APP, service="web", replicas=-1)) == Problem(
        where="replicas", what="-1 replicas; from 0 to 100,000 are possible"
    )


def test_a_service_that_is_not_wanted_any_more_has_no_number() -> None:
    there = board()
    there.deploy(web=spec("w:1"), api=spec("a:1"))
    there.tell(accepted(2, web=spec("w:1")))
    assert problem(there, ScaleRequested(app=APP, service="api", replicas=2)) == Problem(
        where="service", what="shop has no service called api", hint="it has: web"
    )


def test_what_a_removal_ends_is_said_to_be_removed() -> None:
    there = shop()
    ended = said(there.tell(RemovalRequested(app=APP)), ContainerRetired)
    assert [one.reason for one in ended] == ["removed"] * 4
