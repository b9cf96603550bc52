"""Tell rollouts in words: each step, why one waits, and why a version was taken back."""

from collections.abc import Callable, Sequence
from typing import Any

from segue.envelope import Record
from segue.events import Event, deploy, rollout

from segue_cli.amounts import count, span
from segue_cli.story_nodes import Tone, Words

_WAYS = {
    "rolling": "step by step",
    "canary": "a few first, as canaries",
    "blue_green": "the new ones beside the old, then all at once",
}
_NAMED_MOST = 8


def numbers(service: str, slots: Sequence[int]) -> str:
    """Name slots: `web.1, web.2`, of many the first."""
    named = ", ".join(f"{service}.{number}" for number in slots[:_NAMED_MOST])
    more = len(slots) - _NAMED_MOST
    return f"{named} and {more} more" if more > 0 else named


def _started(record: Record) -> Words:
    said: Any = record.event
    first = "the old one goes once the new one is ready"
    if said.order == "stop-first":
        first = "the old one is stopped first"
    head = f"goes from revision {said.previous} to {said.revision}, {_WAYS[said.strategy]}"
    head += f": {said.parallelism} of {count(said.total, 'slot')} at once, {first}"
    return head, [said.reason] if said.reason else []


def _advanced(record: Record) -> Words:
    said: Any = record.event
    return f"now {numbers(said.service, said.slots)}; {said.done} of {said.total} before"


def _stalled(record: Record) -> Words:
    said: Any = record.event
    waits = f", waiting for {numbers(said.service, said.slots)}" if said.slots else ""
    return f"came no further for {span(said.waited_s)}{waits}: {said.reason}"


def _failed(record: Record) -> Words:
    said: Any = record.event
    code = "" if said.exit_code is None else f", code {said.exit_code}"
    details = [said.output] if said.output and said.output not in said.reason else []
    details += [f"| {line}" for line in said.logs]
    which = f"{said.service}.{said.slot}"
    return f"the new version fails, last in {which}{code}: {said.reason}", details


def _completed(record: Record) -> Words:
    said: Any = record.event
    failed = f", {said.failed} failed on the way" if said.failed else ""
    without = f", without {numbers(said.service, said.skipped)}" if said.skipped else ""
    took = f" in {span(said.took_s)}"
    return f"runs the new version: {count(said.slots, 'slot')}{took}{failed}{without}"


def _reverted(record: Record) -> Words:
    said: Any = record.event
    blocking = [f"because of {', '.join(said.blocking)}"] if said.blocking else []
    return f"revision {said.revision} is taken back to {said.to}: {said.reason}", blocking


def _asked(what: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        said: Any = record.event
        return f"asked {what}" + (f", {said.service} only" if said.service else "")

    return words


def _answer(what: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        said: Any = record.event
        return f"{', '.join(said.services)}: {what}" if said.services else what

    return words


def _rollback(record: Record) -> Words:
    said: Any = record.event
    return f"asked for {f'revision {said.revision}' if said.revision else 'the last one'} again"


def _held(record: Record) -> Words:
    said: Any = record.event
    return f"waits: {said.reason}"


def _rejected(record: Record) -> Words:
    said: Any = record.event
    lines = [f"{one.what}" + (f" ({one.hint})" if one.hint else "") for one in said.problems]
    return f"rejected: {'; '.join(lines)}"


WORDS: dict[str, Callable[[Record], Words]] = {
    deploy.DeployReverted.type: _reverted,
    rollout.RolloutStarted.type: _started,
    rollout.RolloutAdvanced.type: _advanced,
    rollout.RolloutHeld.type: _held,
    rollout.RolloutStalled.type: _stalled,
    rollout.RolloutFailed.type: _failed,
    rollout.RolloutCompleted.type: _completed,
    rollout.RolloutPauseRequested.type: _asked("for no further step"),
    rollout.RolloutResumeRequested.type: _asked("for it to go on"),
    rollout.RolloutPromoteRequested.type: _asked("for the new version to count as good"),
    rollout.RolloutAbortRequested.type: _asked("for it to be as it was"),
    rollout.RolloutPaused.type: _answer("no further step until `segue rollout resume`"),
    rollout.RolloutResumed.type: _answer("it goes on"),
    rollout.RolloutPromoted.type: _answer("the new version counts as good"),
    rollout.RolloutRequestRejected.type: _rejected,
    rollout.RollbackRequested.type: _rollback,
}

TONES: dict[type[Event], Tone] = {
    deploy.DeployReverted: "bad",
    rollout.RolloutHeld: "warn",
    rollout.RolloutPaused: "warn",
    rollout.RolloutStalled: "bad",
    rollout.RolloutFailed: "bad",
    rollout.RolloutRequestRejected: "bad",
    rollout.RolloutCompleted: "good",
}
