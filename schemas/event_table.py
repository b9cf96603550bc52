"""Write docs/events.md: every event, its subject, who says it, who acts on it, what it carries.

All of it comes from the types, their docstrings and the ring.
"""

import inspect
import sys
from types import ModuleType

import msgspec
from segue.events import REGISTRY, Event, ring

HEAD = """\
# Events

<!-- Written by `just schemas` from shared/segue/events; edit the types there, not this page. -->

Every event is a CloudEvent 1.0 in structured JSON, stored once in the stream `EVENTS`. Its subject
is its type followed by its scope: `container.failed.shop.web.3.node-a`. The JSON Schema of each
event's data is `schemas/<type>.json`, of the envelope `schemas/envelope.json`, and
`schemas/asyncapi.json` describes the whole bus.

Whoever only looks (`segue events`, a notifier, your own program) may follow any event: the last
column but one names those that act on it. A field in *italics* may be left out; then it has the
default that the schema says.
"""
COLUMNS = ("event", "subject", "author", "followed by", "fields beyond the subject's")


def page() -> str:
    """Give the page's text."""
    modules: dict[str, list[type[Event]]] = {}
    for event in REGISTRY.values():
        modules.setdefault(event.__module__, []).append(event)
    parts = [_section(sys.modules[name], modules[name]) for name in sorted(modules)]
    return "\n".join((HEAD, *parts))


def _section(module: ModuleType, events: list[type[Event]]) -> str:
    noun = module.__name__.rsplit(".", 1)[1]
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *map(_row, events)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    meanings = "\n".join(f"- `{event.type}`: {_sentence(event)}" for event in events)
    law = _indented(inspect.cleandoc(module.__doc__ or ""))
    return f"## {noun}\n\n{law}\n\n{table}\n\n{meanings}\n"


def _row(event: type[Event]) -> tuple[str, ...]:
    place = ring.RING[event]
    scope = "".join(f".<{field}>" for field in event.scope)
    fields = [field for field in msgspec.structs.fields(event) if field.name not in event.scope]
    names = [f"`{f.name}`" if f.required else f"*`{f.name}`*" for f in fields]
    return (
        f"[`{event.type}`](../schemas/{event.type}.json)",
        f"`{event.type}{scope}`",
        ", ".join(place.authors),
        ", ".join(place.followers) or "—",
        " ".join(names) or "—",
    )


def _sentence(event: type[Event]) -> str:
    return " ".join(inspect.cleandoc(event.__doc__ or "").split())


def _indented(law: str) -> str:
    """Let a drawing keep its shape: from the first line that is one on, a block of code."""
    blocks = law.split("\n\n")
    return "\n\n".join(f"```\n{block}\n```" if _is_drawing(block) else block for block in blocks)


def _is_drawing(block: str) -> bool:
    return any(sign in block for sign in "─⇄└→")
