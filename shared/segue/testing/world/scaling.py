"""The laws of numbers that follow a load: one step for one load, none back too soon, no storm.

They reckon anew from the log which number each load asked for when it was measured; the
autoscaler's own arithmetic and the picture's windows are not asked.
"""

import math
from collections.abc import Callable, Iterator

import msgspec

from segue.envelope import Record
from segue.events.deploy import DeployAccepted
from segue.events.load import LoadEvent, LoadHigh, LoadLow
from segue.events.scale import (
    ScaleAccepted,
    ScaleDecided,
    ScaleEvent,
    ScaleHeld,
    ScalePaused,
    ScaleResumed,
)
from segue.picture import Picture, Service
from segue.shell.commands import Append
from segue.testing.world.invariants import LogChecker, Said
from segue.testing.world.loads import CPU, Demand
from segue.testing.world.process import Process
from segue.wants import ready

CLOCK_S = 1.5  # A leader's clock is as far from the log's at most.
SETTLED_S = 40.0  # A window, a pace and a healthy start.
SURE = 0.2  # So far from the target there is no doubt of a load's level.
LOADS_EACH, WORDS_EACH = 1, 1  # Four times what the busiest of 120 runs had.


def _override(picture: Picture, event: ScaleDecided, now: float) -> bool:
    service = picture.service(event.app, event.service)
    override = service.scaling.override if service is not None and service.scaling else None
    return override is not None and not 0 < override.until <= now


def counts(picture: Picture, event: ScaleDecided, now: float) -> bool:
    """Tell whether a decision changes the number: what it was made from is still so."""
    app, service = picture.apps.get(event.app), picture.service(event.app, event.service)
    if app is None or service is None or service.scaling is None:
        return False
    same = (service.replicas, app.revision) == (event.previous, event.revision)
    return same and not _override(picture, event, now)


# As the log grows.


def what_a_number_hangs_on_is_noted(checker: LogChecker, record: Record) -> str:
    """A number that the load decides is within its bounds; the rest is noted for other laws."""
    event, picture = record.event, checker.picture
    if isinstance(event, DeployAccepted):
        _deployed(checker, record, event)
    if not isinstance(event, ScaleEvent | LoadEvent):
        return ""
    service = picture.service(event.app, event.service)
    if service is None or service.scaling is None or service.spec.autoscale is None:
        return ""
    spec, book = service.spec.autoscale, checker.said.setdefault((event.app, event.service), [])
    if isinstance(event, ScaleAccepted):
        book.append(Said(record.sequence, record.time))
    elif isinstance(event, ScaleDecided) and counts(picture, event, record.time):
        which = "up" if event.replicas > event.previous else "down"
        book.append(Said(record.sequence, record.time, level=which))
        if not spec.min <= event.replicas <= spec.max:
            return f"{event.service} has {event.replicas} replicas, of {spec.min} to {spec.max}"
    elif isinstance(event, LoadEvent):
        target = event.target or spec.target.get(event.metric, 0.0)
        if target > 0:
            book.append(_said(record, event, service, target))
    return ""


def _said(record: Record, event: LoadEvent, service: Service, target: float) -> Said:
    count = event.replicas or service.replicas
    level = {LoadHigh: "high", LoadLow: "low"}.get(type(event), "normal")
    asks = math.ceil(round(count * event.value / target, 9))
    return Said(record.sequence, record.time, event.metric, level, asks, target)


def _deployed(checker: LogChecker, record: Record, event: DeployAccepted) -> None:
    """Note that a service is another one, and which of its metrics mean something else now."""
    for name, spec in event.spec.services.items():
        book = checker.said.setdefault((event.app, name), [])
        before = checker.picture.service(event.app, name)
        followed = before is not None and before.scaling is not None
        targets = spec.autoscale.target if spec.autoscale is not None and followed else {}
        for metric, last in _newest(book).items():
            if targets.get(metric) != last.target:
                book.append(Said(record.sequence, record.time, metric, "forgotten"))
        book.append(Said(record.sequence, record.time))


def _newest(book: list[Said]) -> dict[str, Said]:
    """Give what holds of each metric."""
    found = {one.metric: one for one in book if one.metric}
    return {name: one for name, one in found.items() if one.level != "forgotten"}


# On what was in the log when it was decided.


def _decided(command: Append) -> Iterator[ScaleDecided]:
    for message in command.messages:
        if message.subject.startswith("scale.decided."):
            data = msgspec.json.decode(message.data)["data"]
            yield msgspec.convert(data, ScaleDecided)


def _book(checker: LogChecker, process: Process, event: ScaleDecided) -> list[Said]:
    upto = process.core.picture.state.sequence
    whole = checker.said.get((event.app, event.service), [])
    return [one for one in whole if one.sequence <= upto]


def a_load_is_followed_once(
    checker: LogChecker, process: Process, command: Append, _: float
) -> str:
    """No step goes beyond what some load asked for of the replicas that it was measured of."""
    for event in _decided(command):
        service = process.core.picture.service(event.app, event.service)
        spec = service.spec.autoscale if service is not None else None
        if spec is None:
            return f"{event.service} follows no load"
        if not spec.min <= event.previous <= spec.max:
            continue  # Its bounds were moved.
        newest = _newest(_book(checker, process, event)).values()
        wants = max((one.asks for one in newest if one.level == "high"), default=0)
        if event.previous < event.replicas > wants:
            return f"{event.service}: {event.replicas} replicas, and loads ask for {wants}"
        if event.replicas < event.previous:
            least = max((one.asks for one in newest if one.level == "low"), default=event.previous)
            if event.replicas < max(spec.min, least):
                return f"{event.service}: {event.replicas} replicas, and loads ask for {least}"
    return ""


def no_step_is_taken_back_too_soon(
    checker: LogChecker, process: Process, command: Append, now: float
) -> str:
    """None goes within the window after one came, or while some load asked for as many or more.

    And none comes but where more was asked for all through the window. Where a person or a deploy
    changed the number within it there were others to ask for.
    """
    for event in _decided(command):
        service = process.core.picture.service(event.app, event.service)
        spec = service.spec.autoscale if service is not None else None
        if spec is None or not spec.min <= event.previous <= spec.max:
            continue
        down = event.replicas < event.previous
        window_s = (spec.down if down else spec.up).window_s - CLOCK_S
        book = _book(checker, process, event)
        within = [one for one in book if one.at > now - window_s]
        if window_s <= 0 or any(not one.metric and not one.level for one in within):
            continue
        began = book[: len(book) - len(within)]
        levels = [_levels(began + within[:count]) for count in range(len(within) + 1)]
        if down and any(one.level == "up" for one in within if not one.metric):
            return f"{event.service}: {event.previous} replicas came within {window_s:.0f} s"
        if down and any(found != {"low"} for found in levels):
            return f"{event.service} did not have too many for {window_s:.0f} s"
        if not down and any("high" not in found for found in levels):
            return f"{event.service} did not have too few for {window_s:.0f} s"
    return ""


def _levels(book: list[Said]) -> set[str]:
    return {one.level for one in _newest(book).values()}


def a_persons_word_comes_first(_: LogChecker, process: Process, command: Append, now: float) -> str:
    """Nothing is decided while a person's number holds, or while it is paused."""
    for event in _decided(command):
        if _override(process.core.picture, event, now + CLOCK_S):
            return f"{event.service} is scaled to {event.replicas} against a person's word"
    return ""


DECIDING: tuple[Callable[[LogChecker, Process, Append, float], str], ...] = (
    a_load_is_followed_once,
    no_step_is_taken_back_too_soon,
    a_persons_word_comes_first,
)
LAWS: tuple[Callable[[LogChecker, Record], str], ...] = (what_a_number_hangs_on_is_noted,)


# Once all is well.


def loads_do_not_storm(checker: LogChecker, demand: Demand, struck: int) -> str:
    """I14: a load is said as often as demand, replicas or hosts change, and decided of once."""
    own = said = steps = held = asked = 0
    for record in checker.records:
        event = record.event
        said += isinstance(event, LoadEvent)
        own += isinstance(event, LoadEvent) and record.source.startswith("/segue/")
        steps += isinstance(event, ScaleDecided)
        held += isinstance(event, ScaleHeld)
        asked += isinstance(event, DeployAccepted | ScaleAccepted | ScalePaused | ScaleResumed)
    most = 20 + LOADS_EACH * (demand.changes + steps + asked + struck)
    if own > most:
        return f"{own} loads were said; {most} would be plenty"
    most, words = 20 + WORDS_EACH * (said + asked + struck), steps + held
    return f"{words} words on scales; {most} would be plenty" if words > most else ""


def the_number_follows_the_load(checker: LogChecker, demand: Demand, now: float) -> str:
    """A level that holds is the true one, and there are as many replicas as it asks for."""
    for app in checker.picture.apps.values():
        for service in app.services.values():
            spec, scaling = service.spec.autoscale, service.scaling
            if spec is None or scaling is None or not service.wanted or service.rollout:
                continue
            book = checker.said.get((app.name, service.name), [])
            newest = _newest(book)
            if any(now - one.at < SETTLED_S for one in book if one.level != "normal"):
                continue
            if scaling.override is None:
                asked = [_asks(one, service.replicas) for one in newest.values()]
                asked += [service.replicas] * bool(spec.target.keys() - newest.keys())
                wanted = spec.within(max(asked, default=service.replicas))
                if wanted != service.replicas:
                    return f"{service.name}: {service.replicas} replicas, loads ask for {wanted}"
            slots = [service.slots.get(number) for number in range(1, service.replicas + 1)]
            up = [one.container for one in slots if one is not None and one.container is not None]
            if CPU in spec.target and up and all(ready(service, one) for one in up):
                share = demand.share(app.name, service)
                told = newest[CPU].level if CPU in newest else "unknown"
                true = "high" if share > 1 + SURE else "low" if share < 1 - SURE else told
                if len(up) == service.replicas and told != true:
                    return f"{service.name}: cpu is at {share:.2f} of its target and {told}"
    return ""


def _asks(said: Said, current: int) -> int:
    if said.level == "normal" or abs(said.asks - current) == 0:
        return current
    return max(said.asks, current) if said.level == "high" else min(said.asks, current)
