"""What becomes of containers that a node has and the log does not know, or knows otherwise.

A log may lose its past (made anew, or restored) while containers run on; a host may come back
without what ran there.
"""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, arg-type, union-attr"

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.deploy import DeployCompleted
from segue.events.node import Held, NodeLost, NodeRemoved
from segue.picture import Picture
from segue.spec import AppSpec, ServiceSpec
from segue.spec import digest as digest_of
from segue.testing.host import Host, has, web
from segue.testing.shop import APP, Shop, accepted, joined, plain
from segue_deployer.core import Deployer
from segue_node_runner import news
from segue_node_runner.effects import Remove, Start, Stop
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")


def held(attempt: int = 7, service: str = "web", *, running: bool = True) -> Held:
    return Held(APP, service, 1, attempt, running=running)


def back(node: str, *there: Held, **more: Any) -> Event:
    return joined(node, session=f"again-{node}", inventory=list(there), **more)


def retirements(events: list[Any]) -> list[tuple[int, str, str]]:
    return [(e.attempt, e.node, e.reason) for e in events if isinstance(e, ContainerRetired)]


def attempts(shop: Shop) -> list[int]:
    return [asked.attempt for asked in shop.all(ContainerRequested)]


# The log has lost its past.


@pytest.mark.parametrize("running", [True, False])
def test_attempts_are_counted_above_what_a_joining_node_has(*, running: bool) -> None:
    shop = Shop(Deployer(), nodes="")
    shop.say(back("a", held(running=running)))
    shop.say(accepted(web=WEB))
    shop.settle()
    assert attempts(shop) == [8]


def test_attempts_are_counted_above_what_came_back_after_the_request() -> None:
    shop = Shop(Deployer(), nodes="b")
    shop.say(accepted(web=WEB))
    shop.settle()
    shop.say(back("a", held()))
    asked = shop.all(ContainerRequested)[0]
    shop.assign(asked, "a")
    shop.fail(asked, "a", reason="rejected", exit_code=None)
    shop.settle()
    assert attempts(shop) == [1, 8]


def test_what_the_log_does_not_know_goes_once_its_successor_elsewhere_is_up() -> None:
    shop = Shop(Deployer(), nodes="b")
    shop.say(back("a", held()))
    shop.say(accepted(web=WEB))
    (asked,) = shop.settle()
    assert shop.settle() == [], "nothing is stopped because the log does not know it"
    shop.assign(asked, "b")
    assert shop.settle() == []
    shop.tells(ContainerStarted, asked, "b", engine_id="e")
    said = shop.settle()
    assert retirements(said) == [(7, "a", "superseded")]
    assert not shop.all(DeployCompleted)
    shop.tells(ContainerStopped, said[0])
    shop.settle()
    assert len(shop.all(DeployCompleted)) == 1
    assert (shop.slot("web").leaving, attempts(shop)) == ({}, [8])


def test_what_went_before_it_was_superseded_holds_up_nothing() -> None:
    shop = Shop(Deployer(), nodes="b")
    shop.say(back("a", held()))
    shop.say(accepted(web=WEB))
    (asked,) = shop.settle()
    shop.assign(asked, "b")
    shop.say(back("a", held(running=False)))
    shop.tells(ContainerStarted, asked, "b", engine_id="e")
    assert [type(said) for said in shop.settle()] == [DeployCompleted]
    assert not shop.picture.on_node["a"]


def test_what_filled_its_slot_again_and_went_without_a_word_is_replaced() -> None:
    shop = Shop(Deployer(), nodes="b")
    shop.say(back("a", held()))
    shop.say(accepted(web=WEB))
    (asked,) = shop.settle()
    shop.assign(asked, "b")
    shop.fail(asked, "b", reason="rejected", exit_code=None)
    assert retirements(shop.settle()) == [(7, "a", "replaced")]
    shop.say(back("a", held(running=False)))
    (again,) = shop.settle()
    assert again.attempt == 9
    assert not shop.picture.on_node["a"]


def test_a_service_that_nobody_deploys_again_runs_on() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="b")
    shop.say(back("a", held(service="other")))
    shop.deploy(web=WEB)
    assert not shop.all(ContainerRetired)


def test_a_snapshot_holds_what_the_log_does_not_know() -> None:
    shop = Shop(Deployer(), nodes="")
    shop.say(back("a", held()))
    other = Picture()
    other.restore(shop.picture.snapshot())
    assert plain(other) == plain(shop.picture)
    assert other.strangers(APP, "web", 1) == {"a": held()}


def test_a_node_that_joins_with_what_the_log_knows_has_no_strangers() -> None:
    shop = Shop(Deployer(), nodes="a")
    shop.deploy(web=WEB)
    shop.tell(back("a", held(1)))
    assert shop.picture.strangers(APP, "web", 1) == {}
    assert attempts(shop) == [1]


# The log was put back from an older copy.


DIGEST = digest_of(AppSpec(services={"web": WEB}), "web")


def same(attempt: int, *, running: bool = True, digest: str = "") -> Held:
    return Held(APP, "web", 1, attempt, running=running, digest=digest or DIGEST)


@pytest.mark.parametrize("node", ["a", "b"])
def test_what_has_filled_a_slot_since_is_taken_over_wherever_it_runs(node: str) -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="b")
    shop.deploy(web=WEB)
    assert shop.container("web").node == "b"
    if node == "a":
        shop.say(back("a", same(4)))
    shop.say(back("b", *([same(4)] if node == "b" else [])))
    shop.fail(shop.container("web"), "b", reason="vanished", exit_code=None)
    shop.settle()
    now = shop.container("web")
    assert (now.attempt, now.node) == (4, node), "at once, where it runs"
    shop.tells(ContainerStarted, shop.all(ContainerRequested)[-1], node, engine_id="e")
    shop.settle()
    assert not shop.all(ContainerRetired)
    assert attempts(shop) == [1, 4]
    assert shop.picture.strangers(APP, "web", 1) == {}


@pytest.mark.parametrize(
    "there",
    [
        {"a": same(4, digest="another")},
        {"a": same(4, running=False)},
        {"a": same(4), "c": same(4)},
        {"a": same(4), "c": same(5, running=False)},
    ],
)
def test_only_what_runs_as_it_is_wanted_and_once_is_taken_over(there: dict[str, Held]) -> None:
    shop = Shop(Deployer(), nodes="")
    for node, one in there.items():
        shop.say(back(node, one))
    shop.say(accepted(web=WEB))
    shop.settle()
    asked = shop.all(ContainerRequested)[0]
    assert (asked.attempt, asked.target) == (1 + max(h.attempt for h in there.values()), None)


def test_a_redeploy_after_the_log_was_lost_takes_over_what_runs_as_wanted() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="b")
    shop.say(back("a", same(7)))
    shop.say(accepted(web=WEB))
    shop.settle()
    assert (shop.container("web").attempt, shop.container("web").node) == (7, "a")
    assert not shop.all(ContainerRetired)


# Its node's runner.


def test_a_greater_attempt_on_the_node_is_said_to_be_in_the_way() -> None:
    host = Host(has(web(7)))
    host.order(attempt=1)
    [failed] = host.all(ContainerFailed)
    assert (failed.attempt, failed.reason, failed.final) == (1, "rejected", False)
    assert "attempt 7" in failed.message
    assert not host.wants(Start)
    assert not host.wants(Stop), "the log does not know it, which is no order"


def test_a_greater_attempt_that_has_ended_is_said_to_be_in_the_way_too() -> None:
    host = Host(has(web(7), "exited"))
    host.order(attempt=1)
    assert [failed.reason for failed in host.all(ContainerFailed)] == ["rejected"]
    assert not host.wants(Start)
    assert not host.wants(Remove)


def knowing(*there: Held) -> Host:
    host = Host(*[has(web(one.attempt)) for one in there])
    host.say(joined("a", inventory=list(there)))
    return host


@pytest.mark.parametrize("told", [True, False])
def test_the_order_above_it_supersedes_what_runs_there(*, told: bool) -> None:
    host = knowing(held()) if told else Host(has(web(7)))
    host.order(attempt=8)
    assert [stop.attempt for stop in host.wants(Stop)] == [7]
    host.hear(news.StopDone(identity=web(7), exit_code=0))
    assert [start.attempt for start in host.wants(Start)] == [8]
    assert [stopped.attempt for stopped in host.all(ContainerStopped)] == ([7] if told else [])


def test_what_is_superseded_from_elsewhere_is_stopped_and_said_to_be_gone() -> None:
    host = knowing(held())
    gone: dict[str, Any] = {"app": APP, "service": "web", "slot": 1, "attempt": 7, "node": "a"}
    host.tell(ContainerRetired(**gone, reason="superseded", grace_s=3.0))
    assert [(stop.attempt, stop.grace_s) for stop in host.wants(Stop)] == [(7, 3.0)]
    [said] = host.hear(news.StopDone(identity=web(7), exit_code=0))
    assert (type(said), said.attempt) == (ContainerStopped, 7)


def test_what_was_judged_ill_is_no_stranger_while_its_node_has_not_stopped_it_yet() -> None:
    """Its runner knows that it has ended, stops it, and has nobody to tell."""
    shop = Shop(Deployer(), nodes="a")
    shop.deploy(web=WEB)
    shop.tells(ContainerFailed, shop.container("web"), reason="unhealthy")
    shop.tell(joined("a", session="a", inventory=[held(1)]))
    assert shop.picture.strangers(APP, "web", 1) == {}
    shop.tell(NodeRemoved(node="a"))
    shop.tell(back("a", held(1)))
    assert shop.picture.strangers(APP, "web", 1) == {}
    shop.tell(back("a"))
    shop.tell(back("a", held(1)))
    assert list(shop.picture.strangers(APP, "web", 1)) == ["a"]


# A host that comes back without what ran there.


def test_what_is_replaced_is_not_asked_for_once_more_when_its_host_comes_back_empty() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="a")
    shop.deploy(web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    assert attempts(shop) == [1, 2]
    said = shop.tell(back("a", held(1, running=False)))
    assert [retired for retired in retirements(said) if retired[0] == 2] == []
    shop.fail(shop.slot("web").leaving[1], exit_code=255)
    shop.up(*said, *shop.settle())
    assert attempts(shop) == [1, 2]
    assert (shop.container("web").attempt, shop.container("web").phase) == (2, "started")


def test_what_still_runs_when_its_node_comes_back_goes_on() -> None:
    shop = Shop(Deployer(), nodes="a")
    shop.deploy(web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    assert retirements(shop.tell(back("a", held(1)))) == [(2, "_", "superseded")]
    assert shop.container("web").attempt == 1
