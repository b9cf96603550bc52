"""Answer requests about numbers of replicas: another number, or whether it follows the load.

A person's number is taken as it is, also beyond the bounds of what follows its load: it holds until
the next deploy, until it is resumed, or for as long as was asked.
"""

import msgspec
from segue.events.base import Event
from segue.events.deploy import Problem
from segue.events.scale import (
    ScaleAccepted,
    ScalePaused,
    ScalePauseRequested,
    ScaleRejected,
    ScaleRequested,
    ScaleResumed,
    ScaleResumeRequested,
)
from segue.picture import Picture, Request, Service

REPLICAS_MOST = 100_000
HOLD_MOST_S = 30 * 86_400.0
REQUESTS = (ScaleRequested, ScalePauseRequested, ScaleResumeRequested)
_KINDS: dict[str, type[ScaleRequested | ScalePauseRequested | ScaleResumeRequested]] = {
    request.type: request for request in REQUESTS
}


def answer(picture: Picture, request: Request) -> Event:
    """Answer a request about a service's replicas."""
    asked = msgspec.convert(request.data, _KINDS[request.type])
    service = picture.service(asked.app, asked.service)
    problem = _nowhere(picture, asked.app, asked.service)
    if problem is None and service is not None:
        problem = _problem(service, asked)
    if problem is not None or service is None:
        problems = [problem] if problem is not None else []
        return ScaleRejected(app=asked.app, service=asked.service, problems=problems)
    if isinstance(asked, ScaleRequested):
        return ScaleAccepted(
            app=asked.app,
            service=asked.service,
            replicas=asked.replicas,
            previous=service.replicas,
            for_s=asked.for_s,
        )
    if isinstance(asked, ScalePauseRequested):
        return ScalePaused(app=asked.app, service=asked.service, for_s=asked.for_s)
    return ScaleResumed(app=asked.app, service=asked.service)


def no_app(picture: Picture, name: str) -> Problem:
    """Say that there is no such app, and which there are."""
    there = [app.name for app in picture.apps.values() if app.phase not in ("removing", "removed")]
    hint = f"there are: {', '.join(sorted(there)[:20])}" if there else "nothing is deployed"
    return Problem(where="app", what=f"there is no app called {name}", hint=hint)


def _nowhere(picture: Picture, app_name: str, name: str) -> Problem | None:
    app = picture.apps.get(app_name)
    if app is None or app.phase in ("removed", "removing"):
        return no_app(picture, app_name)
    service = app.services.get(name)
    if service is None or not service.wanted:
        there = ", ".join(sorted(name for name, s in app.services.items() if s.wanted))
        what = f"{app_name} has no service called {name}"
        return Problem(where="service", what=what, hint=f"it has: {there}")
    return None


def _problem(
    service: Service, asked: ScaleRequested | ScalePauseRequested | ScaleResumeRequested
) -> Problem | None:
    if isinstance(asked, ScaleRequested) and service.spec.is_global:
        what = f"{service.name} is global: it has one slot on every node"
        return Problem(where="service", what=what, hint="change deploy.mode to replicated")
    if isinstance(asked, ScaleRequested) and not 0 <= asked.replicas <= REPLICAS_MOST:
        what = f"{asked.replicas} replicas; from 0 to {REPLICAS_MOST:,} are possible"
        return Problem(where="replicas", what=what)
    for_s = 0.0 if isinstance(asked, ScaleResumeRequested) else asked.for_s
    if not 0 <= for_s <= HOLD_MOST_S:
        what = f"{for_s:g} s is no time to hold a number; up to 30 days are possible"
        return Problem(where="for_s", what=what, hint="without it, it holds until the next deploy")
    if service.scaling is None and (for_s or not isinstance(asked, ScaleRequested)):
        what = f"{service.name} does not follow its load: its number stays as it is"
        return Problem(where="service", what=what, hint="give it x-autoscale, or scale it")
    return None
