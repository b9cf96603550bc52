"""Answer requests about rollouts: go on, wait, trust the new version, or go back.

Each is answered at once by what the picture says of the app. What an answer entails is decided from
the picture it leads to.
"""

from collections.abc import Callable, Iterator

import msgspec
from segue.events.base import Event
from segue.events.deploy import DeployAccepted, DeployRejected, DeployReverted, Problem
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutPaused,
    RolloutPauseRequested,
    RolloutPromoted,
    RolloutPromoteRequested,
    RolloutRequestEvent,
    RolloutRequestRejected,
    RolloutResumed,
    RolloutResumeRequested,
)
from segue.picture import App, Picture, Request
from segue.picture.state import Rollout

from segue_deployer.apps import BLOCKING_SHOWN, going_back, restored


def answer(picture: Picture, request: Request) -> Event:
    """Answer a request about an app's rollouts."""
    name = request.data["app"]
    app = picture.apps.get(name)
    if app is None or app.phase in ("removing", "removed"):
        problem = Problem(where="app", what=f"there is no app called {name}")
    elif request.type == RollbackRequested.type:
        return _rollback(app, msgspec.convert(request.data, RollbackRequested))
    elif app.reverted is not None:
        what = f"revision {app.revision} is being reverted to {app.reverted.to}"
        problem = Problem(where="app", what=what)
    elif request.type == RolloutAbortRequested.type:
        return _abort(app)
    else:
        return _about_rollouts(app, request)
    if request.type == RollbackRequested.type:
        return DeployRejected(app=name, problems=[problem])
    return RolloutRequestRejected(app=name, problems=[problem])


REQUESTS = (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutResumeRequested,
)


def _no(app: App, what: str, hint: str = "") -> RolloutRequestRejected:
    problem = Problem(where="app", what=what, hint=hint)
    return RolloutRequestRejected(app=app.name, problems=[problem])


def _about_rollouts(app: App, request: Request) -> Event:
    asked = msgspec.convert(request.data, _ASKED[request.type])
    fits, makes, what = _MEANINGS[request.type]
    under_way = dict(_rollouts(app, asked.service))
    if not under_way:
        of = f"{app.name}/{asked.service}" if asked.service else app.name
        return _no(app, f"no rollout of {of} is under way")
    services = [name for name, rollout in under_way.items() if fits(rollout)]
    return makes(app.name, services) if services else _no(app, what)


def _rollouts(app: App, service: str) -> Iterator[tuple[str, Rollout]]:
    for name, one in app.services.items():
        if one.rollout is not None and service in ("", name):
            yield name, one.rollout


def _paused(app: str, services: list[str]) -> Event:
    return RolloutPaused(app=app, services=services)


def _resumed(app: str, services: list[str]) -> Event:
    return RolloutResumed(app=app, services=services)


def _promoted(app: str, services: list[str]) -> Event:
    return RolloutPromoted(app=app, services=services)


_ASKED: dict[str, type[RolloutRequestEvent]] = {
    request.type: request
    for request in (RolloutPauseRequested, RolloutResumeRequested, RolloutPromoteRequested)
}
_MEANINGS: dict[str, tuple[Callable[[Rollout], bool], Callable[[str, list[str]], Event], str]] = {
    RolloutPauseRequested.type: (lambda one: not one.paused, _paused, "it is paused already"),
    RolloutResumeRequested.type: (
        lambda one: one.paused or one.verdict is not None,
        _resumed,
        "nothing of it is paused, or held by a failure",
    ),
    RolloutPromoteRequested.type: (
        lambda one: one.strategy in ("canary", "blue_green") and not one.promoted,
        _promoted,
        "nothing of it waits to be promoted: that is for canary and blue_green",
    ),
}


def _abort(app: App) -> Event:
    under_way = dict(_rollouts(app, ""))
    to = going_back(app)
    if not under_way:
        return _no(app, f"no rollout of {app.name} is under way", "segue rollback goes back")
    if not to:
        what = f"revision {app.revision} restores {app.restores}, and goes on to its end"
        return _no(app, what, "pause it, or deploy what is wanted")
    slots = [f"{name}.{number}" for name, one in under_way.items() for number in one.advanced]
    return DeployReverted(
        app=app.name,
        revision=app.revision,
        to=to,
        reason="it was aborted",
        blocking=slots[:BLOCKING_SHOWN],
    )


def _rollback(app: App, asked: RollbackRequested) -> Event:
    kept = [revision for revision in sorted(app.completed) if revision in app.specs]
    older = [revision for revision in kept if revision < app.revision]
    to = asked.revision or max(older, default=0)
    shown = ", ".join(str(revision) for revision in older) or "none"
    if to == app.revision and app.phase == "running":
        what = f"revision {to} is what is there"
    elif to in kept:
        return DeployAccepted(
            app=app.name, revision=app.revision + 1, spec=restored(app, to), restores=to
        )
    elif not older:
        what = f"no revision of {app.name} before {app.revision} came up"
    else:
        what = f"revision {to} is not among the last that came up"
    problem = Problem(where="revision", what=what, hint=f"to go back to there are: {shown}")
    return DeployRejected(app=app.name, problems=[problem])
