"""Judge containers and services by what happened to them: unhealthy streaks and flapping.

What is not ready has not failed: a readiness probe takes a container out of service and no further.

A service flaps when one of its slots ends by itself five times within five minutes; it is steady
again when none did for five minutes.
"""

from collections.abc import Iterator

from segue.core import Decision
from segue.events.container import ContainerFailed
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.picture import Container, Service, Slot

FLAPPING_ENDS = 5
WINDOW_S = 300.0


def decide(app: str, service: Service, now: float) -> Iterator[Decision]:
    """Say what is to be said of a service that something happened to."""
    newest = 0.0
    for slot in service.slots.values():
        container = slot.container
        if slot.ended_at:
            newest = max(newest, slot.ended_at[-1])
        if container is None:
            continue
        is_judged = container.probe != "readiness" and not container.retired
        if container.phase == "unhealthy" and is_judged:
            yield _failed(container)
        recent = [time for time in slot.ended_at if now - time < WINDOW_S]
        if len(recent) >= FLAPPING_ENDS and not service.flapping_since and service.wanted:
            yield _flapping(app, service, slot, container, recent)
            return
    if service.flapping_since and now - newest >= WINDOW_S:
        steady = ServiceSteady(app=app, service=service.name, quiet_s=round(now - newest, 3))
        yield Decision(steady, service.flapping_cause)


def steady_at(service: Service) -> float | None:
    """Give when a flapping service is to be looked at again."""
    if not service.flapping_since:
        return None
    ends = [slot.ended_at[-1] for slot in service.slots.values() if slot.ended_at]
    return max(ends, default=service.flapping_since) + WINDOW_S


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
