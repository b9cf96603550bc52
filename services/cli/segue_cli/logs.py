"""The command `segue logs`: what containers print.

The node of a slot is looked up in the picture, its runner is asked over the bus. A slot is followed
over its replacements, wherever they run; what a container printed is passed on as it is.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import anyio
import msgspec
from cyclopts import Parameter
from segue import asks
from segue.asks import ExecAsked, LogsAsked
from segue.bus import AnswerError, Bus, BusError, NobodyAnswersError
from segue.events.container import ContainerFailed, ContainerStarted
from segue.picture import Picture, Slot
from segue.wants import at_hand

from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FailedError, InvalidError, NotFoundError
from segue_cli.listing import see, when
from segue_cli.output import Output, Printer
from segue_cli.reading import filters_of, newest, read
from segue_cli.tables import AsJson, note
from segue_cli.things import AppName, ServiceName, SlotName, Thing, thing

SLOTS_MOST = 64
STDOUT, STDERR = 1, 2

_Follow = Annotated[
    bool,
    Parameter(name=("--follow", "-f"), negative=(), help="Go on, over every replacement."),
]
_Tail = Annotated[
    int | None, Parameter(name=("--tail", "-n"), help="How many of the newest lines; else all.")
]
_Since = Annotated[
    str | None, Parameter(name="--since", help="From then on: 10m (ago), 14:05, 2026-08-01T14:05.")
]


class Place(msgspec.Struct, frozen=True):
    """A container that runs or has run, and the node that has it."""

    name: SlotName
    node: str
    attempt: int


async def logs(
    name: Annotated[
        str, Parameter(name="THING", help="A slot such as shop/web.3, a service, or an app.")
    ],
    /,
    *,
    follow: _Follow = False,
    tail: _Tail = None,
    since: _Since = None,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show what containers print."""
    if tail is not None and tail < 0:
        raise InvalidError(f"--tail {tail} is no number of lines", "write --tail 100")
    async with connected(bus) as connection:
        seen = await see(connection, None)
        what = thing(name, seen.picture)
        head = await connection.head()
        at = None if since is None else when(since, head).time
        if since is not None and at is None:
            raise InvalidError("containers know no sequence numbers", "give --since a time")
        places = found(what, seen.picture)
        if not places and not follow:
            raise NotFoundError(f"nothing of {name} has run yet", "`segue ps` tells why")
        reader = Reader(connection, _printer(places, what, as_json=as_json), tail, at)
        if follow:
            await reader.follow(places, what, seen.picture.state.sequence)
        else:
            await reader.read(places)


def _printer(places: Sequence[Place], what: Thing, *, as_json: bool) -> Printer:
    names = [str(place.name) for place in places]
    return Printer(names, alone=isinstance(what, SlotName), as_json=as_json)


def found(what: Thing, picture: Picture) -> list[Place]:
    """Give the slots that are meant and have, or had last, a container on a node."""
    match what:
        case SlotName(app=app, service=service):
            slot = picture.slot(app, service, what.slot)
            place = _place(SlotName(app, service, what.slot), slot)
            return [place] if place else []
        case AppName(app=app):
            services = list(picture.apps[app].services.values())
        case ServiceName(app=app):
            services = [picture.apps[app].services[what.service]]
        case _:
            raise InvalidError("only containers have logs", "name a slot, a service or an app")
    places = [
        place
        for service in services
        for number in at_hand(picture, picture.apps[app], service)
        if (place := _place(SlotName(app, service.name, number), service.slots.get(number)))
    ]
    if len(places) > SLOTS_MOST:
        there = f"{len(places)} containers; at most {SLOTS_MOST} are read at once"
        raise InvalidError(there, "name a service or a slot")
    return places


def _place(name: SlotName, slot: Slot | None) -> Place | None:
    """Find a slot's newest container that has run; while the next one waits, that is the last."""
    container = slot.container if slot is not None else None
    if container is None:
        return None
    if container.phase not in ("requested", "assigned"):
        return Place(name, container.node, container.attempt)
    return Place(name, container.previous, container.attempt - 1) if container.previous else None


class Reader:
    """Reads logs of slots, each from its node."""

    def __init__(self, bus: Bus, printer: Printer, tail: int | None, since_s: float | None) -> None:
        self._bus, self._printer = bus, printer
        self._tail, self._since_s = tail, since_s
        self._reading: set[tuple[str, int]] = set()

    async def read(self, places: Sequence[Place]) -> None:
        """Print what there is, slot after slot; raises if none could be read."""
        problems = []
        for place in places:
            asked = self._asked(place.name, tail=self._tail, since_s=self._since_s)
            try:
                await self._stream(place, asked)
            except (BusError, FailedError) as error:
                problems.append(error)
                note(f"{place.name}: {error}")
        if len(problems) == len(places):
            raise problems[0]

    async def follow(self, places: Sequence[Place], what: Thing, after: int) -> None:
        """Print what comes until cancelled: of these, of what follows them, of new slots."""
        filters = filters_of(kinds=[ContainerStarted], **_scope(what))
        async with anyio.create_task_group() as tasks:
            for place in places:
                asked = self._asked(place.name, tail=self._tail, since_s=self._since_s)
                tasks.start_soon(self._follow_one, place, asked)
            async with aclosing(self._bus.follow(after, filters)) as stretches:
                async for stretch in stretches:
                    for stored in stretch.messages:
                        record = read(stored).record
                        if record is None or not isinstance(record.event, ContainerStarted):
                            continue
                        event = record.event
                        name = SlotName(event.app, event.service, event.slot)
                        since_s = record.time if event.adopted else None
                        asked = self._asked(name, since_s=since_s)
                        place = Place(name, event.node, event.attempt)
                        tasks.start_soon(self._follow_one, place, asked)

    def _asked(
        self, name: SlotName, *, tail: int | None = None, since_s: float | None = None
    ) -> LogsAsked:
        return LogsAsked(
            app=name.app, service=name.service, slot=name.slot, tail=tail, since_s=since_s
        )

    async def _follow_one(self, place: Place, asked: LogsAsked) -> None:
        key = (str(place.name), place.attempt)
        if key in self._reading:
            return  # Its runner has adopted what is being read.
        self._reading.add(key)
        note(f"{place.name}@{place.attempt} on {place.node}")
        try:
            await self._stream(place, msgspec.structs.replace(asked, follow=True))
        except (BusError, FailedError) as error:
            note(f"{place.name}: {error}")
        finally:
            self._reading.discard(key)

    async def _stream(self, place: Place, asked: LogsAsked) -> None:
        output = self._printer.output(str(place.name))
        try:
            await ask_node(self._bus, place.node, "logs", asked, output)
        except AnswerError as error:
            if not await self._print_last_words(place.name, output):
                raise FailedError(str(error)) from error
        finally:
            await output.end()

    async def _print_last_words(self, name: SlotName, output: Output) -> bool:
        """Print what the event of its last failure kept of a container that is gone."""
        scope = {"app": name.app, "service": name.service, "slot": str(name.slot)}
        for record in await newest(self._bus, filters_of(kinds=[ContainerFailed], **scope)):
            event = record.event
            if isinstance(event, ContainerFailed) and event.logs:
                note(
                    f"{name}@{event.attempt} is gone; its last lines, from event {record.sequence}:"
                )
                await output.write(STDOUT, "".join(f"{line}\n" for line in event.logs).encode())
                return True
        return False


def _scope(what: Thing) -> dict[str, str]:
    fields = ("app", "service", "slot")
    return {field: str(getattr(what, field)) for field in fields if hasattr(what, field)}


async def ask_node(
    bus: Bus, node: str, question: str, asked: LogsAsked | ExecAsked, output: Output
) -> int | None:
    """Ask a node, pass on what comes, and give the exit code if it tells one."""
    code: int | None = None
    pieces = bus.ask_stream(asks.subject(node, question), msgspec.json.encode(asked))
    try:
        async with aclosing(pieces):
            async for said in pieces:
                part, data = asks.read_piece(said)
                if part == "exit":
                    code = int(data)
                else:
                    await output.write(STDERR if part == "stderr" else STDOUT, data)
    except NobodyAnswersError as error:
        raise FailedError(
            f"the runner of {node} does not answer", "`segue nodes` tells how the node is"
        ) from error
    return code
