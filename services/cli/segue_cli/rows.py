"""What `ls`, `ps` and `nodes` show, as rows of plain facts made from a picture.

A row holds absolute times only, so the same picture always gives the same rows; how long ago that
was is for whoever prints. Nothing here decides what is wanted: it repeats what the deployer knows.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from segue.picture import UP, App, Container, Node, Picture, Service, Slot
from segue.spec import Resources
from segue.wants import ready, wanted_slots

from segue_cli import reach, story_runs
from segue_cli.amounts import count, span
from segue_cli.moment import stamp
from segue_cli.story import ended, refusals

Tone = Literal["plain", "good", "warn", "bad", "dim"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table, one object of JSON. `note` says why, where there is a why."""


class ServiceRow(Row, frozen=True):
    """A service of an app."""

    app: str
    service: str
    mode: str
    up: int
    wanted: int
    updated: dt.datetime | None
    image: str
    endpoints: list[str]
    state: str
    note: str = ""
    least: int | None = None  # Where its replicas follow its load: at least so many …
    most: int | None = None  # … and at most so many.


class SlotRow(Row, frozen=True):
    """A slot, or an older container that is still leaving it."""

    app: str
    service: str
    slot: int
    attempt: int
    node: str
    state: str
    health: str
    restarts: int
    since: dt.datetime | None
    not_before: dt.datetime | None = None  # It waits until then.
    note: str = ""


class NodeRow(Row, frozen=True):
    """A node, with what its containers are promised of it."""

    node: str
    state: str
    cpu_millicores: int
    cpu_used_millicores: int
    memory_bytes: int
    memory_used_bytes: int
    containers: int
    since: dt.datetime | None
    engine: str
    version: str
    disk_bytes: int = 0
    images: int = 0
    labels: dict[str, str] = {}
    gateway: str = ""
    gateway_limits: list[str] = []
    note: str = ""


TONES: dict[str, Tone] = {
    "running": "good",
    "up": "good",
    "finished": "good",
    "deploying": "warn",
    "updating": "warn",
    "degraded": "warn",
    "suspected": "warn",
    "waiting": "warn",
    "pending": "warn",
    "starting": "warn",
    "draining": "warn",
    "drained": "dim",
    "stopping": "dim",
    "removing": "dim",
    "idle": "dim",
    "left": "dim",
    "failed": "bad",
    "down": "bad",
    "flapping": "bad",
    "lost": "bad",
    "broken": "bad",
    "unhealthy": "bad",
}


# Services.


def services(picture: Picture, app: str | None = None) -> Iterator[ServiceRow]:
    """Give the services that are wanted or still have containers, by name."""
    for name in sorted(picture.apps):
        found = picture.apps[name]
        if app not in (None, name) or found.phase == "removed":
            continue
        for service in sorted(found.services.values(), key=lambda s: s.name):
            wanted = wanted_slots(picture, found, service)
            if service.wanted or any(_remains(picture, slot) for slot in service.slots.values()):
                yield _service(picture, found, service, wanted)


def _service(picture: Picture, app: App, service: Service, wanted: Mapping[int, str]) -> ServiceRow:
    filled = [service.slots[n].container for n in wanted if n in service.slots]
    done = [c for c in filled if c is not None and finished(service, c)]
    up = [c for c in filled if c is not None and works(picture, service, c)] + done
    runs = service.spec.schedule is not None
    most = len(wanted) if service.spec.is_global or not wanted or runs else service.replicas
    old = [c for c in up if c.digest != service.digest]
    state = _service_state(app, service, up=len(up), missing=most - len(up), old=len(old))
    if state == "running" and done and len(done) == len(wanted):
        state = "finished"
    note = ""
    if state == "failed":
        note = app.reason
    elif state == "updating":
        note = f"{len(up) - len(old)} of {len(wanted)} run the new revision"
        note += f"; {waits}" if (waits := waiting(service)) else ""
    elif service.spec.schedule is not None:
        note = story_runs.plan(picture, service)
    elif service.spec.job.parallelism and len(up) < most:
        note = f"at most {service.spec.job.parallelism} at once"
    elif f" {service.name}." in app.taken_back:
        note = app.taken_back
    spec = service.spec
    return ServiceRow(
        app=app.name,
        service=service.name,
        mode=spec.mode.replace("replicated-", ""),
        up=len(up),
        wanted=most,
        updated=stamp(app.changed_at),
        image=spec.image,
        endpoints=reach.endpoints(picture, app, service),
        state=state,
        note=note,
        least=spec.autoscale.min if spec.autoscale is not None else None,
        most=spec.autoscale.max if spec.autoscale is not None else None,
    )


def waiting(service: Service) -> str:
    """Say why a service's rollout does not go on, if it does not."""
    rollout = service.rollout
    if rollout is None:
        return ""
    if rollout.verdict is not None:
        return rollout.verdict.reason
    return "paused" if rollout.paused else rollout.held


def _service_state(app: App, service: Service, *, up: int, missing: int, old: int) -> str:
    if app.phase == "removing" or not service.wanted:
        return "removing"
    if service.flapping_since:
        return "flapping"
    if service.spec.schedule is not None:
        return "running" if service.runs else "idle"
    if missing and app.phase == "deploying":
        return "deploying"
    if missing and app.phase == "failed" and f"{service.name}." in app.reason:
        return "failed"
    if missing:
        return "degraded" if up else "down"
    if old:
        return "updating"
    if service.spec.is_job:
        return "finished"
    return "running" if service.replicas or service.spec.is_global else "idle"


def works(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a container does the service's work and is to go on with it."""
    if container.retired or (picture.is_gone(container) and not container.ended):
        return False
    return ready(service, container)


def finished(service: Service, container: Container) -> bool:
    """Tell whether a container has done for good what the service is for, though it is no job."""
    return not service.spec.is_job and container.phase == "finished" and not container.retired


def _remains(picture: Picture, slot: Slot) -> bool:
    return any(not picture.is_gone(container) for container in slot.containers())


# Slots.


def slots(picture: Picture, app: str | None = None, service: str | None = None) -> list[SlotRow]:
    """Give the slots that are wanted or still run, with all that runs in them, by name."""
    rows: list[SlotRow] = []
    for name in sorted(picture.apps):
        found = picture.apps[name]
        if app not in (None, name):
            continue
        for inner in sorted(found.services.values(), key=lambda s: s.name):
            if service in (None, inner.name):
                rows += _slots_of(picture, found, inner)
    return rows


def _slots_of(picture: Picture, app: App, service: Service) -> Iterator[SlotRow]:
    wanted = wanted_slots(picture, app, service)
    for number in sorted({*wanted, *service.slots}):
        slot = service.slots.get(number)
        for container in slot.containers() if slot else ():
            fills = slot is not None and container is slot.container
            is_run = service.spec.schedule is not None and app.phase != "removed"
            if (fills and (number in wanted or is_run)) or not picture.is_gone(container):
                yield container_row(picture, service, container, fills=fills)
        if number in wanted and (slot is None or slot.container is None):
            yield _empty(app, service, number)


def _empty(app: App, service: Service, number: int) -> SlotRow:
    behind = ", ".join(service.spec.depends_on)
    return SlotRow(
        app=app.name,
        service=service.name,
        slot=number,
        attempt=0,
        node="",
        state="waiting",
        health="",
        restarts=0,
        since=stamp(app.changed_at),
        note=f"waits for {behind}" if behind else "",
    )


def container_row(
    picture: Picture, service: Service, container: Container, *, fills: bool = True
) -> SlotRow:
    """Give the row of one container; `fills`: it is what its slot has now."""
    slot = service.slots.get(container.slot)
    state, note = condition(picture, container)
    if state == "running" and not note and works(picture, service, container):
        note = "no gateway leads to it yet" * reach.is_awaited(picture, service, container)
    note = "; ".join(words for words in (_moves(slot, container), note) if words)
    waits = container.not_before if state == "waiting" else 0.0
    return SlotRow(
        app=container.app,
        service=container.service,
        slot=container.slot,
        attempt=container.attempt,
        node=container.node or (container.pinned if state in ("pending", "waiting") else ""),
        state=state,
        health=_health(service, container),
        restarts=slot.restarts if slot is not None and fills else 0,
        since=stamp(_since(picture, container)),
        not_before=stamp(waits),
        note=note,
    )


def _moves(slot: Slot | None, container: Container) -> str:
    """Say that a container is one of the two of a slot that moves."""
    old = slot.moving if slot is not None else None
    if slot is None or slot.container is None or old is None or old.retired:
        return ""
    if container is old:
        return f"works on until attempt {slot.container.attempt} is ready"
    there = "on the same node" if old.node == container.node else f"on {old.node}"
    return f"is to relieve attempt {old.attempt} {there}" if container is slot.container else ""


def condition(picture: Picture, container: Container) -> tuple[str, str]:
    """Say in a word how a container is, and why where that is not plain."""
    if container.ended:
        return _ended(container)
    node = picture.nodes.get(container.node)
    if node is not None and node.phase in ("lost", "left"):
        if node.phase == "lost":
            words = f"waits for the lease of {node.name}: it must never run twice"
            return "lost", words * (not picture.is_gone(container))
        return "left", f"{node.name} has left; it may still run there"
    if container.retired:
        return "stopping", container.retired
    if container.phase == "requested":
        if container.refused:
            return "pending", f"no node: {refusals(container.refused)}"
        return ("waiting" if container.not_before > container.requested_at else "pending"), ""
    note = _of_node(node)
    if container.phase == "assigned":
        return "starting", note
    if container.phase == "unhealthy":
        output = container.message.strip().splitlines()
        return "running", output[-1] if output else note
    return "running", note


def _ended(container: Container) -> tuple[str, str]:
    if container.phase == "finished" and not container.retired:
        took_s = container.ended_at - (container.started_at or container.ended_at)
        return "finished", f"exit 0 after {span(took_s)}"
    if container.phase != "failed":
        return container.phase, container.retired
    words = ended(container.reason, container.exit_code, container.message)
    return "failed", words if container.retired else f"{words}; not restarted"


def _of_node(node: Node | None) -> str:
    if node is not None and node.phase == "suspected":
        return f"{node.name} is silent"
    return f"engine of {node.name}: {node.degraded}" if node is not None and node.degraded else ""


def _health(service: Service, container: Container) -> str:
    if not service.spec.checked or container.phase not in UP:
        return ""
    return "starting" if container.phase == "started" else container.phase


def _since(picture: Picture, container: Container) -> float:
    if container.ended:
        return container.ended_at
    node = picture.nodes.get(container.node)
    if node is not None and node.phase == "lost":
        return node.changed_at
    return container.started_at or container.assigned_at or container.requested_at


# Nodes.


def nodes(picture: Picture) -> Iterator[NodeRow]:
    """Give the nodes by name."""
    for name in sorted(picture.nodes):
        node = picture.nodes[name]
        used = picture.used.get(name, Resources())
        state, note = node_condition(node)
        gateway, limits = reach.of_node(picture, name)
        yield NodeRow(
            node=name,
            state=state,
            cpu_millicores=node.facts.cpu_millicores,
            cpu_used_millicores=used.cpu_millicores,
            memory_bytes=node.facts.memory_bytes,
            memory_used_bytes=used.memory_bytes,
            containers=len(picture.on_node.get(name, ())),
            since=stamp(node.changed_at),
            engine=node.facts.engine,
            version=node.facts.version,
            disk_bytes=node.facts.disk_bytes,
            images=len(node.images),
            labels=node.labels,
            gateway=gateway,
            gateway_limits=limits,
            note=note,
        )


def node_condition(node: Node) -> tuple[str, str]:
    """Say in a word how a node is, and why where that is not plain."""
    drain = node.drain
    cordoned = "cordoned" if node.cordoned and drain is None else ""
    held = count(len(drain.blockers), "slot") if drain and drain.blockers and not drain.done else ""
    notes = [words for words in (node.degraded, cordoned, f"{held} held" * bool(held)) if words]
    is_broken = node.degraded and (node.phase == "up" or not node.joined_seq)
    state: str = "broken" if is_broken else node.phase
    if drain is not None and state == "up":
        state = "drained" if drain.done else "draining"
    return state, ", ".join(notes)
