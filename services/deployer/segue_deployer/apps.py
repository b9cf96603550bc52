"""Decide how an app's deploy or removal went: completed, failed, or still under way.

A deploy fails when a slot has used up its restarts, fails five times in a row, or when nothing
came a step further for five minutes. What is left goes on by its restart policy all the same, and
a deploy that comes up after it failed is completed after all.
"""

from collections.abc import Iterator

from segue.core import Decision
from segue.envelope import Cause
from segue.events.deploy import DeployCompleted, DeployFailed, RemovalCompleted
from segue.picture import App, Container, Picture, Service
from segue.wants import at_hand, current, ready, wanted_slots

from segue_deployer.restart import restart_at

PROGRESS_DEADLINE_S = 300.0
LOOP_FAILURES = 5
BLOCKING_SHOWN = 10


def decide(picture: Picture, app: App, now: float) -> Iterator[Decision]:
    """Say what is to be said of the app as a whole."""
    if app.phase == "removing":
        if not any(_running(picture, app)):
            cause = app.progress or app.cause
            took = max(0.0, now - app.accepted_at)
            gone = RemovalCompleted(app=app.name, took_s=round(took, 3))
            yield Decision(gone, cause, key=app.cause.id)
        return
    if app.phase not in ("deploying", "failed"):
        return
    blocking = list(_blocking(picture, app))
    if not blocking and not any(_extra(picture, app)):
        slots = sum(len(at_hand(picture, app, s)) for s in app.services.values())
        took = max(0.0, now - app.accepted_at)
        done = DeployCompleted(
            app=app.name, revision=app.revision, slots=slots, took_s=round(took, 3)
        )
        yield Decision(done, app.progress or app.cause, key=str(app.revision))
    elif app.phase == "deploying":
        reason = _hopeless(app, blocking, now)
        if reason:
            names = [name for name, _, _ in blocking[:BLOCKING_SHOWN]]
            failed = DeployFailed(
                app=app.name, revision=app.revision, reason=reason, blocking=names
            )
            yield Decision(failed, _cause(app, blocking), key=str(app.revision))


def deadline(app: App) -> float | None:
    """Give when the clock alone makes a deploy fail."""
    return app.progressed_at + PROGRESS_DEADLINE_S if app.phase == "deploying" else None


Blocking = tuple[str, Service, Container | None]


def _blocking(picture: Picture, app: App) -> Iterator[Blocking]:
    """Give the slots that are not yet as the revision wants them."""
    for service in app.services.values():
        for number in at_hand(picture, app, service):
            slot = service.slots.get(number)
            container = slot.container if slot else None
            if container is None or not _settled(picture, service, container):
                yield f"{service.name}.{number}", service, container


def _settled(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a slot's container is what the revision wants and does what it should."""
    if not current(service, container):
        return False
    if _done(service, container):
        return True
    return ready(service, container) and (container.ended or not picture.is_gone(container))


def _done(service: Service, container: Container) -> bool:
    """Tell whether it ended well and its policy wants no other."""
    return container.phase == "finished" and service.spec.restart.condition != "any"


def _extra(picture: Picture, app: App) -> Iterator[Container]:
    """Give the containers that still run and are not wanted by the revision."""
    for service in app.services.values():
        wanted = wanted_slots(picture, app, service)
        for number, slot in service.slots.items():
            for container in slot.containers():
                leaving = number not in wanted or container is not slot.container
                if leaving and not picture.is_gone(container):
                    yield container


def _running(picture: Picture, app: App) -> Iterator[Container]:
    for service in app.services.values():
        for slot in service.slots.values():
            for container in slot.containers():
                if not picture.is_gone(container):
                    yield container


def _hopeless(app: App, blocking: list[Blocking], now: float) -> str:
    """Say why the deploy cannot be waited for any longer, or nothing."""
    for name, service, container in blocking:
        if container is None or container.phase != "failed" or container.retired:
            continue
        slot = service.slots[container.slot]
        if restart_at(service.spec, slot, container, app.accepted_at) is None:
            return f"{name} failed and its restart policy is used up: {_words(container)}"
    for name, service, container in blocking:
        looping = service.slots.get(container.slot) if container else None
        if container is None or looping is None or looping.streak < LOOP_FAILURES:
            continue
        if sum(time >= app.accepted_at for time in looping.ended_at) >= LOOP_FAILURES:
            code = looping.last_exit_code
            last = looping.last_reason + (f" with code {code}" if code is not None else "")
            return f"{name} ended {looping.streak} times in a row, the last time: {last}"
    if now >= app.progressed_at + PROGRESS_DEADLINE_S:
        minutes = PROGRESS_DEADLINE_S / 60
        return f"no progress for {minutes:.0f} minutes; waiting for {_waiting(blocking)}"
    return ""


def _words(container: Container) -> str:
    if container.message:
        return container.message
    if container.exit_code is not None:
        return f"{container.reason} with code {container.exit_code}"
    return container.reason


def _waiting(blocking: list[Blocking]) -> str:
    if not blocking:
        return "containers that are to stop"
    name, _, container = min(blocking, key=_telling)
    more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
    if container is None:
        return f"{name} (its dependencies are not there yet){more}"
    if container.refused:
        reasons = "; ".join(f"{r.count} x {r.reason}" for r in container.refused)
        return f"{name} (no node can take it: {reasons}){more}"
    return f"{name} ({container.phase} on {container.node or 'no node'}){more}"


def _telling(blocking: Blocking) -> int:
    """Rank what holds up a deploy: a slot that waits for others says least."""
    container = blocking[2]
    if container is None:
        return 2
    return 0 if container.refused else 1


def _cause(app: App, blocking: list[Blocking]) -> Cause:
    for _, _, container in blocking:
        if container is not None:
            return container.cause
    return app.cause
