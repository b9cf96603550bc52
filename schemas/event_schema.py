"""Say what an event's data and its envelope are in JSON Schema 2020-12.

Everything is derived from the types: a description is the docstring, or the comment at the end of
a field's line; tokens of the subject get their pattern. Nothing is spelt here that a type spells.
"""

import inspect
import io
import re
import tokenize
from typing import Any

import msgspec
from segue import spec
from segue.envelope import Envelope
from segue.events import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOKEN = "^[a-z0-9_-]{1,63}$"  # noqa: S105 — a token of a subject.
# What CloudEvents 1.0.2 and W3C Trace Context ask of an attribute beyond being a string.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "id": {"minLength": 1},
    "source": {"minLength": 1, "format": "uri-reference"},
    "type": {"minLength": 1},
    "specversion": {"const": "1.0"},
    "subject": {"minLength": 1},
    "time": {"format": "date-time"},
    "dataschema": {"minLength": 1, "format": "uri"},
    "traceparent": {"pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
}


def event_schema(event: type[Event]) -> dict[str, Any]:
    """Give the schema of the event's data."""
    parts = components(event)
    own: dict[str, Any] = parts.pop(event.__name__)
    schema = {"$schema": DIALECT, "$id": f"urn:segue:{event.type}:1"} | own
    return schema | ({"$defs": parts} if parts else {})


def envelope_schema() -> dict[str, Any]:
    """Give the schema of the structured JSON around every event's data."""
    own: dict[str, Any] = components(Envelope)[Envelope.__name__]
    for name, rules in ATTRIBUTES.items():
        own["properties"][name] |= rules
    own["required"] = ["id", "source", "specversion", "type"]
    del own["properties"]["specversion"]["default"]
    return {"$schema": DIALECT, "$id": "urn:segue:envelope:1"} | own


def components(event: type[msgspec.Struct], place: str = "#/$defs/") -> dict[str, Any]:
    """Give the schemas of a type and of all it is made of, by name, referring to each other."""
    _, parts = msgspec.json.schema_components([event], ref_template=place + "{name}")
    origins = {**vars(spec), **vars(inspect.getmodule(event)), event.__name__: event}
    for name, part in parts.items():
        _describe(part, origins[name])
    return dict(sorted(parts.items()))


def _describe(part: dict[str, Any], origin: type[msgspec.Struct]) -> None:
    part["description"] = inspect.cleandoc(origin.__doc__ or "")
    said = comments(origin)
    tokens = origin.scope if issubclass(origin, Event) else ()
    for field, schema in part["properties"].items():
        if field in said:
            part["properties"][field] = {"description": said[field]} | schema
        if field in tokens and schema.get("type") == "string":
            part["properties"][field]["pattern"] = TOKEN


def comments(origin: type[msgspec.Struct]) -> dict[str, str]:
    """Give, by field, the comment that stands at the end of the field's line."""
    found: dict[str, str] = {}
    for kind in reversed(origin.__mro__):
        if kind not in (object, msgspec.Struct) and issubclass(kind, msgspec.Struct):
            found |= _trailing(inspect.getsource(kind))
    return found


def _trailing(source: str) -> dict[str, str]:
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and "noqa" not in token.string:
            field = re.match(r"    (\w+): ", token.line)
            if field:
                found[field[1]] = token.string.removeprefix("#").strip()
    return found
