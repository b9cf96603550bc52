"""What is answered to requests, word for word: people and programs read it."""

from collections.abc import Callable
from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerStarted,
)
from segue.events.deploy import (
    DeployFailed,
    DeployRejected,
    DeployRequested,
    Problem,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRejected,
    RemovalRequested,
)
from segue.events.node import (
    NodeCordoned,
    NodeCordonRequested,
    NodeRequestRejected,
    NodeUncordoned,
    NodeUncordonRequested,
)
from segue.events.scale import ScaleAccepted, ScaleRejected, ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined
from segue_deployer.core import Deployer
from segue_deployer.scaling import REPLICAS_MOST

WEB = ServiceSpec(image="w")


def shop(nodes: str = "a", **services: Any) -> Shop:
    made = Shop(Deployer(), nodes=nodes)
    if services:
        made.deploy(**services)
    return made


def no_app(name: str, hint: str) -> Problem:
    return Problem(where="app", what=f"there is no app called {name}", hint=hint)


def test_what_is_not_there_cannot_be_removed_and_what_is_there_is_named() -> None:
    made = shop()
    said = made.tell(RemovalRequested(app="ghost"))
    assert said == [RemovalRejected(app="ghost", problems=[no_app("ghost", "nothing is deployed")])]
    made.deploy(web=WEB)
    made.deploy(app="blog", web=WEB)
    said = made.tell(RemovalRequested(app="ghost"))
    assert said == [
        RemovalRejected(app="ghost", problems=[no_app("ghost", "there are: blog, shop")])
    ]


def test_an_app_that_was_removed_is_not_there() -> None:
    made = shop(web=WEB)
    made.up(*made.tell(RemovalRequested(app=APP)))
    assert made.all(RemovalCompleted)
    problem = no_app(APP, "nothing is deployed")
    assert made.tell(RemovalRequested(app=APP)) == [RemovalRejected(app=APP, problems=[problem])]
    said = made.tell(ScaleRequested(app=APP, service="web", replicas=2))
    assert said == [ScaleRejected(app=APP, service="web", problems=[problem])]


def test_an_app_that_is_being_removed_is_not_offered() -> None:
    made = shop(web=WEB)
    made.deploy(app="blog", web=WEB)
    made.say(RemovalRequested(app="blog"))
    made.settle()
    assert not made.all(RemovalCompleted)
    (said,) = [e for e in made.tell(RemovalRequested(app="x")) if isinstance(e, RemovalRejected)]
    assert said.problems == [no_app("x", "there are: shop")]


@pytest.mark.parametrize("volumes", [False, True])
def test_a_removal_takes_the_volumes_only_if_that_was_asked(volumes: bool) -> None:  # noqa: FBT001 — pytest names it.
    made = shop(web=WEB)
    made.tell(RemovalRequested(app=APP, volumes=volumes))
    assert made.all(RemovalAccepted) == [RemovalAccepted(app=APP, volumes=volumes)]


def test_an_app_that_is_being_removed_is_not_scaled() -> None:
    made = shop(web=WEB)
    made.tell(RemovalRequested(app=APP))
    (rejected,) = made.tell(ScaleRequested(app=APP, service="web", replicas=2))
    assert isinstance(rejected, ScaleRejected)
    assert rejected.problems[0].what == "there is no app called shop"


def test_what_cannot_be_scaled_is_rejected_with_what_could_be() -> None:
    everywhere = ServiceSpec(image="e", mode="global")
    made = shop(web=WEB, api=WEB, agent=everywhere)

    def problem(service: str, replicas: int) -> Problem:
        (said,) = made.tell(ScaleRequested(app=APP, service=service, replicas=replicas))
        assert isinstance(said, ScaleRejected)
        assert (said.app, said.service) == (APP, service)
        (found,) = said.problems
        return found

    assert problem("db", 2) == Problem(
        where="service",
        what="shop has no service called db",
        hint="it has: agent, api, web",
    )
    assert problem("agent", 2) == Problem(
        where="service",
        what="agent is global: it has one slot on every node",
        hint="change deploy.mode to replicated",
    )
    assert problem("web", REPLICAS_MOST + 1) == Problem(
        where="replicas", what="100001 replicas; from 0 to 100,000 are possible"
    )


def test_as_many_replicas_as_are_possible_can_be_asked_for() -> None:
    made = shop(web=WEB)
    made.say(ScaleRequested(app=APP, service="web", replicas=REPLICAS_MOST))
    (answer, *_) = made.cores[0].decide(made.now)
    assert answer.event == ScaleAccepted(app=APP, service="web", replicas=REPLICAS_MOST, previous=1)


def test_nodes_are_cordoned_by_name_and_those_that_are_there_are_named() -> None:
    made = shop("ba")
    assert made.tell(NodeCordonRequested(node="a")) == [NodeCordoned(node="a")]
    assert made.tell(NodeUncordonRequested(node="a")) == [NodeUncordoned(node="a")]
    problem = Problem(where="node", what="there is no node called z", hint="there are: a, b")
    assert made.tell(NodeCordonRequested(node="z")) == [
        NodeRequestRejected(node="z", problems=[problem])
    ]


def test_of_many_apps_and_nodes_twenty_are_named() -> None:
    made = shop("")
    names = [f"n{number:02}" for number in range(21)]
    for name in names:
        made.say(joined(name))
        made.deploy(app=name, web=WEB)
    listed = "there are: " + ", ".join(names[:20])
    said: list[Event] = made.tell(RemovalRequested(app="z"), NodeCordonRequested(node="y"))
    assert [event.problems[0].hint for event in said] == [listed, listed]  # type: ignore[attr-defined]  # Rejections.


def test_a_document_that_is_wrong_is_rejected_for_its_own_app() -> None:
    made = shop()
    (said,) = made.tell(
        DeployRequested(app=APP, compose={"services": {"web": {"image": "w", "ports": ["x"]}}})
    )
    assert isinstance(said, DeployRejected)
    assert said.app == APP
    assert said.problems


# What a dependent waits for, and what a stalled deploy waits for.


@pytest.mark.parametrize(
    ("condition", "opened_by"),
    [("started", "start"), ("healthy", "health"), ("completed", "end")],
)
def test_a_dependent_begins_with_what_it_waits_for_and_not_before(
    condition: str, opened_by: str
) -> None:
    health = Health(test=["CMD", "true"])
    once = Restart(condition="none")
    base = ServiceSpec(image="b", health=health if condition == "healthy" else None, restart=once)
    dependency = Dependency(condition=condition)  # type: ignore[arg-type]  # One of the three.
    made = Shop(Deployer())
    made.say(accepted(base=base, top=ServiceSpec(image="t", depends_on={"base": dependency})))
    made.settle()

    def asked() -> list[str]:
        return [event.service for event in made.all(ContainerRequested)]

    steps: dict[str, Callable[[], object]] = {
        "assignment": lambda: made.assign(made.all(ContainerRequested)[0]),
        "start": lambda: made.tells(ContainerStarted, made.container("base"), engine_id="e"),
        "health": lambda: made.tells(ContainerHealthy, made.container("base")),
        "end": lambda: made.tells(ContainerFinished, made.container("base")),
    }
    for name, step in steps.items():
        assert asked() == ["base"], f"before {name}"
        step()
        opening = made.log[-1].id
        made.settle()
        if name == opened_by:
            break
    assert asked()[:2] == ["base", "top"]
    assert made.log[-1].cause == opening


def test_a_stalled_deploy_counts_what_else_it_waits_for() -> None:
    made = Shop(Deployer())
    made.say(accepted(web=WEB, api=WEB, db=WEB))
    made.settle()
    made.at(300.1)
    (failed,) = made.all(DeployFailed)
    assert failed.reason.endswith("waiting for web.1 (requested on no node) and 2 more")
