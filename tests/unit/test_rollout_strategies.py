"""In which order a version is trusted, and what people have to say in it."""

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerRetired,
)
from segue.events.deploy import DeployReverted
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutHeld,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutResumeRequested,
    RolloutStalled,
    RolloutStarted,
)
from segue.events.scale import ScaleRequested
from segue.spec import (
    Mount,
    Port,
    Strategy,
    Update,
)
from segue.testing.shop import APP, accepted
from segue.testing.versions import finish, images, rollout, said, shop, spec, step, steps

DATA = [Mount(kind="volume", source="data", target="/data")]


# Canaries, and blue beside green.


def test_a_canary_goes_first_and_the_others_follow_by_themselves() -> None:
    there = shop(replicas=8)
    there.say(accepted(2, web=spec("w:2", replicas=8, strategy=Strategy(kind="canary"))))
    finish(there)
    assert steps(there) == [[1], [2, 3], [4, 5], [6, 7], [8]]


def test_a_canary_waits_for_a_persons_word_for_as_long_as_it_takes() -> None:
    there = shop()
    way = Strategy(kind="canary", canary_percent=50, promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way, update=Update(parallelism=4)))))
    (held,) = said(step(there), RolloutHeld)
    assert "promote" in held.reason
    assert steps(there) == [[1, 2]]
    assert step(there, 86_400) == []
    there.up(*there.tell(RolloutPromoteRequested(app=APP)))
    finish(there)
    assert steps(there) == [[1, 2], [3, 4]]


def test_a_canary_that_fails_after_a_day_has_its_time_to_come_back() -> None:
    there = shop()
    way = Strategy(kind="canary", promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way))))
    step(there)
    there.now += 86_400
    there.fail(there.container("web", 1))
    assert not said(step(there, 0), RolloutStalled)
    assert not rollout(there).failed


def test_blue_green_brings_all_up_before_it_relieves_any() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=Strategy(kind="blue_green")))))
    assert steps(there) == [[1, 2, 3, 4]]
    assert len(images(there)) == 8
    events = step(there)
    assert [e.slot for e in said(events, ContainerRetired)] == [1, 2, 3, 4]
    finish(there)
    assert images(there) == [f"{n} w:2" for n in range(1, 5)]


def test_blue_green_waits_for_a_persons_word() -> None:
    there = shop()
    way = Strategy(kind="blue_green", promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way))))
    assert [type(e) for e in step(there)] == [RolloutHeld]
    assert step(there, 3_600) == []
    events = there.up(*there.tell(RolloutPromoteRequested(app=APP, service="web")))
    assert len(said(events, ContainerRetired)) == 4


def test_blue_green_is_rolling_where_a_slot_cannot_run_twice() -> None:
    there = shop(strict=True)
    way = Strategy(kind="blue_green")
    (started, *_) = there.tell(accepted(2, web=spec("w:2", strict=True, strategy=way)))[0:1]
    assert isinstance(started, RolloutStarted)
    assert (started.strategy, started.order) == ("rolling", "stop-first")
    assert "twice" in started.reason


# Gateways.


def test_where_a_gateway_is_the_older_one_goes_once_it_leads_to_the_newer() -> None:
    there = shop(ports=[Port(target=80, published=8080)])
    for node in "ab":
        there.say(GatewayJoined(node=node, session="s", address=node))
    there.up(*there.tell(accepted(2, web=spec("w:2", ports=[Port(target=80, published=8080)]))))
    assert step(there, 60) == []
    new = there.container("web", 1)
    there.say(EndpointReady(app=APP, service="web", slot=1, node=new.node, attempt=new.attempt))
    assert [e.slot for e in said(there.settle(), ContainerRetired)] == [1]


# What people do.


def test_a_pause_stops_the_next_step_and_its_deadline() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.up(*there.tell(RolloutPauseRequested(app=APP)))
    step(there, 1_000)
    assert steps(there) == [[1]]
    assert step(there, 1_000) == []
    there.up(*there.tell(RolloutResumeRequested(app=APP)))
    finish(there)
    assert steps(there) == [[1], [2], [3], [4]]


def test_an_abort_goes_back_at_once() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    events = there.up(*there.tell(RolloutAbortRequested(app=APP)))
    assert said(events, DeployReverted)[0].reason == "it was aborted"
    finish(there)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]


@pytest.mark.parametrize(
    "request_",
    [
        RolloutPauseRequested(app=APP),
        RolloutResumeRequested(app=APP),
        RolloutPromoteRequested(app=APP, service="web"),
        RolloutAbortRequested(app=APP),
        RolloutPauseRequested(app="ghost"),
        RolloutAbortRequested(app="ghost"),
    ],
)
def test_what_is_not_under_way_cannot_be_steered(request_: Event) -> None:
    there = shop()
    (answer,) = there.tell(request_)
    assert answer.type == "rollout.request_rejected"


def test_what_makes_no_sense_is_rejected() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.tell(RolloutPauseRequested(app=APP))
    for request in (
        RolloutPauseRequested(app=APP),
        RolloutPromoteRequested(app=APP),
        RolloutResumeRequested(app=APP, service="ghost"),
    ):
        (answer,) = there.tell(request)
        assert answer.type == "rollout.request_rejected", request


def test_a_rollback_restores_the_revision_before_or_any_that_came_up() -> None:
    there = shop()
    for revision in (2, 3):
        there.say(accepted(revision, web=spec(f"w:{revision}")))
        finish(there)
    there.up(*there.tell(RollbackRequested(app=APP)))
    finish(there)
    assert images(there) == [f"{n} w:2" for n in range(1, 5)]
    there.up(*there.tell(RollbackRequested(app=APP, revision=1)))
    finish(there)
    app = there.picture.apps[APP]
    assert (app.revision, app.restores) == (5, 1)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]


def test_a_rollback_keeps_the_number_of_slots_of_then() -> None:
    there = shop()
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=2)))
    there.say(accepted(2, web=spec("w:2", replicas=6)))
    finish(there)
    there.up(*there.tell(RollbackRequested(app=APP)))
    finish(there)
    assert len(images(there)) == 2


@pytest.mark.parametrize("revision", [0, 1, 7])
def test_a_rollback_to_what_never_was_is_rejected(revision: int) -> None:
    there = shop()
    (answer,) = there.tell(RollbackRequested(app=APP, revision=revision))
    assert answer.type == "deploy.rejected"
