"""Which event each of the deployer's decisions names as its cause, and the figures it carries."""

from typing import Any

import pytest
from segue.envelope import Record
from segue.events import Event
from segue.events.container import (
    NOWHERE,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.deploy import (
    DeployCompleted,
    DeployFailed,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.node import NodeLost
from segue.events.scale import ScaleAccepted, ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec, Update
from segue.testing.shop import APP, Shop, accepted, joined
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w")
CHECKED = ServiceSpec(image="c", health=Health(test=["CMD", "true"]))


def shop(nodes: str = "a", **services: Any) -> Shop:
    made = Shop(Deployer(), nodes=nodes)
    if services:
        made.deploy(**services)
    return made


def records(made: Shop, kind: type[Event]) -> list[Record]:
    return [record for record in made.log if isinstance(record.event, kind)]


def newest(made: Shop, kind: type[Event]) -> Record:
    return records(made, kind)[-1]


def causes(made: Shop, kind: type[Event]) -> dict[str, str]:
    """Give the newest cause of each service's events of a kind."""
    return {record.event.service: record.cause for record in records(made, kind)}  # type: ignore[attr-defined]  # They have one.


# How long it took, and what completed it.


def test_a_removal_says_to_the_millisecond_how_long_it_took_and_what_completed_it() -> None:
    made = shop(web=WEB, db=WEB)
    made.now += 100
    made.tell(RemovalRequested(app=APP))
    made.now += 2
    made.tells(ContainerStopped, made.container("web"))
    assert made.settle() == [], "one of the two still runs"
    made.now += 10.3456789
    made.tells(ContainerStopped, made.container("db"))
    stopped = made.log[-1].id
    assert made.settle() == [RemovalCompleted(app=APP, took_s=12.346)]
    assert newest(made, RemovalCompleted).cause == stopped


def test_a_removal_of_what_does_not_run_is_completed_by_its_acceptance() -> None:
    made = shop(nodes="")
    made.tell(accepted(web=WEB))
    made.tell(RemovalRequested(app=APP))
    assert made.all(RemovalCompleted) == [RemovalCompleted(app=APP, took_s=0.0)]
    assert newest(made, RemovalCompleted).cause == newest(made, RemovalAccepted).id


def test_a_deploy_says_to_the_millisecond_how_long_it_took_and_what_completed_it() -> None:
    made = shop()
    made.say(accepted(web=WEB, db=WEB))
    web, db = made.settle()
    assert isinstance(web, ContainerRequested)
    assert isinstance(db, ContainerRequested)
    made.run(web)
    assert made.settle() == [], "the other is not there yet"
    made.now += 12.3456789
    made.run(db)
    started = made.log[-1].id
    done = DeployCompleted(app=APP, revision=1, slots=2, took_s=12.346)
    assert made.settle() == [done]
    assert newest(made, DeployCompleted).cause == started


def test_a_deploy_that_changes_nothing_is_completed_by_its_acceptance() -> None:
    made = shop(web=WEB)
    deployed = made.say(accepted(2, web=WEB))
    assert made.settle() == [DeployCompleted(app=APP, revision=2, slots=1, took_s=0.0)]
    assert newest(made, DeployCompleted).cause == deployed.id


def test_a_clock_that_is_behind_the_log_makes_nothing_take_less_than_no_time() -> None:
    made = shop()
    made.say(accepted(web=WEB))
    made.now -= 5
    made.up(*made.settle())
    made.say(RemovalAccepted(app=APP))
    made.now -= 5
    made.up(*made.settle())
    assert [event.took_s for event in made.all(DeployCompleted)] == [0.0]
    assert [event.took_s for event in made.all(RemovalCompleted)] == [0.0]


def test_a_deploy_is_completed_only_when_the_last_surplus_container_is_gone() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=4), db=WEB)
    made.say(accepted(2, web=WEB, db=WEB))
    retired = made.settle()
    assert [type(event) for event in retired] == [ContainerRetired] * 3
    for event in retired:
        assert len(made.all(DeployCompleted)) == 1, "it was about the first revision"
        assert isinstance(event, ContainerRetired)
        made.tells(ContainerStopped, event)
        made.settle()
    assert [(event.revision, event.slots) for event in made.all(DeployCompleted)] == [
        (1, 5),
        (2, 2),
    ]


# Why it failed.


def test_a_stalled_deploy_names_what_was_last_heard_of_the_first_slot_that_holds_it_up() -> None:
    made = shop()
    late = ServiceSpec(image="l", depends_on={"slow": Dependency(condition="healthy")})
    made.deploy(late=late, slow=CHECKED)
    heard = made.log[-1]
    assert isinstance(heard.event, ContainerStarted)
    made.at(301)
    assert newest(made, DeployFailed).cause == heard.id
    assert made.all(DeployFailed)[0].blocking == ["late.1", "slow.1"]


def test_a_deploy_that_only_waits_for_what_is_to_stop_fails_by_its_own_acceptance() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=2))
    deployed = made.say(accepted(2, web=WEB))
    made.settle()
    made.at(301)
    assert newest(made, DeployFailed).cause == deployed.id
    assert made.all(DeployFailed)[0].blocking == []


def test_a_deploy_whose_restarts_are_used_up_fails_by_the_last_end() -> None:
    made = shop()
    made.say(accepted(web=ServiceSpec(image="w", restart=Restart(condition="none"))))
    (asked,) = made.settle()
    assert isinstance(asked, ContainerRequested)
    made.assign(asked)
    ended = made.fail(asked)
    (failed,) = made.settle()
    assert isinstance(failed, DeployFailed)
    assert (failed.app, failed.revision, failed.blocking) == (APP, 1, ["web.1"])
    assert newest(made, DeployFailed).cause == ended.id


# Each service by its own wish.


def test_of_two_services_scaled_at_once_each_new_slot_is_caused_by_its_own_scale() -> None:
    made = shop(web=WEB, db=WEB)
    web = made.say(ScaleAccepted(app=APP, service="web", replicas=2, previous=1))
    db = made.say(ScaleAccepted(app=APP, service="db", replicas=2, previous=1))
    assert len(made.settle()) == 2
    assert causes(made, ContainerRequested) == {"web": web.id, "db": db.id}


def test_of_two_services_scaled_down_at_once_each_container_goes_by_its_own_scale() -> None:
    made = shop(web=WEB, db=WEB)
    web = made.say(ScaleAccepted(app=APP, service="web", replicas=0, previous=1))
    db = made.say(ScaleAccepted(app=APP, service="db", replicas=0, previous=1))
    assert len(made.settle()) == 2
    assert causes(made, ContainerRetired) == {"web": web.id, "db": db.id}


def test_a_slot_that_is_wanted_again_is_filled_because_of_that_wish() -> None:
    made = shop(web=WEB, db=WEB)
    made.up(*made.tell(ScaleRequested(app=APP, service="web", replicas=0)))
    made.now += 1
    web = made.say(ScaleAccepted(app=APP, service="web", replicas=1, previous=0))
    made.say(ScaleAccepted(app=APP, service="db", replicas=2, previous=1))
    assert len(made.settle()) == 2
    assert causes(made, ContainerRequested)["web"] == web.id


def test_a_slot_is_filled_with_the_new_version_because_the_old_one_is_gone() -> None:
    made = shop(web=WEB)
    stop_first = Update(order="stop-first")
    deployed = made.say(accepted(2, web=ServiceSpec(image="w:2", update=stop_first)))
    *_, retired = made.settle()
    assert newest(made, ContainerRetired).cause == deployed.id
    made.now += 3
    made.tells(ContainerStopped, retired)  # type: ignore[arg-type]  # It is a retirement.
    stopped = made.log[-1].id
    (again,) = made.settle()
    assert isinstance(again, ContainerRequested)
    assert newest(made, ContainerRequested).cause == stopped


def test_a_new_version_in_the_place_of_what_had_ended_is_caused_by_its_deploy() -> None:
    made = shop(web=ServiceSpec(image="w", restart=Restart(condition="none")), db=WEB)
    made.fail(made.container("web"))
    made.settle()
    made.now += 1
    deployed = made.say(accepted(2, web=ServiceSpec(image="w:2"), db=WEB))
    made.say(ScaleAccepted(app=APP, service="db", replicas=2, previous=1))
    made.settle()
    assert causes(made, ContainerRequested)["web"] == deployed.id


def test_the_same_tried_once_more_is_caused_by_its_deploy_not_by_a_later_scale() -> None:
    made = shop(web=ServiceSpec(image="w", restart=Restart(max_attempts=0)), db=WEB)
    made.fail(made.container("web"))
    made.settle()
    made.now += 1
    deployed = made.say(
        accepted(2, web=ServiceSpec(image="w", restart=Restart(max_attempts=0)), db=WEB)
    )
    made.say(ScaleAccepted(app=APP, service="db", replicas=2, previous=1))
    made.settle()
    assert causes(made, ContainerRequested)["web"] == deployed.id


def test_a_new_version_replaces_because_of_its_deploy_not_because_of_a_later_scale() -> None:
    made = shop(web=WEB, db=WEB)
    new = ServiceSpec(image="w:2", update=Update(order="stop-first"))
    deployed = made.say(accepted(2, web=new, db=WEB))
    made.say(ScaleAccepted(app=APP, service="db", replicas=2, previous=1))
    made.settle()
    assert causes(made, ContainerRetired) == {"web": deployed.id}


# What a dependent begins with.


def chain(**conditions: str) -> ServiceSpec:
    depends = {name: Dependency(condition=kind) for name, kind in conditions.items()}  # type: ignore[arg-type]  # One of the three.
    return ServiceSpec(image="t", depends_on=depends)


@pytest.mark.parametrize("last", ["left", "right"])
def test_a_dependent_begins_with_the_last_of_all_that_it_waited_for(last: str) -> None:
    made = shop()
    made.deploy(left=CHECKED, right=CHECKED, top=chain(left="healthy", right="healthy"))
    first = {"left": "right", "right": "left"}[last]
    made.now += 1
    made.tells(ContainerHealthy, made.container(first))
    assert made.settle() == []
    made.now += 1
    made.tells(ContainerHealthy, made.container(last))
    opened = made.log[-1].id
    (asked,) = made.settle()
    assert isinstance(asked, ContainerRequested)
    assert newest(made, ContainerRequested).cause == opened


def test_a_dependent_that_joins_what_is_already_there_begins_with_its_own_deploy() -> None:
    made = shop(base=CHECKED)
    made.tells(ContainerHealthy, made.container("base"))
    made.settle()
    made.now += 1
    deployed = made.say(accepted(2, base=CHECKED, top=chain(base="healthy")))
    made.settle()
    assert causes(made, ContainerRequested)["top"] == deployed.id


def test_a_dependent_waits_for_every_slot_and_begins_with_the_last_of_them() -> None:
    base = ServiceSpec(image="c", health=Health(test=["CMD", "true"]), replicas=3)
    made = shop()
    made.deploy(base=base, top=chain(base="healthy"))
    for number in (3, 1, 2):
        assert "top" not in causes(made, ContainerRequested), f"before {number}"
        made.now += 1
        made.tells(ContainerHealthy, made.container("base", number))
        opened = made.log[-1].id
        made.settle()
    assert causes(made, ContainerRequested)["top"] == opened


def test_a_job_that_finished_opens_with_its_end_not_with_its_start() -> None:
    made = shop()
    job = ServiceSpec(image="m", mode="replicated-job", replicas=2)
    made.deploy(job=job, top=chain(job="completed"))
    for number in (2, 1):
        made.now += 1
        made.tells(ContainerFinished, made.container("job", number))
        opened = made.log[-1].id
        made.settle()
    assert causes(made, ContainerRequested)["top"] == opened


def test_a_dependency_without_slots_holds_up_nobody() -> None:
    made = shop()
    asked = made.deploy(base=ServiceSpec(image="b", replicas=0), top=chain(base="healthy"))
    assert [event.service for event in asked if isinstance(event, ContainerRequested)] == ["top"]


@pytest.mark.parametrize(("required", "begins"), [(True, []), (False, ["other", "top"])])
def test_only_a_dependency_that_is_not_required_may_be_missing(
    *, required: bool, begins: list[str]
) -> None:
    made = shop()
    depends = {
        "ghost": Dependency(required=required),
        "other": Dependency(condition="healthy"),
    }
    made.say(accepted(other=CHECKED, top=ServiceSpec(image="t", depends_on=depends)))
    made.up(*made.settle())
    assert sorted(causes(made, ContainerRequested)) == ["other"], "it waits for the other one too"
    made.tells(ContainerHealthy, made.container("other"))
    made.settle()
    assert sorted(causes(made, ContainerRequested)) == (begins or ["other"])


# What an order says.


def test_an_order_to_stop_carries_the_time_that_the_service_asks_for() -> None:
    made = shop(web=ServiceSpec(image="w", stop_grace_s=42.0), db=WEB)
    (web, db) = (
        made.tell(ScaleRequested(app=APP, service=name, replicas=0))[-1] for name in ("web", "db")
    )
    assert web == ContainerRetired(
        app=APP, service="web", slot=1, attempt=1, node="a", reason="scaled", grace_s=42.0
    )
    assert isinstance(db, ContainerRetired)
    assert db.grace_s == WEB.stop_grace_s


def test_a_request_says_what_is_to_run_and_where_the_last_one_ran() -> None:
    made = shop(nodes="ab")
    made.say(accepted(web=ServiceSpec(image="w", replicas=2)))
    digest = made.picture.apps[APP].services["web"].digest
    asked = made.settle()
    assert asked == [
        ContainerRequested(
            app=APP, service="web", slot=number, attempt=1, revision=1, digest=digest
        )
        for number in (1, 2)
    ]
    made.up(*asked)
    made.say(accepted(2, web=ServiceSpec(image="w", replicas=3)))
    said = made.settle()
    assert said == [
        ContainerRequested(app=APP, service="web", slot=3, attempt=1, revision=1, digest=digest)
    ], "the service is still as revision 1 made it"


def test_where_a_slot_ran_is_remembered_across_a_request_that_never_got_a_node() -> None:
    made = shop(web=WEB)
    (second,) = made.tell(NodeLost(node="a", silent_s=3))
    assert isinstance(second, ContainerRequested)
    assert (second.attempt, second.previous) == (2, "a")
    made.say(accepted(2, web=ServiceSpec(image="w:2")))
    said = made.settle()
    (retired,) = [event for event in said if isinstance(event, ContainerRetired)]
    assert (retired.attempt, retired.node, retired.reason) == (2, NOWHERE, "replaced")
    (third,) = [event for event in said if isinstance(event, ContainerRequested)]
    assert (third.attempt, third.previous, third.revision) == (3, "a", 2)


def test_two_containers_of_one_slot_on_one_node_are_each_told_to_go() -> None:
    made = shop(nodes="ab", web=WEB)
    (second,) = made.tell(NodeLost(node="a", silent_s=3))
    made.assign(second, "b")  # type: ignore[arg-type]  # It is a request.
    made.tell(joined("a"))
    (third,) = made.tell(NodeLost(node="b", silent_s=3))
    made.assign(third, "a")  # type: ignore[arg-type]  # It is a request.
    said = made.tell(RemovalRequested(app=APP))
    told = [(event.attempt, event.node) for event in said if isinstance(event, ContainerRetired)]
    assert {(1, "a"), (3, "a")} <= set(told)
