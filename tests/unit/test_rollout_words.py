"""What people are told when a rollout cannot be steered as they ask, and why one stalls."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerStarted,
    ContainerUnhealthy,
)
from segue.events.deploy import DeployRejected, DeployReverted, Problem, RemovalAccepted
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeCordoned
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutHeld,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutRequestRejected,
    RolloutResumeRequested,
    RolloutStalled,
)
from segue.spec import Dependency, Restart, ServiceSpec, Strategy, Update
from segue.testing.shop import APP, Shop, accepted
from segue.testing.versions import CHECK, board, finish, images, said, shop, spec, step
from segue_deployer.core import Deployer

NOBODY = "there is no app called ghost"


def told(there: Shop, request: Event) -> tuple[type[Event], str, str]:
    (answer,) = there.tell(request)
    assert isinstance(answer, RolloutRequestRejected | DeployRejected), answer
    (problem,) = answer.problems
    assert problem == Problem(where=problem.where, what=problem.what, hint=problem.hint)
    assert problem.where == "app"
    return type(answer), problem.what, problem.hint


# What is asked.


@pytest.mark.parametrize(
    "kind",
    [
        RolloutAbortRequested,
        RolloutPauseRequested,
        RolloutPromoteRequested,
        RolloutResumeRequested,
    ],
)
def test_of_an_app_that_is_not_there_or_goes_nothing_is_steered(kind: Any) -> None:
    there = shop()
    assert told(there, kind(app="ghost")) == (RolloutRequestRejected, NOBODY, "")
    there.say(RemovalAccepted(app=APP))
    there.settle()
    what = "there is no app called shop"
    assert told(there, kind(app=APP)) == (RolloutRequestRejected, what, "")


def test_of_an_app_that_is_not_there_nothing_is_rolled_back() -> None:
    assert told(shop(), RollbackRequested(app="ghost")) == (DeployRejected, NOBODY, "")


@pytest.mark.parametrize(
    ("request_", "what", "hint"),
    [
        (RolloutPauseRequested(app=APP), "no rollout of shop is under way", ""),
        (
            RolloutResumeRequested(app=APP, service="web"),
            "no rollout of shop/web is under way",
            "",
        ),
        (
            RolloutAbortRequested(app=APP),
            "no rollout of shop is under way",
            "segue rollback goes back",
        ),
    ],
)
def test_where_nothing_is_under_way_that_is_said(request_: Event, what: str, hint: str) -> None:
    assert told(shop(), request_) == (RolloutRequestRejected, what, hint)


def test_what_cannot_be_done_to_a_rollout_is_said() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    nothing = "nothing of it is paused, or held by a failure"
    assert told(there, RolloutResumeRequested(app=APP))[1] == nothing
    never = "nothing of it waits to be promoted: that is for canary and blue_green"
    assert told(there, RolloutPromoteRequested(app=APP))[1] == never
    there.tell(RolloutPauseRequested(app=APP))
    assert told(there, RolloutPauseRequested(app=APP))[1] == "it is paused already"


def test_what_is_being_reverted_is_steered_no_more() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.say(DeployReverted(app=APP, revision=2, to=1, reason="it was aborted"))
    (rejected,) = said(there.tell(RolloutPauseRequested(app=APP)), RolloutRequestRejected)
    assert rejected.problems[0].what == "revision 2 is being reverted to 1"


# Why it stalls.


def stalled(there: Shop, seconds: float = 301.0) -> str:
    there.now += seconds
    (event,) = said(there.settle(), RolloutStalled)
    return event.reason


def test_who_waits_to_be_started_says_so() -> None:
    there = shop()
    there.tell(accepted(2, web=spec("w:2")))
    newer = there.container("web")
    assert stalled(there) == f"web.1 has not started on {newer.node}"


def test_who_is_not_healthy_says_what_its_check_said() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", health=CHECK))))
    newer = there.container("web")
    there.tells(ContainerUnhealthy, newer, streak=1, output="no route to db")
    assert stalled(there) == f"web.1 is not healthy on {newer.node}: no route to db"


def test_who_finds_no_node_says_why() -> None:
    there = shop()
    for node in "ab":
        there.say(NodeCordoned(node=node))
    there.tell(accepted(2, web=spec("w:2")))
    assert stalled(there) == "web.1 finds no node: node is cordoned"


def test_whose_gateway_does_not_lead_to_it_says_so() -> None:
    there = board()
    for node in "ab":
        there.say(GatewayJoined(node=node, session=f"g-{node}", address=""))
    there.deploy(web=spec("w:1", replicas=1, expose=[80]))
    there.tell(accepted(2, web=spec("w:2", replicas=1, expose=[80])))
    newer = there.container("web")
    there.tells(ContainerStarted, newer, engine_id="e")
    words = f"web.1 is ready on {newer.node}, and its gateway does not lead to it"
    assert stalled(there) == words


def test_of_several_that_wait_one_is_named_and_the_others_counted() -> None:
    there = shop()
    there.tell(accepted(2, web=spec("w:2", update=Update(parallelism=3))))
    newer = there.container("web")
    assert stalled(there) == f"web.1 has not started on {newer.node}, and 2 more wait"


def test_who_waits_for_a_node_says_so() -> None:
    there = Shop(Deployer())
    there.deploy(web=spec("w:1"))
    there.tell(accepted(2, web=spec("w:2")))
    assert stalled(there) == "web.1 waits for a node"


def test_a_rollout_whose_dependency_falls_away_says_so_and_stalls_with_it() -> None:
    needs = {"db": Dependency()}
    never = Restart(condition="none")
    db = ServiceSpec(image="d", restart=never)
    there = board()
    there.deploy(web=spec("w:1", depends_on=needs), db=db)
    there.up(*there.tell(accepted(2, web=spec("w:2", depends_on=needs), db=db)))
    there.fail(there.container("db"))
    held_for = "what it depends on is not there"
    assert [event.reason for event in said(step(there), RolloutHeld)] == [held_for]
    assert stalled(there) == held_for


def test_a_pause_holds_what_blue_green_has_prepared() -> None:
    there = shop()
    way = Strategy(kind="blue_green")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way))))
    there.tell(RolloutPauseRequested(app=APP))
    step(there)
    assert len(images(there)) == 8
    there.now += 1_000
    assert there.settle() == []
    there.up(*there.tell(RolloutResumeRequested(app=APP)))
    finish(there)
    assert images(there) == [f"{number} w:2" for number in range(1, 5)]


def test_a_pause_while_something_is_not_ready_lets_nothing_stall() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", health=CHECK))))
    there.tell(RolloutPauseRequested(app=APP))
    there.now += 1_000
    assert there.settle() == []
