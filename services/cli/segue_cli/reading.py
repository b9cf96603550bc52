"""Read the log for one command: the picture at a moment, a stretch of events, an event by its id.

It folds what services fold and never publishes. What cannot be read is counted and passed over: a
person who looks must see the rest.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec
from segue.bus import Bus
from segue.envelope import ERRORS, Record, Unreadable, decode
from segue.events import REGISTRY, Event, subjects
from segue.events.node import NodeEvent
from segue.log import Head, Stored
from segue.picture import Picture
from segue.picture.picture import claim

from segue_cli.errors import NotFoundError
from segue_cli.history import History
from segue_cli.moment import Moment
from segue_cli.things import EventName

SNAPSHOTS = "snapshots"
WINDOW_FIRST = 512
WINDOW_MOST = 65_536
NEAR = 10_000  # So far before its effect a cause is looked for among all events.


class Sight(msgspec.Struct):
    """The cluster at one moment: the picture, and the time its ages are counted to."""

    picture: Picture
    time: float
    partial: bool = False  # The log has lost its beginning, and no snapshot makes up for it.
    unread: int = 0  # Messages that mean nothing to this version, passed over.


class Read(msgspec.Struct, frozen=True):
    """A message of the log and what it says, or why it says nothing."""

    stored: Stored
    record: Record | None = None
    problem: str = ""


def read(stored: Stored) -> Read:
    """Decode a message of the log; never raises."""
    try:
        return Read(stored, decode(stored))
    except ERRORS as error:
        return Read(stored, problem=str(error) or type(error).__name__)


async def stretch(
    bus: Bus, first: int, last: int | None, filters: Sequence[str] = ()
) -> AsyncGenerator[Read, None]:
    """Give the messages from `first` to `last` that there are."""
    if last is not None and first > last:
        return
    async with aclosing(bus.read(first, last, subjects=filters)) as messages:
        async for stored in messages:
            yield read(stored)


async def sequence_at(bus: Bus, head: Head, time: float) -> int:
    """Give the last sequence that was stored at or before `time`; 0 if there is none."""
    low, high = head.first, head.last + 1  # The first one after `time` is in low..high.
    if time >= head.time:
        return head.last
    while low < high:
        middle = (low + high) // 2
        found = await _next(bus, middle, head.last)
        if found is None:
            high = middle
        elif found.time <= time:
            low = found.sequence + 1
        else:
            high = middle
    return low - 1


async def _next(bus: Bus, first: int, last: int) -> Stored | None:
    async with aclosing(bus.read(first, last, count=1)) as messages:
        async for stored in messages:
            return stored
    return None


async def sequence_of(bus: Bus, head: Head, at: Moment) -> int:
    """Give the last sequence that belongs to a moment."""
    if at.sequence is not None:
        return min(at.sequence, head.last)
    assert at.time is not None, "a moment is a sequence or a time"
    return await sequence_at(bus, head, at.time)


async def sight(bus: Bus, at: Moment | None = None, head: Head | None = None) -> Sight:
    """Give the picture at a moment, by default at the log's end, and the time to count ages to."""
    head = head or await bus.head()
    last = head.last if at is None else await sequence_of(bus, head, at)
    picture = await _snapshot(bus, last)
    picture.state.cluster = head.cluster
    first = picture.state.sequence + 1
    sight = Sight(picture, 0.0, partial=head.first > first)
    async for one in stretch(bus, first, last):
        sight.unread += not _fold(picture, one)
    if at is None:
        sight.time = max(head.time, picture.state.time)
    else:
        sight.time = picture.state.time if at.time is None else min(at.time, head.time)
    return sight


def _fold(picture: Picture, one: Read) -> bool:
    """Take a message into the picture as the shell does; one that cannot be is remembered."""
    problem = one.problem
    if one.record is not None:
        try:
            picture.fold(one.record)
        except Exception as error:  # noqa: BLE001 — what broke no service must break no look at it.
            problem = f"{type(error).__name__}: {error}"
        else:
            return True
    stored = one.stored
    picture.unreadable(Unreadable(stored.sequence, stored.time, stored.subject, problem))
    return False


async def _snapshot(bus: Bus, last: int) -> Picture:
    """Give the newest picture that was saved at or before `last`, else an empty one."""
    keys = sorted((int(key) for key in await bus.keys(SNAPSHOTS) if key.isdecimal()), reverse=True)
    for key in keys:
        if key > last:
            continue
        picture = Picture()
        try:
            data = await bus.get(SNAPSHOTS, str(key)) or b""
            said = claim(data)
            stored = await bus.at(said.sequence) if said.mark else None
            if stored is not None and stored.mark != said.mark:
                continue  # Of another history: the log was put back from an older copy.
            picture.restore(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        return picture
    return Picture()


async def backwards(
    bus: Bus, first: int, last: int, filters: Sequence[str] = ()
) -> AsyncGenerator[list[Stored], None]:
    """Give the messages from `last` back to `first` in ever longer stretches, newest stretch first.

    Inside a stretch they are in the log's order. An empty stretch is given too.
    """
    length = WINDOW_FIRST
    while last >= first:
        start = max(first, last - length + 1)
        async with aclosing(bus.read(start, last, subjects=filters)) as messages:
            found = [stored async for stored in messages]
        yield found
        last, length = start - 1, length * 4
        if len(found) > WINDOW_FIRST // 4:
            length = min(length, WINDOW_MOST)


async def find(
    bus: Bus,
    first: int,
    last: int,
    event_id: str,
    filters: Sequence[str] = (),
    *,
    source: str = "",
) -> Read | None:
    """Find an event by its id, and by its source where that is given; newest of the log first."""
    async with aclosing(backwards(bus, first, last, filters)) as stretches:
        async for messages in stretches:
            for stored in messages:
                if not _may_be(stored, event_id):
                    continue
                one = read(stored)
                found = one.record
                if found is None or found.id != event_id:
                    continue
                if not source or found.source == source:
                    return one
    return None


def _may_be(stored: Stored, event_id: str) -> bool:
    """Tell quickly whether decoding a message is worth it: few hold the id they are asked for.

    An id is found as it stands in the JSON or in a header; the bare body of a request has none.
    """
    plain = event_id.isascii() and event_id.isprintable() and not set(event_id) & set('\\"/')
    return (
        not plain  # JSON may write it in several ways.
        or event_id.encode() in stored.data
        or b'"specversion"' not in stored.data
        or event_id in stored.headers.values()
    )


async def locate(bus: Bus, head: Head, name: EventName) -> Read:
    """Find an event, or raise `NotFoundError`."""
    begins = f"the log holds the sequences {head.first} to {head.last}"
    if name.id:
        found = await find(bus, head.first, head.last, name.id)
        if found is None:
            raise NotFoundError(f"the log has no event with the id {name.id}", begins)
        return found
    found = await at_sequence(bus, name.sequence)
    if found is None:
        raise NotFoundError(f"the log has nothing at {name.sequence}", begins)
    return found


async def at_sequence(bus: Bus, sequence: int) -> Read | None:
    """Give the message at a sequence, if the log has it."""
    async with aclosing(stretch(bus, sequence, sequence)) as messages:
        async for one in messages:
            return one
    return None


async def gather(bus: Bus, first: int, last: int, filters: Sequence[str]) -> History:
    """Read the events on some subjects."""
    history = History()
    async for one in stretch(bus, first, last, filters):
        if one.record is not None:
            history.add(one.record)
    return history


async def newest(bus: Bus, filters: Sequence[str]) -> list[Record]:
    """Give the newest event on each of some subjects, as far as there is one."""
    found = [await bus.last(subject) for subject in filters]
    decoded = [read(stored).record for stored in found if stored is not None]
    return [record for record in decoded if record is not None]


async def complete(
    bus: Bus, head: Head, history: History, wanted: Sequence[Record]
) -> list[Record]:
    """Give the story of `wanted`, reading backwards whatever its causes are not in `history`."""
    gone: set[str] = set()
    while True:
        story = history.story(wanted)
        missing = [one for one in history.unknown(story) if one.cause_key not in gone]
        if not missing:
            return story
        newest_first = max(missing, key=lambda record: record.sequence)
        if not await _add_cause(bus, head, history, newest_first):
            gone.add(newest_first.cause_key)


async def _add_cause(bus: Bus, head: Head, history: History, record: Record) -> bool:
    """Read backwards until the cause of a record is found: near it, else where causes stand.

    What a service decides about an app is caused by the app's own events or by a node's.
    """
    last = record.sequence - 1
    near = max(head.first, last - NEAR)
    source = record.cause_source
    found = await find(bus, near, last, record.cause, source=source)
    if found is None:
        app = getattr(record.event, "app", None)
        filters = [*(filters_of(app=app) if app else ()), *node_filters()]
        found = await find(bus, head.first, near - 1, record.cause, filters, source=source)
    if found is None or found.record is None:
        return False
    history.add(found.record)
    return True


def filters_of(*, kinds: Sequence[type[Event]] | None = None, **scope: str) -> list[str]:
    """Give the subjects of the events that have all the named scope fields."""
    return [
        subjects(event, **scope)
        for event in (REGISTRY.values() if kinds is None else kinds)
        if set(scope) <= set(event.scope)
    ]


def app_filters(app: str) -> list[str]:
    """Give the subjects of what is said of an app as a whole and of its services' numbers."""
    kinds = [event for event in REGISTRY.values() if "slot" not in event.scope]
    return filters_of(kinds=kinds, app=app)


def node_filters(node: str = "*") -> list[str]:
    """Give the subjects of what is said of a node itself, or of all nodes."""
    kinds = [event for event in REGISTRY.values() if issubclass(event, NodeEvent)]
    return filters_of(kinds=kinds, node=node)
