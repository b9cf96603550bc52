"""How `x-job` is read, and what it must agree with."""

from typing import Any

import pytest
from segue.compose import Result, convert
from segue.jobs import Job, Schedule
from segue.spec import AppSpec, Restart, ServiceSpec, digest

FULL = {"parallelism": "4", "retries": 3, "deadline": "10m", "keep": "1h"}


def converted(asked: Any, mode: str = "replicated-job", **more: Any) -> Result:
    service = {"image": "i", "x-job": asked, "deploy": {"mode": mode, **more.pop("deploy", {})}}
    return convert({"services": {"job": service | more}}, app="shop")


def scheduled(when: Any) -> Result:
    more: dict[str, Any] = {"x-schedule": when}
    return converted({}, **more)


def made(asked: Any, **more: Any) -> ServiceSpec:
    found = converted(asked, **more)
    assert found.spec is not None, found.problems
    return found.spec.services["job"]


def test_all_of_it_becomes_what_the_cores_know() -> None:
    found = made(FULL)
    assert found.job == Job(parallelism=4, deadline_s=600.0, keep_s=3_600.0)
    assert found.restart == Restart(condition="on-failure", max_attempts=3)
    assert not found.extensions


def test_what_is_read_reads_back_as_itself() -> None:
    found = converted(FULL)
    again = convert(found.canonical, app="shop")
    assert (again.spec, again.canonical) == (found.spec, found.canonical)


NIGHTLY = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "overlap": "allow", "late": "2h"}


def test_a_schedule_becomes_what_the_cores_know_and_reads_back() -> None:
    found = made({}, **{"x-schedule": NIGHTLY})
    assert found.schedule == Schedule(
        cron="0 3 * * *", zone="Europe/Berlin", overlap="allow", late_s=7_200.0
    )
    assert found.job == Job(keep_s=600.0)
    assert not found.extensions
    canonical = scheduled(NIGHTLY).canonical
    again = convert(canonical, app="shop")
    assert again.canonical == canonical


def test_a_schedule_may_be_its_cron_alone() -> None:
    assert made({}, **{"x-schedule": "*/5 * * * *"}).schedule == Schedule(cron="*/5 * * * *")


def test_when_it_is_run_replaces_no_container() -> None:
    apps = [AppSpec(services={"job": made({}, **more)}) for more in ({}, {"x-schedule": NIGHTLY})]
    assert digest(apps[0], "job") == digest(apps[1], "job")


def test_nobody_can_wait_for_what_comes_and_goes() -> None:
    job = {"image": "i", "deploy": {"mode": "replicated-job"}, "x-schedule": "0 3 * * *"}
    found = convert(
        {"services": {"job": job, "web": {"image": "w", "depends_on": ["job"]}}}, app="shop"
    )
    (problem,) = found.problems
    assert problem.where == "services.web.depends_on[0]"


def test_each_runs_volume_is_its_nodes() -> None:
    found = convert(
        {
            "services": {
                "job": {
                    "image": "i",
                    "deploy": {"mode": "replicated-job"},
                    "x-schedule": "0 3 * * *",
                    "volumes": ["data:/data"],
                }
            },
            "volumes": {"data": {}},
        },
        app="shop",
    )
    said = [note.what for note in found.notes]
    assert "each run may be on another node, with that node's volume" in said


def test_no_retries_are_none() -> None:
    assert made({"retries": 0}).restart.condition == "none"


def test_other_words_of_the_restart_policy_stay() -> None:
    found = made({"retries": 2}, deploy={"restart_policy": {"delay": "3s"}}).restart
    assert found == Restart(condition="on-failure", delay_s=3.0, max_attempts=2)


def test_how_a_job_is_run_replaces_no_container() -> None:
    apps = [AppSpec(services={"job": made(asked)}) for asked in (FULL, {})]
    assert digest(apps[0], "job") == digest(apps[1], "job")


@pytest.mark.parametrize(
    ("asked", "more", "at", "words"),
    [
        (FULL, {"mode": "replicated"}, "x-job", "has no effect with mode replicated"),
        (FULL, {"mode": "global-job"}, "x-job.parallelism", "a global job runs on every node"),
        (FULL, {"restart": "on-failure:2"}, "restart", "is given, and so is x-job.retries"),
        (
            FULL,
            {"deploy": {"restart_policy": {"max_attempts": 2}}},
            "deploy.restart_policy.max_attempts",
            "is given, and so is x-job.retries",
        ),
        ({"deadline": "0s"}, {}, "x-job.deadline", "is no time"),
        ({"parallelism": 0}, {}, "x-job.parallelism", ""),
        ({}, {"mode": "global-job", "x-schedule": "0 3 * * *"}, "x-schedule", "has no effect"),
        ({}, {"x-schedule": "0 3 * * * *"}, "x-schedule", "'0 3 * * * *' has not five fields"),
        ({}, {"x-schedule": {"timezone": "UTC"}}, "x-schedule", "has no cron"),
        ({}, {"x-schedule": {"cron": "@daily"}}, "x-schedule", "'@daily' has not five fields"),
        (
            {},
            {"x-schedule": {"cron": "0 3 * * *", "timezone": "Mars"}},
            "x-schedule",
            "'Mars' is no time zone",
        ),
        (
            {},
            {"x-schedule": "0 3 * * *", "deploy": {"replicas": 2}},
            "deploy.replicas",
            "a run of a schedule is one container",
        ),
        (
            {"parallelism": 2},
            {"x-schedule": "0 3 * * *"},
            "x-job.parallelism",
            "a run of a schedule is one container",
        ),
        ({"completions": 3}, {}, "x-job.completions", "unknown key"),
    ],
)
def test_contradictions(asked: Any, more: dict[str, Any], at: str, words: str) -> None:
    problem = converted(asked, **more).problems[-1]
    assert problem.where == f"services.job.{at}"
    assert problem.what.startswith(words)
