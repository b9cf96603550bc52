"""In which order containers come and go, and what follows when one ends."""

import math
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
)
from segue.events.deploy import (
    DeployCompleted,
    RemovalRequested,
)
from segue.events.node import Held, NodeLost
from segue.events.scale import ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec, Update
from segue.testing.shop import APP, Shop, accepted, joined, scope
from segue_deployer.core import Deployer
from segue_deployer.restart import delay_s

WEB = ServiceSpec(image="w")
ONCE = ServiceSpec(image="o", restart=Restart(condition="none"))
JOB = ServiceSpec(image="m", mode="replicated-job", restart=Restart(condition="on-failure"))
CHECKED = ServiceSpec(image="c", health=Health(test=["CMD", "true"]))
HEALTHY = Dependency(condition="healthy")
AT_ONCE = Update(order="stop-first", monitor_s=0)


def shop(nodes: str = "a", **services: Any) -> Shop:
    made = Shop(Deployer(), nodes=nodes)
    if services:
        made.deploy(**services)
    return made


def owed(made: Shop) -> list[Event]:
    """Give what is owed now, without saying it."""
    return [decision.event for decision in made.cores[0].decide(made.now)]


def asked(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(e.service, e.slot, e.attempt) for e in events if isinstance(e, ContainerRequested)]


def told(events: list[Event]) -> list[tuple[int, int, str, str]]:
    return [
        (e.slot, e.attempt, e.node, e.reason) for e in events if isinstance(e, ContainerRetired)
    ]


# How many at once.


@pytest.mark.parametrize("replicas", [1, 3, 4, 7, 8, 11, 12])
def test_a_quarter_of_the_slots_is_replaced_at_once_and_at_least_one(replicas: int) -> None:
    made = shop(web=ServiceSpec(image="w", replicas=replicas))
    said = made.tell(accepted(2, web=ServiceSpec(image="w:2", replicas=replicas, update=AT_ONCE)))
    assert len(told(said)) == max(1, math.floor(replicas / 4))
    numbers = [event.slot for event in said if isinstance(event, ContainerRetired)]
    assert numbers == list(range(1, len(numbers) + 1)), "the lowest first"


def test_what_does_not_work_is_replaced_at_once_and_counts_against_the_quarter() -> None:
    made = shop()
    spec = ServiceSpec(image="c", health=Health(test=["CMD", "true"]), replicas=8)
    made.deploy(web=spec)
    for number in range(1, 8):
        made.tells(ContainerHealthy, made.container("web", number))
    made.settle()
    changed = ServiceSpec(image="c:2", health=Health(test=["CMD", "true"]), replicas=8)
    said = made.tell(accepted(2, web=changed))
    numbers = [event.slot for event in said if isinstance(event, ContainerRetired)]
    assert numbers == [1, 8], "of the two that may be missing one is the sick one"


def test_a_rollout_goes_on_step_by_step_as_each_comes_up() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=8))
    made.say(accepted(2, web=ServiceSpec(image="w:2", replicas=8, update=AT_ONCE)))
    *_, first, second = made.settle()
    made.tells(ContainerStopped, first)  # type: ignore[arg-type]  # It is a retirement.
    (asked,) = made.settle()
    assert isinstance(asked, ContainerRequested)
    made.assign(asked)
    assert made.settle() == [], "assigned is not up"
    made.tells(ContainerStarted, asked, engine_id="e")
    assert made.settle() == [], "the other of its step is not up yet"
    made.tells(ContainerStopped, second)  # type: ignore[arg-type]  # It is a retirement.
    events = made.up(*made.settle())
    assert [slot for slot, *_ in told(events)] == [3, 4, 5, 6, 7, 8]


def test_what_fails_in_the_middle_of_a_rollout_is_started_again() -> None:
    """Else the rollout would stand still: nothing more may be replaced while it is missing."""
    made = shop(web=ServiceSpec(image="w", replicas=4))
    update = Update(order="stop-first", failure_action="continue")
    made.up(*made.tell(accepted(2, web=ServiceSpec(image="w:2", replicas=4, update=update))))
    first = made.container("web", 1)
    assert first.attempt == 2
    made.fail(first)
    assert asked(made.settle()) == [("web", 1, 3)]


def test_all_that_may_be_replaced_at_once_is_decided_at_once() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=8))
    made.say(accepted(2, web=ServiceSpec(image="w:2", replicas=8, update=AT_ONCE)))
    assert [slot for slot, *_ in told(made.settle())] == [1, 2]


def with_a_surplus(**first: Any) -> Shop:
    """Let a node return just as the replacement of its container comes up, and say nothing yet."""
    made = shop(nodes="abc")
    made.say(accepted(web=ServiceSpec(image="w", replicas=2), **first))
    for event in made.settle():
        assert isinstance(event, ContainerRequested)
        made.run(event, "a" if (event.service, event.slot) == ("web", 2) else "b")
    made.settle()
    (asked_for,) = made.tell(NodeLost(node="a", silent_s=3))
    assert isinstance(asked_for, ContainerRequested)
    made.assign(asked_for, "c")
    made.settle()
    made.say(joined("a", inventory=[Held(APP, "web", 2, 1, running=True)]))
    made.tells(ContainerStarted, asked_for, "c", engine_id="e")
    return made


def test_a_surplus_container_does_not_make_its_slot_one_more_to_be_replaced() -> None:
    made = with_a_surplus()
    made.say(accepted(2, web=ServiceSpec(image="w:2", replicas=2, update=AT_ONCE)))
    assert told(made.settle()) == [(1, 1, "b", "replaced"), (2, 1, "a", "superseded")]


def test_where_one_is_missing_none_is_replaced_beside_it_also_where_a_surplus_one_goes() -> None:
    made = with_a_surplus()
    made.say(accepted(2, web=ServiceSpec(image="w:2", replicas=2, update=AT_ONCE)))
    made.fail(made.container("web", 1))
    assert told(made.settle()) == [(2, 1, "a", "superseded")]


def test_nothing_is_replaced_before_its_dependency_is_there_also_where_a_surplus_one_goes() -> None:
    made = with_a_surplus(base=CHECKED)
    late = ServiceSpec(image="w:2", replicas=2, depends_on={"base": HEALTHY})
    made.say(accepted(2, web=late, base=CHECKED))
    assert told(made.settle()) == [(2, 1, "a", "superseded")]


# What is ended, and by which word.


def test_one_that_is_being_stopped_already_is_not_told_again_when_the_rest_goes_too() -> None:
    made = shop(nodes="ab", web=WEB)
    (second,) = made.tell(NodeLost(node="a", silent_s=3))
    made.assign(second, "b")  # type: ignore[arg-type]  # It is a request.
    back = made.say(joined("a"))
    made.tells(ContainerStarted, made.container("web"), engine_id="e")
    started = made.log[-1]
    assert told(made.settle()) == [(1, 1, "a", "superseded")]
    assert made.log[-1].cause == started.id != back.id
    assert told(made.tell(ScaleRequested(app=APP, service="web", replicas=0))) == [
        (1, 2, "b", "scaled")
    ]


def test_the_return_of_a_node_is_why_its_replacement_is_not_needed() -> None:
    made = shop(web=WEB)
    made.tell(NodeLost(node="a", silent_s=3))
    back = made.say(joined("a", inventory=[Held(APP, "web", 1, 1, running=True)]))
    assert told(made.settle()) == [(1, 2, NOWHERE, "superseded")]
    assert made.log[-1].cause == back.id


def test_an_old_version_that_comes_back_is_what_goes_not_the_new_one_that_waits() -> None:
    made = shop(web=WEB)
    made.tell(NodeLost(node="a", silent_s=3))
    made.tell(accepted(2, web=ServiceSpec(image="w:2")))
    newest = made.container("web").attempt
    back = joined("a", inventory=[Held(APP, "web", 1, 1, running=True)])
    assert told(made.tell(back)) == [(1, 1, "a", "superseded")]
    assert made.container("web").attempt == newest


def test_a_deploy_is_not_completed_while_a_surplus_container_of_a_slot_still_runs() -> None:
    made = shop(nodes="ab", web=WEB)
    made.up(*made.tell(NodeLost(node="a", silent_s=3)))
    (retired,) = made.tell(joined("a"))
    made.tell(accepted(2, web=WEB))
    assert len(made.all(DeployCompleted)) == 1
    made.tells(ContainerStopped, retired)  # type: ignore[arg-type]  # It is a retirement.
    assert [type(event) for event in made.settle()] == [DeployCompleted]


# What follows an end.


def test_what_fails_on_its_way_out_is_followed_by_another_if_it_is_wanted_after_all() -> None:
    made = shop(web=ONCE)
    made.tell(accepted(2, web=ServiceSpec(image="w", update=AT_ONCE)))
    assert told([made.log[-1].event]) == [(1, 1, "a", "replaced")]
    made.tell(accepted(3, web=ONCE))
    ended = made.fail(made.container("web"))
    assert asked(made.settle()) == [("web", 1, 2)]
    assert made.log[-1].cause == ended.id


def test_a_job_that_finishes_on_its_way_out_and_is_wanted_after_all_has_done_its_work() -> None:
    made = shop(job=JOB)
    made.tell(accepted(2, job=msgspec.structs.replace(JOB, image="m:2")))
    made.tell(accepted(3, job=JOB))
    made.tells(ContainerFinished, made.container("job"))
    assert asked(made.settle()) == []


def test_a_job_that_finishes_while_its_app_is_removed_runs_again_with_the_next_deploy() -> None:
    made = shop(job=JOB, web=WEB)
    made.tell(RemovalRequested(app=APP))
    made.say(accepted(2, job=JOB, web=WEB))
    made.tells(ContainerFinished, made.container("job"))
    assert ("job", 1, 2) in asked(made.settle())


def test_a_new_version_of_a_job_that_is_done_runs() -> None:
    made = shop(job=JOB)
    made.tells(ContainerFinished, made.container("job"))
    made.settle()
    said = made.tell(accepted(2, job=msgspec.structs.replace(JOB, image="m:2")))
    assert asked(said) == [("job", 1, 2)]


def test_what_is_never_restarted_is_replaced_all_the_same_when_its_node_is_lost() -> None:
    made = shop(web=ONCE)
    lost = made.say(NodeLost(node="a", silent_s=3))
    assert asked(made.settle()) == [("web", 1, 2)]
    assert made.log[-1].cause == lost.id


def test_an_attempt_is_one_event_whatever_brought_it_about() -> None:
    """So that two leaders that heard of different ends cannot both ask for it."""
    ids = []
    for name in ("one", "other"):
        made = shop(web=WEB)
        failed = ContainerFailed(**scope(made.container("web")), node="a", reason="exited")
        made.say(failed, event_id=name)
        (decision,) = made.cores[0].decide(made.now)
        assert decision.cause is not None
        assert decision.cause.id == name
        ids.append(decision.id)
    assert ids[0] == ids[1]


def test_a_restart_does_not_wait_for_what_the_service_depends_on() -> None:
    made = shop()
    made.deploy(base=CHECKED, top=ServiceSpec(image="t", depends_on={"base": HEALTHY}))
    made.tells(ContainerHealthy, made.container("base"))
    made.up(*made.settle())
    made.tells(ContainerUnhealthy, made.container("base"), streak=1)
    made.fail(made.container("top"))
    assert asked(made.settle()) == [("top", 1, 2)]


def test_a_slot_that_is_wanted_again_waits_for_what_the_service_depends_on() -> None:
    made = shop()
    made.deploy(base=CHECKED, top=ServiceSpec(image="t", depends_on={"base": HEALTHY}))
    made.tells(ContainerHealthy, made.container("base"))
    made.up(*made.settle())
    made.up(*made.tell(ScaleRequested(app=APP, service="top", replicas=0)))
    made.tells(ContainerUnhealthy, made.container("base"), streak=1)
    assert asked(made.tell(ScaleRequested(app=APP, service="top", replicas=1))) == []
    made.tells(ContainerHealthy, made.container("base"))
    assert asked(made.settle()) == [("top", 1, 2)]


def test_a_dependent_waits_for_the_new_version_not_for_the_old_one_that_still_works() -> None:
    made = shop(base=WEB)
    top = ServiceSpec(image="t", depends_on={"base": Dependency()})
    made.tell(accepted(2, base=ServiceSpec(image="w:2", update=AT_ONCE), top=top))
    assert asked(owed(made)) == []
    made.tells(ContainerStopped, made.container("base"))
    (again,) = made.settle()
    assert asked([again]) == [("base", 1, 2)]
    made.run(again)  # type: ignore[arg-type]  # It is a request.
    assert asked(made.settle()) == [("top", 1, 1)]


def test_what_has_started_and_finished_has_started() -> None:
    made = shop(base=ONCE)
    made.tells(ContainerFinished, made.container("base"))
    made.settle()
    top = ServiceSpec(image="t", depends_on={"base": Dependency()})
    assert asked(made.tell(accepted(2, base=ONCE, top=top))) == [("top", 1, 1)]


def test_a_dependency_without_slots_is_no_reason_not_to_wait_for_the_next_one() -> None:
    made = shop()
    depends = {"none": HEALTHY, "base": HEALTHY}
    empty = msgspec.structs.replace(CHECKED, replicas=0)
    said = made.deploy(none=empty, base=CHECKED, top=ServiceSpec(image="t", depends_on=depends))
    assert asked(said) == [("base", 1, 1)]


@pytest.mark.parametrize(("streak", "most"), [(1, 5), (2, 10), (4, 40), (5, 60)])
def test_a_wait_lies_anywhere_between_the_users_delay_and_its_doubling(
    streak: int, most: float
) -> None:
    waits = [delay_s(5.0, streak, f"{seed}") for seed in range(200)]
    assert min(waits) < 5 + (most - 5) * 0.1 or most == 5
    assert most - (most - 5) * 0.1 <= max(waits) <= most


def test_slots_that_fail_together_do_not_come_back_together() -> None:
    made = shop(web=ServiceSpec(image="w", replicas=4))
    for _ in range(4):
        for number in range(1, 5):
            made.fail(made.container("web", number))
        made.up(*made.settle())
    waits = {event.not_before for event in made.all(ContainerRequested)[-4:]}
    assert len(waits) == 4


def test_restarts_that_are_long_ago_are_not_counted() -> None:
    made = shop(web=ServiceSpec(image="w", restart=Restart(max_attempts=2, window_s=100.0)))
    for _ in range(6):
        made.now += 60
        made.fail(made.container("web"))
        assert len(made.up(*made.settle())) == 1
    for _ in range(2):
        made.now += 1
        made.fail(made.container("web"))
        said = made.up(*made.settle())
    assert said == [], "the third end within the window"
