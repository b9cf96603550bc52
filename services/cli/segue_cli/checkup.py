"""Judge what a doctor has found: is it well, and if not, what is to be done.

Pure: facts in, findings out. A threshold that is not met is a warning as long as all goes on, and a
failure once something is not decided, not stored or not run.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from segue.bus import Plan, Settings
from segue.bus.protocol import covers
from segue.bus.stream import log_subjects
from segue.picture import LogRoom, Node, Picture

from segue_cli import rows
from segue_cli.amounts import count, size, span
from segue_cli.moment import day
from segue_cli.plane import LEADING
from segue_cli.requests import requests
from segue_cli.story_capacity import shortage

Level = Literal["ok", "warn", "fail"]
FULL_WARN, FULL_FAIL = 0.70, 0.85
CLOCK_OFF_S = 2.0
BEHIND_MOST = 1_000
AGE_LEAST_S = 7 * 86_400.0
_LOOPBACK = ("127.", "localhost", "[::1]")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: what was looked at, how it is, what was seen, what to do."""

    what: str
    level: Level
    seen: str
    do: str = ""


class Service(msgspec.Struct, frozen=True):
    """What was heard of a service that has a leader."""

    leader: str = ""
    term: int = 0
    read_to: int | None = None


class Facts(msgspec.Struct, kw_only=True):
    """What a node's runner says of its engine; the rest of its answer is passed over."""

    engine: str = ""
    live_restore: bool = False


class Disk(msgspec.Struct, frozen=True):
    """Where the bus of this host's own `segue up` stores."""

    free_bytes: int
    total_bytes: int


# The bus.


def bus(user: Mapping[str, Any], settings: Settings) -> Iterator[Finding]:
    """Judge the server and what this user may do there, from its answer to who we are."""
    server = user.get("server")
    if server is None:
        seen = f"connected to {settings.shown_url}, which does not say what it is"
        yield Finding("bus", "warn", seen, "let this user ask $SYS.REQ.USER.INFO")
        return
    seen = f"nats-server {server.get('ver')} at {settings.shown_url}"
    yield Finding("bus", "ok", seen)
    if not server.get("jetstream"):
        yield Finding("jetstream", "fail", "this server stores nothing", "enable JetStream there")
    permissions = user.get("data", {}).get("permissions")
    if permissions is None:
        yield _open_to_all(settings)
        return
    denied = sorted(_denied(permissions.get("publish", {}), _requests()))
    if denied:
        words = f"this user may not publish {', '.join(denied)}"
        yield Finding("permissions", "warn", words, "ask whoever runs the bus, if you need to")
    else:
        yield Finding("permissions", "ok", "this user may make every request")


def _open_to_all(settings: Settings) -> Finding:
    hosts = [url.rpartition("://")[2].rpartition("@")[2] for url in settings.urls]
    if all(host.startswith(_LOOPBACK) for host in hosts):
        return Finding("permissions", "ok", "none are set; only this host reaches the bus")
    return Finding(
        "permissions",
        "warn",
        "none are set: whoever reaches this bus may do everything",
        "give the server users with permissions",
    )


def _requests() -> list[str]:
    return [f"{name}.>" for name in requests()]


def _denied(publish: Mapping[str, Any], subjects: Iterable[str]) -> Iterator[str]:
    allow, deny = publish.get("allow"), publish.get("deny") or []
    for subject in subjects:
        allowed = allow is None or any(covers(one, subject) for one in allow)
        if not allowed or any(covers(one, subject) for one in deny):
            yield subject


def sync(config: str | None) -> Finding:
    """Judge whether a confirmed write survives a power cut, from the server's own configuration."""
    if config is None:
        return Finding(
            "sync",
            "warn",
            "a client cannot see whether confirmed writes survive a power cut",
            "check that the server's configuration has `sync_interval: always`",
        )
    if "sync_interval: always" in config:
        return Finding("sync", "ok", "every write is on the disk before it is confirmed")
    return Finding(
        "sync",
        "warn",
        "writes of the last two minutes may be lost in a power cut",
        "set `sync_interval: always`",
    )


def clock(behind_s: float) -> Finding:
    """Judge this host's clock by the bus's. No decision depends on it; what is shown does."""
    words = f"this host's clock is {span(abs(behind_s))} {'behind' if behind_s > 0 else 'ahead of'}"
    if abs(behind_s) > CLOCK_OFF_S:
        return Finding("clock", "warn", f"{words} the bus's", "let both follow NTP")
    return Finding("clock", "ok", f"{words} the bus's")


# The log.


def log(stream: Mapping[str, Any], said: LogRoom | None = None) -> Iterator[Finding]:
    """Judge the log's stream: its size, and whether it is set up as Segue needs it.

    `said` is what the log itself tells of its room.
    """
    config, state = stream["config"], stream["state"]
    yield _room(state["bytes"], config["max_bytes"], state["messages"], said or LogRoom())
    wrong = list(_differences(config))
    yield from wrong
    if not wrong:
        copies = config["num_replicas"]
        kept = f"kept {span(config['max_age'] / 1e9)}" if config["max_age"] else "kept for ever"
        words = f"{kept}, in {copies} copies" if copies > 1 else f"{kept}, in one copy"
        yield Finding("log settings", "ok", words)


def _room(used: int, limit: int, messages: int, said: LogRoom) -> Finding:
    seen = f"{messages:,} events, {size(used)}"
    if limit <= 0:
        return Finding(
            "log", "warn", f"{seen}, without a limit", "set max_bytes, or it ends with a full disk"
        )
    seen += f" of {size(limit)} ({used / limit:.0%})"
    if said.trimmed_at:
        seen += f", begins at {said.first} since it was trimmed on {day(said.trimmed_at)}"
    if used < FULL_WARN * limit:
        return Finding("log", "ok", seen)
    keep = "raise max_bytes of the stream EVENTS to keep more"
    if used < FULL_FAIL * limit:
        do = f"at {FULL_FAIL:.0%} its oldest part goes, up to a snapshot; {keep}"
        return Finding("log", "warn", seen, do)
    if said.words:
        return Finding("log", "fail", f"{seen}, and cannot be trimmed: {said.words}", keep)
    return Finding("log", "fail", seen, f"a health monitor that runs trims it in seconds; {keep}")


def _differences(config: Mapping[str, Any]) -> Iterator[Finding]:
    missing = [subject for subject in log_subjects() if subject not in config["subjects"]]
    if missing:
        seen = f"it does not take {', '.join(missing)}"
        yield Finding("log settings", "fail", seen, "start a service of this version: it widens it")
    needed: list[tuple[str, Any, str]] = [
        ("storage", "file", "a restart of the bus loses everything"),
        ("retention", "limits", "events disappear once they are read"),
        ("discard", "new", "a full log drops its oldest events instead of refusing new ones"),
        ("allow_atomic", True, "decisions that belong together cannot be stored together"),
        ("deny_delete", True, "single events can be deleted"),
    ]
    for name, wanted, harm in needed:
        if config.get(name, False) != wanted:
            seen = f"{name} is {config.get(name, False)!r}: {harm}"
            level: Level = "fail" if name in ("retention", "allow_atomic") else "warn"
            yield Finding("log settings", level, seen, f"make it {wanted!r} on the stream EVENTS")
    if 0 < config["max_age"] / 1e9 < AGE_LEAST_S:
        seen = f"events are kept {span(config['max_age'] / 1e9)} only"
        do = f"raise max_age of the stream EVENTS; {span(Plan().age_max_s)} is usual"
        yield Finding("log settings", "warn", seen, do)


def disk(found: Disk) -> Finding:
    """Judge the disk that the bus of this host stores on."""
    used = 1 - found.free_bytes / found.total_bytes
    seen = f"{size(found.free_bytes)} free of {size(found.total_bytes)}"
    if used < FULL_FAIL:
        return Finding("disk", "ok", seen)
    return Finding(
        "disk", "warn" if used < 0.95 else "fail", seen, "make room where the log stands"
    )


# Services and nodes.


def services(heard: Mapping[str, Service], last: int) -> Iterator[Finding]:
    """Judge the services of which one instance leads."""
    for name in LEADING:
        service = heard.get(name, Service())
        if not service.leader:
            do = "`segue up` starts it, or run it on any host that reaches the bus"
            seen = "nobody leads" if service.read_to is None else "it runs, but nobody leads yet"
            yield Finding(name, "fail", seen, do)
            continue
        seen = f"{service.leader} leads since {service.term}"
        behind = None if service.read_to is None else max(0, last - service.read_to)
        if behind is None:
            yield Finding(name, "warn", f"{seen}; it answers no questions", "see its log")
        elif behind > BEHIND_MOST:
            yield Finding(name, "warn", f"{seen}, {behind:,} events behind", "see its log")
        else:
            yield Finding(name, "ok", f"{seen}, {behind} events behind")


def room(picture: Picture) -> Iterator[Finding]:
    """Judge whether slots wait for room on nodes; where none does there is nothing to tell."""
    said = picture.state.capacity
    for one in said.shortages if said is not None else ():
        do = "add a node, give one more, or ask for less: `segue nodes`"
        yield Finding("room", "warn", shortage(one), do)


def apps(picture: Picture) -> Iterator[Finding]:
    """Judge the apps: list every service that is not as it is wanted, with its worst slot."""
    found = list(rows.services(picture))
    troubled = [row for row in found if rows.TONES.get(row.state) in ("warn", "bad")]
    for row in troubled:
        name = f"{row.app}/{row.service}"
        slot = next(_not_up(picture, row), None)
        why = row.note if slot is None else f"slot {slot.slot} is {slot.state}"
        note = slot.note if slot is not None else ""
        words = [row.state, f"{row.up} of {row.wanted} slots up", why, note]
        level: Level = "fail" if rows.TONES[row.state] == "bad" else "warn"
        asked = name if slot is None or row.state == "flapping" else f"{name}.{slot.slot}"
        seen = ", ".join(word for word in words if word)
        yield Finding(f"app {row.app}", level, f"{row.service}: {seen}", f"`segue why {asked}`")
    if found and not troubled:
        names = {row.app for row in found}
        yield Finding("apps", "ok", f"{count(len(names), 'app')} as wanted")


def _not_up(picture: Picture, row: rows.ServiceRow) -> Iterator[rows.SlotRow]:
    for slot in rows.slots(picture, row.app, row.service):
        if rows.TONES.get(slot.state) in ("warn", "bad"):
            yield slot


def nodes(picture: Picture, facts: Mapping[str, Facts | str]) -> Iterator[Finding]:
    """Judge the nodes: by the log, and by what their runners say of their engines."""
    there = {name: node for name, node in picture.nodes.items() if node.phase != "left"}
    if not there:
        do = "`segue up` makes this host one, or run segue-node-runner on a host with Docker"
        yield Finding("nodes", "fail", "no node has joined", do)
    strict = _strict(picture)
    for name in sorted(there):
        yield from _node(there[name], facts.get(name, "it was not asked"), strict)


def _strict(picture: Picture) -> str:
    """Name a service that may run only once, if there is one."""
    return next(
        (
            f"{app.name}/{service.name}"
            for app in picture.apps.values()
            for service in app.services.values()
            if service.wanted and service.spec.strict and app.phase not in ("removing", "removed")
        ),
        "",
    )


def _node(node: Node, facts: Facts | str, strict: str) -> Iterator[Finding]:
    what = f"node {node.name}"
    if node.phase == "lost":
        do = "its containers run elsewhere by now; bring the host or its runner back"
        yield Finding(what, "fail", "lost", do)
        return
    if node.degraded:
        yield Finding(what, "fail", f"its engine: {node.degraded}", "look after Docker there")
        return
    if isinstance(facts, str):
        yield Finding(what, "fail", f"its runner: {facts}", "look at its runner there")
        return
    seen = f"{node.phase}, {facts.engine}" + (", cordoned" if node.cordoned else "")
    if not node.facts.fenced:
        seen += f", takes nothing that may run only once{f', such as {strict}' * bool(strict)}"
    if node.phase != "up":
        yield Finding(what, "warn", seen, "it is silent; if that lasts it is given up")
    elif strict and not node.facts.fenced:
        yield Finding(what, "warn", seen, "run segue-fencer (or `segue up`) there as root")
    elif not facts.live_restore:
        do = "set `live-restore: true` in its daemon.json: a restart of Docker stops containers"
        yield Finding(what, "warn", f"{seen}, without live-restore", do)
    else:
        yield Finding(what, "ok", f"{seen}, live-restore")
