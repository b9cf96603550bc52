"""Tell in words how much room is missing for slots that wait."""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events import Event, capacity
from segue.events.capacity import Shortage

from segue_cli.amounts import count, cpus, size, span
from segue_cli.story_nodes import Tone, Words


def amounts(cpu_millicores: int, memory_bytes: int) -> str:
    """Write what is wanted or missing: `1.5 CPU and 512.0 MiB`."""
    parts = [f"{cpus(cpu_millicores)} CPU"] if cpu_millicores else []
    parts += [size(memory_bytes)] if memory_bytes else []
    return " and ".join(parts) or "nothing"


def shortage(one: Shortage) -> str:
    """Say of a service how many of its slots wait, and how much would do."""
    wants = amounts(one.cpu_millicores, one.memory_bytes)
    lacks = amounts(one.lacks_cpu_millicores, one.lacks_memory_bytes)
    head = f"{one.app}/{one.service}: {count(one.slots, 'slot')} of {wants}"
    return f"{head}; {one.node} lacks least, {lacks}, of {count(one.candidates, 'node')} that may"


def _exhausted(record: Record) -> Words:
    said: Any = record.event
    lacks = amounts(said.lacks_cpu_millicores, said.lacks_memory_bytes)
    verb = "waits" if said.slots == 1 else "wait"
    head = f"{count(said.slots, 'slot')} {verb} for room: {lacks} missing"
    return head, [shortage(one) for one in said.shortages]


def _eased(record: Record) -> Words:
    said: Any = record.event
    return f"no slot waits for room any more, after {span(said.waited_s)}"


WORDS: dict[str, Callable[[Record], Words]] = {
    capacity.CapacityExhausted.type: _exhausted,
    capacity.CapacityEased.type: _eased,
}
TONES: dict[type[Event], Tone] = {
    capacity.CapacityExhausted: "warn",
    capacity.CapacityEased: "good",
}
