"""Fold how many replicas services have, what was said of their load, and whose word holds.

What the autoscaler decided counts only if it was decided from what is true: as many replicas as it
says there were, at the revision that it names, with no person's word in between. So a decision that
crosses another in the log changes nothing, for everyone alike.
"""

from collections.abc import Callable
from typing import Any, Literal

from segue.envelope import Record
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.request import RequestWaiting
from segue.events.scale import (
    ScaleAccepted,
    ScaleDecided,
    ScaleEvent,
    ScaleHeld,
    ScalePaused,
    ScaleResumed,
)
from segue.events.service import ServiceBusy, ServiceIdle
from segue.picture.indexed import Indexed
from segue.picture.scaling import Load, Override, Scaling, Size
from segue.picture.state import Service
from segue.spec import Autoscale, ServiceSpec

About = ScaleEvent | LoadEvent | RequestWaiting | ServiceIdle | ServiceBusy
KEPT = 500  # Of loads of a metric, and of sizes.
METRICS_MOST = 40
_LEVELS: dict[str, Literal["high", "low", "normal"]] = {
    LoadHigh.type: "high",
    LoadLow.type: "low",
    LoadNormal.type: "normal",
}


def replicas(service: Service, spec: ServiceSpec) -> int:
    """Give how many a service has from a deploy on: what follows its load goes on from there."""
    if spec.autoscale is None:
        return spec.replicas
    goes_on = service.wanted and service.scaling is not None
    return spec.autoscale.within(service.replicas if goes_on else spec.replicas)


def deployed(service: Service, record: Record) -> None:
    """Begin to follow the load, or go on with what is said of metrics that mean the same."""
    spec, before = service.spec.autoscale, service.scaling
    if spec is None or not service.wanted:
        service.scaling = None
        return
    now = Scaling(cause=record.as_cause(), since=record.time, sequence=record.sequence)
    if before is not None:
        now.since, now.sizes = before.since, before.sizes
        now.loads = {
            name: loads
            for name, loads in before.loads.items()
            if name in spec.target and loads[-1].target == spec.target[name]
        }
    service.scaling = now
    _sized(service, now, record, own=False)


def accepted(picture: Indexed, record: Record, event: ScaleAccepted) -> None:
    """Want another number of slots, because a person says so."""
    service = picture.service(event.app, event.service)
    if service is None:
        return
    if service.scaling is not None:
        service.scaling.override = Override("manual", record.as_cause(), _until(record, event))
    _resize(picture, record, event, service, own=False)


def decided(picture: Indexed, record: Record, event: ScaleDecided) -> None:
    """Want another number of slots, because the load asks for it."""
    app, service = picture.apps.get(event.app), picture.service(event.app, event.service)
    if app is None or service is None or service.scaling is None:
        return
    scaling = service.scaling
    scaling.sequence = record.sequence
    picture.touch(event.app, event.service)
    override = scaling.override
    if override is not None and not 0 < override.until <= record.time:
        return
    if (service.replicas, app.revision) == (event.previous, event.revision):
        scaling.override, scaling.held = None, ""
        _resize(picture, record, event, service, own=True)


def forget_ends(service: Service) -> None:
    """Empty the slots that are not wanted of what ended in them: wanted again, they begin anew."""
    for slot in service.slots.values():
        over = not service.wanted or (slot.number > service.replicas and not service.spec.is_global)
        if over and slot.container is not None and slot.container.ended:
            slot.container, slot.streak = None, 0


def _resize(
    picture: Indexed,
    record: Record,
    event: ScaleAccepted | ScaleDecided,
    service: Service,
    *,
    own: bool,
) -> None:
    app = picture.apps[event.app]
    service.replicas = event.replicas
    service.cause, service.changed_at = record.as_cause(), record.time
    forget_ends(service)
    app.cause, app.changed_at = record.as_cause(), record.time
    app.progressed_at = record.time
    before = app.completed.get(max(app.completed, default=0), {})
    if event.service in before:
        before[event.service] = event.replicas  # Whoever goes back keeps what was asked since.
    if service.scaling is not None:
        scaling = service.scaling
        scaling.sequence, scaling.idle, scaling.waiting = record.sequence, None, None
        if not service.replicas and _may_be_none(service):
            scaling.loads = {}  # They were of replicas that are gone.
        _sized(service, scaling, record, own=own)
    picture.touch(event.app, event.service)


def _may_be_none(service: Service) -> bool:
    return service.spec.autoscale is not None and not service.spec.autoscale.min


def _measured(service: Service) -> int:
    """Give of how many it was said: what waits for the first one is a whole one's."""
    return max(service.replicas, int(_may_be_none(service)))


def _sized(service: Service, scaling: Scaling, record: Record, *, own: bool) -> None:
    sizes = scaling.sizes
    if not sizes or sizes[-1].replicas != service.replicas:
        sizes.append(Size(record.time, service.replicas, own))
    _trim(sizes, service.spec.autoscale, record.time)


def _trim(kept: list[Any], spec: Autoscale | None, now: float) -> None:
    """Drop what no window reaches back to any more: each holds until the next."""
    paces = (spec.up, spec.down) if spec is not None else ()
    reach_s = max((max(pace.window_s, pace.every_s) for pace in paces), default=0.0)
    while len(kept) > 1 and (kept[1].at < now - reach_s or len(kept) > KEPT):
        del kept[0]


def _scaling(picture: Indexed, record: Record, event: About) -> Scaling | None:
    """Find what an event is about; it needs to be looked at again."""
    service = picture.service(event.app, event.service)
    if service is None or service.scaling is None:
        return None
    picture.touch(event.app, event.service)
    service.scaling.sequence = record.sequence
    return service.scaling


def load(picture: Indexed, record: Record, event: LoadEvent) -> None:
    """Take it as what is known of the metric from now on."""
    scaling = _scaling(picture, record, event)
    service = picture.service(event.app, event.service)
    if scaling is None or service is None:
        return
    spec = service.spec.autoscale
    own = spec.target.get(event.metric, 0.0) if spec is not None else 0.0
    target = event.target if event.target > 0 else own
    if target <= 0 or (event.metric not in scaling.loads and len(scaling.loads) >= METRICS_MOST):
        return  # Nobody says what it is to be, or somebody says ever more.
    loads = scaling.loads.setdefault(event.metric, [])
    if any(one.cause.id == record.id for one in loads):
        return  # It is the same word once more.
    if not loads or loads[-1].level != _LEVELS[event.type]:
        scaling.held = ""
    now = Load(
        level=_LEVELS[event.type],
        value=event.value,
        target=target,
        replicas=event.replicas if event.replicas > 0 else _measured(service),
        at=record.time,
        cause=record.as_cause(),
        foreign=not record.source.startswith("/segue/"),
    )
    loads.append(now)
    _trim(loads, spec, record.time)


def held(picture: Indexed, record: Record, event: ScaleHeld) -> None:
    """Note why the number stays as it is: that is said once."""
    scaling = _scaling(picture, record, event)
    if scaling is not None:
        scaling.held = event.reason


def paused(picture: Indexed, record: Record, event: ScalePaused) -> None:
    """Leave the number as it is."""
    scaling = _scaling(picture, record, event)
    if scaling is not None:
        scaling.override = Override("paused", record.as_cause(), _until(record, event))


def resumed(picture: Indexed, record: Record, event: ScaleResumed) -> None:
    """Let the number follow the load again."""
    scaling = _scaling(picture, record, event)
    if scaling is not None:
        scaling.override, scaling.held = None, ""


def idle(picture: Indexed, record: Record, event: ServiceIdle) -> None:
    """Know that nobody asks anything."""
    scaling = _scaling(picture, record, event)
    if scaling is not None:
        scaling.idle = record.as_cause()


def asked(picture: Indexed, record: Record, event: RequestWaiting | ServiceBusy) -> None:
    """Know that something is asked; where there is nobody to answer, that it waits."""
    scaling = _scaling(picture, record, event)
    service = picture.service(event.app, event.service)
    if scaling is None or service is None:
        return
    scaling.idle = None
    if not service.replicas and scaling.waiting is None:
        scaling.waiting, scaling.held = record.as_cause(), ""


def _until(record: Record, event: ScaleAccepted | ScalePaused) -> float:
    return record.time + event.for_s if event.for_s > 0 else 0.0


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    LoadHigh.type: load,
    LoadLow.type: load,
    LoadNormal.type: load,
    RequestWaiting.type: asked,
    ServiceBusy.type: asked,
    ServiceIdle.type: idle,
    ScaleAccepted.type: accepted,
    ScaleDecided.type: decided,
    ScaleHeld.type: held,
    ScalePaused.type: paused,
    ScaleResumed.type: resumed,
}
