"""The laws of rollouts: what each step must have waited for, what must stay up, that each ends.

Those of steps are asked of the picture on which they were decided, the others of the log.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from segue_node_runner.inventory import Found

from segue.envelope import Record
from segue.events.deploy import DeployAccepted, DeployReverted
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutCompleted,
    RolloutEvent,
    RolloutFailed,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStalled,
    RolloutStarted,
)
from segue.events.scale import ScaleAccepted, ScaleDecided
from segue.picture import App, Container, Picture, Service, Slot
from segue.picture.fold_rollout import config
from segue.picture.state import Rollout
from segue.shell.commands import Append
from segue.testing.world.invariants import LogChecker
from segue.testing.world.process import Process
from segue.testing.world.releases import BROKEN, waits_for_a_person
from segue.testing.world.scaling import counts
from segue.wants import at_hand, digest_of, is_new, ready, routed, version

STEP_S, REST_S = 12.0, 20.0  # What a step may take beside what it waits for, and what all of it.
Told = dict[str, Any]


# On the picture on which it was decided.


def _told(command: Append, kind: str) -> Iterator[Told]:
    for message in command.messages:
        if message.subject.startswith(f"{kind}."):
            yield msgspec.json.decode(message.data)["data"]


def _under_way(picture: Picture, told: Told) -> tuple[App, Service, Rollout] | None:
    app, service = picture.apps.get(told["app"]), picture.service(told["app"], told["service"])
    if app is None or service is None or service.rollout is None:
        return None
    return app, service, service.rollout


def _most(service: Service, total: int) -> int:
    """Give how many slots may be on their way at once."""
    assert service.rollout is not None, "it rolls out"
    if service.rollout.strategy == "blue_green":
        return total
    return config(service).at_once(total)


def a_step_waits_for_the_last(process: Process, command: Append, now: float) -> str:
    """Slots are advanced once those before have run the new version for long enough, few at once.

    What is skipped is not waited for; before it is promoted, no more are advanced than the canary.
    """
    picture: Picture = process.core.picture
    for told in _told(command, "rollout.advanced"):
        found = _under_way(picture, told)
        if found is None:
            return f"{told['app']}/{told['service']} is advanced, and does not roll out"
        app, service, rollout = found
        here, slots = at_hand(picture, app, service), told["slots"]
        if len(slots) > _most(service, len(here)):
            return f"{service.name}: {len(slots)} slots are advanced at once"
        if rollout.strategy == "canary" and not rollout.promoted:
            strategy = service.spec.strategy
            tried = {*rollout.advanced, *slots} & here.keys()
            first = not rollout.advanced or strategy.promote == "manual"
            if first and len(tried) > strategy.canaries(len(here)):
                return f"{service.name}: {sorted(tried)} are more than the canary"
        for number in rollout.advanced:
            if number in here and number not in rollout.skipped:
                slot = service.slots.get(number)
                there = slot.containers() if slot is not None else []
                if not any(_proved(service, one, now) for one in there):
                    return f"{service.name}.{number} was not ready for long enough"
    return ""


def _proved(service: Service, container: Container, now: float) -> bool:
    """Tell whether a container has run the new version for as long as it is watched."""
    if container.digest != service.digest or not ready(service, container):
        return False
    since = container.healthy_at if service.spec.checked else container.started_at
    return now - since >= config(service).monitor_s


def a_rollout_leaves_enough_up(process: Process, command: Append, _: float) -> str:
    """I8: of what works so much is stopped that enough stay up; what broke else is no excuse.

    Start-first, a slot's older container goes when the newer works; stop-first, as many are down
    at once as may be on their way, those not counted that are not waited for any more.
    """
    picture: Picture = process.core.picture
    told = [one for one in _told(command, "container.retired") if one["reason"] == "replaced"]
    gone = {(one["app"], one["service"], one["slot"], one["attempt"]) for one in told}
    for one in told:
        found = _under_way(picture, one)
        container = picture.container(one["app"], one["service"], one["slot"], one["attempt"])
        if found is None or container is None or not _works(picture, found[1], container, set()):
            continue
        app, service, rollout = found
        here = at_hand(picture, app, service)
        up = {
            slot.number
            for slot in service.slots.values()
            if slot.number in here
            and any(_works(picture, service, each, gone) for each in slot.containers())
        }
        if container.slot in up or container.slot not in here:
            continue
        if rollout.order == "start-first":
            return f"{container.name} is replaced, and nothing else works in its slot"
        if len(up) < len(here) - _most(service, len(here)) - len(rollout.skipped):
            return f"{container.name} is replaced, and leaves {len(up)} up of {len(here)}"
    return ""


def _works(
    picture: Picture, service: Service, one: Container, gone: set[tuple[str, str, int, int]]
) -> bool:
    return (
        ready(service, one) and not one.retired and one.key not in gone and not picture.is_gone(one)
    )


def a_rollout_takes_no_more_room(process: Process, command: Append, _: float) -> str:
    """I8: no step has more slots run both versions than may be on their way at once.

    One in which a fault took what ran the new version already, and the old came back, is none.
    """
    picture: Picture = process.core.picture
    for told in _told(command, "rollout.advanced"):
        found = _under_way(picture, told)
        if found is None or found[2].order != "start-first":
            continue
        app, service, rollout = found
        here = at_hand(picture, app, service)
        both = {slot.number for slot in service.slots.values() if _both(picture, service, slot)}
        both = both & here.keys() - rollout.skipped.keys()
        both = {*told["slots"], *(number for number in both if not _was_taken(service, number))}
        if len(both) > (most := _most(service, len(here))):
            return f"{service.name}: {sorted(both)} would run both versions, of {most} at once"
    return ""


def _was_taken(service: Service, number: int) -> bool:
    rollout, slot = service.rollout, service.slots.get(number)
    if rollout is None or slot is None or number not in rollout.seen:
        return False
    there = [one for one in slot.containers() if one.digest == service.digest]
    return not any(ready(service, one) for one in there)


def _both(picture: Picture, service: Service, slot: Slot) -> bool:
    now = slot.container
    if now is None or now.ended or now.retired or now.digest != service.digest:
        return False
    return any(
        one.digest != now.digest and not one.retired and not picture.is_gone(one)
        for one in slot.leaving.values()
    )


def a_slot_is_asked_for_what_it_is_to_run(process: Process, command: Append, _: float) -> str:
    """A slot runs the old version until it is advanced, and the new one from then on."""
    picture: Picture = process.core.picture
    for told in _told(command, "container.requested"):
        service = picture.service(told["app"], told["service"])
        if service is None:
            continue
        name = f"{told['app']}/{told['service']}.{told['slot']}"
        if told["digest"] != digest_of(service, told["slot"]):
            return f"{name} is asked for another version than it is to run"
        if not service.spec.is_global and told["slot"] > service.replicas:
            return f"{name} is asked for, of {service.replicas}"
    return ""


DECIDING: tuple[Callable[[Process, Append, float], str], ...] = (
    a_step_waits_for_the_last,
    a_rollout_leaves_enough_up,
    a_rollout_takes_no_more_room,
    a_slot_is_asked_for_what_it_is_to_run,
)


# As the log grows.


def steps_are_told_in_order(checker: LogChecker, record: Record) -> str:
    """A step is one of a rollout that is under way and has started; a paused one takes none."""
    event = record.event
    if not isinstance(event, RolloutEvent):
        return ""
    found = _under_way(checker.picture, {"app": event.app, "service": event.service})
    if found is None:
        return f"{event.app}/{event.service} does not roll out"
    app, service, rollout = found
    if isinstance(event, RolloutStarted):
        if rollout.strategy or event.revision != app.revision:
            return f"revision {event.revision} starts though it has, or another is wanted"
        return ""
    if not rollout.strategy:
        return "it has not started"
    if isinstance(event, RolloutAdvanced):
        again = [number for number in event.slots if number in rollout.advanced]
        if again or rollout.paused or rollout.verdict:
            return f"{service.name} is advanced though paused or given up, {again} once more"
    if isinstance(event, RolloutFailed | RolloutStalled | RolloutCompleted) and rollout.verdict:
        return f"{service.name} was given up already"
    return ""


def what_is_restored_keeps_its_scale(checker: LogChecker, record: Record) -> str:
    """Who goes back to a revision keeps the number of slots that was asked for since."""
    event = record.event
    if isinstance(event, DeployAccepted):
        asked = {name: one.replicas for name, one in event.spec.services.items()}
        if event.restores and not checker.replaced:
            last = checker.scales.get((event.app, event.restores), {})
            for name, replicas in asked.items():
                spec = event.spec.services[name]
                follows = spec.is_global or spec.autoscale is not None  # Nodes, or its load.
                if not follows and last.get(name, replicas) != replicas:
                    return f"{name} has {replicas} slots, {last[name]} were wanted last"
        checker.scales[event.app, event.revision] = asked
    elif isinstance(event, ScaleAccepted) or (
        isinstance(event, ScaleDecided) and counts(checker.picture, event, record.time)
    ):
        app = checker.picture.apps.get(event.app)
        for revision in (app.revision, max(app.completed, default=0)) if app is not None else ():
            kept = checker.scales.get((event.app, revision), {})
            if event.service in kept:
                kept[event.service] = event.replicas
    return ""


def what_restores_is_not_taken_back(checker: LogChecker, record: Record) -> str:
    """A revision that restores another is not reverted in turn: it would never end."""
    if not isinstance(record.event, DeployReverted):
        return ""
    app = checker.picture.apps.get(record.event.app)
    restores = app is not None and app.revision == record.event.revision and app.restores
    return f"it restores {restores}" if restores else ""


def nothing_leads_to_what_is_not_promoted(checker: LogChecker, record: Record) -> str:
    """Gateways lead to a version of blue_green's only once it was promoted."""
    event, app = record.event, checker.picture.apps.get(getattr(record.event, "app", ""))
    if app is None:
        return ""
    for service in app.services.values() if checker.green else ():
        if service.rollout is None:  # What comes up now does so as it is.
            checker.forget_green(app.name, service.name)
        for one in routed(checker.picture, service):
            if (app.name, service.name, one.digest) in checker.green:
                return f"gateways lead to {one.name}, which is not promoted"
    if isinstance(event, RolloutStarted):
        which = app.name, event.service, app.services[event.service].digest
        checker.green.pop(which, None)
        rollout = app.services[event.service].rollout
        if event.strategy == "blue_green" and rollout is not None and not rollout.promoted:
            checker.green[which] = None
    elif isinstance(event, RolloutPromoted):
        for name in event.services:
            checker.green.pop((app.name, name, app.services[name].digest), None)
    return ""


LAWS: tuple[Callable[[LogChecker, Record], str], ...] = (
    nothing_leads_to_what_is_not_promoted,
    steps_are_told_in_order,
    what_is_restored_keeps_its_scale,
    what_restores_is_not_taken_back,
)


# Once all is well.

_FRESH = (DeployAccepted, RolloutPaused, RolloutPromoted, RolloutResumed, ScaleAccepted)


def every_rollout_ends(checker: LogChecker, well_since: float, now: float) -> str:
    """Once nothing breaks any more, a rollout ends in time, or waits for a person's word."""
    picture, since = checker.picture, {}
    for record in checker.records:
        if isinstance(record.event, _FRESH):
            since[record.event.app] = record.time
    for app in picture.apps.values():
        rolling = [one for one in app.services.values() if one.rollout is not None]
        if not rolling or any(waits_for_a_person(app, one) for one in rolling):
            continue
        most = sum(_longest(picture, app, one) for one in rolling)
        took_s = now - max(since.get(app.name, 0.0), well_since)
        if took_s > most:
            names = ", ".join(one.name for one in rolling)
            return f"{app.name}: {names} rolls out for {took_s:.0f} s, at most {most:.0f} would do"
    return ""


def _longest(picture: Picture, app: App, service: Service) -> float:
    update, total = config(service), len(at_hand(picture, app, service))
    steps = 2 + -(-total // _most(service, total)) if total else 1
    return (
        steps * (max(update.monitor_s, update.delay_s) + STEP_S)
        + service.spec.strategy.deadline_s
        + REST_S
    )


def misfilled(app: App, service: Service, number: int, fillings: list[Found]) -> str:
    """I12: say what is wrong with what runs of a wanted slot, or nothing."""
    slot, rollout = service.slots.get(number), service.rollout
    waits, wanted = _waits(app), version(service, number)
    excused = waits or _is_broken(app, wanted.spec.image, wanted.spec.depends_on)
    if not fillings:
        if rollout is not None and is_new(service, number):
            return ""  # Stopped first; what is new is not up yet.
        state = slot.container.phase if slot and slot.container else "empty"
        return "" if excused else f"runs 0 times, the log says {state}"
    digests = [found.digest for found in fillings]
    if rollout is None:
        if len(digests) != 1 and not (excused and digests[0] != digests[1]):
            return f"runs {len(digests)} times"
        return "" if excused or wanted.digest in digests else "runs an old digest"
    known = {rollout.old.digest, service.digest, *rollout.superseded}
    if len(set(digests)) != len(digests) or not (excused or known.issuperset(digests)):
        return f"runs {digests} on its way from {rollout.old.digest} to {service.digest}"
    if not is_new(service, number) and service.digest in digests and not waits:
        return "runs the new version, and was not advanced"
    return ""


def _is_broken(app: App, image: str, depends_on: Any) -> bool:
    """Tell whether what a slot is to run cannot come up, or what it depends on cannot."""
    others = (app.services[name] for name in depends_on if name in app.services)
    return image in BROKEN or any(other.spec.image in BROKEN for other in others)


def _waits(app: App) -> bool:
    """Tell whether a slot says why no node can take it: then what depends on it waits too."""
    slots = [slot for service in app.services.values() for slot in service.slots.values()]
    return any(slot.container is not None and slot.container.refused for slot in slots)
