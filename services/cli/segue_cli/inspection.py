"""One thing in full: as JSON the very state that services hold, on a terminal as short tables.

What is shown is looked up and put in order; nothing is concluded here that `ps` would not say.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from segue.picture import App, Container, Node, Picture, Service, Slot
from segue.spec import ServiceSpec

from segue_cli import reach, rows
from segue_cli.amounts import age, count, cpus, size, span
from segue_cli.cloudevent import cloud_event
from segue_cli.columns import node_columns, service_columns, slot_columns
from segue_cli.errors import NotFoundError
from segue_cli.moment import clock, day
from segue_cli.reading import Read, Sight
from segue_cli.story import about, tell, who
from segue_cli.tables import STYLES, styled, table
from segue_cli.things import AppName, EventName, NodeName, ServiceName, SlotName, Thing

Facts = list[tuple[str, str | Text]]


def document(what: Thing, picture: Picture, event: Read | None) -> Any:
    """Give the thing's state as it is."""
    match what:
        case AppName(app=app):
            return picture.apps[app]
        case ServiceName(app=app, service=service):
            return picture.service(app, service)
        case SlotName():
            slot = _slot(what, picture)
            return slot if what.attempt is None else _container(what, slot)
        case NodeName(node=name):
            on_node = picture.on_node.get(name, {}).values()
            held = [c.name for c in on_node]
            return {**msgspec.to_builtins(picture.nodes[name]), "containers": sorted(held)}
        case EventName():
            assert event is not None, "an event is looked up before it is shown"
            return cloud_event(event)


def sections(
    what: Thing, seen: Sight, event: Read | None, addresses: Mapping[str, list[str]] | None = None
) -> Iterator[RenderableType]:
    """Give the thing as a person reads it, part by part.

    `addresses` are a service's virtual ones, each with the nodes that have it.
    """
    picture = seen.picture
    match what:
        case AppName(app=app):
            yield from _app(picture.apps[app], seen)
        case ServiceName(app=app, service=service):
            of = picture.apps[app]
            yield from _service(of, of.services[service], seen, addresses or {})
        case SlotName():
            slot = _slot(what, picture)
            held = slot.containers() if what.attempt is None else [_container(what, slot)]
            yield from _slot_sections(what, slot, held, seen)
        case NodeName(node=name):
            yield from _node(picture.nodes[name], seen)
        case EventName():
            assert event is not None, "an event is looked up before it is shown"
            yield from _event(event)


def _slot(what: SlotName, picture: Picture) -> Slot:
    slot = picture.slot(what.app, what.service, what.slot)
    assert slot is not None, "a thing is found before it is shown"
    return slot


def _container(what: SlotName, slot: Slot) -> Container:
    for container in slot.containers():
        if container.attempt == what.attempt:
            return container
    now = f"attempt {slot.attempt} is the newest"
    raise NotFoundError(
        f"{what} is not in the picture any more", f"{now}; `segue why {what}` reads the log"
    )


def _block(title: str, facts: Facts) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=STYLES["dim"], no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts:
        if value:
            grid.add_row(label, value)
    return _titled(title, grid)


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(styled(title, "name"), Padding(body, (0, 0, 0, 2), expand=False))


def _when(time: float, seen: Sight) -> str:
    return f"{day(time)} {clock(time)}, {age(seen.time - time)} ago" if time else ""


def _state(state: str, note: str = "") -> Text:
    return styled(state, rows.TONES.get(state, "plain")) + Text(f": {note}" if note else "")


def _app(app: App, seen: Sight) -> Iterator[RenderableType]:
    yield _block(
        f"app {app.name}",
        [
            ("state", _state(app.phase, app.reason)),
            ("revision", str(app.revision)),
            ("accepted", _when(app.accepted_at, seen)),
            ("settled", _when(app.settled_at, seen)),
            ("caused by", app.cause.id),
        ],
    )
    found = list(rows.services(seen.picture, app.name))
    if found:
        yield _titled("services", table(found, service_columns(seen.time)))
    held = rows.slots(seen.picture, app.name)
    if held:
        yield _titled("slots", table(held, slot_columns(seen.time)))
    spec = app.specs.get(app.revision)
    if spec is not None:
        shared = [
            ("volumes", ", ".join(v.name for v in spec.volumes.values())),
            ("networks", ", ".join(n.name for n in spec.networks.values())),
            ("secrets", ", ".join(f.name for f in spec.secrets.values())),
            ("configs", ", ".join(f.name for f in spec.configs.values())),
        ]
        if any(names for _, names in shared):
            yield _block("shared", list(shared))


def _service(
    app: App, service: Service, seen: Sight, addresses: Mapping[str, list[str]]
) -> Iterator[RenderableType]:
    for row in rows.services(seen.picture, app.name):
        if row.service == service.name:
            state = _state(row.state, row.note)
            break
    else:
        state = _state("removed")
    flapping = _when(service.flapping_since, seen)
    yield _block(
        f"service {app.name}/{service.name}",
        [
            ("state", state),
            ("revision", f"{service.revision} of the app's {app.revision}, {service.digest}"),
            ("flapping since", flapping),
            ("reached at", "\n".join(reach.endpoints(seen.picture, app, service))),
            ("in the app as", reach.names(seen.picture, app, service)),
            ("virtual address", "\n".join(reach.addresses(service, addresses))),
            *_spec(service.spec, service.replicas),
        ],
    )
    held = rows.slots(seen.picture, app.name, service.name)
    if held:
        yield _titled("slots", table(held, slot_columns(seen.time)))


def _spec(spec: ServiceSpec, replicas: int) -> Facts:
    promised = spec.resources
    restart = spec.restart
    placement = [
        *spec.placement.constraints,
        *(f"spread over {key}" for key in spec.placement.spread),
        *([f"at most {spec.placement.max_per_node} a node"] * bool(spec.placement.max_per_node)),
    ]
    return [
        ("mode", f"{spec.mode}, {count(replicas, 'replica')}"),
        ("image", spec.image),
        ("promised CPU", cpus(promised.cpu_millicores) if promised.cpu_millicores else ""),
        ("promised memory", size(promised.memory_bytes) if promised.memory_bytes else ""),
        ("placement", "; ".join(placement)),
        ("health", _health(spec)),
        ("restart", restart.condition + _at_most(restart.max_attempts)),
        ("depends on", ", ".join(f"{n} {d.condition}" for n, d in spec.depends_on.items())),
        ("stop grace", span(spec.stop_grace_s)),
    ]


def _health(spec: ServiceSpec) -> str:
    health = spec.health
    if health is None:
        return ""
    test = " ".join(health.test[1:])
    return f"{test}, every {span(health.interval_s)}, {health.retries} failures count"


def _at_most(attempts: int | None) -> str:
    return "" if attempts is None else f", at most {attempts} times"


def _slot_sections(
    what: SlotName, slot: Slot, held: list[Container], seen: Sight
) -> Iterator[RenderableType]:
    yield _block(
        f"slot {what}",
        [
            ("attempts", str(slot.attempt)),
            ("restarts", str(slot.restarts)),
            ("ends in a row", str(slot.streak or "")),
            ("pinned to", slot.pinned),
            ("data on", slot.home),
        ],
    )
    for container in reversed(held):
        state, note = rows.condition(seen.picture, container)
        yield _block(
            f"container {container.name}@{container.attempt}",
            [
                ("state", _state(state, note)),
                ("node", container.node),
                ("revision", f"{container.revision}, {container.digest}"),
                ("image", container.image),
                ("engine id", container.engine_id),
                ("requested", _when(container.requested_at, seen)),
                ("not before", _when(container.not_before, seen)),
                ("assigned", _when(container.assigned_at, seen)),
                ("started", _when(container.started_at, seen)),
                ("healthy since", _when(container.healthy_at, seen)),
                ("retired", _when(container.retired_at, seen)),
                ("ended", _when(container.ended_at, seen)),
                ("last event", container.cause.id),
            ],
        )


def _node(node: Node, seen: Sight) -> Iterator[RenderableType]:
    state, note = rows.node_condition(node)
    facts = node.facts
    yield _block(
        f"node {node.name}",
        [
            ("state", _state(state, note)),
            ("since", _when(node.changed_at, seen)),
            ("joined", _when(node.joined_at, seen)),
            ("host", facts.hostname),
            ("platform", facts.platform),
            ("engine", facts.engine),
            *reach.gateway_facts(seen.picture, node.name),
            ("version", facts.version),
            ("disk", size(facts.disk_bytes) if facts.disk_bytes else ""),
            ("labels", ", ".join(f"{k}={v}" for k, v in node.labels.items())),
            ("images", count(len(node.images), "image") if node.images else ""),
            *_drain(node),
            ("session", facts.session),
        ],
    )
    row = [row for row in rows.nodes(seen.picture) if row.node == node.name]
    yield _titled("promised", table(row, node_columns(seen.time)[2:5]))
    held = [row for row in rows.slots(seen.picture) if row.node == node.name]
    if held:
        yield _titled("containers", table(held, slot_columns(seen.time)))


def _drain(node: Node) -> Facts:
    """Say how far the emptying of a node is, and what is in the way."""
    drain = node.drain
    if drain is None:
        return []
    held = [f"{b.app}/{b.service}.{b.slot}: {b.reason}" for b in drain.blockers]
    return [
        ("emptied", "" if drain.done else f"to be so by {clock(drain.deadline_at)}"),
        ("gone", count(drain.moved, "container")),
        ("held", "\n".join([] if drain.done else held)),
    ]


def _event(one: Read) -> Iterator[RenderableType]:
    attributes = cloud_event(one)
    stored, record = one.stored, one.record
    data = attributes.pop("data", None)
    facts: Facts = [
        ("sequence", str(stored.sequence)),
        ("time", f"{day(stored.time)} {clock(stored.time)}"),
        ("subject", stored.subject),
        ("problem", one.problem),
    ]
    if record is None:
        yield _block("message", facts)
        said = attributes.get("content") or msgspec.json.encode(data).decode()
        yield _titled("content", Text(said))
        return
    told = tell(record)
    yield _block(
        f"{record.event.type} {about(record.event)}",
        [
            *facts,
            ("said by", who(record)),
            ("in words", "\n".join([told.point, *told.details])),
            ("id", record.id),
            ("source", record.source),
            ("caused by", record.cause or "nothing in the log"),
            ("began with", record.correlation),
        ],
    )
    text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    yield _titled("data", Text(text))
