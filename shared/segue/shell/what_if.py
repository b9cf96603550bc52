"""Answer what a service would decide if these events happened, without anything happening.

The service's own core runs on a copy of its picture, so the answer is what it would really do.
Time stands still in it: what the clock alone would bring about is not in the answer.
"""

from typing import Any

import msgspec

from segue.core import Core, Decision
from segue.envelope import Cause, Record, encode
from segue.events import REGISTRY, Event
from segue.ids import derived

ROUNDS_MOST = 1_000


class Supposed(msgspec.Struct, frozen=True):
    """An event by its type, as it stands in questions and answers."""

    type: str
    data: dict[str, Any]


class Question(msgspec.Struct, frozen=True):
    """What is supposed to happen, in order, after all that the service knows."""

    events: list[Supposed]


class Answer(msgspec.Struct, frozen=True):
    """What the service would decide, in order, knowing the log up to `sequence`."""

    sequence: int
    decisions: list[Supposed]


def answer(core: Core, question: Question, now: float) -> Answer:
    """Give what a copy of `core` decides; raises `msgspec.ValidationError` for a wrong question."""
    supposed = [_event(event) for event in question.events]
    copy = type(core)()
    copy.picture.restore(core.picture.snapshot())
    world = _World(copy, now)
    for event in supposed:
        world.say(event, None, derived("supposed", world.sequence))
    decided: list[Supposed] = []
    for _ in range(ROUNDS_MOST):
        owed = [decision for decision in copy.decide(now) if isinstance(decision, Decision)]
        if not owed:
            break
        for decision in owed:
            world.say(decision.event, decision.cause, decision.id)
            decided.append(Supposed(decision.event.type, msgspec.to_builtins(decision.event)))
    return Answer(core.picture.state.sequence, decided)


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
