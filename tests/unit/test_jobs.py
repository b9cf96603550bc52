"""How many of a job run at once, how often it is tried, for how long, and when it is done."""

import msgspec
from segue.events import Event
from segue.events.container import (
    NOWHERE,
    ContainerFailed,
    ContainerFinished,
    ContainerRequested,
    ContainerRetired,
    ContainerStopped,
)
from segue.events.deploy import DeployCompleted, DeployFailed
from segue.jobs import Job
from segue.spec import Restart, ServiceSpec
from segue.testing.shop import Shop, accepted, plain
from segue_deployer.core import Deployer


def job(replicas: int = 1, retries: int = 6, **how: float) -> ServiceSpec:
    restart = Restart(condition="on-failure", max_attempts=retries) if retries else Restart("none")
    how = {key: int(value) if key == "parallelism" else value for key, value in how.items()}
    return ServiceSpec(
        image="j",
        mode="replicated-job",
        replicas=replicas,
        restart=restart,
        job=msgspec.convert(how, Job),
    )


def begun(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.slot, e.attempt) for e in events if isinstance(e, ContainerRequested)]


def finish(shop: Shop, number: int) -> list[tuple[int, int]]:
    shop.tells(ContainerFinished, shop.container("job", number))
    return begun(shop.up(*shop.settle()))


# Parallelism.


def test_no_more_run_at_once_than_may() -> None:
    shop = Shop(Deployer())
    assert begun(shop.deploy(job=job(5, parallelism=2))) == [(1, 1), (2, 1)]


def test_each_that_ends_well_lets_the_next_begin_until_all_have() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(4, parallelism=2))
    assert finish(shop, 2) == [(3, 1)]
    assert finish(shop, 1) == [(4, 1)]
    assert finish(shop, 4) == []
    assert not shop.all(DeployCompleted)
    assert finish(shop, 3) == []
    [done] = shop.all(DeployCompleted)
    assert done.slots == 4


def test_what_fails_is_tried_again_in_its_turn() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(3, parallelism=1))
    shop.fail(shop.container("job", 1))
    assert begun(shop.settle()) == [(1, 2)]


def test_what_failed_for_good_keeps_its_turn_and_the_deploy_has_failed() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(3, retries=0, parallelism=1))
    shop.fail(shop.container("job", 1))
    assert begun(shop.settle()) == []
    [failed] = shop.all(DeployFailed)
    assert failed.reason.startswith("job.1 failed and its restart policy is used up")


def test_fewer_at_once_from_the_next_deploy_on_stop_only_the_surplus() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(6, parallelism=3))
    said = shop.deploy(job=job(6, parallelism=2))
    assert [(e.slot, e.reason) for e in said if isinstance(e, ContainerRetired)] == [(3, "scaled")]
    assert finish(shop, 1) == [(3, 2)]


def test_more_at_once_begin_at_once() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(6, parallelism=1))
    assert begun(shop.deploy(job=job(6, parallelism=3))) == [(2, 1), (3, 1)]


def test_what_is_done_stays_done_when_only_its_pace_changes() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(3, parallelism=1))
    finish(shop, 1)
    assert begun(shop.deploy(job=job(3))) == [(3, 1)]


# Retries.


def test_it_is_tried_as_often_as_was_said_and_then_it_has_failed() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(retries=2))
    for attempt in (1, 2, 3):
        assert shop.container("job").attempt == attempt
        shop.fail(shop.container("job"))
        shop.up(*shop.at(120.0))
    assert shop.slot("job").attempt == 3
    assert len(shop.all(ContainerFailed)) == 3
    assert len(shop.all(DeployFailed)) == 1


# The deadline.


def test_what_takes_longer_than_its_deadline_is_stopped_and_not_tried_again() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(deadline_s=30.0))
    assert shop.cores[0].wake_at == shop.now + 30.0
    assert shop.at(29.0) == []
    [retired, failed] = shop.at(1.0)
    assert isinstance(retired, ContainerRetired)
    assert retired.reason == "deadline"
    assert isinstance(failed, DeployFailed)
    assert failed.reason == "job.1 took longer than its deadline, 30 s"
    shop.tells(ContainerStopped, shop.container("job"))
    assert shop.settle() == shop.at(600.0) == []


def test_all_attempts_share_one_deadline_and_the_wait_before_one_counts() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(deadline_s=30.0))
    shop.now += 20.0
    shop.fail(shop.container("job"))
    shop.settle()
    [retired, _] = shop.at(10.0)
    assert isinstance(retired, ContainerRetired)
    assert (retired.attempt, retired.node) == (2, NOWHERE)


def test_an_assignment_that_crossed_the_deadline_is_retired_too() -> None:
    shop = Shop(Deployer())
    [asked] = [e for e in shop.tell(accepted(job=job(deadline_s=1.0))) if begun([e])]
    shop.at(1.0)
    assert isinstance(asked, ContainerRequested)
    shop.assign(asked)
    [again] = shop.settle()
    assert isinstance(again, ContainerRetired)
    assert (again.node, again.reason) == ("a", "deadline")


def test_what_ended_well_in_time_has_no_deadline_any_more() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(deadline_s=30.0))
    finish(shop, 1)
    assert shop.at(60.0) == []
    assert shop.cores[0].wake_at is None


def test_a_deploy_gives_all_its_time_again() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(deadline_s=30.0))
    shop.up(*shop.at(30.0))
    assert begun(shop.deploy(job=job(deadline_s=30.0))) == [(1, 2)]
    shop.now += 20.0
    shop.deploy(job=job(deadline_s=30.0))
    assert shop.at(29.0) == []
    assert [e.reason for e in shop.at(1.0) if isinstance(e, ContainerRetired)] == ["deadline"]


def test_a_snapshot_keeps_since_when_it_has_been_at_it() -> None:
    shop = Shop(Deployer())
    shop.deploy(job=job(3, parallelism=1, deadline_s=30.0))
    other = Deployer()
    other.picture.restore(shop.picture.snapshot())
    assert plain(other.picture) == plain(shop.picture)
    [decision] = other.decide(shop.now + 30.0)
    assert isinstance(decision.event, ContainerRetired)
    assert decision.event.reason == "deadline"
