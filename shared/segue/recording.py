"""The format of a recording: a stretch of the log as a file of JSON lines.

The first line says what it is: the version of the format, the cluster, the stretch's bounds, how
many messages follow, and, where the stretch does not begin with the log, the picture that it begins
with. Every other line is one stored message, as it was stored. Nothing here reads or writes files,
and nothing is judged but whether the file is whole.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from segue.log import Stored
from segue.picture import Picture

VERSION = 1


class RecordingError(ValueError):
    """What was given is no recording, or not a whole one; the text says what and where."""


class Recording(msgspec.Struct, frozen=True):
    """A stretch of a log, both ends included."""

    cluster: str
    first: int
    last: int
    messages: list[Stored]
    snapshot: bytes = b""  # The picture right before `first`; empty: an empty one.
    partial: bool = False  # The log had lost its beginning, and the snapshot does not make up.
    picture: str = ""  # `fingerprint` of the picture at `last`, where somebody wants it checked.


class _Head(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    segue_recording: int
    cluster: str
    first: int
    last: int
    messages: int
    partial: bool = False
    picture: str = ""
    snapshot: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    sequence: int
    time: float
    subject: str
    headers: dict[str, str] = {}
    data: str | None = None  # One of the two: text where it is text, else base64.
    base64: str | None = None


class _Version(msgspec.Struct):
    segue_recording: int


_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(_Head)
_line = msgspec.json.Decoder(_Line)
_version = msgspec.json.Decoder(_Version)
_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def fingerprint(picture: Picture) -> str:
    """Give a digest of all that the picture holds; equal pictures have equal ones."""
    plain = msgspec.to_builtins(picture.state, str_keys=True, order="deterministic")
    return hashlib.sha256(_encode(plain)).hexdigest()


def written(recording: Recording) -> Iterator[bytes]:
    """Give the lines of a recording, each with its end."""
    head = _Head(
        segue_recording=VERSION,
        cluster=recording.cluster,
        first=recording.first,
        last=recording.last,
        messages=len(recording.messages),
        partial=recording.partial,
        picture=recording.picture,
        snapshot=base64.b64encode(recording.snapshot).decode(),
    )
    yield _encode(head) + b"\n"
    for stored in recording.messages:
        yield _encode(_as_line(stored)) + b"\n"


def _as_line(stored: Stored) -> _Line:
    line = _Line(stored.sequence, stored.time, stored.subject, dict(stored.headers))
    try:
        line.data = stored.data.decode()
    except UnicodeDecodeError:
        line.base64 = base64.b64encode(stored.data).decode()
    return line


def read(lines: Iterable[bytes]) -> Recording:
    """Read the lines of a recording, or raise `RecordingError`."""
    rest = iter(lines)
    head = _read_head(next(rest, b""))
    messages: list[Stored] = []
    before = head.first - 1
    for number, line in enumerate(rest, 2):
        if not line.strip():
            continue
        stored = _read_line(number, line)
        if not before < stored.sequence <= head.last:
            raise RecordingError(
                f"line {number}: sequence {stored.sequence} stands where one from {before + 1} "
                f"to {head.last} must: lines are missing, doubled or out of order"
            )
        before = stored.sequence
        messages.append(stored)
    if len(messages) != head.messages:
        raise RecordingError(
            f"{len(messages)} messages are there and the first line promises {head.messages}: "
            "the file was cut or changed; export it again"
        )
    return Recording(
        cluster=head.cluster,
        first=head.first,
        last=head.last,
        messages=messages,
        snapshot=_binary(1, head.snapshot),
        partial=head.partial,
        picture=head.picture,
    )


def _read_head(line: bytes) -> _Head:
    try:
        version = _version.decode(line).segue_recording
    except _ERRORS:
        raise RecordingError(
            "line 1: this is no recording; `segue export` makes one, its first line begins "
            'with {"segue_recording":'
        ) from None
    if version != VERSION:
        raise RecordingError(
            f"line 1: the recording has version {version}, and this Segue reads {VERSION}: "
            "read it with the Segue that wrote it, or export it again"
        )
    try:
        return _head.decode(line)
    except _ERRORS as error:
        raise RecordingError(f"line 1: {error}") from None


def _read_line(number: int, line: bytes) -> Stored:
    try:
        found = _line.decode(line)
    except _ERRORS as error:
        raise RecordingError(f"line {number}: no message of a recording: {error}") from None
    if (found.data is None) == (found.base64 is None):
        raise RecordingError(f"line {number}: one of data and base64 must be there, and only one")
    data = _binary(number, found.base64 or "") if found.data is None else found.data.encode()
    return Stored(found.sequence, found.time, found.subject, data, found.headers)


def _binary(number: int, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordingError(f"line {number}: the base64 is damaged: {error}") from None
