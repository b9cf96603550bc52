"""Describe the whole bus as one AsyncAPI 3.0 document: a channel for each event type.

Who sends and who receives comes from the ring. The document says what is on the bus; it never
says what must be run, so it knows no server.
"""

import inspect
from typing import Any

import event_schema
from segue.envelope import CONTENT_TYPE
from segue.events import REGISTRY, Event, ring

PLACE = "#/components/schemas/"


def asyncapi() -> dict[str, Any]:
    """Give the document."""
    events = [REGISTRY[name] for name in sorted(REGISTRY)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Segue",
            "version": "1",
            "description": "Every event of a Segue cluster. A subject is the event's type followed"
            " by its scope; the body is a CloudEvent in structured JSON.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {event.type: _channel(event) for event in events},
        "operations": dict(sorted(pair for event in events for pair in _operations(event))),
        "components": {
            "messages": {event.type: _message(event) for event in events},
            "schemas": _schemas(events),
        },
    }


def _channel(event: type[Event]) -> dict[str, Any]:
    said = event_schema.comments(event)
    channel: dict[str, Any] = {
        "address": ".".join((event.type, *(f"{{{field}}}" for field in event.scope))),
        "messages": {event.type: {"$ref": f"#/components/messages/{event.type}"}},
    }
    if event.scope:
        channel["parameters"] = {
            field: {"description": said.get(field, f"The {field}'s name or number.")}
            for field in event.scope
        }
    return channel


def _message(event: type[Event]) -> dict[str, Any]:
    own = {"type": {"const": event.type}, "data": {"$ref": PLACE + event.__name__}}
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": inspect.cleandoc(event.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "payload": {"allOf": [{"$ref": PLACE + "Envelope"}, {"properties": own}]},
    }


def _operations(event: type[Event]) -> list[tuple[str, dict[str, Any]]]:
    place = ring.RING[event]
    rest = {
        "channel": {"$ref": f"#/channels/{event.type}"},
        "messages": [{"$ref": f"#/channels/{event.type}/messages/{event.type}"}],
    }
    roles = [("send", name) for name in place.authors]
    roles += [("receive", name) for name in place.followers]
    return [(f"{name}.{role}.{event.type}", {"action": role, **rest}) for role, name in roles]


def _schemas(events: list[type[Event]]) -> dict[str, Any]:
    found: dict[str, Any] = {"Envelope": _without_names(event_schema.envelope_schema())}
    for event in events:
        found |= event_schema.components(event, PLACE)
    return dict(sorted(found.items()))


def _without_names(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if not key.startswith("$")}
