"""Show what a deploy would change, slot by slot, and why; nothing is changed by looking.

What it shows is what the services themselves would decide now. Exit codes are those of other
planners: 0 nothing would change, 2 something would, 1 it cannot be told.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from segue.bus import Bus, BusRefusedError
from segue.events import Event
from segue.events.container import (
    NOWHERE,
    ContainerAssigned,
    ContainerRequested,
    ContainerRetired,
    ContainerUnplaceable,
)
from segue.events.deploy import DeployRequested
from segue.picture import Picture, Service
from segue.spec import AppSpec, ServiceSpec

from segue_cli.amounts import count
from segue_cli.asking import refused
from segue_cli.compose import Loaded
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FAILED, CommandError, FailedError
from segue_cli.files import loaded
from segue_cli.flags import AppName, EnvFiles, Files, Lenient, MoreFiles, Profiles
from segue_cli.reading import sight
from segue_cli.rehearsal import EndlessError, Rehearsal, decisions, question
from segue_cli.story import refusals
from segue_cli.tables import AsJson, console, styled

CHANGES = 2
ASKED_WITHIN_S = 20.0
ENVIRONMENT = "environment."
DIFFERENCES_SHOWN, TEXT_SHOWN = 5, 48
Kind = Literal["new", "replaced", "removed", "waiting"]
MARKS = {
    "new": ("+", "good"),
    "replaced": ("~", "warn"),
    "removed": ("-", "bad"),
    "waiting": ("!", "bad"),
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a slot. `waiting`: it is wanted and would not come up."""

    slot: str
    kind: Kind
    before: str = ""  # The node it is on.
    node: str = ""  # The node it would be on …
    score: float = 0.0  # … and how well that fits, from 0 to 100.
    why: str = ""


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a service."""

    service: str
    differences: list[str]
    changes: list[Change]
    unchanged: int


async def plan(
    *files: Files,
    more: MoreFiles = None,
    app: AppName = None,
    profiles: Profiles = None,
    env_files: EnvFiles = None,
    lenient: Lenient = False,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> int:
    """Show what a deploy would change, without doing it."""
    found = loaded(
        [*files, *(more or [])],
        app=app,
        profiles=profiles,
        env_files=env_files,
        lenient=lenient,
        json_lines=as_json,
        code=FAILED,
    )
    async with connected(bus) as there:
        before = (await sight(there)).picture
        rehearsal = await _rehearsed(there, found)
    services = planned(found.app, before, rehearsal)
    if as_json:
        _print_json(found.app, rehearsal, services)
    else:
        _print(found.app, rehearsal, services)
    return CHANGES if any(s.changes or s.differences for s in services) else 0


async def _rehearsed(bus: Bus, found: Loaded) -> Rehearsal:
    async def ask(service: str, events: Sequence[Event], later_s: float) -> list[Event]:
        asked = question(events, later_s)
        return decisions(await bus.ask(f"rpc.{service}.what_if", asked, timeout_s=ASKED_WITHIN_S))

    rehearsal = Rehearsal(ask)
    try:
        await rehearsal.run(DeployRequested(app=found.app, compose=found.document))
    except BusRefusedError as error:
        raise FailedError(
            f"the change is too large to be planned in one go: {error}",
            "`segue deploy` has no such limit",
        ) from error
    except (msgspec.MsgspecError, EndlessError) as error:
        raise FailedError(
            f"the services' answers make no plan: {error}",
            "are services and command line of one version?",
        ) from error
    if rehearsal.rejected is not None:
        raise _failed(refused(rehearsal.rejected.problems))
    if rehearsal.accepted is None:
        raise FailedError("the deployer gives no answer to the request", "`segue doctor`")
    return rehearsal


def _failed(error: CommandError) -> CommandError:
    """Give an error the one code that means no change."""
    error.code = FAILED
    return error


# What would change.


def planned(app: str, before: Picture, rehearsal: Rehearsal) -> list[ServicePlan]:
    """Sum up a rehearsal, service by service."""
    assert rehearsal.accepted is not None, "only what is accepted changes anything"
    spec = rehearsal.accepted.spec
    known = before.apps.get(app)
    there = known.services if known is not None else {}
    changes = _changes(rehearsal.said)
    names = {*spec.services, *(name for name, service in there.items() if service.wanted)}
    names |= {change.slot.rpartition(".")[0] for change in changes}
    made = []
    for name in sorted(names):
        own = [change for change in changes if change.slot.rpartition(".")[0] == name]
        own += _unheard(spec, name, there.get(name), own)
        own.sort(key=lambda change: int(change.slot.rpartition(".")[2]))
        wanted = spec.services[name].replicas if name in spec.services else 0
        if name in spec.services and spec.services[name].is_global:
            wanted = len(there[name].slots) if name in there else len(own)
        touched = sum(change.kind != "removed" for change in own)
        made.append(
            ServicePlan(
                service=name,
                differences=_differences(there.get(name), spec, name),
                changes=own,
                unchanged=max(0, wanted - touched),
            )
        )
    return made


def _changes(said: Sequence[Event]) -> list[Change]:
    retired: dict[str, ContainerRetired] = {}
    nodes: dict[str, ContainerAssigned] = {}
    asked: dict[str, str] = {}  # Slots that get a container: on which node their last one was.
    waiting: dict[str, str] = {}
    for event in said:
        match event:
            case ContainerRetired():
                retired.setdefault(_slot(event), event)
            case ContainerRequested():
                asked.setdefault(_slot(event), event.previous or "")
            case ContainerAssigned():
                nodes[_slot(event)] = event
                waiting.pop(_slot(event), None)
            case ContainerUnplaceable():
                waiting[_slot(event)] = f"no node can take it: {refusals(event.refused)}"
    return list(_merged(retired, asked, nodes, waiting))


def _merged(
    retired: dict[str, ContainerRetired],
    asked: dict[str, str],
    nodes: dict[str, ContainerAssigned],
    waiting: dict[str, str],
) -> Iterator[Change]:
    for slot in {**retired, **asked}:
        gone = retired.get(slot)
        before = gone.node if gone is not None and gone.node != NOWHERE else ""
        if slot in waiting:
            yield Change(slot=slot, kind="waiting", before=before, why=waiting[slot])
        elif slot not in asked:
            yield Change(slot=slot, kind="removed", before=before, why=gone.reason if gone else "")
        else:
            kind: Kind = "replaced" if gone is not None else "new"
            node, score = (nodes[slot].node, nodes[slot].score) if slot in nodes else ("", 0.0)
            yield Change(slot=slot, kind=kind, before=before, node=node, score=score)


def _unheard(
    spec: AppSpec, name: str, service: Service | None, changes: Sequence[Change]
) -> Iterator[Change]:
    """Give the slots that would be wanted and would not even be asked for: they wait for others."""
    new = spec.services.get(name)
    if new is None or new.is_global:
        return
    slots = service.slots.values() if service is not None else ()
    there = {slot.number for slot in slots if slot.container and not slot.container.retired}
    heard = {int(change.slot.rpartition(".")[2]) for change in changes}
    for number in sorted(set(range(1, new.replicas + 1)) - there - heard):
        why = f"waits for {' and '.join(new.depends_on)}" if new.depends_on else "is not asked for"
        yield Change(slot=f"{name}.{number}", kind="waiting", why=why)


def _slot(event: Any) -> str:
    return f"{event.service}.{event.slot}"


def _differences(service: Service | None, spec: AppSpec, name: str) -> list[str]:
    """Say what of a service's specification differs, as far as a line can hold."""
    new = spec.services.get(name)
    if service is None or new is None or not service.wanted:
        return []
    old, now = _flat(service.spec), _flat(new)
    if service.replicas != service.spec.replicas:  # It was scaled since.
        old["replicas"] = str(service.replicas)
    words = [
        _difference(key, old.get(key), now.get(key))
        for key in sorted({*old, *now})
        if old.get(key) != now.get(key)
    ]
    more = len(words) - DIFFERENCES_SHOWN
    return words[:DIFFERENCES_SHOWN] + ([f"and {count(more, 'difference')} more"] * (more > 0))


def _difference(key: str, old: str | None, new: str | None) -> str:
    if key.startswith(ENVIRONMENT):  # A variable's value is nobody's business in a CI log.
        return f"{key} " + ("added" if old is None else "removed" if new is None else "changed")
    return f"{key}: {_short(old or 'none')} → {_short(new or 'none')}"


def _flat(spec: ServiceSpec) -> dict[str, str]:
    """Give every leaf of a specification by its path."""
    leaves: dict[str, str] = {"replicas": str(spec.replicas)}
    todo: list[tuple[str, Any]] = [("", msgspec.to_builtins(spec))]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict) and value:
            todo += [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
        elif path == "container.Env":
            todo += [(f"{ENVIRONMENT}{name.partition('=')[0]}", name) for name in value]
        elif value not in ({}, [], None):
            leaves[path] = value if isinstance(value, str) else json.dumps(value)
    return leaves


def _short(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else f"{text[: TEXT_SHOWN - 1]}…"


# Showing it.


def _print(app: str, rehearsal: Rehearsal, services: Sequence[ServicePlan]) -> None:
    assert rehearsal.accepted is not None, "it would not be shown"
    screen = console()
    for service in services:
        name = styled(f"{app}/{service.service}", "name")
        screen.print(
            name + styled(f"  {service.unchanged} unchanged" * bool(service.unchanged), "dim")
        )
        for words in service.differences:
            screen.print(styled(f"    {words}", "dim"), soft_wrap=True)
        for change in service.changes:
            mark, tone = MARKS[change.kind]
            line = f"  {mark} {change.slot:<12} {_words(change)}"
            screen.print(styled(line, tone), soft_wrap=True)
    screen.print(_summary(rehearsal, services), soft_wrap=True)


def _words(change: Change) -> str:
    if change.kind == "new":
        return f"new on {change.node}, score {change.score:g}"
    if change.kind == "removed":
        return f"stops on {change.before or 'no node'}: {change.why}"
    if change.kind == "waiting":
        was = f"stops on {change.before}; " if change.before else ""
        return f"{was}{change.why}"
    if change.node == change.before:
        return f"replaced on {change.node}, score {change.score:g}"
    if not change.before:
        return f"replaced, on {change.node}, score {change.score:g}"
    return f"replaced: from {change.before} to {change.node}, score {change.score:g}"


def _summary(rehearsal: Rehearsal, services: Sequence[ServicePlan]) -> str:
    assert rehearsal.accepted is not None, "as above"
    kinds = [change.kind for service in services for change in service.changes]
    if not kinds and not any(service.differences for service in services):
        return "Nothing would change."
    parts = [f"{kinds.count(kind)} {kind}" for kind in MARKS if kind in kinds]
    head = f"Revision {rehearsal.accepted.revision}: {', '.join(parts) or 'no slot changes'}."
    if rehearsal.completes:
        return head
    if rehearsal.held:
        return f"{head} Its rollout would wait: {rehearsal.held}."
    return f"{head} It would not come up as things are."


def _print_json(app: str, rehearsal: Rehearsal, services: Sequence[ServicePlan]) -> None:
    assert rehearsal.accepted is not None, "it would not be shown"
    whole = {
        "app": app,
        "revision": rehearsal.accepted.revision,
        "completes": rehearsal.completes,
        "services": services,
    }
    print(msgspec.json.encode(whole).decode())
