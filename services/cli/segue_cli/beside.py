"""What a story needs beside its causes: why a service fails, what made room, what is waited for.

Both are looked up in the log by subject: a redeploy is no reason to forget a failure that goes on,
and an assignment is caused by what waited, not by what it waited for.
"""

from collections.abc import Sequence
from contextlib import aclosing

from segue.bus import Bus
from segue.envelope import Record
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerFinished,
    ContainerStopped,
    ContainerUnplaceable,
)
from segue.events.node import (
    NodeJoined,
    NodeLeaseEnded,
    NodeLost,
    NodeRecovered,
    NodeReturned,
    NodeUncordoned,
)
from segue.events.service import ServiceFlapping
from segue.log import Head
from segue.picture import Service

from segue_cli.history import attempt_of
from segue_cli.reading import Sight, backwards, filters_of, newest, read
from segue_cli.things import AppName, ServiceName, SlotName, Thing

SLOTS_MOST = 3  # Whose last failures are told.
WAITS_MOST = 3
_ENDS = (ContainerFailed, ContainerFinished, ContainerStopped)
_OPENS = (NodeJoined, NodeReturned, NodeRecovered, NodeUncordoned)


async def failures(bus: Bus, what: Thing, seen: Sight) -> list[Record]:
    """Give the newest failures of what is flapping, and the verdict that it is."""
    match what:
        case AppName(app=app):
            services = list(seen.picture.apps[app].services.values())
        case ServiceName(app=app):
            services = [seen.picture.apps[app].services[what.service]]
        case _:
            return []
    filters: list[str] = []
    for service in services:
        if service.flapping_since:
            filters += filters_of(kinds=[ServiceFlapping], app=app, service=service.name)
            for slot in _worst(service):
                scope = {"app": app, "service": service.name, "slot": str(slot)}
                filters += filters_of(kinds=[ContainerFailed], **scope)
    return await newest(bus, filters)


def _worst(service: Service) -> list[int]:
    """Give the slots that ended most often of late."""
    ended = [slot for slot in service.slots.values() if slot.ended_at]
    ended.sort(key=lambda slot: (-len(slot.ended_at), -slot.ended_at[-1]))
    return [slot.number for slot in ended[:SLOTS_MOST]]


async def losses(bus: Bus, what: Thing, seen: Sight) -> list[Record]:
    """Give the loss of the node whose lease a slot waits for, and the end of that lease."""
    if not isinstance(what, SlotName):
        return []
    slot, nodes = seen.picture.slot(what.app, what.service, what.slot), seen.picture.nodes
    there = slot.containers() if slot is not None else []
    lost = {one.node for one in there if one.node in nodes and nodes[one.node].phase == "lost"}
    filters: list[str] = []
    for name in sorted(lost):
        filters += filters_of(kinds=[NodeLost, NodeLeaseEnded], node=name)
    return await newest(bus, filters)


async def openings(bus: Bus, head: Head, story: Sequence[Record]) -> list[Record]:
    """Give, for each slot of a story that waited for a node, what made room on the one it got.

    The scheduler looks again at every such event, so it is the last one before the assignment.
    """
    waits: dict[object, Record] = {}
    waited: list[tuple[Record, ContainerAssigned, int]] = []
    for record in story:
        if isinstance(record.event, ContainerUnplaceable):
            waits[attempt_of(record.event)] = record
        elif isinstance(record.event, ContainerAssigned):
            wait = waits.pop(attempt_of(record.event), None)
            if wait is not None:
                waited.append((wait, record.event, record.sequence))
    found = []
    for wait, event, sequence in waited[-WAITS_MOST:]:
        filters = filters_of(kinds=[*_ENDS, *_OPENS], node=event.node)
        first = max(head.first, wait.sequence + 1)
        found += await _last(bus, first, sequence - 1, filters)
    return found


async def _last(bus: Bus, first: int, last: int, filters: Sequence[str]) -> list[Record]:
    async with aclosing(backwards(bus, first, last, filters)) as stretches:
        async for messages in stretches:
            records = [read(stored).record for stored in messages]
            known = [record for record in records if record is not None]
            if known:
                return known[-1:]
    return []
