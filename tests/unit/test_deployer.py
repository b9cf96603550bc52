"""What the deployer owes a history."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, arg-type, union-attr, index, misc"

import msgspec
import pytest
from segue.events.container import (
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerUnhealthy,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployRejected,
    DeployRequested,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRejected,
    RemovalRequested,
)
from segue.events.node import (
    Held,
    NodeCordoned,
    NodeCordonRequested,
    NodeLost,
    NodeRequestRejected,
)
from segue.events.scale import ScaleAccepted, ScaleRejected, ScaleRequested
from segue.spec import Dependency, Health, Restart, ServiceSpec, Update
from segue.testing import shop as board
from segue.testing.shop import accepted, joined
from segue_deployer.core import Deployer
from segue_deployer.restart import delay_s


class Shop(board.Shop):
    """A deployer and a node `a` on which everything that is asked for comes up when told to."""

    def __init__(self) -> None:
        super().__init__(Deployer())

    def start(self, event: ContainerRequested, node: str = "a") -> None:
        self.run(event, node)

    @staticmethod
    def names(event: ContainerRequested | ContainerRetired, node: str = "a") -> dict[str, object]:
        return board.scope(event) | {"node": node}


WEB = ServiceSpec(image="web:1", replicas=3)


def kinds(events: list[object]) -> list[str]:
    return [event.type for event in events]


def test_a_good_request_is_accepted_and_its_slots_are_asked_for() -> None:
    shop = Shop()
    said = shop.tell(
        DeployRequested(app="shop", compose={"services": {"web": {"image": "w", "scale": 2}}})
    )
    assert kinds(said) == ["deploy.accepted", "container.requested", "container.requested"]
    assert [e.slot for e in said if isinstance(e, ContainerRequested)] == [1, 2]


def test_a_bad_request_is_rejected_with_every_problem_and_changes_nothing() -> None:
    shop = Shop()
    compose = {"services": {"web": {"imag": "w"}, "db": {"image": "d", "links": ["web"]}}}
    (rejected,) = shop.tell(DeployRequested(app="shop", compose=compose))
    assert isinstance(rejected, DeployRejected)
    assert len(rejected.problems) >= 2
    assert shop.cores[0].picture.apps == {}


def test_a_deploy_is_completed_once_all_slots_are_started() -> None:
    shop = Shop()
    said = shop.deploy(web=WEB)
    assert kinds(said) == ["container.requested"] * 3 + ["deploy.completed"]
    (done,) = shop.all(DeployCompleted)
    assert (done.slots, done.revision) == (3, 1)


def test_with_a_health_check_started_is_not_enough() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w", health=Health(test=["CMD", "true"])))
    assert not shop.all(DeployCompleted)
    (asked,) = shop.all(ContainerRequested)
    assert kinds(shop.tell(ContainerHealthy(**shop.names(asked)))) == ["deploy.completed"]


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    shop = Shop()
    (first, *_) = shop.deploy(web=ServiceSpec(image="w"))
    waits = []
    asked = first
    for _ in range(6):
        (asked, *_) = shop.tell(ContainerFailed(**shop.names(asked), reason="exited", exit_code=1))
        assert isinstance(asked, ContainerRequested)
        waits.append(max(0.0, asked.not_before - shop.now))
        shop.start(asked)
        shop.settle()
    assert waits[0] == 0.0
    assert all(wait <= most for wait, most in zip(waits[1:], (1, 2, 4, 8, 16), strict=True))
    assert len({round(wait, 6) for wait in waits}) > 3, "the waits are spread by jitter"


def test_a_container_that_was_up_for_a_minute_restarts_at_once_again() -> None:
    shop = Shop()
    (asked, *_) = shop.deploy(web=ServiceSpec(image="w"))
    for _ in range(3):
        shop.now += 61
        (asked, *_) = shop.tell(ContainerFailed(**shop.names(asked), reason="exited", exit_code=1))
        assert asked.not_before <= shop.now
        shop.start(asked)
        shop.settle()


def test_the_users_delay_is_the_least_wait() -> None:
    assert 5.0 <= delay_s(5.0, 1, "seed") <= 5.0
    assert all(5.0 <= delay_s(5.0, streak, f"{streak}") <= 60.0 for streak in range(1, 40))
    assert delay_s(90.0, 9, "seed") == 90.0


@pytest.mark.parametrize(
    ("condition", "ends", "again"),
    [
        ("none", "failed", False),
        ("none", "finished", False),
        ("on-failure", "failed", True),
        ("on-failure", "finished", False),
        ("any", "failed", True),
        ("any", "finished", True),
    ],
)
def test_the_restart_condition_decides_whether_there_is_another(
    *, condition: str, ends: str, again: bool
) -> None:
    shop = Shop()
    spec = ServiceSpec(image="w", restart=msgspec.convert({"condition": condition}, Restart))
    (asked, *_) = shop.deploy(web=spec)
    end = ContainerFailed if ends == "failed" else ContainerFinished
    extra = {"reason": "exited", "exit_code": 1} if ends == "failed" else {}
    said = shop.tell(end(**shop.names(asked), **extra))
    assert ("container.requested" in kinds(said)) is again


def test_a_deploy_fails_when_the_restarts_are_used_up_and_says_why() -> None:
    shop = Shop()
    spec = ServiceSpec(image="w", restart=Restart(condition="on-failure", max_attempts=2))
    shop.say(accepted(web=spec))
    (asked,) = shop.settle()
    for _ in range(3):
        shop.assign(asked)
        said = shop.tell(
            ContainerFailed(**shop.names(asked), reason="image", message="no such image")
        )
        asked = said[0]
    assert kinds(said) == ["deploy.failed"]
    (failed,) = shop.all(DeployFailed)
    assert "used up" in failed.reason
    assert "no such image" in failed.reason
    assert failed.blocking == ["web.1"]


def test_a_deploy_that_gets_nowhere_fails_after_five_minutes_naming_what_it_waits_for() -> None:
    shop = Shop()
    shop.deploy()
    shop.say(accepted(2, web=ServiceSpec(image="w")))
    (asked,) = shop.settle()
    shop.tell(
        ContainerUnplaceable(
            app="shop",
            service="web",
            slot=1,
            attempt=asked.attempt,
            refused=[Refusal("not enough memory", 2)],
        )
    )
    assert shop.at(299) == []
    assert shop.cores[0].wake_at == pytest.approx(shop.now + 1)
    (failed,) = shop.at(1)
    assert isinstance(failed, DeployFailed)
    assert failed.blocking == ["web.1"]


def test_scaling_up_asks_for_the_new_slots_and_down_retires_the_highest() -> None:
    shop = Shop()
    shop.deploy(web=WEB)
    said = shop.tell(ScaleRequested(app="shop", service="web", replicas=5))
    assert kinds(said) == ["scale.accepted", "container.requested", "container.requested"]
    shop.up(*said)
    said = shop.tell(ScaleRequested(app="shop", service="web", replicas=2))
    assert [e.slot for e in said if isinstance(e, ContainerRetired)] == [5, 4, 3]
    assert [(e.replicas, e.previous) for e in shop.all(ScaleAccepted)] == [(5, 3), (2, 5)]


def test_a_slot_that_comes_back_goes_on_counting_its_attempts() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w", replicas=2))
    shop.up(*shop.tell(ScaleRequested(app="shop", service="web", replicas=1)))
    said = shop.up(*shop.tell(ScaleRequested(app="shop", service="web", replicas=2)))
    (again,) = [e for e in said if isinstance(e, ContainerRequested)]
    assert (again.slot, again.attempt) == (2, 2)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (ScaleRequested(app="nope", service="web", replicas=1), "no app called nope"),
        (ScaleRequested(app="shop", service="wbe", replicas=1), "no service called wbe"),
        (ScaleRequested(app="shop", service="web", replicas=-1), "-1 replicas"),
    ],
)
def test_a_scale_that_cannot_be_is_rejected(request_: ScaleRequested, what: str) -> None:
    shop = Shop()
    shop.deploy(web=WEB)
    (rejected,) = shop.tell(request_)
    assert isinstance(rejected, ScaleRejected)
    assert what in rejected.problems[0].what


def test_a_changed_spec_replaces_a_quarter_at_a_time_and_stops_first() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w:1", replicas=8))
    at_once = Update(order="stop-first", monitor_s=0)
    shop.say(accepted(2, web=ServiceSpec(image="w:2", replicas=8, update=at_once)))
    said = shop.settle()
    assert kinds(said) == ["rollout.started", "rollout.advanced"] + ["container.retired"] * 2
    came_up = shop.up(*said)
    assert kinds(came_up)[-1] == "deploy.completed"
    digests = {
        slot.container.digest
        for slot in shop.cores[0].picture.service("shop", "web").slots.values()
    }
    assert len(digests) == 1
    assert len([e for e in came_up if isinstance(e, ContainerRequested)]) == 8


def test_an_unchanged_service_is_left_alone() -> None:
    shop = Shop()
    shop.deploy(web=WEB, db=ServiceSpec(image="db:1"))
    said = shop.deploy(web=WEB, db=ServiceSpec(image="db:2", update=Update(monitor_s=0)))
    assert {e.service for e in said if isinstance(e, ContainerRetired)} == {"db"}


def test_a_service_that_is_dropped_is_retired() -> None:
    shop = Shop()
    shop.deploy(web=WEB, db=ServiceSpec(image="db:1"))
    said = shop.deploy(web=WEB)
    assert [(e.service, e.reason) for e in said if isinstance(e, ContainerRetired)] == [
        ("db", "removed")
    ]


def test_a_dependent_waits_until_its_dependency_is_healthy() -> None:
    shop = Shop()
    db = ServiceSpec(image="db", health=Health(test=["CMD", "true"]))
    web = ServiceSpec(image="w", depends_on={"db": Dependency(condition="healthy")})
    shop.say(accepted(db=db, web=web))
    (asked,) = shop.settle()
    assert asked.service == "db"
    shop.start(asked)
    assert shop.settle() == []
    record = shop.say(ContainerHealthy(**shop.names(asked)))
    (dependent,) = shop.settle()
    assert dependent.service == "web"
    assert shop.log[-1].cause == record.id, "the healthy event is the cause"


def test_a_dependent_of_a_job_waits_until_it_is_finished() -> None:
    shop = Shop()
    job = ServiceSpec(image="m", mode="replicated-job", restart=Restart(condition="on-failure"))
    web = ServiceSpec(image="w", depends_on={"migrate": Dependency(condition="completed")})
    shop.say(accepted(migrate=job, web=web))
    (asked,) = shop.settle()
    shop.start(asked)
    assert shop.settle() == []
    (dependent,) = shop.tell(ContainerFinished(**shop.names(asked)))
    assert dependent.service == "web"


def test_a_lost_node_is_the_cause_of_the_replacements() -> None:
    shop = Shop()
    shop.deploy(web=WEB)
    shop.say(joined("b"))
    lost = shop.say(NodeLost(node="a", silent_s=3.0))
    said = shop.settle()
    assert kinds(said) == ["container.requested"] * 3
    assert {e.previous for e in said} == {"a"}
    assert {record.cause for record in shop.log[-3:]} == {lost.id}


def test_when_the_node_comes_back_before_the_replacement_is_placed_the_old_one_stays() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w"))
    shop.tell(NodeLost(node="a", silent_s=3.0))
    said = shop.tell(joined("a", inventory=[Held("shop", "web", 1, 1, running=True)]))
    assert [(e.attempt, e.reason) for e in said] == [(2, "superseded")]
    slot = shop.cores[0].picture.slot("shop", "web", 1)
    assert slot.container.attempt == 1
    assert slot.container.phase == "started"


def test_when_the_node_comes_back_after_that_the_old_one_goes_once_the_new_one_is_up() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w"))
    shop.say(joined("b"))
    (asked,) = shop.tell(NodeLost(node="a", silent_s=3.0))
    shop.assign(asked, "b")
    assert shop.tell(joined("a")) == []
    (old,) = shop.tell(ContainerStarted(**shop.names(asked, "b"), engine_id="e"))
    assert (old.attempt, old.node, old.reason) == (1, "a", "superseded")


def test_an_unhealthy_container_that_is_judged_failed_is_replaced() -> None:
    shop = Shop()
    (asked, *_) = shop.deploy(web=ServiceSpec(image="w", health=Health(test=["CMD", "true"])))
    shop.tell(ContainerUnhealthy(**shop.names(asked), streak=3))
    (again, *_) = shop.tell(ContainerFailed(**shop.names(asked), reason="unhealthy"))
    assert isinstance(again, ContainerRequested)
    assert again.attempt == 2


def test_removal_retires_everything_and_ends() -> None:
    shop = Shop()
    shop.deploy(web=WEB)
    said = shop.up(*shop.tell(RemovalRequested(app="shop")))
    assert kinds(said) == ["removal.accepted"] + ["container.retired"] * 3 + ["removal.completed"]
    assert len(shop.all(RemovalCompleted)) == 1
    (again,) = shop.tell(RemovalRequested(app="shop"))
    assert isinstance(again, RemovalRejected)


def test_a_deploy_after_a_removal_goes_on_counting() -> None:
    shop = Shop()
    shop.deploy(web=ServiceSpec(image="w"))
    shop.up(*shop.tell(RemovalRequested(app="shop")))
    assert shop.all(RemovalAccepted)
    said = shop.tell(DeployRequested(app="shop", compose={"services": {"web": {"image": "w"}}}))
    assert [e.revision for e in said if isinstance(e, DeployAccepted)] == [2]
    assert [e.attempt for e in said if isinstance(e, ContainerRequested)] == [2]


def test_a_global_service_has_one_slot_on_every_node_also_on_new_ones() -> None:
    shop = Shop()
    shop.say(joined("b"))
    shop.say(accepted(agent=ServiceSpec(image="agent", mode="global")))
    said = shop.settle()
    assert [(e.slot, e.pinned) for e in said] == [(1, "a"), (2, "b")]
    (third,) = shop.tell(joined("c"))
    assert (third.slot, third.pinned) == (3, "c")


def test_a_cordon_of_an_unknown_node_is_rejected_naming_the_known() -> None:
    shop = Shop()
    (cordoned,) = shop.tell(NodeCordonRequested(node="a"))
    assert isinstance(cordoned, NodeCordoned)
    (rejected,) = shop.tell(NodeCordonRequested(node="z"))
    assert isinstance(rejected, NodeRequestRejected)
    assert "there are: a" in rejected.problems[0].hint


def test_the_same_history_gives_the_same_decisions_with_the_same_ids() -> None:
    first, second = Shop(), Shop()
    for shop in (first, second):
        shop.deploy(web=WEB)
        shop.tell(ScaleRequested(app="shop", service="web", replicas=5))
    assert [r.id for r in first.log] == [r.id for r in second.log]
