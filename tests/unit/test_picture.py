"""What each event makes of the picture, and that late or repeated news does it no harm."""

from typing import Any

import msgspec
import pytest
from segue.events import Event
from segue.events.container import (
    NOWHERE,
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import (
    DeployCompleted,
    DeployFailed,
    RemovalAccepted,
    RemovalCompleted,
)
from segue.events.image import ImagePulled
from segue.events.node import (
    Held,
    NodeCordoned,
    NodeLost,
    NodeRecovered,
    NodeReturned,
)
from segue.events.scale import ScaleAccepted
from segue.spec import Mount, Resources, ServiceSpec
from segue.testing.shop import APP, GIB, Shop, accepted, joined, plain, scope
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w", resources=Resources(cpu_millicores=500, memory_bytes=GIB))
DB = ServiceSpec(image="d", mounts=[Mount(kind="volume", source="data", target="/data")])


class Log(Shop):
    """A picture and no decisions."""

    def __init__(self, nodes: str = "ab", **services: Any) -> None:
        super().__init__(Deployer(), nodes=nodes)
        self.say(accepted(**(services or {"web": WEB})))

    def phase(self, service: str = "web") -> str:
        return self.container(service).phase


# Containers.


def test_a_container_goes_its_way() -> None:
    log = Log()
    asked = log.ask("web")
    assert log.phase() == "requested"
    assert list(log.picture.pending) == [("shop", "web", 1, 1)]
    log.assign(asked)
    assert (log.phase(), log.container("web").node) == ("assigned", "a")
    assert log.picture.pending == {}
    log.tells(ContainerStarted, asked, engine_id="e", image="w@sha256:1")
    assert (log.phase(), log.container("web").image) == ("started", "w@sha256:1")
    log.tells(ContainerHealthy, asked)
    log.tells(ContainerUnhealthy, asked, streak=2, output="no")
    assert (log.phase(), log.container("web").streak) == ("unhealthy", 2)
    log.tells(ContainerHealthy, asked)
    assert (log.phase(), log.container("web").streak) == ("healthy", 0)
    log.say(ContainerRetired(**scope(asked), node="a", reason="scaled", grace_s=3))
    assert (log.phase(), log.container("web").retired) == ("healthy", "scaled")
    log.tells(ContainerStopped, asked)
    assert log.phase() == "stopped"
    assert log.picture.on_node["a"] == {}


FACTS: list[tuple[Any, dict[str, Any]]] = [
    (ContainerStarted, {"engine_id": "e"}),
    (ContainerHealthy, {}),
    (ContainerUnhealthy, {"streak": 1}),
    (ContainerFailed, {"reason": "exited"}),
    (ContainerFinished, {}),
    (ContainerStopped, {}),
]


@pytest.mark.parametrize(("kind", "more"), FACTS)
@pytest.mark.parametrize("end", [ContainerFailed, ContainerFinished, ContainerStopped])
def test_what_has_ended_stays_as_it_ended(kind: Any, more: dict[str, Any], end: Any) -> None:
    log = Log()
    asked = log.ask("web")
    log.run(asked)
    log.tells(end, asked, **({"reason": "oom"} if end is ContainerFailed else {}))
    before = msgspec.to_builtins(log.container("web"))
    log.tells(kind, asked, **more)
    assert msgspec.to_builtins(log.container("web")) == before


@pytest.mark.parametrize(("kind", "more"), FACTS)
def test_news_of_a_container_from_another_node_is_not_believed(
    kind: Any, more: dict[str, Any]
) -> None:
    log = Log()
    asked = log.ask("web")
    log.assign(asked, "a")
    log.tells(kind, asked, "b", **more)
    assert log.phase() == "assigned"


@pytest.mark.parametrize(("kind", "more"), FACTS)
def test_news_of_what_nobody_asked_for_changes_nothing(kind: Any, more: dict[str, Any]) -> None:
    log = Log()
    asked = log.ask("web")
    log.run(asked)
    before = plain(log.picture)["state"]["apps"]
    for wrong in ({"app": "ghost"}, {"service": "ghost"}, {"slot": 9}, {"attempt": 7}):
        log.say(kind(**{**scope(asked), **wrong}, node="a", **more))
    assert plain(log.picture)["state"]["apps"] == before


def test_started_again_after_being_healthy_is_old_news() -> None:
    log = Log()
    asked = log.ask("web")
    log.run(asked)
    log.now += 5
    log.tells(ContainerHealthy, asked)
    log.tells(ContainerStarted, asked, engine_id="e", adopted=True)
    assert log.phase() == "healthy"
    assert log.container("web").started_at == log.now - 5


def test_the_first_assignment_of_an_attempt_counts() -> None:
    log = Log()
    asked = log.ask("web")
    log.assign(asked, "a")
    log.assign(asked, "b")
    assert log.container("web").node == "a"
    assert list(log.picture.on_node) == ["a"]


def test_an_older_attempt_asked_for_late_changes_nothing() -> None:
    log = Log()
    log.ask("web", attempt=3)
    log.ask("web", attempt=2)
    log.ask("web", attempt=3)
    assert log.container("web").attempt == 3
    assert list(log.picture.pending) == [("shop", "web", 1, 3)]


def test_an_attempt_that_replaces_one_without_a_node_leaves_nothing_behind() -> None:
    log = Log()
    log.ask("web")
    log.ask("web", attempt=2)
    assert log.slot("web").leaving == {}
    assert list(log.picture.pending) == [("shop", "web", 1, 2)]


def test_why_it_waits_is_forgotten_once_it_has_a_node() -> None:
    log = Log()
    asked = log.ask("web")
    log.say(ContainerUnplaceable(**scope(asked), refused=[Refusal("full", 2)]))
    assert log.container("web").refused == [Refusal("full", 2)]
    log.assign(asked)
    assert log.container("web").refused == []
    log.say(ContainerUnplaceable(**scope(asked), refused=[Refusal("full", 2)]))
    assert log.container("web").refused == []


def test_what_replaces_a_running_container_leaves_it_on_its_node_until_it_ends() -> None:
    log = Log()
    old = log.ask("web")
    log.run(old)
    log.say(NodeLost(node="a", silent_s=3))
    log.run(log.ask("web", attempt=2), "b")
    slot = log.slot("web")
    assert list(slot.leaving) == [1]
    assert log.picture.is_gone(slot.leaving[1])
    assert list(log.picture.on_node["a"]) == [("shop", "web", 1, 1)]
    log.tells(ContainerStopped, old)
    assert slot.leaving == {}
    assert (slot.restarts, slot.streak) == (1, 0)


def held(attempt: int) -> Held:
    return Held(APP, "web", 1, attempt, running=True)


def test_a_container_on_a_node_that_came_back_fills_its_slot_again() -> None:
    log = Log()
    log.run(log.ask("web"))
    log.say(NodeLost(node="a", silent_s=3))
    newer = log.ask("web", attempt=2)
    log.say(joined("a", inventory=[held(1)]))
    log.say(ContainerRetired(**scope(newer), node=NOWHERE, reason="superseded"))
    assert log.container("web").attempt == 1
    assert (log.slot("web").attempt, log.slot("web").leaving) == (2, {})
    assert log.picture.pending == {}


@pytest.mark.parametrize("why", ["still lost", "ended", "retired", "not started", "no more"])
def test_only_what_runs_unasked_to_go_on_a_known_node_fills_its_slot_again(why: str) -> None:
    log = Log()
    old = log.ask("web")
    log.assign(old)
    if why != "not started":
        log.tells(ContainerStarted, old, engine_id="e")
    log.say(NodeLost(node="a", silent_s=3))
    newer = log.ask("web", attempt=2)
    if why != "still lost":
        log.say(joined("a", inventory=[] if why == "no more" else [held(1)]))
    if why == "ended":
        log.fail(old)
    if why == "retired":
        log.say(ContainerRetired(**scope(old), node="a", reason="removed"))
    log.say(ContainerRetired(**scope(newer), node=NOWHERE, reason="superseded"))
    assert log.container("web").attempt == 2
    assert log.phase() == "stopped"


def test_of_two_that_came_back_the_newer_fills_the_slot() -> None:
    log = Log("abc")
    for attempt, node in ((1, "a"), (2, "b")):
        log.run(log.ask("web", attempt=attempt), node)
        log.say(NodeLost(node=node, silent_s=3))
    newest = log.ask("web", attempt=3)
    log.say(joined("a", inventory=[held(1)]))
    log.say(joined("b", inventory=[held(2)]))
    log.say(ContainerRetired(**scope(newest), node=NOWHERE, reason="superseded"))
    assert log.container("web").attempt == 2
    assert list(log.slot("web").leaving) == [1]


def test_failures_are_remembered_by_node_and_service_the_last_ten() -> None:
    log = Log()
    for attempt in range(1, 15):
        asked = log.ask("web", attempt=attempt)
        log.run(asked)
        log.now += 1
        log.fail(asked)
    assert log.picture.nodes["a"].failures == {
        "shop/web": [log.now - back for back in range(9, -1, -1)]
    }
    assert log.picture.nodes["b"].failures == {}


# Homes.


def test_a_slot_with_a_local_volume_is_at_home_where_it_first_ran() -> None:
    log = Log(db=DB)
    asked = log.ask("db")
    log.run(asked, "b")
    log.fail(asked)
    log.say(ContainerRequested(**{**scope(asked), "attempt": 2}, revision=1, digest=asked.digest))
    assert log.slot("db").home == "b"


def test_where_it_never_ran_it_is_not_at_home() -> None:
    log = Log(db=DB)
    asked = log.ask("db")
    log.assign(asked, "b")
    log.fail(asked, reason="create")
    assert log.slot("db").home == ""


def test_a_start_that_fails_at_home_does_not_make_it_homeless() -> None:
    log = Log(db=DB)
    first = log.ask("db")
    log.run(first, "b")
    log.fail(first)
    second = log.ask("db", attempt=2)
    log.assign(second, "b")
    log.fail(second, reason="image")
    assert log.slot("db").home == "b"


@pytest.mark.parametrize(("volumes", "home"), [(True, ""), (False, "a")])
def test_a_removal_forgets_the_home_only_with_the_volumes(*, volumes: bool, home: str) -> None:
    log = Log(db=DB)
    asked = log.ask("db")
    log.run(asked)
    log.say(RemovalAccepted(app=APP, volumes=volumes))
    log.tells(ContainerStopped, asked)
    log.say(RemovalCompleted(app=APP))
    assert log.slot("db").home == home


# Apps.


def test_an_older_or_equal_revision_changes_nothing() -> None:
    log = Log()
    log.say(accepted(2, web=ServiceSpec(image="w:2")))
    for late in (1, 2):
        log.say(accepted(late, web=ServiceSpec(image="late")))
    app = log.picture.apps[APP]
    assert (app.revision, app.services["web"].spec.image) == (2, "w:2")


def test_a_service_keeps_the_revision_that_last_changed_what_it_runs() -> None:
    log = Log(web=WEB, db=DB)
    log.say(accepted(2, web=ServiceSpec(image="w:2"), db=DB))
    services = log.picture.apps[APP].services
    assert (services["web"].revision, services["db"].revision) == (2, 1)


def test_revisions_are_kept_while_something_refers_to_them() -> None:
    log = Log(web=WEB, db=DB)
    log.run(log.ask("web"))
    for revision in (2, 3, 4):
        log.say(accepted(revision, web=ServiceSpec(image=f"w:{revision}"), db=DB))
    assert list(log.picture.apps[APP].specs) == [1, 4]
    log.tells(ContainerStopped, log.container("web"))
    log.say(ContainerRequested(app=APP, service="web", slot=1, attempt=2, revision=4, digest="x"))
    log.say(accepted(5, web=ServiceSpec(image="w:5"), db=ServiceSpec(image="d:5")))
    assert list(log.picture.apps[APP].specs) == [4, 5]


def test_a_deploy_that_failed_may_still_be_completed_but_not_the_other_way_round() -> None:
    log = Log()
    log.say(DeployFailed(app=APP, revision=1, reason="slow"))
    assert (log.picture.apps[APP].phase, log.picture.apps[APP].reason) == ("failed", "slow")
    log.say(DeployCompleted(app=APP, revision=1, slots=1, took_s=1))
    log.say(DeployFailed(app=APP, revision=1, reason="late"))
    assert (log.picture.apps[APP].phase, log.picture.apps[APP].reason) == ("running", "")


def test_the_end_of_an_older_deploy_is_not_taken_for_that_of_the_newest() -> None:
    log = Log()
    log.say(accepted(2, web=WEB))
    log.say(DeployCompleted(app=APP, revision=1, slots=1, took_s=1))
    log.say(DeployFailed(app=APP, revision=1, reason="old"))
    assert log.picture.apps[APP].phase == "deploying"


def test_a_removal_that_was_overtaken_by_a_deploy_is_not_completed() -> None:
    log = Log()
    log.say(RemovalAccepted(app=APP))
    log.say(accepted(2, web=WEB))
    log.say(RemovalCompleted(app=APP))
    assert log.picture.apps[APP].phase == "deploying"
    assert log.picture.apps[APP].services["web"].wanted


@pytest.mark.parametrize(
    "event",
    [
        ScaleAccepted(app="ghost", service="web", replicas=1, previous=0),
        RemovalAccepted(app="ghost"),
        RemovalCompleted(app="ghost"),
        DeployCompleted(app="ghost", revision=1, slots=0, took_s=0),
        DeployFailed(app="ghost", revision=1, reason="r"),
        NodeLost(node="ghost", silent_s=3),
        NodeReturned(node="ghost", silent_s=3),
        NodeCordoned(node="ghost"),
        NodeRecovered(node="ghost"),
        ImagePulled(node="ghost", image="w"),
    ],
)
def test_news_of_what_nobody_knows_is_passed_over(event: Event) -> None:
    log = Log()
    before = {k: v for k, v in plain(log.picture)["state"].items() if k != "sequence"}
    log.say(event)
    assert {k: v for k, v in plain(log.picture)["state"].items() if k != "sequence"} == before
