"""What a service is made of inside: a core that folds the log and decides what is owed.

    fold(record)           every event that the service follows, in order, corrects the picture
    decide(now) -> [...]   what the picture still owes; asked again until it owes nothing
    wake_at                when the clock alone could change the answer

A core does no I/O and knows no clock, chance or logger: the same log gives the same decisions.
`now` is the log's time in seconds since 1970. Logic is level-triggered: a decision is derived from
the picture, never from the event in hand, so nothing is lost by a crash or a missed message.
"""

from typing import Any, ClassVar

import msgspec

from segue.envelope import Cause, Record
from segue.events import Event
from segue.ids import derived
from segue.log import Fence
from segue.picture import Picture

MOST_DECISIONS = 1_000  # That many are written at once; what is owed beyond is decided again.


class Decision(msgspec.Struct, frozen=True):
    """An event that is owed, and what caused it.

    Its id is derived, so that a repeat of the decision, by whichever leader, is one event: from
    the cause, the subject and `key`; or, where there can be only one such event whatever brings it
    about, from its type and `unique` alone (an attempt is requested once, and assigned once, though
    its cause or its node may look different a moment later). Neither depends on other content.
    """

    event: Event
    cause: Cause | None = None
    key: str = ""
    actor: str = ""
    unique: str = ""

    @property
    def id(self) -> str:
        """The event's id, the same for every repeat of the decision."""
        if self.unique:
            return derived("unique", self.event.type, self.unique)
        cause = self.cause.key if self.cause else ""
        return derived("decision", cause, self.event.subject, self.key)


class BusReturned(msgspec.Struct, frozen=True):
    """News for every core: until now nothing could be heard, so silence meant nothing."""


class Core:
    """The pure part of a service; each overrides what it needs."""

    service: ClassVar[str]

    def __init__(self) -> None:
        self.picture = Picture()
        self.wake_at: float | None = None

    def fold(self, record: Record) -> None:
        """Correct the picture by an event; late and repeated news is harmless."""
        self.picture.fold(record)

    def hear(self, news: Any, now: float) -> None:
        """Learn what is not in the log: a beat, a sample, what an effect came to."""

    def decide(self, now: float) -> list[Any]:
        """Say what is owed: decisions, and effects where the service acts on the world."""
        raise NotImplementedError

    def fence(self) -> Fence | None:
        """Name what the facts of a service that has no leader depend on."""
        return None
