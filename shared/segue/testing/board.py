"""Put cores on one log, without shell, bus or time, to see what a history leads to.

`Board` is for unit tests of what is decided. Faults, time and several instances are the world's.
"""

from collections.abc import Sequence
from typing import TypeVar

from segue.core import Core, Decision
from segue.envelope import Cause, Record
from segue.events import Event
from segue.ids import derived

Kind = TypeVar("Kind", bound=Event)


class Board:
    """A log that every core reads at once; its clock moves only by `at`."""

    source = "/test"  # Who says what is said.

    def __init__(self, *cores: Core, start: float = 1_000_000.0) -> None:
        self.cores = cores
        self.now = start
        self.log: list[Record] = []
        self.effects: list[object] = []

    def say(self, event: Event, cause: Cause | None = None, event_id: str = "") -> Record:
        """Store an event; every core folds it."""
        sequence = len(self.log) + 1
        event_id = event_id or derived("board", sequence)
        record = Record(
            sequence=sequence,
            time=self.now,
            event=event,
            id=event_id,
            source=self.source,
            correlation=cause.correlation if cause else event_id,
            cause=cause.id if cause else "",
            cause_source=cause.source if cause else "",
        )
        self.log.append(record)
        for core in self.cores:
            core.fold(record)
        return record

    def settle(self, rounds: int = 200) -> list[Event]:
        """Let all cores decide until none owes anything; give what was decided on the way."""
        said: list[Event] = []
        for _ in range(rounds):
            owed = [(core, core.decide(self.now)) for core in self.cores]
            if not any(decisions for _, decisions in owed):
                return said
            for core, decisions in owed:
                said += self._take(core, decisions)
        raise AssertionError(f"never settled; the last decisions: {said[-5:]}")

    def _take(self, core: Core, decisions: Sequence[object]) -> list[Event]:
        said: list[Event] = []
        for decision in decisions:
            if not isinstance(decision, Decision):
                self.effects.append(decision)
                continue
            known = {record.id for record in self.log}
            assert decision.id not in known, f"decided twice: {decision.event}"
            cause = decision.cause.id if decision.cause is not None else ""
            assert cause in known or self._begins(core, decision.event), (
                f"no cause before it: {decision.event}"
            )
            self.say(decision.event, decision.cause, decision.id)
            said.append(decision.event)
        return said

    def _begins(self, core: Core, event: Event) -> bool:
        """Tell whether an event needs no cause: what is seen of the world, or of the log itself."""
        return core.service == "node_runner" or event.type.startswith(("event.", "log."))

    def tell(self, *events: Event) -> list[Event]:
        """Say these and settle."""
        for event in events:
            self.say(event)
        return self.settle()

    def at(self, later_s: float) -> list[Event]:
        """Move the clock and settle."""
        self.now += later_s
        return self.settle()

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Give every event of a kind in the log."""
        return [record.event for record in self.log if isinstance(record.event, kind)]
