"""Judge whether anybody asks anything of a service that may have no replicas (`min: 0`).

It is idle once nothing was asked for `idle_s`: no request came to any gateway and none is open, and
what others measure of it, such as a queue's length, was 0. What cannot be known is no idleness: the
time begins anew while a live gateway is not heard, while a metric of others is not said, and for a
service that neither gateways lead to nor others measure.
"""

import math
from collections.abc import Iterator

from segue.core import Decision
from segue.events.service import ServiceBusy, ServiceIdle
from segue.picture import App, Picture, Service
from segue.picture.scaling import Scaling
from segue.samples import SAMPLE_EVERY_S, TRAFFIC, GatewaySample
from segue.spec import Autoscale

from segue_health_monitor.windows import Windows

EVERY_S = 1.0
SILENT_S = 3 * SAMPLE_EVERY_S
_OURS = {"cpu", "memory", "latency", *TRAFFIC}
_ANSWERED = "requests"  # That are over.
Name = tuple[str, str]


class IdleJudge:
    """What is said of all services that may have no replicas."""

    def __init__(self, picture: Picture, windows: Windows) -> None:
        self._picture, self._windows = picture, windows
        self._heard: dict[str, float] = {}  # By gateway.
        self._asked: dict[Name, str] = {}  # Since it was looked last, and what.
        self._quiet: dict[Name, float] = {}  # Since when nothing is asked for all that is known.
        self._look_at = 0.0
        self.wake_at = math.inf

    def hear(self, sample: GatewaySample, now: float) -> None:
        """Note who is heard, and what is asked."""
        if sample.node in self._picture.gateways:
            self._heard[sample.node] = now
        for of in sample.services:
            if of.inflight or of.rps:
                requests = "1 request" if of.inflight == 1 else f"{of.inflight} requests"
                words = f"{requests} in flight" if of.inflight else _ANSWERED
                self._asked[of.app, of.service] = words

    def blinded(self) -> None:
        """Know that until now nothing could be heard."""
        self._quiet.clear()
        self._heard.clear()

    def decide(self, now: float) -> list[Decision]:
        """Say who has become idle, and who is so no more."""
        found = [
            (app, service, spec)
            for app in self._picture.apps.values()
            for service in app.services.values()
            if (spec := service.spec.autoscale) is not None and not spec.min
            if service.wanted and app.phase not in ("removing", "removed")
        ]
        self.wake_at = self._look_at if found else math.inf
        if not found or now < self._look_at:
            return []
        if not self._sees_all(now):
            self._quiet |= {(app.name, one.name): now for app, one, _ in found if one.spec.routed}
        owed = [said for one in found for said in self._service(*one, now)]
        if not owed:  # What is owed is asked for again until it is in the log.
            self._asked.clear()
            self._look_at = self.wake_at = now + EVERY_S
        return owed

    def _sees_all(self, now: float) -> bool:
        """Tell whether every gateway at work is heard; what none leads to is nobody's."""
        live = [node for node in self._picture.gateways if self._picture.gateway(node) is not None]
        return bool(live) and all(
            self._heard.get(node, -math.inf) > now - SILENT_S for node in live
        )

    def _service(
        self, app: App, service: Service, spec: Autoscale, now: float
    ) -> Iterator[Decision]:
        name, scaling = (app.name, service.name), service.scaling
        assert scaling is not None, "it follows its load"
        words = self._words(name, service, spec, now)
        theirs = _theirs(spec)
        known = bool(service.spec.routed) or bool(theirs)
        if words or not known or any(self._newest(name, one, now) is None for one in theirs):
            self._quiet[name] = now
        quiet_since = max(self._quiet.setdefault(name, now), service.changed_at)
        if words and _is_news(service, scaling):
            event = ServiceBusy(app=app.name, service=service.name, words=words)
            yield Decision(event, service.cause, key=str(scaling.sequence))
        elif service.replicas and scaling.idle is None and now - quiet_since >= spec.idle_s:
            quiet = ServiceIdle(app=app.name, service=service.name, quiet_s=spec.idle_s)
            yield Decision(quiet, service.cause, key=str(scaling.sequence))

    def _words(self, name: Name, service: Service, spec: Autoscale, now: float) -> str:
        """Tell what is asked; nothing: "".

        What is told of a service without replicas, and does not wait, was answered before.
        """
        for metric in _theirs(spec):
            if total := self._newest(name, metric, now):
                return f"{metric} is {total:.4g}"
        words = self._asked.get(name, "")
        return words if service.replicas or words != _ANSWERED else ""

    def _newest(self, name: Name, metric: str, now: float) -> float | None:
        return self._windows.newest(*name, metric, now)


def _theirs(spec: Autoscale) -> list[str]:
    """Give the metrics that only others measure."""
    return [metric for metric in spec.target if metric not in _OURS]


def _is_news(service: Service, scaling: Scaling) -> bool:
    return scaling.idle is not None or (not service.replicas and scaling.waiting is None)
