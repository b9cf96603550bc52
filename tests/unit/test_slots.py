"""What slots are owed when things cross, come back, or are wanted again."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    NOWHERE,
    ContainerAssigned,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import (
    DeployCompleted,
    DeployFailed,
    DeployRequested,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.node import Held, NodeCordoned, NodeLost
from segue.events.scale import ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec, Update
from segue.testing.shop import APP, Shop, accepted, joined, scope
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
JOB = ServiceSpec(image="m", mode="replicated-job", restart=Restart(condition="on-failure"))
ONCE = ServiceSpec(image="o", restart=Restart(condition="none"))


def requests(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(e.service, e.slot, e.attempt) for e in events if isinstance(e, ContainerRequested)]


def retirements(events: list[Event]) -> list[tuple[int, str, str]]:
    return [(e.attempt, e.node, e.reason) for e in events if isinstance(e, ContainerRetired)]


def remove(shop: Shop) -> None:
    shop.up(*shop.tell(RemovalRequested(app=APP)))
    assert shop.picture.apps[APP].phase == "removed"


def scale(shop: Shop, replicas: int, service: str = "web") -> list[Event]:
    return shop.tell(ScaleRequested(app=APP, service=service, replicas=replicas))


# Wanted again.


def test_a_finished_job_runs_again_when_its_app_was_removed_and_is_deployed_again() -> None:
    shop = Shop(Deployer())
    shop.deploy(migrate=JOB)
    shop.tells(ContainerFinished, shop.container("migrate"))
    shop.settle()
    remove(shop)
    assert requests(shop.deploy(migrate=JOB)) == [("migrate", 1, 2)]


def test_a_dependent_waits_for_the_new_run_of_a_job_not_for_the_one_before_the_removal() -> None:
    web = ServiceSpec(image="w", depends_on={"migrate": Dependency(condition="completed")})
    shop = Shop(Deployer())
    shop.deploy(migrate=JOB, web=web)
    shop.up(shop.tells(ContainerFinished, shop.container("migrate")), *shop.settle())
    remove(shop)
    assert requests(shop.deploy(migrate=JOB, web=web)) == [("migrate", 1, 2)]
    shop.tells(ContainerFinished, shop.container("migrate"))
    assert requests(shop.settle()) == [("web", 1, 2)]


def test_what_failed_for_good_begins_anew_after_a_removal() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=ONCE)
    shop.fail(shop.container("web"))
    shop.settle()
    remove(shop)
    assert requests(shop.deploy(web=ONCE)) == [("web", 1, 2)]
    assert not shop.all(DeployFailed)


@pytest.mark.parametrize("how", ["finished", "failed"])
@pytest.mark.parametrize("before", [True, False])
def test_a_slot_that_ended_is_filled_again_when_it_is_wanted_again(
    *, how: str, before: bool
) -> None:
    """Whether it ended while it was wanted, or on its way out before it could be stopped."""
    shop = Shop(Deployer())
    shop.deploy(web=ServiceSpec(image="w", restart=Restart(condition="none")))
    container = shop.container("web")
    if not before:
        scale(shop, 0)
    if how == "finished":
        shop.tells(ContainerFinished, container)
    else:
        shop.fail(container)
    shop.settle()
    if before:
        scale(shop, 0)
    assert requests(scale(shop, 1)) == [("web", 1, 2)]


def test_a_service_that_was_dropped_and_comes_back_goes_on_counting() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=WEB, extra=JOB)
    shop.up(shop.tells(ContainerFinished, shop.container("extra")), *shop.settle())
    shop.deploy(web=WEB)
    assert requests(shop.deploy(web=WEB, extra=JOB)) == [("extra", 1, 2)]


def test_a_removal_leaves_behind_what_stands_on_a_lost_node_and_deploying_again_replaces_it() -> (
    None
):
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    (asked,) = [e for e in shop.all(ContainerRequested) if e.attempt == 2]
    shop.run(asked, "b")
    said = shop.up(*shop.tell(RemovalRequested(app=APP)))
    assert isinstance(said[-1], RemovalCompleted)
    (again,) = shop.tell(accepted(2, web=WEB))
    assert requests([again]) == [("web", 1, 3)]
    assert isinstance(again, ContainerRequested)
    shop.run(again, "b")
    shop.tell(joined("a"))
    old = shop.slot("web").leaving[1]
    shop.tells(ContainerStopped, old)
    shop.settle()
    assert shop.slot("web").leaving == {}
    assert shop.container("web").attempt == 3


# Decisions that cross.


def test_an_assignment_that_crosses_a_retirement_is_retired_on_its_node() -> None:
    shop = Shop(Deployer())
    shop.say(accepted(web=WEB))
    (asked,) = shop.settle()
    assert isinstance(asked, ContainerRequested)
    assert retirements(scale(shop, 0)) == [(1, NOWHERE, "scaled")]
    shop.assign(asked)
    assert retirements(shop.settle()) == [(1, "a", "scaled")]
    shop.tells(ContainerStopped, asked)
    assert shop.settle() == []
    assert shop.picture.on_node["a"] == {}


def test_a_retirement_that_crosses_an_assignment_is_said_again_to_the_node() -> None:
    shop = Shop(Deployer())
    shop.say(accepted(web=WEB))
    (asked,) = shop.settle()
    assert isinstance(asked, ContainerRequested)
    accepted_scale = shop.say(ScaleRequested(app=APP, service="web", replicas=0))
    (answer,) = shop.cores[0].decide(shop.now)
    shop.say(answer.event, accepted_scale.as_cause(), answer.id)
    (decided,) = shop.cores[0].decide(shop.now)
    shop.assign(asked)
    shop.say(decided.event, decided.cause, decided.id)
    assert retirements(shop.settle()) == [(1, "a", "scaled")]


def test_an_assignment_of_an_attempt_that_was_given_up_long_ago_is_retired_too() -> None:
    shop = Shop(Deployer())
    shop.say(accepted(web=WEB))
    (first,) = shop.settle()
    assert isinstance(first, ContainerRequested)
    scale(shop, 0)
    (second,) = [e for e in scale(shop, 1) if isinstance(e, ContainerRequested)]
    shop.assign(first)
    shop.run(second)
    assert retirements(shop.settle())[-1] == (1, "a", "superseded")


# A node that comes back.


def test_an_old_version_that_comes_back_with_its_node_gives_way_to_the_new_one() -> None:
    shop = Shop(Deployer(), Scheduler())
    shop.deploy(web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    shop.deploy(web=ServiceSpec(image="w:2"))
    assert shop.container("web").phase == "requested", "there is no other node"
    shop.up(*shop.tell(joined("a")))
    assert shop.container("web").phase == "started"
    assert shop.container("web").digest == shop.picture.apps[APP].services["web"].digest
    assert shop.slot("web").leaving == {}


def test_a_slot_whose_node_came_back_empty_is_filled_once() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="ab")
    shop.deploy(web=WEB)
    home = shop.container("web").node
    shop.up(*shop.tell(NodeLost(node=home, silent_s=3)))
    shop.tell(joined(home))
    shop.fail(shop.slot("web").leaving[1], reason="vanished", exit_code=None)
    assert shop.settle() == []
    assert shop.slot("web").leaving == {}


# Global services.


def fleet(nodes: str, **more: Any) -> Shop:
    shop = Shop(Deployer(), nodes=nodes)
    shop.say(accepted(agent=ServiceSpec(image="a:1", mode="global", **more)))
    shop.up(*shop.settle())
    return shop


@pytest.mark.parametrize("nodes", ["ab", "abcd", "abcdefgh"])
def test_a_lost_node_does_not_hold_up_the_rollout_of_a_global_service(nodes: str) -> None:
    shop = fleet(nodes)
    dead = nodes[-1]
    shop.tell(NodeLost(node=dead, silent_s=3))
    at_once = Update(monitor_s=0)
    shop.say(accepted(2, agent=ServiceSpec(image="a:2", mode="global", update=at_once)))
    shop.up(*shop.settle())
    assert [event.slots for event in shop.all(DeployCompleted)] == [len(nodes), len(nodes) - 1]


def test_a_node_that_comes_back_gets_the_version_it_missed() -> None:
    shop = fleet("abcd")
    shop.tell(NodeLost(node="d", silent_s=3))
    at_once = Update(monitor_s=0)
    shop.say(accepted(2, agent=ServiceSpec(image="a:2", mode="global", update=at_once)))
    shop.up(*shop.settle())
    shop.up(*shop.tell(joined("d")))
    digests = {slot.container.digest for slot in slots(shop) if slot.container}
    assert digests == {shop.picture.apps[APP].services["agent"].digest}


def slots(shop: Shop) -> list[Any]:
    return list(shop.picture.apps[APP].services["agent"].slots.values())


def test_a_global_service_goes_on_where_its_lost_node_left_off() -> None:
    shop = fleet("ab")
    assert requests(shop.tell(NodeLost(node="b", silent_s=3))) == []
    assert shop.tell(joined("b")) == []
    assert [slot.attempt for slot in slots(shop)] == [1, 1]


def test_a_node_that_no_longer_fits_loses_its_slot_and_gets_it_back_under_the_same_number() -> None:
    here = {"zone": "here"}
    shop = Shop(Deployer(), nodes="")
    shop.tell(joined("a", labels=here), joined("b", labels=here))
    placed = {"placement": {"constraints": ["node.labels.zone == here"]}, "mode": "global"}
    compose = {"services": {"agent": {"image": "a", "deploy": placed}}}
    shop.up(*shop.tell(DeployRequested(app=APP, compose=compose)))
    gone = shop.up(*shop.tell(joined("b", labels={"zone": "there"})))
    assert retirements(gone) == [(1, "b", "scaled")]
    assert requests(shop.tell(joined("b", labels=here))) == [("agent", 2, 2)]


def test_cordoning_a_node_takes_nothing_away_from_it() -> None:
    shop = fleet("ab")
    assert shop.tell(NodeCordoned(node="b")) == []


# Rollouts.


def test_a_rollout_waits_for_health_before_it_goes_on() -> None:
    update = Update(order="stop-first", monitor_s=0)
    checked: Any = {"health": Health(test=["CMD", "true"]), "replicas": 4, "update": update}
    shop = Shop(Deployer())
    shop.deploy(web=ServiceSpec(image="w:1", **checked))
    for number in range(1, 5):
        shop.tells(ContainerHealthy, shop.container("web", number))
    shop.settle()
    shop.say(accepted(2, web=ServiceSpec(image="w:2", **checked)))
    assert len(retirements(shop.up(*shop.settle()))) == 1
    shop.tells(ContainerHealthy, shop.container("web", 1))
    assert len(retirements(shop.up(*shop.settle()))) == 1


def test_the_cause_of_a_replacement_is_what_ended_the_old_one() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=WEB)
    record = shop.fail(shop.container("web"))
    (asked,) = shop.settle()
    assert isinstance(asked, ContainerRequested)
    assert asked.previous == "a"
    assert shop.log[-1].cause == record.id
    assert isinstance(shop.log[-2].event, type(record.event))


def test_an_attempt_is_never_asked_for_twice() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="abc")
    shop.deploy(web=ServiceSpec(image="w", replicas=3))
    for node in "abcab":
        shop.up(*shop.tell(NodeLost(node=node, silent_s=3)))
        shop.up(*shop.tell(joined(node)))
    asked = requests([record.event for record in shop.log])
    assert len(asked) == len(set(asked))
    for number in (1, 2, 3):
        attempts = [attempt for _, slot, attempt in asked if slot == number]
        assert attempts == list(range(1, len(attempts) + 1))
    assert len(shop.all(ContainerAssigned)) >= len(shop.all(ContainerStarted))
    assert scope(shop.container("web"))["service"] == "web"


def test_scaling_one_service_is_not_the_cause_of_what_another_goes_on_with() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=ServiceSpec(image="w:1", replicas=8), db=WEB)
    update = Update(order="stop-first", monitor_s=0)
    shop.say(accepted(2, web=ServiceSpec(image="w:2", replicas=8, update=update), db=WEB))
    deployed = shop.log[-1].id
    (*_, first, second) = shop.settle()
    scaled = scale(shop, 2, "db")
    assert requests(scaled) == [("db", 2, 1)]
    assert shop.log[-1].cause == shop.log[-2].id, "the new slot is caused by its scale"
    shop.up(first, second)
    replaced = [r for r in shop.log if isinstance(r.event, ContainerRetired)]
    assert len(replaced) == 8
    assert {record.cause for record in replaced} == {deployed}


# A node comes back whose slots were filled elsewhere.


def back(spec: ServiceSpec, *, ready: bool = True) -> Shop:
    """Slot web.1 runs on node b since node a was lost, and node a is back with what it had."""
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(APP, web=spec)
    first = shop.container("web")
    if spec.health is not None and ready:
        shop.tells(ContainerHealthy, first)
    shop.tell(NodeLost(node="a", silent_s=3))
    second = shop.container("web")
    shop.assign(ContainerRequested(**scope(second), revision=1, digest=second.digest), "b")
    shop.tells(ContainerStarted, second, "b", engine_id="e")
    if spec.health is not None:
        shop.tells(ContainerHealthy, second, "b")
    held = Held(APP, "web", 1, 1, running=True)
    shop.say(joined("a", session="s-2", inventory=[held]))
    return shop


def test_the_newest_stays_unless_told_otherwise() -> None:
    shop = back(WEB)
    assert retirements(shop.settle()) == [(1, "a", "superseded")]
    assert shop.container("web").attempt == 2


def test_the_original_stays_where_that_is_wanted() -> None:
    shop = back(ServiceSpec(image="w", on_return="keep_original"))
    said = shop.settle()
    assert retirements(said) == [(2, "b", "superseded")]
    shop.up(*said)
    assert (shop.container("web").attempt, shop.container("web").node) == (1, "a")
    assert shop.slot("web").leaving == {}
    assert shop.settle() == []


HEALTH = Health(test=["CMD", "x"])
KEPT = ServiceSpec(image="w", on_return="keep_original", health=HEALTH)


def test_the_newest_goes_only_once_the_original_is_ready() -> None:
    shop = back(KEPT, ready=False)
    assert retirements(shop.settle()) == []
    first = shop.picture.container(APP, "web", 1, 1)
    assert first is not None
    shop.tells(ContainerHealthy, first)
    assert retirements(shop.settle()) == [(2, "b", "superseded")]


def test_an_original_that_is_ill_gives_way_to_the_newest() -> None:
    shop = back(KEPT)
    first = shop.picture.container(APP, "web", 1, 1)
    assert first is not None
    shop.tells(ContainerUnhealthy, first, streak=1)
    assert retirements(shop.settle()) == [(1, "a", "superseded")]
