"""Decide how an app's deploy or removal went: completed, failed, reverted, or still under way.

A deploy fails when a slot has used up its restarts, fails five times in a row, has no node left
that could ever run it, or when nothing came a step further for five minutes. What is left goes on
by its restart policy all the same, and a deploy that comes up after it failed is completed after
all. Services that roll out are judged by their rollouts instead. Where what fails is new since the
app last came up, the deploy is reverted, unless its service wants otherwise: the next revision is
what that one was.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace
from segue.core import Decision
from segue.envelope import Cause
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployReverted,
    RemovalCompleted,
)
from segue.picture import App, Container, Picture, Service
from segue.picture.fold_rollout import config
from segue.spec import AppSpec, digest

from segue_deployer.tally import Kind, Tally

PROGRESS_DEADLINE_S = 300.0
BLOCKING_SHOWN = 10


def decide(
    picture: Picture, app: App, tallies: Mapping[str, Tally], now: float
) -> Iterator[Decision]:
    """Say what is to be said of the app as a whole."""
    if app.phase == "removing":
        if not any(tally.running for tally in tallies.values()):
            cause = app.progress or app.cause
            took = max(0.0, now - app.accepted_at)
            gone = RemovalCompleted(app=app.name, took_s=round(took, 3))
            yield Decision(gone, cause, key=app.cause.id)
        return
    if app.phase not in ("deploying", "failed"):
        return
    rolls = any(service.rollout is not None for service in app.services.values())
    blocked = rolls or any(tally.places("blocking") for tally in tallies.values())
    if not blocked and not any(tally.extra for tally in tallies.values()):
        slots = sum(tally.at_hand for tally in tallies.values())
        took = max(0.0, now - app.accepted_at)
        done = DeployCompleted(
            app=app.name, revision=app.revision, slots=slots, took_s=round(took, 3)
        )
        yield Decision(done, app.progress or app.cause, key=str(app.revision))
    elif app.phase == "deploying":
        reason = _hopeless(picture, app, tallies, now)
        if reason:
            blocking = list(_those(app, tallies, "blocking"))
            names = [name for name, _, _ in blocking[:BLOCKING_SHOWN]]
            to = going_back(app)
            said: DeployFailed | DeployReverted
            if to and any(_is_to_blame(app, service, to) for _, service, _ in blocking):
                said = DeployReverted(
                    app=app.name, revision=app.revision, to=to, reason=reason, blocking=names
                )
            else:
                said = DeployFailed(
                    app=app.name, revision=app.revision, reason=reason, blocking=names
                )
            yield Decision(said, _cause(app, blocking), key=str(app.revision))


def revert(app: App) -> Iterator[Decision]:
    """Give up a revision of which a rollout has failed, and say what is restored then."""
    if app.phase not in ("deploying", "failed"):
        return
    if app.reverted is not None:
        accepted = DeployAccepted(
            app=app.name,
            revision=app.revision + 1,
            spec=restored(app, app.reverted.to),
            restores=app.reverted.to,
        )
        yield Decision(accepted, app.reverted.cause)
        return
    to = going_back(app)
    for service in app.services.values() if to else ():
        verdict = service.rollout.verdict if service.rollout is not None else None
        if verdict is not None and config(service).failure_action == "rollback":
            blocking = [f"{service.name}.{number}" for number in verdict.slots[:BLOCKING_SHOWN]]
            event = DeployReverted(
                app=app.name,
                revision=app.revision,
                to=to,
                reason=verdict.reason,
                blocking=blocking,
            )
            yield Decision(event, verdict.cause, key=str(app.revision))
            return


def going_back(app: App) -> int:
    """Name the revision that a deploy under way goes back to, or 0: then there is none.

    What restores a revision is not reverted in turn, or it might go to and fro for ever.
    """
    last = max(app.completed, default=0)
    return last if last != app.revision and not app.restores and last in app.specs else 0


def restored(app: App, revision: int) -> AppSpec:
    """Give what an app was, with as many slots as were last wanted of it."""
    spec, slots = app.specs[revision], app.completed[revision]
    services = {
        name: one if one.is_global else replace(one, replicas=slots.get(name, one.replicas))
        for name, one in spec.services.items()
    }
    return replace(spec, services=services)


def _is_to_blame(app: App, service: Service, to: int) -> bool:
    """Tell whether what holds up a deploy is new since the app last came up, and may be undone."""
    before = app.specs[to]
    if service.spec.update.failure_action != "rollback":
        return False
    return service.name not in before.services or digest(before, service.name) != service.digest


def deadline(app: App) -> float | None:
    """Give when the clock alone makes a deploy fail."""
    return app.progressed_at + PROGRESS_DEADLINE_S if app.phase == "deploying" else None


Blocking = tuple[str, Service, Container | None]


def _those(app: App, tallies: Mapping[str, Tally], kind: Kind) -> Iterator[Blocking]:
    """Give the slots of a kind, with their names and what fills them, but where it rolls out."""
    for service in app.services.values():
        if service.rollout is not None:
            continue
        for _, number in tallies[service.name].places(kind):
            slot = service.slots.get(number)
            yield f"{service.name}.{number}", service, slot.container if slot else None


def _hopeless(picture: Picture, app: App, tallies: Mapping[str, Tally], now: float) -> str:
    """Say why the deploy cannot be waited for any longer, or nothing."""
    for name, service, container in _those(app, tallies, "used_up"):
        assert container is not None, "what is used up has ended"
        if service.slots[container.slot].over_time:
            return f"{name} took longer than its deadline, {service.spec.job.deadline_s:g} s"
        return f"{name} failed and its restart policy is used up: {_words(container)}"
    if reason := _refused(picture, _those(app, tallies, "blocking")):
        return reason
    for name, service, container in _those(app, tallies, "looping"):
        assert container is not None, "what loops was started"
        looping = service.slots[container.slot]
        code = looping.last_exit_code
        last = looping.last_reason + (f" with code {code}" if code is not None else "")
        return f"{name} ended {looping.streak} times in a row, the last time: {last}"
    blocking = list(_those(app, tallies, "blocking"))
    stands = all(service.rollout is None for service in app.services.values())
    if any(container is not None for *_, container in blocking):
        stands = True  # Else what waits for a rollout is judged by that.
    if stands and now >= app.progressed_at + PROGRESS_DEADLINE_S:
        minutes = PROGRESS_DEADLINE_S / 60
        return f"no progress for {minutes:.0f} minutes; waiting for {_waiting(blocking)}"
    return ""


def _refused(picture: Picture, blocking: Iterable[Blocking]) -> str:
    """Say which slot no node is left for, because of what those found that tried, or nothing."""
    nodes = [picture.nodes[name] for name in sorted(picture.nodes) if picture.nodes[name].refusals]
    for name, _, container in blocking if nodes else ():
        if container is None or not container.refused:
            continue
        for node in nodes:
            if why := picture.refusal(container, node):
                return f"{name} cannot run on any node that is left for it: {why}"
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
