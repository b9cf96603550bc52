"""Answer what a service would decide if these events happened, without anything happening.

The service's own core runs on a copy of its picture, so the answer is what it would really do.
Time stands still in it: what the clock alone would bring about is in the answer only as far as the
question supposes that it passes.
"""

import zlib
from typing import Any

import msgspec

from segue.core import Core, Decision
from segue.envelope import Cause, Record, encode
from segue.events import REGISTRY, Event
from segue.ids import derived

ROUNDS_MOST = 1_000
PACKED_ABOVE_BYTES = 512 << 10  # What is larger is sent as gzip: a message holds 1 MiB.
UNPACKED_MOST_BYTES = 64 << 20
_GZIP, _AS_GZIP = b"\x1f\x8b", 16 + zlib.MAX_WBITS


class Supposed(msgspec.Struct, frozen=True):
    """An event by its type, as it stands in questions and answers."""

    type: str
    data: dict[str, Any]


class Question(msgspec.Struct, frozen=True):
    """What is supposed to happen, in order, after all that the service knows."""

    events: list[Supposed]
    later_s: float = 0.0  # Supposed to have passed since, with nothing happening.


class Answer(msgspec.Struct, frozen=True):
    """What the service would decide, in order, knowing the log up to `sequence`."""

    sequence: int
    decisions: list[Supposed]


def packed(text: bytes) -> bytes:
    """Give JSON as it is sent: as it is, or as gzip."""
    if len(text) <= PACKED_ABOVE_BYTES:
        return text
    made = zlib.compressobj(level=1, wbits=_AS_GZIP)
    return made.compress(text) + made.flush()


def unpacked(data: bytes) -> bytes:
    """Give back what was sent, or raise `msgspec.ValidationError`."""
    if not data.startswith(_GZIP):
        return data
    read = zlib.decompressobj(wbits=_AS_GZIP)
    try:
        text = read.decompress(data, UNPACKED_MOST_BYTES)
    except zlib.error as error:
        raise msgspec.ValidationError(f"this is no gzip: {error}") from error
    if not read.eof:
        raise msgspec.ValidationError(
            f"more than {UNPACKED_MOST_BYTES} bytes, or its end is missing"
        )
    return text


def answer(core: Core, question: Question, now: float) -> Answer:
    """Give what a copy of `core` decides; raises `msgspec.ValidationError` for a wrong question."""
    return answer_from(type(core), core.picture.snapshot(), question, now)


def answer_from(kind: type[Core], picture: bytes, question: Question, now: float) -> Answer:
    """Give what a core of this kind decides from a picture that was kept: in any thread."""
    supposed = [_event(event) for event in question.events]
    copy = kind()
    copy.picture.restore(picture)
    known_to = copy.picture.state.sequence
    world = _World(copy, now)
    for event in supposed:
        world.say(event, None, derived("supposed", world.sequence))
    decided: list[Supposed] = []
    for turn in range(ROUNDS_MOST):
        decided_at = now if turn else now + question.later_s
        owed = [one for one in copy.decide(decided_at) if isinstance(one, Decision)]
        if not owed:
            break
        for decision in owed:
            world.say(decision.event, decision.cause, decision.id)
            decided.append(Supposed(decision.event.type, msgspec.to_builtins(decision.event)))
    return Answer(known_to, decided)


def _event(supposed: Supposed) -> Event:
    kind = REGISTRY.get(supposed.type)
    if kind is None:
        raise msgspec.ValidationError(f"there is no event called {supposed.type}")
    event = msgspec.convert(supposed.data, kind)
    encode(event, id="supposed", source="/supposed", time=0.0)  # It could stand in the log.
    return event


class _World:
    """A log of one core that nobody else reads."""

    def __init__(self, core: Core, now: float) -> None:
        self.core, self.now = core, now
        self.sequence = core.picture.state.sequence

    def say(self, event: Event, cause: Cause | None, event_id: str) -> None:
        self.sequence += 1
        self.core.fold(
            Record(
                sequence=self.sequence,
                time=self.now,
                event=event,
                id=event_id,
                source="/supposed",
                correlation=cause.correlation if cause else event_id,
                cause=cause.id if cause else "",
                cause_source=cause.source if cause else "",
            )
        )
