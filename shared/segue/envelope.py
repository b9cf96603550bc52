"""The envelope of every event: CloudEvents 1.0, written structured, read in any of three forms.

Read are: structured JSON (ours), binary mode (`ce-*` headers), and, on the subject of a request
that anyone may make, the bare data. Whatever is wrong with a message comes out as one of `ERRORS`;
nothing else is ever raised. What `encode` writes, `decode` reads: an event that could not be read
back is refused before it is said.

An event is known among all by its `key`. Segue's own ids are unique by themselves; that of another
program means something only together with its source, so what it causes names both.

Sources: CloudEvents 1.0.2 and its NATS binding; `correlationid` and `causationid` are its official
extensions, `traceparent` its distributed tracing extension, `causationsource` and `actor` are ours.
"""

import datetime as dt
import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from segue.events import REGISTRY, Event
from segue.events.deploy import DeployRequested
from segue.events.ring import ANYONE, RING
from segue.ids import derived, is_token
from segue.log import Message, Stored

ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)
CONTENT_TYPE = "application/cloudevents+json"
MAX_BYTES = 1_000_000
ATTRIBUTE_CHARACTERS_MAX = 256
BARE = "/foreign"  # The source of what names none.
_OWN = ("/segue/", "/cli/", BARE)  # Whose ids Segue makes, or takes to be unique.
_NEEDED = ("id", "source", "type")
_TRACEPARENT = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)


class UnknownTypeError(msgspec.ValidationError):
    """A well-formed event of a type, or of a newer version of a type, that this code lacks."""

    def __init__(self, text: str, *, ours: bool) -> None:
        super().__init__(text)
        self.ours = ours  # Another Segue wrote it: this one is too old to go on.


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes as they stand in the JSON; an optional one may be null, which is to lack it.

    `correlationid` is the id of the request that began it all, `causationid` that of the event
    that caused this one, `causationsource` the source of that event where another program said it,
    `actor` who asked for it.
    """

    id: str
    source: str
    type: str
    specversion: str = "1.0"
    subject: str | UnsetType | None = UNSET
    time: str | UnsetType | None = UNSET
    datacontenttype: str | UnsetType | None = "application/json"
    dataschema: str | UnsetType | None = UNSET
    traceparent: str | UnsetType | None = UNSET
    correlationid: str | UnsetType | None = UNSET
    causationid: str | UnsetType | None = UNSET
    causationsource: str | UnsetType | None = UNSET
    actor: str | UnsetType | None = UNSET
    data: msgspec.Raw | UnsetType = UNSET


def key(source: str, event_id: str) -> str:
    """Name an event among all; `source` may be empty where the id is Segue's own."""
    own = not source or source.startswith(_OWN)
    return event_id if own else derived("foreign", source, event_id)


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another event needs to know of the event that caused it."""

    id: str
    correlation: str
    traceparent: str = ""
    source: str = ""  # Of another program's event only.

    @property
    def key(self) -> str:
        """Name the causing event among all."""
        return key(self.source, self.id)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log with all that the log knows about it."""

    sequence: int
    time: float  # The log's, in seconds since 1970.
    event: Event
    id: str
    source: str
    correlation: str
    cause: str = ""  # Empty for what nothing in the log caused.
    cause_source: str = ""  # Empty too where the id alone tells.
    actor: str = ""
    traceparent: str = ""

    @property
    def key(self) -> str:
        """Name this event among all."""
        return key(self.source, self.id)

    @property
    def cause_key(self) -> str:
        """Name the event that caused this one; empty for none."""
        return key(self.cause_source, self.cause)

    def as_cause(self) -> Cause:
        """Name this event as the cause of another."""
        source = self.source if self.key != self.id else ""
        return Cause(self.id, self.correlation, self.traceparent, source)


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


def _urn(name: str) -> str:
    return f"urn:segue:{name}:"


_SCHEMAS = {name: f"{_urn(name)}1" for name in REGISTRY}


def traceparent_of(correlation: str, event_id: str) -> str:
    """Derive W3C trace context: one trace per correlation, one span per event, always sampled."""
    trace = hashlib.sha256(f"trace\x1f{correlation}".encode()).hexdigest()[:32]
    span = hashlib.sha256(f"span\x1f{event_id}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"


def encode(
    event: Event,
    *,
    id: str,  # noqa: A002 — the attribute's name.
    source: str,
    time: float,
    cause: Cause | None = None,
    actor: str = "",
) -> Message:
    """Make the message that says `event`. `time` is the speaker's, for readers; no core uses it.

    Raises one of `ERRORS` if `decode` could not read it.
    """
    correlation = cause.correlation if cause else id
    traceparent = _child(cause.traceparent if cause else "", correlation, id)
    stamp = dt.datetime.fromtimestamp(time, dt.UTC).isoformat(timespec="milliseconds")
    envelope = Envelope(
        id=id,
        source=source,
        type=event.type,
        subject="/".join(str(getattr(event, field)) for field in event.scope) or UNSET,
        time=stamp.replace("+00:00", "Z"),
        dataschema=_SCHEMAS[event.type],
        traceparent=traceparent,
        correlationid=correlation,
        causationid=cause.id if cause else UNSET,
        causationsource=(cause.source if cause else "") or UNSET,
        actor=actor or UNSET,
        data=msgspec.Raw(_encode(event)),
    )
    _event(_checked(envelope), event.subject)
    headers = {"Content-Type": CONTENT_TYPE, "traceparent": traceparent}
    return Message(event.subject, id, _encode(envelope), headers)


def _child(parent: str, correlation: str, event_id: str) -> str:
    own = traceparent_of(correlation, event_id)
    given = _TRACEPARENT.fullmatch(parent)
    if given is None:
        return own
    return f"00-{given[1]}-{own.split('-')[2]}-{given[2]}"


def decode(stored: Stored) -> Record:
    """Read a message of the log, or raise one of `ERRORS` saying what is wrong with it."""
    if len(stored.data) > MAX_BYTES:
        raise msgspec.ValidationError(f"{len(stored.data)} bytes; at most {MAX_BYTES} are read")
    headers = {name.lower(): value for name, value in stored.headers.items()}
    envelope = _checked(_envelope(stored, headers))
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
        cause_source=envelope.causationsource or "",
        actor=envelope.actor or "",
        traceparent=_traced(envelope.traceparent or headers.get("traceparent", "")),
    )


def _traced(traceparent: str) -> str:
    """Take a trace context only if it is one: it goes on in the headers of what it causes."""
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else ""


def _envelope(stored: Stored, headers: Mapping[str, str]) -> Envelope:
    if headers.get("content-type", "").lower().startswith("application/cloudevents"):
        return _ENVELOPE.decode(stored.data)
    if "ce-specversion" in headers:
        return _binary(stored, headers)
    body = msgspec.json.decode(stored.data or b"{}")
    if not isinstance(body, dict):
        raise msgspec.ValidationError(f"the body is {type(body).__name__}, not an object")
    if "specversion" in body:  # Structured, by a program that sets no headers.
        return _ENVELOPE.decode(stored.data)
    return _bare(stored, headers, body)


def _binary(stored: Stored, headers: Mapping[str, str]) -> Envelope:
    attributes: dict[str, Any] = {
        name[3:]: _unescaped(value)
        for name, value in headers.items()
        if name.startswith("ce-") and name != "ce-data"
    }
    envelope = msgspec.convert(attributes, Envelope)
    return msgspec.structs.replace(envelope, data=msgspec.Raw(stored.data or b"{}"))


def _unescaped(value: str) -> str:
    """Undo quotes, which older writers used, and then percent-encoding, as the binding says."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return urllib.parse.unquote(value, errors="strict")


def _bare(stored: Stored, headers: Mapping[str, str], data: dict[str, Any]) -> Envelope:
    tokens = stored.subject.split(".")
    name = ".".join(tokens[:2])
    event = REGISTRY.get(name)
    if event is None:
        raise UnknownTypeError(f"not a CloudEvent, and there is no event called {name}", ours=False)
    if ANYONE not in RING[event].authors:
        raise msgspec.ValidationError(
            "not a CloudEvent; a bare body is read on the subject of a request only"
        )
    if event is DeployRequested and "compose" not in data and "services" in data:
        data = {"compose": data}
    kinds = {field.name: field.type for field in msgspec.structs.fields(event)}
    for field, text in zip(event.scope, tokens[2:], strict=False):
        if field not in data:
            data[field] = msgspec.convert(text, kinds[field], strict=False)
    return Envelope(
        id=headers.get("nats-msg-id") or derived("bare", stored.sequence, stored.subject),
        source=BARE,
        type=name,
        traceparent=headers.get("traceparent", UNSET),
        data=msgspec.Raw(_encode(data)),
    )


def _checked(envelope: Envelope) -> Envelope:
    if envelope.specversion != "1.0":
        raise msgspec.ValidationError(f"specversion is {envelope.specversion!r}, not '1.0'")
    words = [
        envelope.id,
        envelope.source,
        envelope.type,
        envelope.correlationid or "",
        envelope.causationid or "",
        envelope.causationsource or "",
        envelope.actor or "",
    ]
    whole = "".join(words)
    # Most are so short together that none can be too long: every follower reads every event.
    if len(whole) > ATTRIBUTE_CHARACTERS_MAX or not whole.isprintable() or not all(words[:3]):
        _check_each(envelope)
    if envelope.datacontenttype != "application/json":
        kind = (envelope.datacontenttype or "application/json").split(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise msgspec.ValidationError(f"datacontenttype is {kind!a}; only JSON is read")
    return envelope


def _check_each(envelope: Envelope) -> None:
    for name in (*_NEEDED, "correlationid", "causationid", "causationsource", "actor"):
        value = getattr(envelope, name)
        if not value:
            if name in _NEEDED:
                raise msgspec.ValidationError(f"{name} is empty")
        elif len(value) > ATTRIBUTE_CHARACTERS_MAX or not value.isprintable():
            raise msgspec.ValidationError(
                f"{name} is {value[:64]!a}; at most {ATTRIBUTE_CHARACTERS_MAX} characters"
                " and no control characters are allowed"
            )


def _event(envelope: Envelope, subject: str) -> Event:
    decoder = _DECODERS.get(envelope.type)
    ours = envelope.source.startswith("/segue/")
    if decoder is None:
        raise UnknownTypeError(f"there is no event called {envelope.type}", ours=ours)
    schema = envelope.dataschema
    if schema and schema != _SCHEMAS[envelope.type] and schema.startswith(_urn(envelope.type)):
        version = schema.rsplit(":", 1)[1]
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
