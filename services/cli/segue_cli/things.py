"""Find what a person means by a name: an app, a service, a slot, a container, a node, an event.

    shop   shop/web   shop/web.3   shop/web.3@2   node-a   4711   <id of an event>

An app and a node of one name: `node:NAME` is the node. It never guesses: of a name that there is
not, the nearest ones are told.
"""

import difflib
import re
import uuid
from collections.abc import Iterable

import msgspec
from segue.picture import Picture
from segue.wants import wanted_slots

from segue_cli.errors import InvalidError, NotFoundError

_SERVICE = re.compile(r"([a-z0-9_-]+)/([a-z0-9_-]+)(?:\.(\d+)(?:@(\d+))?)?")
NAMED_MOST = 8


class AppName(msgspec.Struct, frozen=True):
    """An app."""

    app: str


class ServiceName(msgspec.Struct, frozen=True):
    """A service of an app."""

    app: str
    service: str


class SlotName(msgspec.Struct, frozen=True):
    """A slot, or with `attempt` one of the containers it has had."""

    app: str
    service: str
    slot: int
    attempt: int | None = None

    def __str__(self) -> str:
        attempt = "" if self.attempt is None else f"@{self.attempt}"
        return f"{self.app}/{self.service}.{self.slot}{attempt}"


class NodeName(msgspec.Struct, frozen=True):
    """A node."""

    node: str


class EventName(msgspec.Struct, frozen=True):
    """An event, by its sequence or its id."""

    sequence: int = 0
    id: str = ""


Thing = AppName | ServiceName | SlotName | NodeName | EventName


def thing(text: str, picture: Picture) -> Thing:
    """Find what `text` names, or raise `NotFoundError` with the nearest that there is."""
    kind, colon, rest = text.partition(":")
    if colon and kind == "event":
        return EventName(int(rest)) if rest.isdecimal() else EventName(id=rest)
    if colon and kind == "node":
        return _node(rest, picture)
    if text.isdecimal() and text not in picture.apps:
        return EventName(int(text))
    if _is_uuid(text):
        return EventName(id=text)
    if "/" in text:
        return _of_app(text, picture)
    if text in picture.apps:
        return AppName(text)
    if text in picture.nodes:
        return NodeName(text)
    there = [*picture.apps, *picture.nodes]
    raise NotFoundError(f"there is no app and no node called {text}", nearest(text, there))


def _is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


def _node(name: str, picture: Picture) -> NodeName:
    if name not in picture.nodes:
        raise NotFoundError(f"there is no node called {name}", nearest(name, picture.nodes))
    return NodeName(name)


def _of_app(text: str, picture: Picture) -> ServiceName | SlotName:
    found = _SERVICE.fullmatch(text)
    if found is None:
        raise InvalidError(
            f"{text!r} names nothing",
            "write app/service, app/service.slot, or app/service.slot@attempt",
        )
    app, service, slot, attempt = found.groups()
    if app not in picture.apps:
        raise NotFoundError(f"there is no app called {app}", nearest(app, picture.apps))
    services = picture.apps[app].services
    if service not in services:
        raise NotFoundError(f"{app} has no service called {service}", nearest(service, services))
    if slot is None:
        return ServiceName(app, service)
    slots = services[service].slots
    if int(slot) not in slots:
        if int(slot) in wanted_slots(picture, picture.apps[app], services[service]):
            raise NotFoundError(f"{text} has had no container yet", f"`segue ps {app}` tells why")
        has = f"it has had: {_ranges(sorted(slots))}" if slots else "it never had one"
        raise NotFoundError(f"{app}/{service} has no slot {slot}", has)
    return SlotName(app, service, int(slot), int(attempt) if attempt else None)


def _ranges(numbers: list[int]) -> str:
    """Write `1-3, 7` for 1, 2, 3, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def nearest(name: str, there: Iterable[str]) -> str:
    """Give a hint: what was perhaps meant, else what there is."""
    names = sorted(there)
    if not names:
        return "there is nothing yet"
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"perhaps {' or '.join(near)}?"
    more = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return f"there are: {', '.join(names[:NAMED_MOST])}{more}"
