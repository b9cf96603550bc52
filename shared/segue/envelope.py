"""The envelope of every event: CloudEvents 1.0, written structured, read in any of three forms.

Read are: structured JSON (ours), binary mode (`ce-*` headers), and, on a `*.requested` or
`*_requested` subject only, the bare data. Whatever is wrong with a message comes out as one of
`ERRORS`; nothing else is ever raised.

Sources: CloudEvents 1.0.2 and its NATS binding; `correlationid` and `causationid` are its official
extensions, `traceparent` its distributed tracing extension, `actor` is ours.
"""

import datetime as dt
import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from segue.events import REGISTRY, Event
from segue.ids import derived, is_token
from segue.log import Message, Stored

ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
CONTENT_TYPE = "application/cloudevents+json"
MAX_BYTES = 1_000_000


class UnknownTypeError(msgspec.ValidationError):
    """A well-formed event of a type, or of a newer version of a type, that this code lacks."""

    def __init__(self, text: str, *, ours: bool) -> None:
        super().__init__(text)
        self.ours = ours  # Another Segue wrote it: this one is too old to go on.


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes as they stand in the JSON."""

    id: str
    source: str
    type: str
    specversion: str = "1.0"
    subject: str | UnsetType = UNSET
    time: str | UnsetType = UNSET
    datacontenttype: str | UnsetType = "application/json"
    dataschema: str | UnsetType = UNSET
    traceparent: str | UnsetType = UNSET
    correlationid: str | UnsetType = UNSET
    causationid: str | UnsetType = UNSET
    actor: str | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another event needs to know of the event that caused it."""

    id: str
    correlation: str
    traceparent: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log with all that the log knows about it."""

    sequence: int
    time: float  # The log's, in seconds since 1970.
    event: Event
    id: str
    source: str
    correlation: str
    cause: str = ""  # Empty for what nothing in the log caused.
    actor: str = ""
    traceparent: str = ""

    def as_cause(self) -> Cause:
        """Name this event as the cause of another."""
        return Cause(self.id, self.correlation, self.traceparent)


class Unreadable(msgspec.Struct, frozen=True):
    """A message of the log that could not be decoded, and why."""

    sequence: int
    time: float
    subject: str
    reason: str


_ENVELOPE = msgspec.json.Decoder(Envelope)
_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {
    name: msgspec.json.Decoder(event) for name, event in REGISTRY.items()
}
_encode = msgspec.json.Encoder().encode


def traceparent_of(correlation: str, event_id: str) -> str:
    """Derive W3C trace context: one trace per correlation, one span per event, always sampled."""
    trace, span = derived("trace", correlation), derived("span", event_id)
    return f"00-{trace.replace('-', '')}-{span.replace('-', '')[:16]}-01"


def encode(
    event: Event,
    *,
    id: str,  # noqa: A002 — the attribute's name.
    source: str,
    time: float,
    cause: Cause | None = None,
    actor: str = "",
) -> Message:
    """Make the message that says `event`. `time` is the speaker's, for readers; no core uses it."""
    correlation = cause.correlation if cause else id
    traceparent = _child(cause.traceparent if cause else "", correlation, id)
    stamp = dt.datetime.fromtimestamp(time, dt.UTC).isoformat(timespec="milliseconds")
    envelope = Envelope(
        id=id,
        source=source,
        type=event.type,
        subject="/".join(str(getattr(event, field)) for field in event.scope) or UNSET,
        time=stamp.replace("+00:00", "Z"),
        dataschema=f"urn:segue:{event.type}:1",
        traceparent=traceparent,
        correlationid=correlation,
        causationid=cause.id if cause else UNSET,
        actor=actor or UNSET,
        data=msgspec.Raw(_encode(event)),
    )
    headers = {"Content-Type": CONTENT_TYPE, "traceparent": traceparent}
    return Message(event.subject, id, _encode(envelope), headers)


def _child(parent: str, correlation: str, event_id: str) -> str:
    own = traceparent_of(correlation, event_id)
    parts = parent.split("-")
    if len(parts) != 4:
        return own
    return "-".join((parts[0], parts[1], own.split("-")[2], parts[3]))


def decode(stored: Stored) -> Record:
    """Read a message of the log, or raise one of `ERRORS` saying what is wrong with it."""
    if len(stored.data) > MAX_BYTES:
        raise msgspec.ValidationError(f"{len(stored.data)} bytes; at most {MAX_BYTES} are read")
    headers = {name.lower(): value for name, value in stored.headers.items()}
    envelope = _envelope(stored, headers)
    if envelope.specversion != "1.0":
        raise msgspec.ValidationError(f"specversion is {envelope.specversion!r}, not '1.0'")
    event = _event(envelope, stored.subject)
    correlation = envelope.correlationid or envelope.id
    return Record(
        sequence=stored.sequence,
        time=stored.time,
        event=event,
        id=envelope.id,
        source=envelope.source,
        correlation=correlation,
        cause=envelope.causationid or "",
        actor=envelope.actor or "",
        traceparent=envelope.traceparent or headers.get("traceparent", ""),
    )


def _envelope(stored: Stored, headers: Mapping[str, str]) -> Envelope:
    if headers.get("content-type", "").startswith("application/cloudevents"):
        return _ENVELOPE.decode(stored.data)
    if "ce-specversion" in headers:
        return _binary(stored, headers)
    if b'"specversion"' in stored.data:  # Structured, by a program that sets no headers.
        return _ENVELOPE.decode(stored.data)
    return _bare(stored, headers)


def _binary(stored: Stored, headers: Mapping[str, str]) -> Envelope:
    attributes: dict[str, Any] = {
        name[3:]: urllib.parse.unquote(value)
        for name, value in headers.items()
        if name.startswith("ce-")
    }
    attributes.pop("data", None)
    envelope = msgspec.convert(attributes, Envelope)
    return msgspec.structs.replace(envelope, data=msgspec.Raw(stored.data))


def _bare(stored: Stored, headers: Mapping[str, str]) -> Envelope:
    tokens = stored.subject.split(".")
    name = ".".join(tokens[:2])
    if not name.endswith("requested"):
        raise msgspec.ValidationError(
            "not a CloudEvent; a bare body is read on a `*.requested` subject only"
        )
    event = REGISTRY.get(name)
    if event is None:
        raise UnknownTypeError(f"there is no event called {name}", ours=False)
    data = msgspec.json.decode(stored.data or b"{}")
    if not isinstance(data, dict):
        raise msgspec.ValidationError(f"the body is {type(data).__name__}, not an object")
    if name == "deploy.requested" and "compose" not in data and "services" in data:
        data = {"compose": data}
    for field, text in zip(event.scope, tokens[2:], strict=False):
        data.setdefault(field, text)
    return Envelope(
        id=headers.get("nats-msg-id") or derived("bare", stored.sequence, stored.subject),
        source="/foreign",
        type=name,
        traceparent=headers.get("traceparent", UNSET),
        data=msgspec.Raw(_encode(data)),
    )


def _event(envelope: Envelope, subject: str) -> Event:
    decoder = _DECODERS.get(envelope.type)
    ours = envelope.source.startswith("/segue/")
    if decoder is None:
        raise UnknownTypeError(f"there is no event called {envelope.type}", ours=ours)
    if envelope.dataschema and envelope.dataschema.startswith(f"urn:segue:{envelope.type}:"):
        version = envelope.dataschema.rsplit(":", 1)[1]
        if version != "1":
            raise UnknownTypeError(f"{envelope.type} has version {version}, not 1", ours=ours)
    event = decoder.decode(envelope.data if envelope.data is not UNSET else b"{}")
    for field in event.scope:
        value = getattr(event, field)
        if isinstance(value, str) and not is_token(value):
            raise msgspec.ValidationError(
                f"{field} is {value!r}; at most 63 of a-z, 0-9, - and _ are allowed"
            )
    if event.subject != subject:
        raise msgspec.ValidationError(f"the subject is {subject}, the content says {event.subject}")
    return event
