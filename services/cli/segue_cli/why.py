"""The command `segue why`: how a thing came to be as it is, from the request that began it.

It repeats what the events themselves name as their causes; it makes no guess. What is left out of
a long story is counted, and `--all` tells it.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

from cyclopts import Parameter
from segue.bus import Bus
from segue.envelope import Record
from segue.events import REGISTRY, Event
from segue.events.container import ContainerEvent
from segue.events.deploy import DeployAccepted
from segue.events.node import NodeEvent, NodeJoined
from segue.log import Head

from segue_cli.beside import failures, losses, openings
from segue_cli.cloudevent import of_record
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FailedError, NotFoundError
from segue_cli.history import Branch, History
from segue_cli.listing import see
from segue_cli.reading import (
    Sight,
    app_filters,
    complete,
    filters_of,
    gather,
    locate,
    newest,
    node_filters,
)
from segue_cli.tables import AsJson, console, for_eyes, print_json
from segue_cli.telling import print_now, print_story, print_tree
from segue_cli.things import AppName, EventName, NodeName, ServiceName, SlotName, Thing, thing

_Forward = Annotated[
    bool, Parameter(name="--forward", negative=(), help="Tell instead what it has led to.")
]
_All = Annotated[bool, Parameter(name="--all", negative=(), help="Leave nothing out.")]


async def why(
    name: Annotated[
        str,
        Parameter(
            name="THING",
            help="An app, shop/web, shop/web.3, shop/web.3@2, a node, an event's id or sequence.",
        ),
    ],
    /,
    *,
    forward: _Forward = False,
    everything: _All = False,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Explain how a thing came to be as it is."""
    async with connected(bus) as connection:
        head = await connection.head()
        seen = await see(connection, None)
        what = thing(name, seen.picture)
        history, targets = await _look(connection, head, what, seen)
        if forward:
            tree = await _forward(connection, head, targets)
            story = _in_order(record for _, record in tree.walk())
        else:
            told = await complete(connection, head, history, targets)
            room = await openings(connection, head, told)
            more = [*room, *await failures(connection, what, seen)]
            more += await losses(connection, what, seen)
            story = _in_order([*told, *more])
    if not for_eyes(as_json=as_json):
        print_json(of_record(record) for record in story)
    elif forward:
        print_tree(console(), tree, everything=everything)
    else:
        made_room = {record.sequence for record in room}
        print_story(console(), story, what, made_room, everything=everything)
        print_now(console(), what, seen)


def _in_order(records: Iterable[Record]) -> list[Record]:
    by_sequence = {record.sequence: record for record in records}
    return [by_sequence[at] for at in sorted(by_sequence)]


async def _look(bus: Bus, head: Head, what: Thing, seen: Sight) -> tuple[History, Sequence[Record]]:
    """Give the events that tell how the thing is now, and what was read beside them."""
    match what:
        case EventName():
            one = await locate(bus, head, what)
            if one.record is None:
                where = f"the message at {one.stored.sequence} on {one.stored.subject}"
                raise FailedError(f"{where} means nothing: {one.problem}")
            return await _around(bus, head, one.record), [one.record]
        case SlotName():
            return await _slot(bus, head, what, seen)
        case NodeName(node=node):
            history = await gather(bus, head.first, head.last, node_filters(node))
            records = _since(list(history.records.values()), NodeJoined)
        case AppName(app=app):
            records = _since(await newest(bus, app_filters(app)), DeployAccepted)
            history = History(records)
        case ServiceName(app=app, service=service):
            filters = [*filters_of(kinds=_of_apps(), app=app), *_of_service(app, service)]
            records = _since(await newest(bus, filters), DeployAccepted)
            history = History(records)
    if not records:
        raise NotFoundError("the log no longer holds what was said of it", _begins(head))
    return history, records


async def _around(bus: Bus, head: Head, record: Record) -> History:
    """Read what was said of an event's own slot before it: causes and siblings stand there."""
    event = record.event
    if not isinstance(event, ContainerEvent):
        return History([record])
    filters = filters_of(app=event.app, service=event.service, slot=str(event.slot))
    return await gather(bus, head.first, record.sequence, filters)


async def _slot(
    bus: Bus, head: Head, what: SlotName, seen: Sight
) -> tuple[History, Sequence[Record]]:
    filters = filters_of(app=what.app, service=what.service, slot=str(what.slot))
    history = await gather(bus, head.first, head.last, filters)
    slot = seen.picture.slot(what.app, what.service, what.slot)
    assert slot is not None, "a thing is found before it is explained"
    attempt = slot.attempt if what.attempt is None else what.attempt
    records = history.attempt((what.app, what.service, what.slot, attempt))
    if not records:
        has = f"attempts 1 to {slot.attempt} were made; {_begins(head)}"
        raise NotFoundError(f"the log says nothing of {what}", has)
    return history, records


def _begins(head: Head) -> str:
    return f"the log begins at {head.first}"


def _of_apps() -> list[type[Event]]:
    return [event for event in REGISTRY.values() if event.scope == ("app",)]


def _of_service(app: str, service: str) -> list[str]:
    kinds = [event for event in REGISTRY.values() if event.scope == ("app", "service")]
    return filters_of(kinds=kinds, app=app, service=service)


def _since(records: Sequence[Record], kind: type[Event]) -> list[Record]:
    """Give those from the newest of a kind on: what was before it counts no more."""
    of_kind = [record.sequence for record in records if isinstance(record.event, kind)]
    first = max(of_kind, default=0)
    return sorted((r for r in records if r.sequence >= first), key=lambda r: r.sequence)


async def _forward(bus: Bus, head: Head, targets: Sequence[Record]) -> Branch:
    """Read what a thing's beginning has led to; of a node or an event, its newest word."""
    root = targets[-1] if isinstance(targets[-1].event, NodeEvent) else targets[0]
    app = getattr(root.event, "app", None)
    filters = filters_of(app=app) if app else []
    history = await gather(bus, root.sequence, head.last, filters)
    return history.tree(root)
