"""What a Compose document says of how slots go to another version."""

from typing import Any

from segue.compose import Result, convert
from segue.spec import ServiceSpec, Strategy, Update


def converted(service: dict[str, Any]) -> Result:
    return convert({"services": {"web": {"image": "x"} | service}}, app="shop")


def web(service: dict[str, Any]) -> ServiceSpec:
    found = converted(service)
    assert found.problems == []
    assert found.spec is not None
    return found.spec.services["web"]


def problems(found: Result) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in found.problems]


def notes(found: Result) -> list[str]:
    return [f"{note.where}: {note.what}" for note in found.notes]


def test_how_slots_go_to_another_version() -> None:
    found = web(
        {
            "deploy": {
                "update_config": {
                    "parallelism": 2,
                    "delay": "1m",
                    "order": "start-first",
                    "failure_action": "pause",
                    "monitor": "5s",
                    "max_failure_ratio": 0.2,
                },
                "rollback_config": {"parallelism": 0},
            },
            "x-segue": {
                "rollout": {
                    "strategy": "canary",
                    "canary": "10%",
                    "promote": "manual",
                    "deadline": "2m",
                }
            },
        }
    )
    assert found.update == Update(
        parallelism=2,
        delay_s=60.0,
        order="start-first",
        failure_action="pause",
        monitor_s=5.0,
        max_failure_ratio=0.2,
    )
    assert found.rollback == Update(parallelism=0, failure_action="continue")
    assert found.strategy == Strategy(
        kind="canary", canary_percent=10, promote="manual", deadline_s=120.0
    )
    assert web({}).update == Update()


def test_what_a_strategy_makes_nothing_of_is_refused() -> None:
    rollout = {"canary": 2, "promote": "manual"}
    found = converted({"x-segue": {"rollout": rollout}})
    assert problems(found) == [
        "services.web.x-segue.rollout.canary: has no effect with strategy rolling",
        "services.web.x-segue.rollout.promote: has no effect with strategy rolling",
    ]


def test_what_cannot_run_twice_says_that_it_is_stopped_first() -> None:
    port = {"target": 80, "published": "8080", "mode": "host"}
    deploy = {"update_config": {"order": "start-first"}}
    rollout = {"rollout": {"strategy": "blue_green"}}
    found = converted({"ports": [port], "deploy": deploy, "x-segue": rollout})
    why = "it binds port 8080 of its node"
    assert notes(found) == [
        f"services.web.deploy.update_config.order: becomes stop-first: {why}",
        f"services.web.x-segue.rollout.strategy: becomes rolling: {why}",
    ]


def test_blue_green_says_that_it_stops_nothing_first() -> None:
    deploy = {"update_config": {"order": "stop-first"}, "rollback_config": {"order": "stop-first"}}
    words = "services.web.deploy.update_config.order: becomes start-first: blue_green needs that"
    for strategy, told in (("blue_green", [words]), ("canary", []), ("rolling", [])):
        rollout = {"rollout": {"strategy": strategy}}
        assert notes(converted({"deploy": deploy, "x-segue": rollout})) == told


def test_a_job_has_no_steps() -> None:
    deploy = {"mode": "replicated-job", "update_config": {"parallelism": 1}}
    assert notes(converted({"deploy": deploy})) == [
        "services.web.deploy.update_config: has no effect: a job's slots run anew at once"
    ]
