"""When a scheduled job is run, how its runs end, and what is remembered of them."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerFinished,
    ContainerRequested,
    ContainerRetired,
)
from segue.events.deploy import DeployCompleted, RemovalCompleted, RemovalRequested
from segue.events.job import RunCompleted, RunFailed, ScheduleDue
from segue.jobs import Job, Schedule
from segue.picture.fold_run import KEPT
from segue.spec import Restart, ServiceSpec
from segue.testing.shop import APP, Shop, plain
from segue_deployer.core import Deployer

MINUTE = 60.0
EVERY_MINUTE = "* * * * *"


def nightly(retries: int = 1, deadline_s: float | None = None, **when: Any) -> ServiceSpec:
    return ServiceSpec(
        image="j",
        mode="replicated-job",
        restart=Restart(condition="on-failure", max_attempts=retries),
        job=Job(deadline_s=deadline_s),
        schedule=Schedule(**{"cron": EVERY_MINUTE} | when),
    )


def shop(**how: Any) -> Shop:
    made = Shop(Deployer())
    made.now = 60_000_000.0  # A whole minute.
    made.deploy(job=nightly(**how))
    return made


def later(made: Shop, seconds: float = MINUTE) -> list[Event]:
    made.now += seconds
    return made.up(*made.settle())


def finish(made: Shop, run: int) -> list[Event]:
    made.tells(ContainerFinished, made.container("job", run))
    return made.up(*made.settle())


def begun(events: list[Event]) -> list[tuple[int, int]]:
    return [(e.slot, e.attempt) for e in events if isinstance(e, ContainerRequested)]


def test_a_deploy_with_a_schedule_is_done_at_once_and_nothing_runs_before_its_time() -> None:
    made = shop()
    assert len(made.all(DeployCompleted)) == 1
    assert not made.all(ContainerRequested)
    assert made.cores[0].wake_at == made.now + MINUTE
    assert later(made, MINUTE - 1) == []


def test_each_instant_has_a_run_in_a_slot_of_its_own() -> None:
    made = shop()
    assert begun(later(made)) == [(1, 1)]
    [done] = [e for e in finish(made, 1) if isinstance(e, RunCompleted)]
    assert (done.run, done.attempts) == (1, 1)
    assert begun(later(made)) == [(2, 1)]
    assert [e.due for e in made.all(ScheduleDue)] == [60_000_060.0, 60_000_120.0]


def test_every_decision_names_its_cause() -> None:
    made = shop()
    later(made)
    finish(made, 1)
    ids = {record.id: record.event for record in made.log}
    causes = {type(r.event): type(ids[r.cause]) for r in made.log if r.cause}
    assert causes[ContainerRequested] is ScheduleDue
    assert causes[RunCompleted] is ContainerFinished


def test_a_run_that_fails_is_tried_again_and_then_has_failed_for_good() -> None:
    made = shop(overlap="allow")
    later(made)
    made.fail(made.container("job", 1))
    assert begun(made.up(*made.settle())) == [(1, 2)]
    made.fail(made.container("job", 1), message="no money")
    [failed] = made.up(*made.settle())
    assert isinstance(failed, RunFailed)
    assert (failed.reason, failed.attempts, failed.exit_code) == ("failed", 2, 1)
    assert failed.message == "no money"
    assert len(made.all(ContainerFailed)) == 2
    assert begun(later(made)) == [(2, 1)]


def test_a_run_that_takes_too_long_is_stopped_and_has_failed() -> None:
    made = shop(deadline_s=30.0)
    later(made)
    said = later(made, 30.0)
    assert [e.reason for e in said if isinstance(e, ContainerRetired | RunFailed)] == [
        "deadline",
        "deadline",
    ]


# Overlap.


def test_without_a_word_an_instant_is_skipped_while_a_run_is_under_way_and_that_is_said() -> None:
    made = shop()
    later(made)
    [due] = later(made)
    assert isinstance(due, ScheduleDue)
    assert (due.run, due.skipped) == (0, "run 1 is under way")
    finish(made, 1)
    assert begun(later(made)) == [(2, 1)]


def test_runs_may_overlap_if_they_are_told_to() -> None:
    made = shop(overlap="allow")
    assert [begun(later(made)) for _ in range(3)] == [[(1, 1)], [(2, 1)], [(3, 1)]]


def test_a_later_run_may_take_the_place_of_the_one_before() -> None:
    made = shop(overlap="replace")
    later(made)
    said = later(made)
    assert begun(said) == [(2, 1)]
    assert [(e.run, e.reason) for e in said if isinstance(e, RunFailed)] == [(1, "replaced")]
    assert [e.slot for e in said if isinstance(e, ContainerRetired)] == [1]


# Outages.


def test_after_an_outage_the_last_that_was_missed_is_run_once() -> None:
    made = shop()
    [due, *_] = later(made, 10 * MINUTE + 5)
    assert isinstance(due, ScheduleDue)
    assert (due.run, due.due, due.missed) == (1, 60_000_600.0, 9)
    assert made.at(1.0) == []


def test_what_is_too_late_is_not_run_and_that_is_said() -> None:
    made = shop(cron="0 * * * *", late_s=60.0)
    [due] = later(made, 3_600 + 3_000)
    assert isinstance(due, ScheduleDue)
    assert due.skipped == "it is too late: 60 s at most"
    assert not made.all(ContainerRequested)


def test_two_leaders_say_one_thing_of_one_instant() -> None:
    made = shop()
    other = Deployer()
    other.picture.restore(made.picture.snapshot())
    [one] = made.cores[0].decide(made.now + MINUTE)
    [two] = other.decide(made.now + MINUTE + 20)
    assert one.id == two.id


# Deploys and removals.


def test_another_deploy_changes_no_run_under_way_nor_its_time() -> None:
    made = shop()
    later(made)
    made.now += 30
    assert begun(made.deploy(job=nightly(late_s=5.0))) == []
    finish(made, 1)
    assert begun(later(made, 30)) == [(2, 1)]


def test_a_new_version_is_what_the_next_run_is() -> None:
    made = shop()
    later(made)
    old = made.container("job", 1).digest
    changed = ServiceSpec(image="j:2", mode="replicated-job", schedule=Schedule(cron=EVERY_MINUTE))
    assert begun(made.deploy(job=changed)) == []
    finish(made, 1)
    later(made)
    assert made.container("job", 2).digest != old


def test_instants_of_a_new_schedule_count_from_its_deploy() -> None:
    made = shop()
    made.now += 600
    made.deploy(job=nightly(cron="*/2 * * * *"))
    [due, *_] = later(made, 121)
    assert isinstance(due, ScheduleDue)
    assert due.missed == 0


def test_what_is_removed_ends_its_runs_and_says_so_of_each() -> None:
    made = shop(overlap="allow")
    later(made)
    later(made)
    made.up(*made.tell(RemovalRequested(app=APP)))
    assert [(e.run, e.reason) for e in made.all(RunFailed)] == [(1, "removed"), (2, "removed")]
    assert len(made.all(RemovalCompleted)) == 1
    made.deploy(job=nightly())
    assert begun(later(made)) == [(3, 1)], "no number is given twice"


def test_a_job_without_its_schedule_any_more_is_run_at_once() -> None:
    made = shop()
    later(made)
    finish(made, 1)
    plain_job = ServiceSpec(image="j", mode="replicated-job")
    assert begun(made.deploy(job=plain_job)) == [(1, 2)]


# What is remembered.


def test_of_the_runs_that_are_over_the_newest_are_kept() -> None:
    made = shop()
    for run in range(1, KEPT + 11):
        later(made)
        finish(made, run)
    service = made.picture.apps[APP].services["job"]
    assert list(service.slots) == list(range(11, KEPT + 11))
    assert not service.runs


@pytest.mark.parametrize("event", [ContainerRequested, ScheduleDue, RunCompleted])
def test_late_news_of_a_run_that_is_forgotten_changes_nothing(event: type[Event]) -> None:
    made = shop()
    for run in range(1, KEPT + 3):
        later(made)
        finish(made, run)
    before = plain(made.picture)["state"]
    said = next(record.event for record in made.log if isinstance(record.event, event))
    made.say(said)
    after = plain(made.picture)["state"]
    assert before["apps"] == after["apps"]
    assert made.settle() == []


def test_a_snapshot_keeps_the_runs() -> None:
    made = shop(overlap="allow")
    later(made)
    later(made)
    other = Deployer()
    other.picture.restore(made.picture.snapshot())
    assert plain(other.picture) == plain(made.picture)
    assert other.decide(made.now) == []
    [due] = other.decide(made.now + MINUTE)
    assert isinstance(due.event, ScheduleDue)
    assert due.event.run == 3
