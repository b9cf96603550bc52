"""Write a message of the log as the CloudEvent it is, with its place in the log.

`sequence` and `recordedtime` are the official extensions: where it stands, and when by the log's
clock. A message that means nothing here is given as what it is, with the reason as `problem`.
"""

from typing import Any

import msgspec
from segue.envelope import Record

from segue_cli.moment import stamp
from segue_cli.reading import Read


def cloud_event(one: Read) -> dict[str, Any]:
    """Give the event as JSON's own values."""
    stored, record = one.stored, one.record
    place = {"sequence": str(stored.sequence), "recordedtime": stamp(stored.time)}
    problem = {"problem": one.problem} if record is None else {}
    structured = _structured(stored.data)
    if structured is not None:
        data = structured.pop("data", {})
        return {**structured, **place, **problem, "data": data}
    if record is None:
        said = stored.data.decode("utf-8", "replace")
        return {**problem, "on": stored.subject, **place, "content": said}
    return of_record(record)


def of_record(record: Record) -> dict[str, Any]:
    """Give an event from what was decoded of it: what it says, and what Segue goes by."""
    attributes = {
        "specversion": "1.0",
        "id": record.id,
        "source": record.source,
        "type": record.event.type,
        "correlationid": record.correlation,
        "causationid": record.cause,
        "causationsource": record.cause_source,
        "actor": record.actor,
        "traceparent": record.traceparent,
        "sequence": str(record.sequence),
        "recordedtime": stamp(record.time),
    }
    given = {name: value for name, value in attributes.items() if value}
    return {**given, "data": msgspec.to_builtins(record.event)}


def _structured(data: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and "specversion" in found else None
