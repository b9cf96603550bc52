"""Word the facts about a container: one function for each event that a node runner says."""

from typing import Any

import msgspec
from segue.core import Decision
from segue.events.container import (
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
    FailureReason,
)
from segue.picture import Container

from segue_node_runner.health import Verdict
from segue_node_runner.inventory import Found
from segue_node_runner.news import Died, StartDone, StartFailed, StopDone


def _of(ordered: Container) -> dict[str, Any]:
    return {
        "app": ordered.app,
        "service": ordered.service,
        "slot": ordered.slot,
        "attempt": ordered.attempt,
        "node": ordered.node,
    }


def started(ordered: Container, found: Found, done: StartDone | None) -> Decision:
    """It runs, started just now or found running."""
    event = ContainerStarted(
        **_of(ordered),
        engine_id=found.engine_id,
        image=found.image,
        pid=found.pid,
        adopted=done is None or done.adopted,
        took_s=round(done.took_s, 4) if done else 0.0,
        pulled_s=round(done.pulled_s, 4) if done else 0.0,
        addresses=found.addresses,
    )
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def readdressed(ordered: Container, found: Found) -> Decision:
    """It runs on, at other addresses than were said."""
    said = started(ordered, found, None)
    where = " ".join(f"{one.network}={one.address}" for one in found.addresses)
    return msgspec.structs.replace(said, key=f"{said.key} {where}")


def start_failed(ordered: Container, failed: StartFailed) -> Decision:
    """It could not be started."""
    reasons: dict[str, FailureReason] = {"image": "image", "start": "start"}
    reason = (
        "rejected"
        if failed.kind in ("forbidden", "unfenced")
        else reasons.get(failed.step, "create")
    )
    event = ContainerFailed(
        **_of(ordered), reason=reason, message=failed.message, final=failed.final
    )
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def rejected(ordered: Container, words: str) -> Decision:
    """The node has no room for it."""
    event = ContainerFailed(**_of(ordered), reason="rejected", message=words)
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def fenced(ordered: Container, died: Died | None) -> Decision:
    """The lease that it was assigned under is over."""
    did = "it was killed" if died else "it is not started"
    event = ContainerFailed(
        **_of(ordered),
        reason="fenced",
        exit_code=died.exit_code if died else None,
        message=f"this node's lease was not renewed in time: {did}, so as not to run twice",
        ran_s=round(died.ran_s, 3) if died else 0.0,
        logs=died.logs if died else [],
    )
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def outdated(ordered: Container, newer: int) -> Decision:
    """The node has a newer container of the slot than the one that it is to start."""
    words = f"this node has attempt {newer} of it, which is newer: {ordered.attempt} is not started"
    event = ContainerFailed(**_of(ordered), reason="rejected", message=words)
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def vanished(ordered: Container) -> Decision:
    """It was running and the engine has it no more."""
    words = "the engine has it no more: someone removed it"
    event = ContainerFailed(**_of(ordered), reason="vanished", message=words)
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def ended(ordered: Container, died: Died) -> Decision:
    """It ended by itself."""
    ran_s = round(died.ran_s, 3)
    if died.fenced and died.exit_code == 137:
        return fenced(ordered, died)
    if died.exit_code == 0 and not died.oom:
        finished = ContainerFinished(**_of(ordered), ran_s=ran_s, logs=died.logs)
        return Decision(finished, ordered.cause, key=str(ordered.attempt))
    failed = ContainerFailed(
        **_of(ordered),
        reason="oom" if died.oom else "exited",
        exit_code=died.exit_code,
        ran_s=ran_s,
        logs=died.logs,
    )
    return Decision(failed, ordered.cause, key=str(ordered.attempt))


def healthy(ordered: Container) -> Decision:
    """Its checks pass."""
    return Decision(ContainerHealthy(**_of(ordered)), ordered.cause, key=str(ordered.attempt))


def unhealthy(ordered: Container, verdict: Verdict) -> Decision:
    """Its health check or a probe fails."""
    event = ContainerUnhealthy(
        **_of(ordered), streak=verdict.streak, output=verdict.output, probe=verdict.probe
    )
    return Decision(event, ordered.cause, key=str(ordered.attempt))


def stopped(ordered: Container, done: StopDone | None) -> Decision:
    """It is gone, as it was asked to be, or it had not come up yet."""
    event = ContainerStopped(
        **_of(ordered),
        exit_code=done.exit_code if done else None,
        ran_s=round(done.ran_s, 3) if done else 0.0,
        killed=done.killed if done else False,
    )
    return Decision(event, ordered.cause, key=str(ordered.attempt))
