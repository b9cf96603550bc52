"""Tell events in words: what it is about, who says it, what the point is, and what lies behind it.

One entry for each event of the vocabulary, as a person would say it in a line; an event without an
entry is told by its own description and fields. Nothing here reads the log or prints.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from segue.envelope import Record
from segue.events import Event, container, deploy, event, image, leader, log, node, scale, service
from segue.events.deploy import Problem

from segue_cli import (
    story_capacity,
    story_gateway,
    story_nodes,
    story_rollouts,
    story_runs,
    story_scaling,
)
from segue_cli.amounts import count, size, span
from segue_cli.moment import clock
from segue_cli.story_nodes import Tone, Words, plain


class Told(msgspec.Struct, frozen=True):
    """An event in words: its point in one line, the lines behind it, and how it feels."""

    point: str
    details: list[str] = []
    tone: Tone = "plain"


def tell(record: Record) -> Told:
    """Say an event in words."""
    said = _WORDS[record.event.type](record) if record.event.type in _WORDS else _any(record.event)
    point, details = (said, []) if isinstance(said, str) else said
    return Told(point, details, _TONES.get(type(record.event), "plain"))


def about(event: Event) -> str:
    """Name what an event is about: `shop/web.3`, `shop`, `node-a`; else its noun."""
    values = {field: str(getattr(event, field)) for field in event.scope}
    if "app" not in values:
        return " ".join(values.values()) or event.type.partition(".")[0]
    name = values["app"]
    name += f"/{values['service']}" if "service" in values else ""
    return name + (f".{values['slot']}" if "slot" in values else "")


def where(event: Event) -> str:
    """Name the node that a container's event happened on, if it did on one."""
    node = str(getattr(event, "node", "")) if "slot" in event.scope else ""
    return "" if node == container.NOWHERE else node


def who(record: Record) -> str:
    """Name whose word an event is: a person, a service, or a node for its runner."""
    if not record.source.startswith("/segue/"):
        program = record.source.strip("/").partition("/")[0]
        return record.actor or ("a program" if program == "foreign" else program)
    author, _, instance = record.source.removeprefix("/segue/").partition("/")
    name = instance or author if author == "node_runner" else author.replace("_", " ")
    return f"{name} for {record.actor}" if record.actor else name


def score(parts: dict[str, float]) -> str:
    """Write what a score is made of: `spread 40, balance 27.5`."""
    return ", ".join(f"{name} {value:g}" for name, value in parts.items() if value)


def refusals(refused: Sequence[container.Refusal]) -> str:
    """Write why nodes are out of the question: `2 x not enough memory; 1 x node is lost`."""
    return "; ".join(f"{r.count} x {r.reason}" if r.count else r.reason for r in refused)


def ended(reason: str, exit_code: int | None, message: str, ran_s: float = 0.0) -> str:
    """Say how a container failed."""
    after = f" after {span(ran_s)}" if ran_s else ""
    message = _in_a_line(message)
    said = f": {message}" if message else ""
    code = "" if exit_code is None else f" with code {exit_code}"
    by_reason = {
        "exited": f"exited{code}{after}{said}",
        "oom": f"killed, out of memory{after}{said}",
        "unhealthy": message or "its health check failed",
        "image": f"its image could not be had{said}",
        "create": f"the engine would not make it{said}",
        "start": f"the engine could not start it{said}",
        "vanished": f"vanished from its engine{after}{said}",
        node.NodeLost.type: f"went down with its node{after}{said}",
        "rejected": f"the node refused it{said}",
        "fenced": f"ended by its node's fencer{after}{said}" if ran_s else f"fenced{said}",
    }
    return by_reason.get(reason, f"{reason}{code}{after}{said}")


def _in_a_line(message: str) -> str:
    """Give the first line of what a program said; the log and the details have the rest."""
    lines = [line.strip() for line in message.strip().splitlines()] or [""]
    return lines[0].rstrip(": ") + (" …" if len(lines) > 1 else "")


def _any(told: Event) -> Words:
    law = (type(told).__doc__ or told.type).split("\n")[0].split(". ")[0].rstrip(".")
    fields = [
        f"{name}: {value}"
        for name, value in msgspec.to_builtins(told).items()
        if name not in told.scope and isinstance(value, str | int | float)
    ]
    return law, fields


def _problems(problems: Sequence[Problem], head: str) -> Words:
    lines = [f"{p.where}: {p.what}" + (f" ({p.hint})" if p.hint else "") for p in problems]
    if len(lines) == 1:
        return f"{head}: {lines[0]}"
    return f"{head}: {count(len(lines), 'problem')}", lines


# Apps.


def _deploy_requested(record: Record) -> Words:
    asked: Any = record.event
    services = asked.compose.get("services")
    names = ", ".join(services) if isinstance(services, dict) else "no services"
    return f"asked for a deploy: {names}"


def _deploy_accepted(record: Record) -> Words:
    asked: Any = record.event
    services = asked.spec.services.items()
    names = ", ".join(f"{n} x {s.replicas}" if s.replicas != 1 else n for n, s in services)
    again = f", which restores revision {asked.restores}" if asked.restores else ""
    return f"accepted as revision {asked.revision}{again}: {names}", [
        f"note: {p.where}: {p.what}" for p in asked.notes
    ]


def _deploy_completed(record: Record) -> Words:
    done: Any = record.event
    return f"revision {done.revision} is up: {count(done.slots, 'slot')} in {span(done.took_s)}"


def _deploy_failed(record: Record) -> Words:
    done: Any = record.event
    blocking = [f"still missing: {', '.join(done.blocking)}"] if done.blocking else []
    return f"revision {done.revision} did not come up: {_in_a_line(done.reason)}", blocking


def _removal(head: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        asked: Any = record.event
        return f"{head}, with its volumes" if asked.volumes else head

    return words


def _flapping(record: Record) -> Words:
    said: Any = record.event
    times = f"slot {said.slot} ended {said.failures} times within {span(said.within_s)}"
    return f"flapping: {times}; last: {said.last_reason}"


# Containers.


def _requested(record: Record) -> Words:
    asked: Any = record.event
    words = f"wants attempt {asked.attempt} of revision {asked.revision}"
    wait_s = asked.not_before - record.time
    if wait_s > 0.001:
        words += f", not before {clock(asked.not_before)} (waits {span(wait_s)})"
    return words + (f", on {asked.pinned} only" if asked.pinned else "")


def _assigned(record: Record) -> Words:
    given: Any = record.event
    details = [score(given.parts)] if given.parts else []
    if given.runners_up:
        others = [f"{c.node} {c.score:g} ({score(c.parts)})" for c in given.runners_up]
        details.append("runners-up: " + "; ".join(others))
    if given.looked_at:
        details.append(f"compared {given.looked_at} of the cluster's nodes")
    return f"chose {given.node}, score {given.score:g}", details + _refused(given.refused)


def _refused(refused: Sequence[container.Refusal]) -> list[str]:
    return [f"refused: {refusals([r])}" + (f" ({_named(r)})" if r.nodes else "") for r in refused]


def _named(refusal: container.Refusal) -> str:
    more = refusal.count - len(refusal.nodes)
    return ", ".join(refusal.nodes) + (f" and {more} more" if more > 0 else "")


def _unplaceable(record: Record) -> Words:
    said: Any = record.event
    reasons = [refusals([r]) + (f" ({_named(r)})" if r.nodes else "") for r in said.refused]
    return f"no node can take it: {'; '.join(reasons)}"


def _started(record: Record) -> Words:
    said: Any = record.event
    if said.adopted:
        return "found it running"
    took = f" in {span(said.took_s)}" if said.took_s else ""
    pulled = f", {span(said.pulled_s)} of it pulling the image" if said.pulled_s else ""
    return f"started it{took}{pulled}"


def _unhealthy(record: Record) -> Words:
    said: Any = record.event
    what = f"{said.probe} probe" if said.probe else "health check"
    head = f"its {what} failed {count(said.streak, 'time')} in a row"
    return head, [f"| {line}" for line in said.output.splitlines()]


def _failed(record: Record) -> Words:
    said: Any = record.event
    head = ended(said.reason, said.exit_code, said.message, said.ran_s)
    final = ["trying again on this node cannot help"] if said.final else []
    return head, final + [f"| {line}" for line in said.logs]


def _finished(record: Record) -> Words:
    said: Any = record.event
    return f"ended with success after {span(said.ran_s)}"


_RETIRED = {
    "scaled": "the service was scaled down",
    "replaced": "a newer revision replaces it",
    "removed": "it is being removed",
    "superseded": "another container fills its slot",
    "unhealthy": "it is unhealthy",
    "moved": "it moves to another node",
    "deadline": "its job's deadline has passed",
}


def _retired(record: Record) -> Words:
    said: Any = record.event
    grace = f", within {span(said.grace_s)}" if where(said) else ""
    return f"is to stop{grace}: {_RETIRED.get(said.reason, said.reason)}"


def _stopped(record: Record) -> Words:
    said: Any = record.event
    ran = f" after {span(said.ran_s)}" if said.ran_s else ""
    return f"stopped{ran}" + (", killed when its grace was over" if said.killed else "")


def _pulling(record: Record) -> Words:
    said: Any = record.event
    if not said.total_bytes:
        return f"pulling {said.image}"
    return f"pulling {said.image}: {size(said.done_bytes)} of {size(said.total_bytes)}"


def _pulled(record: Record) -> Words:
    said: Any = record.event
    return f"pulled {said.image} in {span(said.took_s)}"


def _rejected(record: Record) -> Words:
    said: Any = record.event
    return _problems(said.problems, "rejected")


# The log itself.


def _log_filling(record: Record) -> Words:
    said: Any = record.event
    words = [said.words] if said.words else []
    return f"fills up: {_taken(said)} by {count(said.events, 'event')}", words


def _log_trimmed(record: Record) -> Words:
    said: Any = record.event
    went = f"{count(said.events, 'event')} went, {size(said.freed_bytes)}"
    return f"was trimmed, begins at {said.first} now: {went}; {_taken(said)}"


def _taken(said: Any) -> str:
    share = said.used_bytes / said.limit_bytes
    return f"{size(said.used_bytes)} of {size(said.limit_bytes)} ({share:.0%}) are taken"


_WORDS: dict[str, Callable[[Record], Words]] = {
    deploy.DeployRequested.type: _deploy_requested,
    deploy.DeployAccepted.type: _deploy_accepted,
    deploy.DeployRejected.type: _rejected,
    deploy.DeployCompleted.type: _deploy_completed,
    deploy.DeployFailed.type: _deploy_failed,
    deploy.RemovalRequested.type: _removal("asked for its removal"),
    deploy.RemovalAccepted.type: _removal("accepted: it is to be removed"),
    deploy.RemovalRejected.type: _rejected,
    deploy.RemovalCompleted.type: lambda r: f"is gone, in {span(_of(r).took_s)}",
    scale.ScaleRejected.type: _rejected,
    service.ServiceFlapping.type: _flapping,
    service.ServiceSteady.type: lambda r: f"steady: quiet for {span(_of(r).quiet_s)}",
    container.ContainerRequested.type: _requested,
    container.ContainerAssigned.type: _assigned,
    container.ContainerUnplaceable.type: _unplaceable,
    container.ContainerStarted.type: _started,
    container.ContainerHealthy.type: plain("its checks pass"),
    container.ContainerUnhealthy.type: _unhealthy,
    container.ContainerFailed.type: _failed,
    container.ContainerFinished.type: _finished,
    container.ContainerRetired.type: _retired,
    container.ContainerStopped.type: _stopped,
    node.NodeRequestRejected.type: _rejected,
    image.ImagePulling.type: _pulling,
    image.ImagePulled.type: _pulled,
    leader.LeaderElected.type: plain("{instance} leads"),
    log.LogFilling.type: _log_filling,
    log.LogTrimmed.type: _log_trimmed,
    log.LogEased.type: lambda r: f"has room again: {_taken(_of(r))}",
    **story_capacity.WORDS,
    **story_gateway.WORDS,
    **story_nodes.WORDS,
    **story_rollouts.WORDS,
    **story_runs.WORDS,
    **story_scaling.WORDS,
    event.EventRejected.type: plain("message {sequence} on {on} means nothing: {reason}"),
}


def _of(record: Record) -> Any:
    return record.event


_TONES: dict[type[Event], Tone] = {
    deploy.DeployCompleted: "good",
    container.ContainerStarted: "good",
    container.ContainerHealthy: "good",
    container.ContainerFinished: "good",
    service.ServiceSteady: "good",
    container.ContainerUnplaceable: "warn",
    container.ContainerUnhealthy: "warn",
    service.ServiceFlapping: "bad",
    deploy.DeployRejected: "bad",
    deploy.DeployFailed: "bad",
    deploy.RemovalRejected: "bad",
    scale.ScaleRejected: "bad",
    container.ContainerFailed: "bad",
    event.EventRejected: "bad",
    log.LogFilling: "warn",
    log.LogTrimmed: "warn",
    log.LogEased: "good",
    **story_capacity.TONES,
    **story_nodes.TONES,
    **story_rollouts.TONES,
    **story_scaling.TONES,
}
