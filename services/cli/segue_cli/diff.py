"""The command `segue diff`: what of the cluster differs between two moments, in words.

It compares two pictures. What happened in between and was undone is not in it; `segue events`
tells that.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.table import Table
from segue.picture import App, Container, Node, Picture, Service
from segue.spec import ServiceSpec
from segue.wants import at_hand

from segue_cli import rows
from segue_cli.amounts import count, size
from segue_cli.connect import BusFlags, connected
from segue_cli.listing import must_be_there, when
from segue_cli.moment import FORMS, clock, day
from segue_cli.reading import Sight, sight
from segue_cli.tables import STYLES, AsJson, console, for_eyes, print_json, styled

_From = Annotated[str, Parameter(name="--from", help=f"The earlier moment: {FORMS}.")]
_To = Annotated[str | None, Parameter(name="--to", help="The later moment; else now.")]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `words` is it as a person says it."""

    thing: str
    kind: Literal["new", "gone", "changed"]
    what: str  # Which property changed; empty for what is new or gone.
    before: str = ""
    after: str = ""
    words: str


async def diff(
    app: Annotated[str | None, Parameter(help="Only of this app.")] = None,
    /,
    *,
    start: _From,
    end: _To = None,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Compare the cluster at two moments."""
    async with connected(bus) as connection:
        head = await connection.head()
        before = await sight(connection, when(start, head), head)
        after = await sight(connection, None if end is None else when(end, head), head)
    if app is not None:
        must_be_there((before.picture, after.picture), app)
    changes = list(compare(before.picture, after.picture, app))
    if not for_eyes(as_json=as_json):
        print_json(changes)
        return
    screen = console()
    screen.print(styled(f"from {_place(before)} to {_place(after)}", "dim"))
    if changes:
        screen.print(_table(changes))
    else:
        screen.print(styled("Nothing differs.", "dim"))


def _place(seen: Sight) -> str:
    return f"{day(seen.time)} {clock(seen.time)} (sequence {seen.picture.state.sequence})"


def _table(changes: list[Change]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(style=STYLES["name"], no_wrap=True)
    grid.add_column(overflow="fold")
    marks = {"new": ("+", "good"), "gone": ("-", "bad"), "changed": ("~", "warn")}
    for change in changes:
        grid.add_row(styled(*marks[change.kind]), change.thing, change.words)
    return grid


def compare(before: Picture, after: Picture, app: str | None = None) -> Iterator[Change]:
    """Give what differs: apps, their services and slots, then nodes and leaders."""
    for name in sorted({*before.apps, *after.apps}):
        if app in (None, name):
            yield from _app(name, before, after)
    if app is not None:
        return
    for name in sorted({*before.nodes, *after.nodes}):
        yield from _node(name, before.nodes.get(name), after.nodes.get(name))
    for name in sorted({*before.leaders, *after.leaders}):
        old, new = before.leaders.get(name), after.leaders.get(name)
        led = (old.instance if old else "nobody", new.instance if new else "nobody")
        if old is None or new is None or old.term != new.term:
            yield _changed(name, "leader", *led, words=f"led by {led[1]} instead of {led[0]}")


def _changed(thing: str, what: str, before: str, after: str, *, words: str = "") -> Change:
    words = words or f"{what}: {before or 'none'} → {after or 'none'}"
    return Change(thing=thing, kind="changed", what=what, before=before, after=after, words=words)


def _new(thing: str, words: str) -> Change:
    return Change(thing=thing, kind="new", what="", words=words)


def _gone(thing: str, words: str) -> Change:
    return Change(thing=thing, kind="gone", what="", words=words)


# Apps.


def _app(name: str, before: Picture, after: Picture) -> Iterator[Change]:
    old, new = _there(before, name), _there(after, name)
    if old is None and new is None:
        return
    if new is None:
        yield _gone(name, "removed")
    elif old is None:
        yield _new(name, f"deployed, revision {new.revision}, {new.phase}")
    else:
        if old.revision != new.revision:
            yield _changed(name, "revision", str(old.revision), str(new.revision))
        if old.phase != new.phase:
            reason = f": {new.reason}" if new.reason else ""
            words = f"{new.phase} instead of {old.phase}{reason}"
            yield _changed(name, "state", old.phase, new.phase, words=words)
    services = {**(old.services if old else {}), **(new.services if new else {})}
    for service in sorted(services):
        was, is_ = _wanted(old, service), _wanted(new, service)
        if old is not None and new is not None:
            yield from _service(f"{name}/{service}", was, is_)
        yield from _slots(f"{name}/{service}", (before, old, was), (after, new, is_))


def _there(picture: Picture, name: str) -> App | None:
    app = picture.apps.get(name)
    return app if app is not None and app.phase != "removed" else None


def _wanted(app: App | None, name: str) -> Service | None:
    service = app.services.get(name) if app is not None else None
    return service if service is not None and service.wanted else None


def _service(name: str, old: Service | None, new: Service | None) -> Iterator[Change]:
    if old is None and new is not None:
        yield _new(name, f"{count(new.replicas, 'replica')} of {new.spec.image}")
    elif old is not None and new is None:
        yield _gone(name, "no longer wanted")
    elif old is not None and new is not None:
        if old.replicas != new.replicas:
            yield _changed(name, "replicas", str(old.replicas), str(new.replicas))
        if bool(old.flapping_since) != bool(new.flapping_since):
            states = (
                "flapping" if old.flapping_since else "steady",
                "flapping" if new.flapping_since else "steady",
            )
            yield _changed(name, "state", *states)
        yield from _spec(name, old.spec, new.spec)


def _spec(name: str, old: ServiceSpec, new: ServiceSpec) -> Iterator[Change]:
    """Compare field by field; how many are wanted has been said already."""
    for field in ServiceSpec.__struct_fields__:
        before, after = getattr(old, field), getattr(new, field)
        if before == after or field == "replicas":
            continue
        texts = [
            v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in (before, after)
        ]
        yield _changed(name, field, *texts)


Side = tuple[Picture, App | None, Service | None]


def _slots(name: str, before: Side, after: Side) -> Iterator[Change]:
    """Compare what fills each slot that is wanted."""
    old, new = _filled(*before), _filled(*after)
    for number in sorted({*old, *new}):
        slot = f"{name}.{number}"
        was, is_ = old.get(number), new.get(number)
        if was is None and is_ is not None:
            yield _new(slot, _how(after[0], is_))
        elif was is not None and is_ is None:
            yield _gone(slot, f"was {_how(before[0], was)}")
        elif was is not None and is_ is not None:
            yield from _container(slot, (before[0], was), (after[0], is_))


def _filled(picture: Picture, app: App | None, service: Service | None) -> dict[int, Container]:
    if app is None or service is None:
        return {}
    slots = ((n, service.slots.get(n)) for n in at_hand(picture, app, service))
    return {n: slot.container for n, slot in slots if slot is not None and slot.container}


def _how(picture: Picture, container: Container) -> str:
    state, note = rows.condition(picture, container)
    place = f" on {container.node}" if container.node else ""
    return f"{state}{place}" + (f": {note}" if note else "")


def _container(
    name: str, before: tuple[Picture, Container], after: tuple[Picture, Container]
) -> Iterator[Change]:
    (_, old), (_, new) = before, after
    how = _how(*before), _how(*after)
    if old.attempt != new.attempt:
        attempts = f"attempt {new.attempt} instead of {old.attempt}"
        words = f"{attempts}: {how[1]}, was {how[0]}"
        yield _changed(name, "attempt", str(old.attempt), str(new.attempt), words=words)
    elif how[0] != how[1]:
        yield _changed(name, "state", *how, words=f"{how[1]}, was {how[0]}")
    elif old.phase != new.phase:
        yield _changed(name, "health", old.phase, new.phase)


# Nodes.


def _node(name: str, old: Node | None, new: Node | None) -> Iterator[Change]:
    if new is None:
        yield _gone(name, "unknown")
        return
    state = _state(new)
    if old is None:
        yield _new(name, f"joined, {state}")
        return
    if _state(old) != state:
        yield _changed(name, "state", _state(old), state, words=f"{state}, was {_state(old)}")
    if old.facts.session != new.facts.session:
        yield _changed(
            name, "session", old.facts.session, new.facts.session, words="its runner started anew"
        )
    for what in ("cpu_millicores", "labels", "engine", "version", "platform", "hostname"):
        was, is_ = getattr(old.facts, what), getattr(new.facts, what)
        if was != is_:
            yield _changed(name, what, _text(was), _text(is_))
    if old.facts.memory_bytes != new.facts.memory_bytes:
        sizes = size(old.facts.memory_bytes), size(new.facts.memory_bytes)
        yield _changed(name, "memory", *sizes)


def _state(node: Node) -> str:
    state, note = rows.node_condition(node)
    return f"{state}, {note}" if note else state


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in sorted(value.items()))
    return str(value)
