"""Judge how much services have to do, by samples: high, low, or as many replicas as are needed.

What is not ready or not measured counts as the Kubernetes HPA has it: towards more replicas it
uses nothing; towards fewer, what is not measured uses all that it may, and what is not ready is
left out. Where that turns the direction round, nothing is to be changed. A level is left only half
as far from the target as it is entered; it is said again when it has moved, and not more often
than the HPA looks.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from segue.core import Decision
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.picture import UP, App, Container, Picture, Service, Slot
from segue.picture.scaling import Load, Scaling
from segue.samples import GatewaySample, NodeSample, ServiceSample, as_service_samples
from segue.spec import Autoscale
from segue.wants import ready, wanted_slots

from segue_health_monitor.idleness import IdleJudge
from segue_health_monitor.windows import WINDOW_S, Used, Windows

EVERY_S = 1.0
AGAIN_S = 15.0  # The HPA looks that often.
SILENT_S = 60.0  # Nothing is known any more of what was not measured for so long.
_OF_ANSWERED = ("rps", "errors", "latency")  # They tell of requests that are over.
_BEGINNING_S = 300.0  # So long the CPU that a container's start takes is not its load.

Level = Literal["high", "low", "normal"]


class Measured(NamedTuple):
    """A metric's mean per replica, and of how many."""

    value: float
    replicas: int
    words: str = ""
    turned: bool = False  # What is not known would turn the direction round.


class LoadJudge:
    """What is said of all services that have a target."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._windows = Windows()
        self._idle = IdleJudge(picture, self._windows)
        self._heard = False
        self._since: float | None = None  # Nothing could be heard before.
        self._look_at = 0.0
        self.wake_at = math.inf

    def hear(self, sample: NodeSample | ServiceSample | GatewaySample, now: float) -> None:
        """Take a sample; what is said of it is decided once a second."""
        self._heard = True
        if not isinstance(sample, GatewaySample):
            self._windows.hear(sample, now)
            return
        self._idle.hear(sample, now)
        for of in sample.services:
            service = self._picture.service(of.app, of.service)
            if service is None or service.spec.autoscale is None:
                continue
            for one in as_service_samples(sample, of):
                if one.metric in service.spec.autoscale.target:
                    self._windows.hear(one, now)

    def blinded(self, now: float) -> None:
        """Know that until now nothing could be heard."""
        self._windows.clear()
        self._idle.blinded()
        self._since = now

    def decide(self, now: float) -> list[Decision]:
        """Say what has changed."""
        if self._since is None:
            self._since = now
        if not self._heard:
            return []
        owed = self._idle.decide(now)
        if now >= self._look_at:
            owed += self._loads(now)
        self.wake_at = min(self._look_at, self._idle.wake_at)
        return owed

    def _loads(self, now: float) -> list[Decision]:
        self._windows.forget(now)
        owed = [
            said
            for app in self._picture.apps.values()
            for service in app.services.values()
            if service.scaling is not None and service.spec.autoscale is not None
            for said in self._service(app, service, service.scaling, service.spec.autoscale, now)
        ]
        if not owed:  # What is owed is asked for again until it is in the log.
            self._look_at = now + EVERY_S
        return owed

    def _service(
        self, app: App, service: Service, scaling: Scaling, spec: Autoscale, now: float
    ) -> Iterator[Decision]:
        if not service.wanted or app.phase in ("removing", "removed"):
            return
        for metric, target in spec.target.items():
            said = scaling.loads.get(metric)
            last = said[-1] if said else None
            found = self._measure(app, service, metric, spec, now)
            if (
                not service.replicas
                and not spec.min
                and (metric in _OF_ANSWERED or found is None or not found.value)
            ):
                continue  # Nobody is there, and nothing waits.
            if found is None:
                yield from self._silent(app, service, metric, last, now)
                continue
            level = _level(found, target, last, spec.tolerance)
            if last is None or _is_news(level, found, target, last, spec.tolerance, now):
                yield _said(app, service, metric, level, found, target, last)

    def _silent(
        self, app: App, service: Service, metric: str, last: Load | None, now: float
    ) -> Iterator[Decision]:
        """Withdraw what was measured once and is not any more; others' words are theirs."""
        since = max(self._since or now, last.at if last is not None else now)
        if last is None or last.foreign or last.level == "normal" or now - since < SILENT_S:
            return
        words = f"nothing was measured for {SILENT_S:g} s"
        found = Measured(last.target, 0, words)
        yield _said(app, service, metric, "normal", found, last.target, last)

    def _measure(
        self, app: App, service: Service, metric: str, spec: Autoscale, now: float
    ) -> Measured | None:
        target = spec.target[metric]
        if metric not in ("cpu", "memory"):
            total = self._windows.total(app.name, service.name, metric, now)
            if total is None or (spec.min and not service.replicas):
                return None
            if total.mean:
                count = sum(1 for _ in self._ready(app, service))
                return Measured(total.value, count or service.replicas)
            replicas = max(1, service.replicas)  # What waits for the first is a whole one's.
            return Measured(total.value / replicas, replicas)
        whole = spec.whole.cpu_millicores if metric == "cpu" else spec.whole.memory_bytes
        if not whole:
            return None
        values: list[float] = []
        unready = missing = 0
        for container in self._counted(app, service):
            if container is None:
                unready += 1
                continue
            used = self._windows.used(container.key, now)
            if used is None:
                missing += 1
            elif metric == "cpu" and not _counts(service, container, used, now):
                unready += 1
            else:
                amount = used.cpu_millicores if metric == "cpu" else used.memory_bytes
                values.append(100.0 * amount / whole)
        return reckoned(values, unready, missing, target)

    def _ready(self, app: App, service: Service) -> Iterator[Container]:
        return (c for c in self._counted(app, service) if c is not None and ready(service, c))

    def _counted(self, app: App, service: Service) -> Iterator[Container | None]:
        """Give of each wanted slot what does its work; None: it is yet to come."""
        for number in wanted_slots(self._picture, app, service):
            slot = service.slots.get(number)
            filling = slot.container if slot is not None else None
            if slot is None or filling is None:
                yield None
                continue
            working = self._working(service, slot)
            if working is not None:
                yield working
            elif not filling.ended:
                yield None if filling.phase not in UP else filling

    def _working(self, service: Service, slot: Slot) -> Container | None:
        """Give the slot's newest container that works, beside which others come and go."""
        found = [
            one
            for one in slot.containers()
            if ready(service, one) and not one.retired and not self._picture.is_gone(one)
        ]
        return max(found, key=lambda one: one.attempt, default=None)


def _counts(service: Service, container: Container, used: Used, now: float) -> bool:
    """Tell whether the CPU that was measured is the container's load, not its start's."""
    if now - container.started_at < _BEGINNING_S:
        return ready(service, container) and used.since >= container.ready_at
    return ready(service, container) or container.ready_at > 0


def reckoned(values: list[float], unready: int, missing: int, target: float) -> Measured | None:
    """Give the mean, with what is not ready or not measured as the HPA counts it."""
    if not values:
        return None
    ratio = sum(values) / len(values) / target
    counted, words = list(values), []
    if missing and ratio != 1.0:
        counted += [0.0 if ratio > 1.0 else max(100.0, target)] * missing
        words.append(f"{missing} without samples count as {counted[-1]:g} %")
    if unready and ratio > 1.0:
        counted += [0.0] * unready
        words.append(f"{unready} not ready count as 0 %")
    elif unready:
        words.append(f"{unready} not ready are left out")
    mean = sum(counted) / len(counted)
    turned = (ratio < 1.0 < mean / target) or (ratio > 1.0 > mean / target)
    return Measured(mean, len(counted), "; ".join(words), turned)


def _level(found: Measured, target: float, last: Load | None, tolerance: float) -> Level:
    if found.turned:
        return "normal"
    over = round(found.value / target - 1.0, 9)
    was = last.level if last is not None and last.target == target else "normal"
    if over > (tolerance / 2 if was == "high" else tolerance):
        return "high"
    if -over > (tolerance / 2 if was == "low" else tolerance):
        return "low"
    return "normal"


def _is_news(  # noqa: PLR0917 — what is and what was said, of six types.
    level: Level, found: Measured, target: float, last: Load, tolerance: float, now: float
) -> bool:
    """Tell whether it differs from what was said, so much that it asks for another number."""
    if last.level != level or last.target != target:
        return True
    if level == "normal" or now - last.at < AGAIN_S:
        return False
    asked, before = found.replicas * found.value, last.replicas * last.value
    if math.ceil(round(asked / target, 9)) == math.ceil(round(before / target, 9)):
        return False
    return abs(asked - before) > tolerance * before or found.replicas != last.replicas


def _said(  # noqa: PLR0917 — all of what is said, of seven types.
    app: App,
    service: Service,
    metric: str,
    level: Level,
    found: Measured,
    target: float,
    last: Load | None,
) -> Decision:
    fields: dict[str, Any] = {
        "app": app.name,
        "service": service.name,
        "metric": metric,
        "value": round(found.value, 3),
        "target": target,
        "replicas": found.replicas,
        "window_s": WINDOW_S,
        "words": found.words,
    }
    event: LoadEvent = LoadNormal(**fields)
    if level == "high":
        event = LoadHigh(**fields)
    elif level == "low":
        event = LoadLow(**fields)
    # What it follows from is the service as it is now; each word on a metric has its own id.
    return Decision(event, service.cause, key=last.cause.id if last is not None else "")
