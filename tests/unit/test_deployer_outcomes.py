"""What holds up a deploy, and how what is owed is decided until it is seen."""

from typing import Any

import pytest
from segue.core import MOST_DECISIONS
from segue.envelope import Unreadable
from segue.events import Event
from segue.events.container import (
    ContainerFinished,
    ContainerRequested,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployRequested,
)
from segue.events.event import EventRejected
from segue.events.scale import ScaleAccepted, ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec
from segue.testing.shop import APP, Shop, accepted, scope
from segue_deployer.core import ANSWERS_AT_ONCE, Deployer
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
CHECKED = ServiceSpec(image="c", health=Health(test=["CMD", "true"]))


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


def failures(made: Shop) -> list[str]:
    return [event.reason for event in made.all(DeployFailed)]


# What holds up a deploy.


@pytest.mark.parametrize(("condition", "slots"), [("none", [2]), ("on-failure", [2]), ("any", [])])
def test_what_ended_well_and_needs_no_other_does_not_hold_up_the_deploy(
    condition: Any, slots: list[int]
) -> None:
    made = shop()
    policy = Restart(condition=condition, max_attempts=0)
    made.say(accepted(once=ServiceSpec(image="o", restart=policy), db=WEB))
    once, db = made.settle()
    made.run(once)  # type: ignore[arg-type]  # It is a request.
    made.tells(ContainerFinished, once)  # type: ignore[arg-type]  # It is a request.
    made.settle()
    made.run(db)  # type: ignore[arg-type]  # It is a request.
    made.settle()
    assert [event.slots for event in made.all(DeployCompleted)] == slots


def test_a_slot_that_ends_now_and_then_but_works_in_between_fails_no_deploy() -> None:
    made = shop()
    made.deploy(web=WEB, slow=CHECKED)
    for _ in range(8):
        made.now += 60
        made.fail(made.container("web"))
        made.up(*made.settle())
    assert failures(made) == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"reason": "vanished", "exit_code": None}, "vanished"),
        ({"reason": "exited", "exit_code": 3}, "exited with code 3"),
    ],
)
def test_a_slot_that_loops_is_named_with_its_last_end(how: dict[str, Any], words: str) -> None:
    made = shop()
    made.deploy(web=CHECKED)
    for _ in range(5):
        made.fail(made.container("web"), **how)
        made.now += 60
        made.up(*made.settle())
    assert failures(made) == [f"web.1 ended 5 times in a row, the last time: {words}"]


def test_the_only_slot_that_is_waited_for_is_named_alone() -> None:
    made = shop()
    made.tell(accepted(web=WEB))
    made.at(301)
    assert failures(made) == ["no progress for 5 minutes; waiting for web.1 (requested on no node)"]


def test_a_slot_that_no_node_takes_is_named_before_those_that_are_on_their_way() -> None:
    made = shop()
    made.tell(accepted(api=WEB, db=WEB))
    refused = [Refusal("not enough memory", 1)]
    made.tell(ContainerUnplaceable(**scope(made.container("db")), refused=refused))
    made.at(301)
    (said,) = failures(made)
    assert said.endswith("waiting for db.1 (no node can take it: 1 x not enough memory) and 1 more")


def test_a_slot_that_no_node_can_run_fails_the_deploy_also_behind_one_that_waits() -> None:
    made = Shop(Deployer(), Scheduler())
    late = ServiceSpec(image="l", depends_on={"web": Dependency(condition="healthy")})
    made.tell(accepted(late=late, web=CHECKED))
    made.fail(made.container("web"), reason="rejected", message="its policy", final=True)
    made.settle()
    made.at(60)
    assert failures(made) == ["web.1 cannot run on any node that is left for it: its policy"]


def test_a_deploy_that_is_over_asks_for_no_clock() -> None:
    made = shop(web=WEB)
    made.at(301)
    assert made.cores[0].wake_at is None


# What is owed, to whom, until it is seen.


def two_apps() -> Shop:
    made = shop()
    made.deploy(app="blog", web=ServiceSpec(image="w", replicas=3))
    made.deploy(web=WEB)
    return made


def test_two_apps_with_services_of_one_name_are_two_services() -> None:
    made = two_apps()
    made.fail(made.container("web", 3, app="blog"))
    assert asked(made.settle()) == [("web", 3, 2)]
    made.fail(made.container("web"))
    assert asked(made.settle()) == [("web", 1, 2)]


def test_what_is_owed_to_two_apps_is_decided_together_and_again_until_it_is_seen() -> None:
    made = two_apps()
    made.fail(made.container("web", 3, app="blog"))
    made.fail(made.container("web"))
    first = owed(made)
    assert sorted(asked(first)) == [("web", 1, 2), ("web", 3, 2)]
    assert owed(made) == first, "nobody has written it yet"
    made.settle()
    assert owed(made) == []


def test_an_open_request_about_one_app_holds_up_no_other() -> None:
    made = two_apps()
    made.fail(made.container("web"))
    made.say(ScaleRequested(app=APP, service="web", replicas=2))
    made.fail(made.container("web", 3, app="blog"))
    assert asked(owed(made)) == [("web", 3, 2)], "what shop is owed follows from its answer"


def test_of_the_requests_about_one_app_one_is_answered_at_a_time_and_those_about_others_too() -> (
    None
):
    made = two_apps()
    for app, replicas in ((APP, 2), (APP, 3), ("blog", 4)):
        made.say(ScaleRequested(app=app, service="web", replicas=replicas))
    said = [(e.app, e.replicas) for e in owed(made) if isinstance(e, ScaleAccepted)]
    assert said == [(APP, 2), ("blog", 4)]


def test_so_many_requests_are_answered_at_once_that_beats_go_on() -> None:
    made = shop()
    for number in range(ANSWERS_AT_ONCE + 5):
        made.say(DeployRequested(app=f"app-{number}", compose={"services": {}}))
    assert len(owed(made)) == ANSWERS_AT_ONCE
    made.settle()
    assert not made.picture.state.requests


def test_so_much_is_decided_at_once_that_one_write_can_hold_it() -> None:
    made = shop()
    made.say(accepted(web=ServiceSpec(image="w", replicas=MOST_DECISIONS + 5)))
    made.say(accepted(1, "blog", web=WEB))
    assert len(owed(made)) == MOST_DECISIONS


def test_an_answer_carries_the_name_of_who_asked() -> None:
    made = shop()
    compose = {"services": {"web": {"image": "w", "container_name": "web"}}}
    record = made.say(DeployRequested(app=APP, compose=compose))
    made.picture.state.requests[record.key].actor = "ann"
    (decision,) = made.cores[0].decide(made.now)
    assert decision.actor == "ann"
    assert isinstance(decision.event, DeployAccepted)
    assert decision.event.notes, "what has no effect is said"


def test_each_message_that_nobody_can_read_gets_a_record_of_its_own() -> None:
    made = shop()
    made.picture.unreadable(Unreadable(1, made.now, "x.y", "not JSON"))
    made.picture.unreadable(Unreadable(2, made.now, "x.y", "not JSON"))
    decisions = made.cores[0].decide(made.now)
    assert len({decision.id for decision in decisions}) == 2
    assert [decision.event for decision in decisions] == [
        EventRejected(sequence=number, on="x.y", reason="not JSON") for number in (1, 2)
    ]
