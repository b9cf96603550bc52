"""What a log takes and gives: the words between the shell and any bus, real or simulated.

A log stores messages in one order and numbers them from 1. A fence names a subject and the
sequence of the last message that the writer knows on it: the log refuses the write once another
message has been stored there.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec


class Message(msgspec.Struct, frozen=True):
    """What is to be stored. `id` is chosen before the first try and never changes over repeats."""

    subject: str
    id: str
    data: bytes
    headers: dict[str, str] = {}


class Fence(msgspec.Struct, frozen=True):
    """Store only if the last message on `subject` has this sequence (0: there is none)."""

    subject: str
    sequence: int


class Stored(msgspec.Struct, frozen=True):
    """A message of the log. `time` is the log's own, in seconds since 1970."""

    sequence: int
    time: float
    subject: str
    data: bytes
    headers: Mapping[str, str] = {}

    @property
    def mark(self) -> str:
        """Tell this message from any that another history of the log has at its sequence."""
        head = f"{self.sequence}\x1f{self.time!r}\x1f{self.subject}\x1f".encode()
        return hashlib.sha256(head + self.data).hexdigest()[:32]


class Stretch(msgspec.Struct, frozen=True):
    """What a follower gets at once: the next messages, and how far it has now read.

    Whatever the follower asked for up to `upto` has been given, also where other subjects' messages
    stand last. `caught`: nothing more was waiting. Both may come without messages.
    """

    messages: list[Stored]
    upto: int
    caught: bool = False


class Head(msgspec.Struct, frozen=True):
    """The log's bounds and its clock at one moment. An empty log has last 0."""

    first: int
    last: int
    time: float
    cluster: str = ""  # Names the log itself: another id is another log.


class Outcome(msgspec.Struct, frozen=True):
    """What became of a write.

    `stored`: it is in the log, its last message at `sequence` (also when a repeat was dropped).
    `refused`: the fence did not hold, nothing was stored by this try.
    `unknown`: no answer; it may be stored, now or later. Repeat it with the same ids.
    `invalid`: the log will never take it, `reason` says why.
    """

    kind: Literal["stored", "refused", "unknown", "invalid"]
    sequence: int = 0
    duplicate: bool = False
    reason: str = ""
