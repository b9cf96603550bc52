"""How far the emptying of a node is: folded from the log, and shown as it goes on.

It repeats what services decided: the deployer says what is in the way, and when it is done.
"""

import sys
import time
from typing import Literal

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from segue.envelope import Record
from segue.events.node import (
    NodeDrained,
    NodeDrainHeld,
    NodeDrainStarted,
    NodeEvent,
    NodeRemoved,
    NodeUncordoned,
)
from segue.picture import Container, Picture

from segue_cli.amounts import count, span
from segue_cli.asking import json_line
from segue_cli.display import Moving, Shown
from segue_cli.rows import condition
from segue_cli.story import tell
from segue_cli.tables import styled

SHOWN = 20  # Containers that a terminal shows at once.
End = Literal["drained", "uncordoned", "removed"]


class Left(msgspec.Struct, frozen=True):
    """A container that is still on the node, and what becomes of it."""

    name: str
    state: str
    why: str = ""


class Draining:
    """Feed it the log from before the request on."""

    def __init__(self, node: str, picture: Picture) -> None:
        self.node, self.picture = node, picture
        self.request = ""  # The id of the request, once it is known.
        self.began_at = 0.0
        self.end: End | None = None
        self.left_there: list[str] = []
        self.gone = 0
        self._held: dict[str, str] = {}

    @property
    def begun(self) -> bool:
        """The request was granted."""
        return self.began_at > 0

    def take(self, record: Record) -> list[str]:
        """Fold an event; tell what it means for the node, in lines."""
        before = dict(self.picture.on_node.get(self.node, {}))
        self.picture.fold(record)
        event = record.event
        lines = []
        if isinstance(event, NodeEvent) and event.node == self.node:
            told = tell(record)
            lines = [told.point, *told.details]
            self._note(record, event)
        if self.begun and self.end in (None, "drained"):
            after = self.picture.on_node.get(self.node, {})
            lines += [self._went(one) for key, one in before.items() if key not in after]
        return lines if self.begun else []

    def _note(self, record: Record, event: NodeEvent) -> None:
        if isinstance(event, NodeDrainStarted) and record.cause == self.request:
            self.began_at = record.time
        if not self.begun:
            return
        if isinstance(event, NodeDrainHeld):
            self._held = {f"{b.app}/{b.service}.{b.slot}": b.reason for b in event.blockers}
        elif isinstance(event, NodeDrained):
            self.end, self.left_there = "drained", event.left
        elif isinstance(event, NodeUncordoned):
            self.end = "uncordoned"
        elif isinstance(event, NodeRemoved):
            self.end = "removed"

    def _went(self, container: Container) -> str:
        self.gone += 1
        self._held.pop(container.name, None)
        return f"{container.name} {self._where_to(container)}"

    def _where_to(self, container: Container) -> str:
        slot = self.picture.slot(container.app, container.service, container.slot)
        now = slot.container if slot is not None else None
        if now is None or now.attempt <= container.attempt:
            return f"is gone: {container.retired or container.phase}"
        return f"moved to {now.node}" if now.node else "is gone; its successor has no node yet"

    def left(self) -> list[Left]:
        """Give what is still on the node, by name."""
        there = self.picture.on_node.get(self.node, {})
        return [self._left(there[key]) for key in sorted(there)]

    def _left(self, container: Container) -> Left:
        reason = self._held.get(container.name)
        if reason is not None:
            return Left(container.name, "held", reason)
        slot = self.picture.slot(container.app, container.service, container.slot)
        now = slot.container if slot is not None else None
        if now is not None and now.attempt > container.attempt:
            state, note = condition(self.picture, now)
            where = f" on {now.node}" if now.node else ""
            return Left(container.name, "moving", f"its successor is {state}{where} {note}".strip())
        state, note = condition(self.picture, container)
        return Left(container.name, state, note)


class Screen(Shown):
    """Shows what happens as lines."""

    def __init__(self, draining: Draining) -> None:
        super().__init__()
        self.draining = draining

    def show(self, record: Record, lines: list[str]) -> None:
        """Show what an event means, with the log's time since the drain began."""
        since_s = max(0.0, record.time - self.draining.began_at)
        for number, line in enumerate(lines):
            head = f"{since_s:8.3f} s" if number == 0 else " " * 10
            print(f"{head}  {line}", flush=True)

    def complain(self) -> None:
        """Say that nobody has answered for a while."""
        if not self.draining.begun:
            print("no answer yet; is a deployer running? (`segue doctor`)", file=sys.stderr)


class JsonLines(Screen):
    """One JSON object for each event that concerns the node."""

    def show(self, record: Record, lines: list[str]) -> None:
        """Print the event."""
        if lines:
            print(json_line(record), flush=True)

    def last(self, text: str, tone: str = "good") -> None:
        """Say nothing more: the last event says it."""


class Live(Moving, Screen):
    """A table that moves of what is still there."""

    def show(self, record: Record, lines: list[str]) -> None:
        """Leave behind what left the node, and what is in the way."""
        started = isinstance(record.event, NodeDrainStarted | NodeDrained)
        tone = "warn" if isinstance(record.event, NodeDrainHeld) else "plain"
        for line in [] if started else lines:
            self.leave(line, tone)

    def draw(self) -> RenderableType:
        """Draw what is still there, and what becomes of it."""
        draining = self.draining
        left = draining.left() if draining.begun else []
        took = span(time.monotonic() - self.entered_at)
        head = f"{draining.node}  asked  {took}"
        if draining.begun:
            head = f"{draining.node}  {draining.gone} gone, {len(left)} left  {took}"
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for one in left[:SHOWN]:
            tone = "warn" if one.state == "held" else "dim"
            made.add_row(styled(one.name, "name"), styled(one.state, tone), styled(one.why, "dim"))
        more = len(left) - SHOWN
        rest = [styled(f"and {count(more, 'container')} more", "dim")] if more > 0 else []
        return Group(styled(head, "head"), made, *rest)
