"""The simulated people's releases: versions good and bad, how they are led in, what people say.

In half of the runs they are what people mostly ask for. Somebody comes by in the calm and ends
what waits for a person's word; in some runs nobody does.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from segue.events import Event
from segue.events.deploy import DeployRequested
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutRequestEvent,
    RolloutResumeRequested,
)
from segue.events.scale import ScaleRequested
from segue.picture import App, Picture
from segue.picture.fold_rollout import config
from segue.picture.state import Service

CRASHES, SICKENS, UNKNOWN = "web:crashes", "web:sickens", "web:unknown"
BROKEN = frozenset((CRASHES, SICKENS, UNKNOWN))
GOOD = ("web:1", "web:2", "web:3")
RUNS = 0.5  # So many of the runs are of releases …
BAD = 0.35  # … and so many of their versions no good.
TOO_MUCH = "50"  # Processors: no node has as many.
PETITIONS: tuple[type[RolloutRequestEvent], ...] = (
    RolloutPauseRequested,
    RolloutResumeRequested,
    RolloutPromoteRequested,
    RolloutPromoteRequested,
    RolloutAbortRequested,
)


def are_on(seed: int) -> bool:
    """Tell whether a run is one of releases; the other runs' histories do not hang on it."""
    return Random(f"releases {seed}").random() < RUNS


def first(dice: Random, app: str, slots: int) -> Event:
    """Ask for a version that others are to follow."""
    web = {"image": GOOD[0], "deploy": {"replicas": dice.randint(2, slots // 2)}}
    db = {"image": GOOD[0], "deploy": {"replicas": 2}}
    return DeployRequested(app=app, compose={"services": {"web": web, "db": db}})


def wish(dice: Random, app: str, slots: int) -> Event:
    """Ask for another version, for more or fewer slots, or for how it is to go on."""
    match dice.randrange(12):
        case 0 | 1 | 2 | 3 | 4 | 5:
            return DeployRequested(app=app, compose=_document(dice, dice.randint(1, slots // 2)))
        case 6 | 7 | 8 | 9:
            service, replicas = dice.choice(("web", "web", "db")), dice.randint(0, slots // 2)
            return ScaleRequested(app=app, service=service, replicas=replicas)
        case _:
            return petition(dice, app)


def _document(dice: Random, replicas: int) -> dict[str, object]:
    services = {"web": version(dice, replicas)}
    if dice.random() < 0.5:
        services["db"] = version(dice, dice.randint(1, 3))
        if dice.random() < 0.5:
            services["web"]["depends_on"] = {"db": {"condition": "service_healthy"}}
    return {"services": services}


def version(dice: Random, replicas: int) -> dict[str, Any]:
    """Make the section of a service: a version, and how it is to be led in."""
    bad = dice.choice((*sorted(BROKEN), "huge")) if dice.random() < BAD else ""
    image = bad if bad in BROKEN else dice.choice(GOOD)
    deploy: dict[str, Any] = {
        "replicas": replicas,
        "resources": {"reservations": {"cpus": "0.5", "memory": "64M"}},
    }
    if bad == "huge":
        deploy["resources"]["reservations"]["cpus"] = TOO_MUCH
    section: dict[str, Any] = {"image": image, "deploy": deploy, "x-segue": {}}
    if bad == SICKENS or dice.random() < 0.3:
        section["healthcheck"] = {"test": ["CMD", "true"]}
    if dice.random() < 0.8:
        _lead_in(dice, section)
    return section


def _lead_in(dice: Random, section: dict[str, Any]) -> None:
    deploy = section["deploy"]
    deploy["update_config"] = _steps(
        dice, ("rollback", "rollback", "rollback", "pause", "continue")
    )
    if dice.random() < 0.7:
        deploy["rollback_config"] = _steps(dice, ("continue", "continue", "pause"))
    asked: dict[str, Any] = {"deadline": f"{dice.randint(4, 9)}s"}
    strategy = dice.choice(("rolling", "rolling", "canary", "blue_green"))
    if strategy != "rolling":
        asked["strategy"], asked["promote"] = strategy, dice.choice(("auto", "auto", "manual"))
    if strategy == "canary":
        asked["canary"] = dice.choice((1, 2, "50%"))
    section["x-segue"]["rollout"] = asked


def _steps(dice: Random, actions: tuple[str, ...]) -> dict[str, Any]:
    steps: dict[str, Any] = {
        "monitor": f"{dice.randint(2, 4)}s",
        "failure_action": dice.choice(actions),
    }
    if dice.random() < 0.5:
        steps["parallelism"] = dice.randint(0, 2)
    if dice.random() < 0.3:
        steps["delay"] = "5s"
    if dice.random() < 0.5:
        steps["order"] = dice.choice(("start-first", "stop-first"))
    if dice.random() < 0.2:
        steps["max_failure_ratio"] = 0.4
    return steps


def petition(dice: Random, app: str) -> Event:
    """Have a say in an app's rollouts, whether there are any or not."""
    if dice.random() < 0.25:
        return RollbackRequested(app=app, revision=dice.choice((0, 0, 1, 2)))
    kind = dice.choice(PETITIONS)
    service = "" if kind is RolloutAbortRequested else dice.choice(("", "web"))
    return kind(app=app, service=service)


def waits_for_a_person(app: App, service: Service) -> bool:
    """Tell whether a rollout goes on only when somebody says so."""
    rollout = service.rollout
    if rollout is None or app.reverted is not None:
        return False
    if rollout.verdict is not None:
        return config(service).failure_action == "pause"
    manual = service.spec.strategy.promote == "manual" and not rollout.promoted
    return rollout.paused or (manual and rollout.strategy in ("canary", "blue_green"))


def last_words(dice: Random, picture: Picture) -> Iterator[Event]:
    """Say of each app with a rollout that waits for a person how it is to go on."""
    for app in picture.apps.values():
        waiting = [one for one in app.services.values() if waits_for_a_person(app, one)]
        if not waiting:
            continue
        if dice.random() < 0.3:
            yield RolloutAbortRequested(app=app.name)
        else:
            yield RolloutResumeRequested(app=app.name)
            yield RolloutPromoteRequested(app=app.name)
