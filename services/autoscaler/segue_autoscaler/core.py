"""Decide how many replicas a service has, by what is said of its load; and why not, once a reason.

It measures nothing and starts nothing: a load comes as an event, whoever said it, and a number that
was decided becomes slots by the deployer. A person's word comes before its own.
"""

import heapq

from segue.core import Core, Decision
from segue.events.scale import HoldReason, ScaleDecided, ScaleHeld
from segue.picture import App, Service
from segue.picture.scaling import Override, Scaling

from segue_autoscaler.judgement import Judgement, judge

_PERSONS = {"manual": "a person gave the number, which holds", "paused": "a person paused it,"}


class Autoscaler(Core):
    """The autoscaler's core."""

    service = "autoscaler"

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, str, str]] = []  # When to look at a service again.

    def decide(self, now: float) -> list[Decision]:
        """Say what is owed to services that anything has happened to, or whose time has come."""
        while self._timers and self._timers[0][0] <= now:
            _, app_name, name = heapq.heappop(self._timers)
            self.picture.touch(app_name, name)
        owed: list[Decision] = []
        for app_name, name in list(self.picture.touched):
            said = self._look(app_name, name, now)
            if said is None:
                del self.picture.touched[app_name, name]
            else:
                owed.append(said)
        self.wake_at = self._timers[0][0] if self._timers else None
        return owed

    def _look(self, app_name: str, name: str, now: float) -> Decision | None:
        app, service = self.picture.apps.get(app_name), self.picture.service(app_name, name)
        if app is None or service is None or service.scaling is None:
            return None
        spec, scaling = service.spec.autoscale, service.scaling
        if spec is None or not service.wanted or app.phase in ("removing", "removed"):
            return None
        found = judge(service, scaling, spec, now)
        override = scaling.override
        if override is not None and 0 < override.until <= now:
            override = None  # It is over.
        again_at = found.again_at if override is None else override.until or None
        if again_at is not None and (again_at, app_name, name) not in self._timers:
            heapq.heappush(self._timers, (again_at, app_name, name))
        if override is None and found.replicas != service.replicas:
            return _decided(app, service, scaling, found)
        why = _reason(service, found, override)
        if why is None or why[0] == scaling.held:
            return None
        return _held(app, service, found, why)


def _reason(
    service: Service, found: Judgement, override: Override | None
) -> tuple[HoldReason, str] | None:
    """Say what keeps a number that the load does not ask for: the last rule that changed it."""
    if override is not None and found.replicas != service.replicas:
        until = "for a while" if override.until else "until the next deploy"
        return override.kind, f"{_PERSONS[override.kind]} {until}"
    if override is not None or found.recommended == service.replicas:
        return None
    return found.clamps[-1].rule, found.clamps[-1].words


def _decided(app: App, service: Service, scaling: Scaling, found: Judgement) -> Decision:
    event = ScaleDecided(
        app=app.name,
        service=service.name,
        replicas=found.replicas,
        previous=service.replicas,
        revision=app.revision,
        recommended=found.recommended,
        inputs=found.inputs,
        clamps=found.clamps,
    )
    return Decision(event, found.cause, key=str(scaling.sequence))


def _held(app: App, service: Service, found: Judgement, why: tuple[HoldReason, str]) -> Decision:
    assert service.scaling is not None, "it follows its load"
    event = ScaleHeld(
        app=app.name,
        service=service.name,
        replicas=service.replicas,
        recommended=found.recommended,
        reason=why[0],
        words=why[1],
        inputs=found.inputs,
        clamps=found.clamps,
    )
    return Decision(event, found.cause, key=str(service.scaling.sequence))
