"""What may be asked of a node's services on core NATS, and how they answer. Nothing is stored.

    rpc.node.<node>.ping      → Here
    rpc.node.<node>.facts     → the node's facts, as JSON
    rpc.node.<node>.kept      → Kept
    rpc.node.<node>.inspect   Which      → the engine's own description of a container, as JSON
    rpc.node.<node>.logs      LogsAsked  → pieces
    rpc.node.<node>.exec      ExecAsked  → pieces, the last one the exit code

and of its gateway:

    rpc.gateway.<node>.ping   → Here
    rpc.gateway.<node>.facts  → Gateway

Input flows the other way, so whoever has it answers: for a program that was asked for with `token`,
the runner asks `rpc.node.<node>.input.<token>`, and gets pieces: input, and the sizes of the
asker's terminal. Their end is the end of the input.

A piece is one byte that says what follows, then the bytes.
"""

from typing import Literal

import msgspec

Part = Literal["stdout", "stderr", "exit", "stdin", "size"]
_MARKS: dict[Part, bytes] = {
    "stdout": b"\x01",
    "stderr": b"\x02",
    "exit": b"\x03",
    "stdin": b"\x04",
    "size": b"\x05",
}
_PARTS: dict[bytes, Part] = {mark: part for part, mark in _MARKS.items()}


class Here(msgspec.Struct, frozen=True):
    """A runner is at work on the node; `session` tells one run of it from another."""

    node: str
    session: str


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which apps, removed ones too, have something beside containers on the node."""

    networks_of: list[str] = []
    volumes_of: list[str] = []


class Gateway(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a gateway does now, a sentence for each thing that is amiss."""

    problems: list[str] = []  # What it was told to do and could not.
    hints: list[str] = []  # What on its host may be in the way.
    unreached: dict[str, str] = {}  # Other nodes whose gateways do not answer it, and how.
    addresses: dict[str, str] = {}  # By "app/service": its virtual address on this host.


class Which(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which container is meant."""

    app: str
    service: str
    slot: int
    attempt: int | None = None  # None: the slot's newest on the node.


class LogsAsked(Which, frozen=True, kw_only=True, omit_defaults=True):
    """Its log; the whole of it unless told otherwise."""

    follow: bool = False
    tail: int | None = None  # Only so many of its last lines.
    since_s: float | None = None  # Only what was written since, in seconds since 1970.
    timestamps: bool = False


class ExecAsked(Which, frozen=True, kw_only=True, omit_defaults=True):
    """A program to be run inside it. Letting go of the answer hangs up on the program."""

    cmd: list[str]
    terminal: bool = False
    user: str = ""
    interactive: bool = False  # The program gets input.
    token: str = ""  # Made by the asker, who answers with input and sizes.


class Size(msgspec.Struct, frozen=True, array_like=True):
    """How large a terminal is."""

    rows: int
    columns: int


def subject(node: str, question: str) -> str:
    """Give where a node is asked."""
    return f"rpc.node.{node}.{question}"


def gateway_subject(node: str, question: str) -> str:
    """Give where a node's gateway is asked."""
    return f"rpc.gateway.{node}.{question}"


def piece(part: Part, data: bytes) -> bytes:
    """Make a piece of an answer."""
    return _MARKS[part] + data


def read_piece(said: bytes) -> tuple[Part, bytes]:
    """Take a piece apart, or raise `msgspec.ValidationError`."""
    part = _PARTS.get(said[:1])
    if part is None:
        raise msgspec.ValidationError(f"a piece of an answer begins with {said[:1]!r}")
    return part, said[1:]
