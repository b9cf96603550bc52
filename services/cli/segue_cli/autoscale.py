"""See why a service has as many replicas as it has, and have a say in it: explain, pause, resume.

What is shown stands in the log: what was said of the load, and each decision with its reason. The
deployer decides on requests; one that is turned down changes nothing, and says why.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from cyclopts import Parameter
from segue.bus import Bus
from segue.envelope import Record
from segue.events import Event
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import (
    ScaleAccepted,
    ScaleDecided,
    ScaleHeld,
    ScalePaused,
    ScalePauseRequested,
    ScaleResumed,
    ScaleResumeRequested,
)

from segue_cli.asking import say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError
from segue_cli.flags import Within
from segue_cli.listing import must_be_there, when
from segue_cli.moment import stamp
from segue_cli.reading import filters_of, gather, sequence_of, sight
from segue_cli.requests import answered, show
from segue_cli.scaling_page import Line, page
from segue_cli.story import tell, who
from segue_cli.tables import AsJson, console, for_eyes, print_json

Which = Annotated[str, Parameter(name="APP/SERVICE", help="As `segue ls` shows it.")]
For = Annotated[
    str | None,
    Parameter("--for", help="So long, such as 1h; else until the next deploy, or until resumed."),
]
_LOADS = (LoadHigh, LoadLow, LoadNormal)
_WORDS = (ScaleAccepted, ScaleDecided, ScaleHeld, ScalePaused, ScaleResumed)


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
    span = (began, seen.time)
    for part in page(f"{app}/{name}", service, before, found, span=span, width=screen.width):
        screen.print(part)


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
