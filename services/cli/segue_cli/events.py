"""The command `segue events`: the log, of now, back in time, or as it grows.

What is asked for is turned into subjects, so that the bus sends nothing else. One line for each
event on a terminal, with the last words of what failed; one CloudEvent a line for programs.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text
from segue.bus import Bus
from segue.events import REGISTRY, Event
from segue.log import Head, Stored

from segue_cli.cloudevent import cloud_event
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError
from segue_cli.listing import when
from segue_cli.moment import FORMS, clock, day
from segue_cli.reading import Read, backwards, filters_of, read, sequence_at, stretch
from segue_cli.story import about, tell, where, who
from segue_cli.tables import STYLES, AsJson, console, for_eyes, print_json, styled
from segue_cli.things import nearest

TAIL = 20
PRINTED_MOST = 3  # Of what failed, so many of its last lines.
_Types = Annotated[
    tuple[str, ...],
    Parameter(name="--type", negative=(), help="Types, such as node.lost or 'container.*'."),
]
_App = Annotated[str | None, Parameter(name="--app", help="Only of an app, or APP/SERVICE.")]
_Node = Annotated[str | None, Parameter(name="--node", help="Only what happened on a node.")]
_Since = Annotated[str | None, Parameter(name="--since", help=f"From then on: {FORMS}.")]
_Until = Annotated[str | None, Parameter(name="--until", help="No longer than then.")]
_Tail = Annotated[
    int, Parameter(name=("--tail", "-n"), help="Without --since: how many of the newest.")
]
_Follow = Annotated[
    bool, Parameter(name=("--follow", "-f"), negative=(), help="Go on as the log grows.")
]


async def events(
    *,
    follow: _Follow = False,
    since: _Since = None,
    until: _Until = None,
    types: _Types = (),
    app: _App = None,
    node: _Node = None,
    tail: _Tail = TAIL,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show the log, or follow it."""
    if follow and until is not None:
        raise InvalidError("--follow goes on for ever, --until ends", "leave one of them out")
    filters = wanted(types, app, node)
    printer = Printer(as_json=as_json)
    async with connected(bus) as connection:
        head = await connection.head()
        last = head.last if until is None else await _last(connection, head, until)
        if since is None:
            printer.show(await newest(connection, head, last, filters, tail))
        else:
            first = await _first(connection, head, since)
            async with aclosing(stretch(connection, first, last, filters)) as messages:
                async for one in messages:
                    printer.show([one])
        if follow:
            async with aclosing(connection.follow(head.last, filters)) as stretches:
                async for more in stretches:
                    printer.show(map(read, more.messages))
    printer.end()


def wanted(types: Sequence[str], app: str | None, node: str | None) -> list[str]:
    """Give the subjects of what is asked for; none at all is everything."""
    if not types and app is None and node is None:
        return []
    name, _, service = (app or "").partition("/")
    scope = {"app": name, "service": service, "node": node or ""}
    given = {field: value for field, value in scope.items() if value}
    found = filters_of(kinds=_kinds(types), **given)
    if not found:
        asked = " and ".join(f"--{field}" for field in given)
        raise InvalidError(f"no event of type {', '.join(types)} has {asked}", "leave one out")
    return found


def _kinds(types: Sequence[str]) -> list[type[Event]]:
    if not types:
        return list(REGISTRY.values())
    for pattern in types:
        if not fnmatch.filter(REGISTRY, pattern):
            raise InvalidError(f"there is no type of event {pattern}", nearest(pattern, REGISTRY))
    return [
        event
        for name, event in REGISTRY.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in types)
    ]


async def _first(bus: Bus, head: Head, since: str) -> int:
    at = when(since, head)
    if at.sequence is not None:
        return at.sequence
    assert at.time is not None, "a moment is a sequence or a time"
    return await sequence_at(bus, head, at.time) + 1


async def _last(bus: Bus, head: Head, until: str) -> int:
    at = when(until, head)
    if at.sequence is not None:
        return at.sequence
    assert at.time is not None, "a moment is a sequence or a time"
    return await sequence_at(bus, head, at.time)


async def newest(bus: Bus, head: Head, last: int, filters: Sequence[str], count: int) -> list[Read]:
    """Give the last `count` messages up to `last`, in order."""
    found: list[Stored] = []
    async with aclosing(backwards(bus, head.first, last, filters)) as stretches:
        async for messages in stretches:
            found = messages[max(0, len(messages) - count + len(found)) :] + found
            if len(found) >= count:
                break
    return [read(stored) for stored in found]


class Printer:
    """Prints events as they come; says the day when it changes."""

    def __init__(self, *, as_json: bool) -> None:
        self._eyes = for_eyes(as_json=as_json)
        self._console = console()
        self._day = ""
        self._shown = 0

    def show(self, messages: Iterable[Read]) -> None:
        """Print these."""
        for one in messages:
            self._shown += 1
            if not self._eyes:
                print_json([cloud_event(one)])
                continue
            today = day(one.stored.time)
            if today != self._day:
                self._day = today
                self._console.print(styled(today, "dim"))
            self._console.print(line(one), soft_wrap=True)

    def end(self) -> None:
        """Say so if there was nothing."""
        if self._eyes and not self._shown:
            self._console.print(styled("Nothing happened that fits.", "dim"))


def line(one: Read) -> Text:
    """Tell an event in one line, with the last lines of what failed below it."""
    stored, record = one.stored, one.record
    text = Text().append(f"{clock(stored.time)} {stored.sequence:>6}  ", STYLES["dim"])
    if record is None:
        return text.append(stored.subject).append(f"  not understood: {one.problem}", STYLES["dim"])
    told, event = tell(record), record.event
    tone = "plain" if told.tone == "good" else told.tone
    text.append(f"{event.type:<22} ", STYLES[tone]).append(f"{about(event):<14} ", STYLES["name"])
    author, node = who(record), where(event)
    place = f" on {node}" if node and node != author and node not in told.point else ""
    text.append(f" {told.point}").append(f"{place}  {author}", STYLES["dim"])
    printed = [detail for detail in told.details if detail.startswith("|")]
    for said in printed[-PRINTED_MOST:]:
        text.append(f"\n{'':17}{said}")
    return text
