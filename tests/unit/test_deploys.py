"""How a deploy is said to have gone, and what is said to hold it up."""

from typing import Any

import pytest
from segue.envelope import Unreadable
from segue.events.container import (
    ContainerAssigned,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployRejected,
    DeployRequested,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.event import EventRejected
from segue.events.image import ImagePulling
from segue.events.node import NodeLost, NodeRequestRejected, NodeUncordonRequested
from segue.events.scale import ScaleRejected, ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined, scope
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
CHECKED = ServiceSpec(image="c", health=Health(test=["CMD", "true"]))


def shop(**services: Any) -> Shop:
    made = Shop(Deployer())
    made.say(accepted(**services))
    made.settle()
    return made


def failure(made: Shop) -> str:
    (failed,) = made.all(DeployFailed)
    return failed.reason


def stall(made: Shop) -> str:
    """Wait until nothing has come a step further for too long."""
    assert made.at(299.9) == []
    made.at(0.2)
    return failure(made)


# What it waits for.


def test_a_stalled_deploy_names_the_slot_that_no_node_can_take_before_those_that_wait_for_it() -> (
    None
):
    web = ServiceSpec(image="w", depends_on={"db": Dependency()})
    made = shop(web=web, db=WEB)
    refused = [Refusal("not enough memory", 3), Refusal("node is lost", 1)]
    made.tell(ContainerUnplaceable(**scope(made.container("db")), refused=refused))
    assert stall(made) == (
        "no progress for 5 minutes; waiting for db.1 "
        "(no node can take it: 3 x not enough memory; 1 x node is lost) and 1 more"
    )


def test_a_stalled_deploy_names_the_slot_that_does_not_become_healthy() -> None:
    web = ServiceSpec(image="w", depends_on={"db": Dependency(condition="healthy")})
    made = Shop(Deployer())
    made.deploy(web=web, db=CHECKED)
    assert stall(made).endswith("waiting for db.1 (started on a) and 1 more")


def test_a_stalled_deploy_says_when_it_waits_for_what_is_to_stop() -> None:
    made = Shop(Deployer())
    made.deploy(web=ServiceSpec(image="w", replicas=2))
    made.tell(accepted(2, web=WEB))
    assert stall(made).endswith("waiting for containers that are to stop")


def test_every_step_puts_off_the_deadline_also_a_pull_that_goes_on() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=2))
    made.at(299)
    made.run(made.log[-1].event, "a")  # type: ignore[arg-type]  # It is the last request.
    assert made.at(299) == []
    first = made.container("web", 1)
    made.assign(ask_of(made, 1))
    made.tell(ImagePulling(node="a", image="w", done_bytes=1, total_bytes=2))
    assert first.phase == "assigned"
    assert made.at(299) == []
    made.at(2)
    assert failure(made).startswith("no progress")


def ask_of(made: Shop, slot: int) -> Any:
    return next(event for event in made.all(ContainerRequested) if event.slot == slot)


# How it ends.


def test_a_failure_says_in_the_engines_words_why() -> None:
    once = ServiceSpec(image="w", restart=Restart(condition="none"))
    made = Shop(Deployer())
    made.deploy(web=once)
    assert made.all(DeployCompleted), "it had come up"
    made.deploy(web=ServiceSpec(image="v", restart=Restart(condition="none")))
    made = shop(web=once)
    made.assign(ask_of(made, 1))
    made.fail(made.container("web"), reason="image", message="no such image: w", exit_code=None)
    made.settle()
    assert failure(made) == "web.1 failed and its restart policy is used up: no such image: w"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"reason": "exited", "exit_code": 3}, "exited with code 3"),
        ({"reason": "oom", "exit_code": 137}, "oom with code 137"),
        ({"reason": "vanished", "exit_code": None}, "vanished"),
    ],
)
def test_a_failure_without_words_is_named_by_its_reason(told: dict[str, Any], words: str) -> None:
    made = shop(web=ServiceSpec(image="w", restart=Restart(condition="none")))
    made.assign(ask_of(made, 1))
    made.fail(made.container("web"), **told)
    made.settle()
    assert failure(made).endswith(f"its restart policy is used up: {words}")


def test_a_program_that_ends_well_again_and_again_is_a_failure_too() -> None:
    made = Shop(Deployer())
    made.say(accepted(web=CHECKED))
    for _ in range(5):
        made.up(*made.settle())
        made.tells(ContainerFinished, made.container("web"))
        made.now += 70
    made.settle()
    assert failure(made) == "web.1 ended 5 times in a row, the last time: finished with code 0"


def test_a_deploy_that_comes_up_after_it_failed_is_completed_after_all() -> None:
    made = Shop(Deployer())
    made.deploy(web=CHECKED)
    stall(made)
    made.tell(ContainerHealthy(**scope(made.container("web")), node="a"))
    (done,) = made.all(DeployCompleted)
    assert (done.slots, done.took_s) == (1, 300.1)
    assert made.picture.apps[APP].phase == "running"


def test_a_failed_deploy_is_said_to_have_failed_once() -> None:
    made = shop(web=WEB)
    stall(made)
    for _ in range(5):
        assert made.at(301) == []


def test_a_deploy_of_nothing_to_do_is_completed_at_once() -> None:
    made = Shop(Deployer())
    made.deploy(web=WEB)
    made.deploy(web=WEB)
    assert [event.revision for event in made.all(DeployCompleted)] == [1, 2]
    assert len(made.all(ContainerRequested)) == 1


def test_at_most_ten_slots_are_named() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=30))
    stall(made)
    (failed,) = made.all(DeployFailed)
    assert failed.blocking == [f"web.{number}" for number in range(1, 11)]


def test_a_removal_is_completed_although_a_node_with_its_containers_is_lost() -> None:
    made = Shop(Deployer())
    made.deploy(web=WEB)
    made.say(NodeLost(node="a", silent_s=3))
    made.tell(RemovalRequested(app=APP))
    assert len(made.all(RemovalCompleted)) == 1


# What the doorkeeper says no to.


def test_an_app_that_fits_in_no_event_is_rejected_in_words() -> None:
    made = Shop(Deployer())
    environment = {f"V{number}": "x" * 1_000 for number in range(900)}
    compose = {"services": {"web": {"image": "w", "environment": environment}}}
    made.tell(DeployRequested(app=APP, compose=compose))
    (rejected,) = made.all(DeployRejected)
    assert "fits into no event" in rejected.problems[0].what
    assert not made.all(DeployAccepted)


def test_a_message_that_nobody_can_read_gets_its_record() -> None:
    made = Shop(Deployer())
    made.picture.unreadable(Unreadable(1, made.now, "x.y", "not JSON"))
    (rejected,) = made.settle()
    assert rejected == EventRejected(sequence=1, on="x.y", reason="not JSON")


def test_a_global_service_cannot_be_scaled() -> None:
    made = shop(web=ServiceSpec(image="w", mode="global"))
    (rejected,) = made.tell(ScaleRequested(app=APP, service="web", replicas=2))
    assert isinstance(rejected, ScaleRejected)
    assert "one slot on every node" in rejected.problems[0].what


def test_where_there_is_no_node_the_rejection_says_so() -> None:
    made = Shop(Deployer(), nodes="")
    (rejected,) = made.tell(NodeUncordonRequested(node="z"))
    assert isinstance(rejected, NodeRequestRejected)
    assert rejected.problems[0].hint == "there are: none"


# What no node can run.


def refused(nodes: str, **more: Any) -> Shop:
    """Deploy what every node finds that it cannot run, and let each of them find it."""
    made = Shop(Deployer(), Scheduler(), nodes=nodes)
    made.say(accepted(web=WEB))
    told: dict[str, Any] = {"reason": "rejected", "message": "its policy", "final": True} | more
    for _ in nodes:
        made.settle()
        made.now += 60
        made.settle()
        made.fail(made.container("web"), exit_code=None, **told)
    made.settle()
    made.at(60)
    return made


@pytest.mark.parametrize("nodes", ["a", "abc"])
def test_what_a_node_can_never_run_is_tried_once_on_each_and_fails_the_deploy(nodes: str) -> None:
    made = refused(nodes)
    assert sorted(one.node for one in made.all(ContainerAssigned)) == list(nodes)
    assert failure(made) == "web.1 cannot run on any node that is left for it: its policy"
    [said] = made.all(ContainerUnplaceable)
    assert said.refused == [
        Refusal("it cannot run there: its policy", len(nodes), list(nodes)),
    ]


def test_the_next_node_runs_what_the_first_cannot() -> None:
    made = Shop(Deployer(), Scheduler(), nodes="ab")
    made.tell(accepted(web=WEB))
    first = made.container("web").node
    made.fail(made.container("web"), reason="rejected", final=True)
    made.settle()
    assert {first, made.container("web").node} == {"a", "b"}
    assert not made.all(DeployFailed)


@pytest.mark.parametrize("event", [joined("a", session="again"), accepted(2, web=WEB)])
def test_what_a_node_could_not_run_is_tried_again_when_either_may_have_changed(event: Any) -> None:
    made = refused("a")
    said = made.tell(event)
    assert [one.node for one in said if isinstance(one, ContainerAssigned)] == ["a"]


def test_another_version_is_tried_where_the_last_could_not_run() -> None:
    made = refused("a")
    said = made.tell(accepted(2, web=ServiceSpec(image="w:2")))
    assert [one.node for one in said if isinstance(one, ContainerAssigned)] == ["a"]


def test_an_image_that_a_registry_does_not_have_yet_is_asked_for_again() -> None:
    made = refused("a", reason="image")
    assert len(made.all(ContainerAssigned)) == 2
