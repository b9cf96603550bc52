"""How `x-autoscale` is read, and what it must agree with."""

from typing import Any

import msgspec
import pytest
from segue.compose import Result, convert
from segue.spec import AppSpec, Autoscale, Pace, Resources, ServiceSpec, digest

FULL = {
    "min": 2,
    "max": "10",
    "target": {"cpu": "70%", "rps": 50, "latency": "200ms", "lag": "0.5"},
    "tolerance": "5%",
    "up": {"window": "30s", "step": ["4", "100%"], "every": "1m"},
    "down": {"window": "5m", "step": 2},
}


def converted(asked: Any, **more: Any) -> Result:
    service = {"image": "i", "x-autoscale": asked} | more
    return convert({"services": {"web": service}}, app="shop")


def web(asked: Any, **more: Any) -> ServiceSpec:
    found = converted(asked, **more)
    assert found.spec is not None, found.problems
    return found.spec.services["web"]


def test_all_of_it_becomes_what_the_cores_know() -> None:
    assert web(FULL).autoscale == Autoscale(
        min=2,
        max=10,
        target={"cpu": 70.0, "rps": 50.0, "latency": 0.2, "lag": 0.5},
        tolerance=0.05,
        up=Pace(window_s=30.0, every_s=60.0),
        down=Pace(window_s=300.0, step=2, step_percent=0),
        whole=Resources(cpu_millicores=1_000),
    )
    assert not web(FULL).extensions


def test_what_is_left_out_is_as_the_hpa_has_it_but_for_the_shorter_window() -> None:
    found = web({"max": 3, "target": {"rps": 1}}).autoscale
    assert found == Autoscale(max=3, target={"rps": 1.0})
    assert (found.up, found.down) == (
        Pace(window_s=0.0, step=4, step_percent=100, every_s=15.0),
        Pace(window_s=120.0, step=0, step_percent=100, every_s=15.0),
    )


def test_a_service_that_may_have_no_replicas_begins_with_one_unless_it_is_told() -> None:
    found = web({"min": 0, "max": 3, "idle": "90s"})
    assert found.autoscale == Autoscale(min=0, max=3, idle_s=90.0)
    assert found.replicas == 1
    assert web({"min": 0, "max": 3}, deploy={"replicas": 0}).replicas == 0
    note = converted({"min": 1, "max": 3, "idle": "90s"}).notes[0]
    assert note.where == "services.web.x-autoscale.idle"


def test_what_is_read_reads_back_as_itself() -> None:
    found = converted(FULL)
    again = convert(found.canonical, app="shop")
    assert (again.spec, again.canonical) == (found.spec, found.canonical)


@pytest.mark.parametrize(
    ("more", "whole"),
    [
        ({}, Resources(cpu_millicores=1_000)),
        ({"cpus": "0.5"}, Resources(cpu_millicores=500)),
        (
            {"deploy": {"resources": {"limits": {"cpus": "2", "memory": "64M"}}}},
            Resources(cpu_millicores=2_000, memory_bytes=64 << 20),
        ),
        (
            {"cpus": 4, "deploy": {"resources": {"reservations": {"cpus": "0.25"}}}},
            Resources(cpu_millicores=250),
        ),
    ],
)
def test_a_share_is_one_of_what_is_reserved_or_else_allowed(
    more: dict[str, Any], whole: Resources
) -> None:
    found = web({"max": 3, "target": {"cpu": "70%"}}, **more).autoscale
    assert found is not None
    assert found.whole == whole


def test_replicas_are_the_number_to_begin_with() -> None:
    assert web({"min": 2, "max": 9, "target": {"rps": 1}}).replicas == 2
    assert web({"max": 9, "target": {"rps": 1}}, deploy={"replicas": 4}).replicas == 4


def test_changing_how_it_scales_replaces_no_container() -> None:
    asked = web(FULL)
    plain = msgspec.structs.replace(asked, autoscale=None)
    assert digest(AppSpec(services={"web": asked}), "web") == digest(
        AppSpec(services={"web": plain}), "web"
    )


def test_what_nobody_measures_is_noted() -> None:
    (note,) = converted({"max": 3}).notes
    assert note.where == "services.web.x-autoscale"
    assert "follow only what others publish" in note.what


@pytest.mark.parametrize(
    ("asked", "where", "what"),
    [
        ([], "", "must be a mapping"),
        ({}, "", "has no max"),
        ({"min": 2}, "", "has no max"),
        ({"min": 4, "max": 2}, "", "min 4 is above max 2"),
        ({"max": 0}, ".max", "0 is out of bounds"),
        ({"min": -1, "max": 2}, ".min", "-1 is out of bounds"),
        ({"max": 2, "targt": {}}, ".targt", "unknown key"),
        ({"max": 2, "target": ["cpu"]}, ".target", "must be a mapping"),
        ({"max": 2, "target": {"cpu": 70}}, ".target.cpu", "'70' is no share"),
        ({"max": 2, "target": {"cpu": "0%"}}, ".target.cpu", "0 is out of bounds"),
        ({"max": 2, "target": {"rps": 0}}, ".target.rps", "is 0"),
        ({"max": 2, "target": {"rps": "many"}}, ".target.rps", "'many' is not a number"),
        ({"max": 2, "target": {"latency": "0s"}}, ".target.latency", "is no time"),
        ({"max": 2, "target": {"Queue": 1}}, ".target.Queue", "is no metric"),
        ({"max": 2, "target": {f"m{n}": 1 for n in range(21)}}, ".target", "names 21 metrics"),
        ({"max": 2, "target": {"memory": "80%"}}, ".target.memory", "is a share of nothing"),
        ({"max": 2, "tolerance": "x%"}, ".tolerance", "'x' is not a whole number"),
        ({"max": 2, "up": {"step": [1, 2]}}, ".up.step", "is not one number, one share"),
        ({"max": 2, "up": {"step": ["x%"]}}, ".up.step[0]", "'x' is not a whole number"),
        ({"max": 2, "down": {"window": "2h"}}, ".down.window", "2h is more than an hour"),
        ({"max": 2, "down": {"every": "0s"}}, ".down.every", "is no time"),
        ({"max": 2, "down": {"wait": "1s"}}, ".down.wait", "unknown key"),
    ],
)
def test_what_means_nothing_is_refused_where_it_stands(asked: Any, where: str, what: str) -> None:
    (problem,) = converted(asked).problems
    assert problem.where == f"services.web.x-autoscale{where}"
    assert what in problem.what


@pytest.mark.parametrize(
    ("more", "where", "what"),
    [
        ({"deploy": {"mode": "global"}}, "x-autoscale", "one slot on every node"),
        ({"deploy": {"mode": "replicated-job"}}, "x-autoscale", "a job ends by itself"),
        ({"deploy": {"replicas": 9}}, "deploy.replicas", "9 is not within x-autoscale, 1 to 3"),
        ({"scale": 4}, "scale", "4 is not within x-autoscale, 1 to 3"),
    ],
)
def test_what_contradicts_it_is_refused(more: dict[str, Any], where: str, what: str) -> None:
    (problem,) = converted({"max": 3, "target": {"rps": 1}}, **more).problems
    assert problem.where == f"services.web.{where}"
    assert what in problem.what
