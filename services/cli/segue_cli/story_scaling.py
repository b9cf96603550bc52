"""Tell in words how much load there is, and how many replicas follow from it or do not."""

from collections.abc import Callable, Sequence
from typing import Any

from segue.envelope import Record
from segue.events import Event, load, scale, service
from segue.events.scale import Clamp, Input

from segue_cli.amounts import count, span
from segue_cli.story_nodes import Tone, Words

_SHARES = ("cpu", "memory")
_WITHOUT_TARGET = {"idle": "nobody asks anything of it", "waiting": "requests wait for it"}


def amount(metric: str, value: float) -> str:
    """Write a metric's value: `74 %`, `220 ms`, `12.5`."""
    if metric in _SHARES:
        return f"{value:.0f} %"
    return span(value) if metric == "latency" else f"{value:.4g}"


def _asked(record: Record) -> Words:
    said: Any = record.event
    return f"asked for {count(said.replicas, 'replica')}{_for(said.for_s)}"


def _accepted(record: Record) -> Words:
    said: Any = record.event
    return f"{count(said.replicas, 'replica')} instead of {said.previous}{_for(said.for_s)}"


def _for(seconds: float) -> str:
    return f", for {span(seconds)}" if seconds > 0 else ""


def _load(level: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        said: Any = record.event
        head = f"{said.metric} is {level}: {amount(said.metric, said.value)}"
        head += f" of {amount(said.metric, said.target)}" if said.target else ""
        head += f", the mean of {count(said.replicas, 'replica')}" if said.replicas else ""
        head += f" over {span(said.window_s)}" if said.window_s else ""
        return head, [said.words] if said.words else []

    return words


def _decided(record: Record) -> Words:
    said: Any = record.event
    head = f"{count(said.replicas, 'replica')} instead of {said.previous}"
    return head, reasons(said.inputs, said.clamps)


def _held(record: Record) -> Words:
    said: Any = record.event
    head = f"stays at {count(said.replicas, 'replica')}, not {said.recommended}: {said.words}"
    return head, reasons(said.inputs, said.clamps)


def reasons(inputs: Sequence[Input], clamps: Sequence[Clamp]) -> list[str]:
    """Say what each metric asks for, as it is reckoned, and what was made of that."""
    lines = []
    for one in inputs:
        if one.metric == "schedule" and not one.target and one.level:
            lines.append(f"the schedule asks for at least {one.recommended} now")
            continue
        if one.metric in _WITHOUT_TARGET and not one.target and one.level:
            lines.append(f"{_WITHOUT_TARGET[one.metric]}: {one.recommended}")
            continue
        if not one.level:
            lines.append(f"{one.metric} asks for no change: nothing is known of it")
            continue
        value, target = amount(one.metric, one.value), amount(one.metric, one.target)
        how = f"{one.replicas} x {value} / {target}"
        lines.append(f"{one.metric} is {one.level}, asks for {one.recommended} ({how})")
    return lines + [f"{one.rule}: {one.before} becomes {one.after}, {one.words}" for one in clamps]


def _paused(head: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        said: Any = record.event
        until = _for(said.for_s) or ", until the next deploy or `segue autoscale resume`"
        return head + until

    return words


def _idle(record: Record) -> Words:
    said: Any = record.event
    return f"nobody has asked anything of it for {span(said.quiet_s)}"


def _busy(record: Record) -> Words:
    said: Any = record.event
    return f"something is asked of it again: {said.words}"


WORDS: dict[str, Callable[[Record], Words]] = {
    load.LoadHigh.type: _load("high"),
    load.LoadLow.type: _load("low"),
    load.LoadNormal.type: _load("as it should be"),
    service.ServiceIdle.type: _idle,
    service.ServiceBusy.type: _busy,
    scale.ScaleRequested.type: _asked,
    scale.ScaleAccepted.type: _accepted,
    scale.ScaleDecided.type: _decided,
    scale.ScaleHeld.type: _held,
    scale.ScalePauseRequested.type: _paused("asked that the replicas stay as they are"),
    scale.ScalePaused.type: _paused("the replicas stay as they are"),
    scale.ScaleResumeRequested.type: lambda _: "asked that the replicas follow the load again",
    scale.ScaleResumed.type: lambda _: "the replicas follow the load again",
}
TONES: dict[type[Event], Tone] = {
    load.LoadHigh: "warn",
    load.LoadNormal: "good",
    scale.ScalePaused: "warn",
}
