"""Judge containers and services by what happened to them: unhealthy streaks and flapping.

What is not ready has not failed: a readiness probe takes a container out of service and no further.

A service flaps when one of its slots ends by itself five times within five minutes; it is steady
again when none did for five minutes, or when it is to run another version than what ended so.
"""

from collections.abc import Iterator

from segue.core import Decision
from segue.events.container import ContainerFailed
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.picture import Container, Service, Slot
from segue.wants import digest_of

FLAPPING_ENDS = 5
WINDOW_S = 300.0


def decide(app: str, service: Service, now: float) -> Iterator[Decision]:
    """Say what is to be said of a service that something happened to."""
    for slot in service.slots.values():
        container = slot.container
        if container is None:
            continue
        is_judged = container.probe != "readiness" and not container.retired
        if container.phase == "unhealthy" and is_judged:
            yield _failed(container)
        recent = [time for time in _ends(service, slot) if now - time < WINDOW_S]
        if len(recent) >= FLAPPING_ENDS and not service.flapping_since and service.wanted:
            yield _flapping(app, service, slot, container, recent)
            return
    newest = max(_newest(service), default=0.0)
    if service.flapping_since and now - newest >= WINDOW_S:
        ends = (slot.ended_at[-1] for slot in service.slots.values() if slot.ended_at)
        quiet_s = now - max(ends, default=service.flapping_since)
        steady = ServiceSteady(app=app, service=service.name, quiet_s=round(quiet_s, 3))
        yield Decision(steady, service.flapping_cause)


def _ends(service: Service, slot: Slot) -> list[float]:
    """Give when a slot ended by itself, if that was the version that it is to run."""
    ended = slot.last_digest
    return slot.ended_at if not ended or ended == digest_of(service, slot.number) else []


def _newest(service: Service) -> Iterator[float]:
    for slot in service.slots.values():
        yield from _ends(service, slot)[-1:]


def steady_at(service: Service) -> float | None:
    """Give when a flapping service is to be looked at again."""
    if not service.flapping_since:
        return None
    return max(_newest(service), default=service.flapping_since) + WINDOW_S


def _failed(container: Container) -> Decision:
    check = f"{container.probe} probe" if container.probe else "health check"
    said = f": {container.message}" if container.message else ""
    event = ContainerFailed(
        app=container.app,
        service=container.service,
        slot=container.slot,
        attempt=container.attempt,
        node=container.node,
        reason="unhealthy",
        message=f"its {check} failed {container.streak} times" + said,
    )
    return Decision(event, container.cause, key=str(container.attempt))


def _flapping(
    app: str, service: Service, slot: Slot, container: Container, recent: list[float]
) -> Decision:
    event = ServiceFlapping(
        app=app,
        service=service.name,
        slot=slot.number,
        failures=len(recent),
        within_s=round(recent[-1] - recent[0], 3),
        last_reason=slot.last_reason,
        last_exit_code=slot.last_exit_code,
    )
    return Decision(event, container.cause)
