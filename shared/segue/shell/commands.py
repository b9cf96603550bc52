"""What the machine asks of whoever runs it, in production and in the simulator.

These are requests, not acts: each says what is to be done and what is to be told afterwards.
"""

from typing import Any, Literal

import msgspec

from segue.log import Fence, Message


class Append(msgspec.Struct, frozen=True):
    """Write these messages, all behind one fence, and answer with `Machine.wrote(number, …)`."""

    number: int
    messages: list[Message]
    fence: Fence | None


class Say(msgspec.Struct, frozen=True):
    """Publish a core message; nobody stores it."""

    subject: str
    data: bytes


class Perform(msgspec.Struct, frozen=True):
    """Act on the world; what comes of it returns through `Machine.hear`."""

    effect: Any


class Save(msgspec.Struct, frozen=True):
    """Keep a snapshot of the picture at this sequence."""

    sequence: int
    data: bytes


Command = Append | Say | Perform | Save


class Beat(msgspec.Struct, frozen=True):
    """What a leader says of itself over and over."""

    instance: str
    term: int


class Note(msgspec.Struct, frozen=True):
    """Something that an operator wants to read in the service's log."""

    level: Literal["info", "warning", "error"]
    text: str
    fields: dict[str, Any] = {}
