"""See why a service has as many replicas as it has, and have a say in it: explain, pause, resume.

What is shown stands in the log: what was said of the load, and each decision with its reason. The
deployer decides on requests; one that is turned down changes nothing, and says why.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text
from segue.bus import Bus
from segue.envelope import Record
from segue.events import Event
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import (
    Clamp,
    Input,
    ScaleAccepted,
    ScaleDecided,
    ScaleHeld,
    ScalePaused,
    ScalePauseRequested,
    ScaleResumed,
    ScaleResumeRequested,
)
from segue.picture import Service

from segue_cli import chart
from segue_cli.asking import say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError
from segue_cli.flags import Within
from segue_cli.listing import must_be_there, when
from segue_cli.moment import clock, stamp
from segue_cli.reading import filters_of, gather, sequence_of, sight
from segue_cli.requests import answered, show
from segue_cli.story import tell, who
from segue_cli.story_scaling import reasons
from segue_cli.tables import STYLES, AsJson, console, for_eyes, print_json, styled

Which = Annotated[str, Parameter(name="APP/SERVICE", help="As `segue ls` shows it.")]
For = Annotated[
    str | None,
    Parameter("--for", help="So long, such as 1h; else until the next deploy, or until resumed."),
]
_LOADS = (LoadHigh, LoadLow, LoadNormal)
_WORDS = (ScaleAccepted, ScaleDecided, ScaleHeld, ScalePaused, ScaleResumed)
WIDTH, HEIGHT = 60, 6


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was said of a service's load or of its number of replicas."""

    at: dt.datetime | None
    sequence: int
    type: str
    by: str
    text: str
    replicas: int  # From then on.
    metric: str = ""
    value: float | None = None
    target: float | None = None
    recommended: int | None = None
    reason: str = ""
    inputs: list[Input] = []
    clamps: list[Clamp] = []


async def explain(
    which: Which,
    /,
    *,
    since: Annotated[str, Parameter(show_default=True, help="From then on.")] = "1h",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show a service's load, its replicas, and each decision with its reason."""
    app, name = _named(which)
    async with connected(bus) as there:
        head = await there.head()
        begin = when(since, head)
        seen = await sight(there, head=head)
        must_be_there([seen.picture], app, name)
        first = await sequence_of(there, head, begin) + 1
        records = await _said(there, first, head.last, app, name)
        earlier = await sight(there, begin, head) if begin.time is not None else seen
    service, before = seen.picture.service(app, name), earlier.picture.service(app, name)
    assert service is not None, "it is there"
    found = list(lines(records, before.replicas if before is not None else 0))
    if not for_eyes(as_json=as_json):
        print_json(found)
        return
    began = begin.time if begin.time is not None else earlier.time
    screen = console()
    for text in page(f"{app}/{name}", service, before, found, (began, seen.time)):
        screen.print(text)


async def _said(bus: Bus, first: int, last: int, app: str, service: str) -> list[Record]:
    filters = filters_of(kinds=[*_LOADS, *_WORDS], app=app, service=service)
    found = (await gather(bus, first, last, filters)).records
    return [found[sequence] for sequence in sorted(found)]


def lines(records: Iterable[Record], replicas: int) -> Iterator[Line]:
    """Give what was said in the log's order, each with the number of replicas from then on."""
    for record in records:
        event: Any = record.event
        if isinstance(event, ScaleAccepted | ScaleDecided):
            replicas = event.replicas
        yield Line(
            at=stamp(record.time),
            sequence=record.sequence,
            type=event.type,
            by=who(record),
            text=tell(record).point,
            replicas=replicas,
            metric=getattr(event, "metric", ""),
            value=getattr(event, "value", None),
            target=(event.target or None) if isinstance(event, LoadEvent) else None,
            recommended=getattr(event, "recommended", None),
            reason=getattr(event, "reason", ""),
            inputs=getattr(event, "inputs", []),
            clamps=getattr(event, "clamps", []),
        )


def page(
    name: str,
    service: Service,
    before: Service | None,
    found: Sequence[Line],
    span: tuple[float, float],
) -> Iterator[Text]:
    """Draw load and replicas from one time to another, and list each decision."""
    spec = service.spec.autoscale
    bounds = f"{spec.min} to {spec.max}" if spec is not None else "as they are told"
    yield styled(f"{name}: {service.replicas} replicas, {bounds}; {_standing(service)}", "name")
    yield Text("")
    for metric, points in sorted(_loads(service, before, found, span[0]).items()):
        yield from _drawn(metric, points, span, mark=100.0)
    numbers = [(span[0], float(before.replicas))] if before is not None else []
    numbers += [(_time(line), float(line.replicas)) for line in found]
    yield from _drawn("replicas", numbers, span)
    for line in found:
        if line.metric:
            continue
        yield Text.assemble((f"{clock(_time(line))}  ", STYLES["dim"]), line.text)
        for more in reasons(line.inputs, line.clamps):
            yield styled(f"              {more}", "dim")


def _standing(service: Service) -> str:
    scaling = service.scaling
    if scaling is None:
        return "they follow no load: give it x-autoscale"
    if (override := scaling.override) is not None:
        words = "a person gave the number" if override.kind == "manual" else "paused"
        until = f"until {clock(override.until)}" if override.until else "until the next deploy"
        return f"{words}, {until}"
    if scaling.held:
        return f"held: {scaling.held}"
    return "they follow the load"


Points = list[tuple[float, float]]


def _loads(
    service: Service, before: Service | None, found: Sequence[Line], begin: float
) -> Mapping[str, Points]:
    """Give each metric in percent of its target, by when it was said; it holds until the next."""
    drawn: dict[str, Points] = {}
    known = before.scaling.loads if before is not None and before.scaling is not None else {}
    for metric, loads in known.items():
        drawn[metric] = [(begin, 100.0 * loads[-1].value / loads[-1].target)]
    spec = service.spec.autoscale
    targets = spec.target if spec is not None else {}
    for line in found:
        target = line.target or targets.get(line.metric)
        if line.metric and line.value is not None and target:
            drawn.setdefault(line.metric, []).append((_time(line), 100.0 * line.value / target))
    return drawn


def _time(line: Line) -> float:
    return line.at.timestamp() if line.at is not None else 0.0


def _drawn(
    title: str, points: Points, span: tuple[float, float], mark: float | None = None
) -> Iterator[Text]:
    values = chart.steps(points, *span, WIDTH)
    top = max([value for value in values if value is not None] + ([mark] if mark else [1.0]))
    shown = f"{top:.0f} %" if mark else f"{top:.0f}"
    drawn = chart.columns(values, height=HEIGHT, top=top, mark=mark)
    for number, row in enumerate(drawn):
        label = (title if number == 1 else shown if number == 0 else "").rjust(12)
        yield Text.assemble((f"{label} ", STYLES["dim"]), (row, STYLES["who"]))
    ends = f"{clock(span[0])[:5]}".ljust(WIDTH - 5) + f"{clock(span[1])[:5]}"
    yield styled(f"{'of its target' if mark else '':>12} {ends}", "dim")
    yield Text("")


async def pause(
    which: Which,
    /,
    *,
    for_time: For = None,
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Leave a service's number of replicas as it is, whatever its load."""
    app, name = _named(which)
    for_s = seconds(for_time) if for_time is not None else 0.0
    asked = ScalePauseRequested(app=app, service=name, for_s=for_s)
    await _ask(asked, within, as_json=as_json, flags=bus)


async def resume(
    which: Which, /, *, within: Within = "10s", as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Let a service's replicas follow its load again: after a pause, or a number you gave."""
    app, name = _named(which)
    asked = ScaleResumeRequested(app=app, service=name)
    await _ask(asked, within, as_json=as_json, flags=bus)


def _named(which: str) -> tuple[str, str]:
    app, _, name = which.partition("/")
    if not (app and name):
        raise InvalidError(f"{which!r} is not APP/SERVICE", "`segue ls` lists them")
    return app, name


async def _ask(asked: Event, within: str, *, as_json: bool, flags: BusFlags | None) -> None:
    timeout_s = seconds(within)
    async with connected(flags) as bus:
        show(await answered(bus, await say(bus, asked), timeout_s), as_json=as_json)
