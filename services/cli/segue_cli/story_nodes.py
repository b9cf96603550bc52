"""Tell what happens to nodes in words; the rest of the vocabulary is told in `segue_cli.story`."""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from segue.envelope import Record
from segue.events import Event, node

from segue_cli.amounts import count, cpus, size, span

Tone = Literal["plain", "good", "warn", "bad"]
Words = str | tuple[str, list[str]]


def plain(words: str) -> Callable[[Record], Words]:
    """Tell by these words, with the event's fields where they are named in braces."""
    return lambda _: words.format_map(msgspec.structs.asdict(_.event)) if "{" in words else words


def _joined(record: Record) -> Words:
    said: Any = record.event
    held = f", with {count(len(said.inventory), 'container')} of ours" if said.inventory else ""
    has = f"{cpus(said.cpu_millicores)} CPU, {size(said.memory_bytes)}"
    labels = ", ".join(f"{name}={value}" for name, value in said.labels.items())
    details = [said.engine] if said.engine else []
    return f"joined: {has}{held}", details + ([f"labels: {labels}"] if labels else [])


def _silent(head: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        said: Any = record.event
        return f"{head} {span(said.silent_s)}"

    return words


def _loss_held(record: Record) -> Words:
    said: Any = record.event
    if not said.nodes:
        return "no loss is held back any longer"
    head = f"{len(said.nodes)} of {count(said.of, 'node')} are silent, and kept for now"
    return head, [", ".join(said.nodes), *([said.words] if said.words else [])]


def _drain(head: str) -> Callable[[Record], Words]:
    return lambda record: f"{head} within {span(_deadline_s(record))}"


def _deadline_s(record: Record) -> float:
    said: Any = record.event
    return float(said.deadline_s)


def _drain_held(record: Record) -> Words:
    said: Any = record.event
    lines = [f"{b.app}/{b.service}.{b.slot}: {b.reason}" for b in said.blockers]
    return f"nothing more can leave it now: {count(len(lines), 'slot')} held", lines


def _drained(record: Record) -> Words:
    said: Any = record.event
    if said.left:
        return f"is empty but for the data of {', '.join(said.left)}"
    return f"is empty: {count(said.moved, 'container')} left it"


def _labels(head: str, removed: str) -> Callable[[Record], Words]:
    def words(record: Record) -> Words:
        fields = msgspec.structs.asdict(record.event)
        pairs = [f"{key}={value}" for key, value in fields["set"].items()]
        return f"{head} " + ", ".join(pairs + [f"without {key}" for key in fields[removed]])

    return words


def _removal_of_node(record: Record) -> Words:
    said: Any = record.event
    return "asked for it to be forgotten" + (", whatever it has" if said.force else "")


WORDS: dict[str, Callable[[Record], Words]] = {
    node.NodeJoined.type: _joined,
    node.NodeLeft.type: plain("left: {reason}"),
    node.NodeSuspected.type: _silent("is suspected: silent for"),
    node.NodeLost.type: _silent("is given up: silent for"),
    node.NodeLeaseEnded.type: plain(
        "its lease is over: what must not run twice runs there no more"
    ),
    node.NodeLossHeld.type: _loss_held,
    node.NodeReturned.type: _silent("is heard again after"),
    node.NodeDegraded.type: plain("its engine is of no use: {reason}"),
    node.NodeRecovered.type: plain("its engine works again"),
    node.NodeCordonRequested.type: plain("asked for no new containers there"),
    node.NodeUncordonRequested.type: plain("asked for it to be used again"),
    node.NodeCordoned.type: plain("gets no new containers"),
    node.NodeUncordoned.type: plain("may be used again"),
    node.NodeDrainRequested.type: _drain("asked for it to be empty"),
    node.NodeDrainStarted.type: _drain("is being emptied, to be so"),
    node.NodeDrainHeld.type: _drain_held,
    node.NodeDrained.type: _drained,
    node.NodeLabelRequested.type: _labels("asked for labels:", "remove"),
    node.NodeLabelled.type: _labels("labels:", "removed"),
    node.NodeRemovalRequested.type: _removal_of_node,
    node.NodeRemoved.type: plain("is forgotten"),
}

TONES: dict[type[Event], Tone] = {
    node.NodeJoined: "good",
    node.NodeReturned: "good",
    node.NodeRecovered: "good",
    node.NodeSuspected: "warn",
    node.NodeLossHeld: "warn",
    node.NodeDrainHeld: "warn",
    node.NodeDrained: "good",
    node.NodeLost: "bad",
    node.NodeDegraded: "bad",
    node.NodeRequestRejected: "bad",
}
