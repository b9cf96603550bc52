"""How `x-segue.probe` is read: two probes, or one that is both."""

from typing import Any

import msgspec
import pytest
from segue.compose import Result, convert
from segue.spec import AppSpec, Probe, ServiceSpec, digest

HTTP = {"http": "8080", "path": "/healthz", "every": "1s", "timeout": "500ms"}
SPELT = {"http": 8080, "path": "/healthz", "every": "1s", "timeout": "500ms"}


def converted(probe: Any, **more: Any) -> Result:
    service = {"image": "i", "x-segue": {"probe": probe}} | more
    return convert({"services": {"web": service}}, app="shop")


def web(probe: Any, **more: Any) -> ServiceSpec:
    found = converted(probe, **more)
    assert found.spec is not None, found.problems
    return found.spec.services["web"]


def test_two_probes_become_fields_that_the_runner_and_cores_know() -> None:
    service = web({"readiness": HTTP, "liveness": {"tcp": 8080, "failures": 5, "start": "2m"}})
    assert service.readiness == Probe(
        kind="http", port=8080, path="/healthz", every_s=1.0, timeout_s=0.5
    )
    assert service.liveness == Probe(kind="tcp", port=8080, failures=5, start_s=120.0)
    assert service.checked


def test_one_probe_is_readiness_and_liveness_both() -> None:
    service = web({"nats": 4222, "successes": 2, "start": "5s"})
    assert service.readiness == Probe(kind="nats", port=4222, successes=2)
    assert service.liveness == Probe(kind="nats", port=4222, successes=2, start_s=5.0)


def test_what_is_read_reads_back_as_itself() -> None:
    found = converted(HTTP)
    shown = found.canonical["services"]["web"]["x-segue"]["probe"]
    assert shown == {"readiness": SPELT, "liveness": SPELT}
    again = convert(found.canonical, app="shop")
    assert (again.spec, again.canonical) == (found.spec, found.canonical)


def test_liveness_alone_does_not_say_who_is_ready() -> None:
    assert not web({"liveness": {"tcp": 80}}).checked
    assert not web({}, healthcheck={"disable": True}).checked
    assert web({}, healthcheck={"test": "true"}).checked


def test_probes_and_the_time_to_drain_replace_no_container() -> None:
    plain, asked = web({}), msgspec.structs.replace(web(HTTP), drain_s=3.0)
    assert digest(AppSpec(services={"web": plain}), "web") == digest(
        AppSpec(services={"web": asked}), "web"
    )


def test_one_may_wait_for_what_is_ready_without_a_health_check() -> None:
    waits = {"image": "i", "depends_on": {"web": {"condition": "service_healthy"}}}
    services = {"web": {"image": "i", "x-segue": {"probe": {"tcp": 80}}}, "job": waits}
    found = convert({"services": services}, app="shop")
    assert (found.problems, found.notes) == ([], [])


@pytest.mark.parametrize(
    ("probe", "where", "what"),
    [
        ({"http": 80, "tcp": 80}, "", "asks by http and by tcp"),
        ({"path": "/"}, ".path", "unknown key"),
        ({"readiness": {"path": "/"}}, ".readiness", "does not say how to ask"),
        ({"readiness": {}}, ".readiness", "does not say how to ask"),
        ({"tcp": 80, "path": "/"}, "", "has a path and asks by tcp"),
        ({"tcp": 0}, ".tcp", "0 is out of bounds"),
        ({"http": 80, "path": "healthz"}, ".path", "'healthz' is not a path"),
        ({"http": 80, "path": "/a b"}, ".path", "'/a b' is not a path"),
        ({"tcp": 80, "every": "10ms"}, "", "more than ten times a second"),
        ({"tcp": 80, "timeout": "0s"}, "", "has no time for an answer"),
        ({"tcp": 80, "failures": 0}, ".failures", "0 is out of bounds"),
        ({"tcp": 80, "evry": "1s"}, ".evry", "unknown key"),
        ({"readiness": {"tcp": 80, "start": "1s"}}, ".readiness.start", "unknown key"),
        ("tcp", "", "must be a mapping"),
    ],
)
def test_what_cannot_be_asked_is_refused_where_it_stands(probe: Any, where: str, what: str) -> None:
    (problem,) = converted(probe).problems
    assert problem.where == f"services.web.x-segue.probe{where}"
    assert what in problem.what


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"deploy": {"mode": "replicated-job"}}, "a job is ready when it has ended"),
        ({"network_mode": "none"}, "nothing can be asked without a network"),
    ],
)
def test_what_can_never_be_ready_is_refused(more: dict[str, Any], what: str) -> None:
    (problem,) = converted({"readiness": {"tcp": 80}}, **more).problems
    assert problem.what == what
