"""Who caused what: records of the log by key and by cause, walked back to a request and forward.

A cause stands before its effect; whatever claims otherwise is taken as caused by nothing. Where a
cause is named by its id alone, the oldest event of that id, whoever said it, is meant. A slot's
next attempt after a node's loss is caused by the node, but told with the attempt that went down
with it. Nothing here reads the log or the clock: `segue_cli.reading` does.
"""

from collections.abc import Iterable, Iterator

import msgspec
from segue.envelope import Record
from segue.events.container import (
    ContainerEvent,
    ContainerFailed,
    ContainerFinished,
    ContainerRequested,
)
from segue.events.node import NodeEvent, NodeSuspected


class Branch(msgspec.Struct):
    """An event and what it led to, oldest first."""

    record: Record
    branches: list["Branch"] = []

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Record]]:
        """Give every event with its depth, each before what it led to."""
        todo = [(depth, self)]
        while todo:
            deep, branch = todo.pop()
            yield deep, branch.record
            todo += [(deep + 1, inner) for inner in reversed(branch.branches)]


Attempt = tuple[str, str, int, int]


class History:
    """Records of the log, as many as were read."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records: dict[int, Record] = {}
        self._by_key: dict[str, Record] = {}  # And by id.
        self._effects: dict[str, dict[int, Record]] = {}
        self._attempts: dict[Attempt, dict[int, Record]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Take a record, in any order; one that is known changes nothing."""
        if record.sequence in self.records:
            return
        self.records[record.sequence] = record
        for name in {record.key, record.id}:
            known = self._by_key.get(name)
            if known is None or record.sequence < known.sequence:
                self._by_key[name] = record
        if record.cause:
            self._effects.setdefault(record.cause_key, {})[record.sequence] = record
        if isinstance(record.event, ContainerEvent):
            self._attempts.setdefault(attempt_of(record.event), {})[record.sequence] = record

    def cause_of(self, record: Record) -> Record | None:
        """Find what caused an event, if it was read."""
        cause = self._by_key.get(record.cause_key) if record.cause else None
        return cause if cause is not None and cause.sequence < record.sequence else None

    def effects_of(self, record: Record) -> list[Record]:
        """Give what an event directly led to, in order."""
        effects = self._effects.get(record.key, {}) | self._effects.get(record.id, {})
        return [effects[at] for at in sorted(effects) if at > record.sequence]

    def attempt(self, key: Attempt) -> list[Record]:
        """Give all that was said of one container, in order."""
        said = self._attempts.get(key, {})
        return [said[at] for at in sorted(said)]

    def tree(self, record: Record) -> Branch:
        """Give an event and all that it led to."""
        root = Branch(record)
        todo = [root]
        while todo:
            branch = todo.pop()
            branch.branches = [Branch(effect) for effect in self.effects_of(branch.record)]
            todo += branch.branches
        return root

    def story(self, records: Iterable[Record]) -> list[Record]:
        """Give these and all that led to them, in the log's order.

        A container that ended by itself, or with its node, is told from its request to its end; of
        one that was replaced on purpose only its end is. A node's silence has no cause to be told.
        """
        told: dict[int, Record] = {}
        todo = list(records)
        while todo:
            record = todo.pop()
            if record.sequence not in told:
                told[record.sequence] = record
                todo += self._told_with(record)
        return [told[at] for at in sorted(told)]

    def _told_with(self, record: Record) -> list[Record]:
        event = record.event
        if isinstance(event, NodeSuspected):
            return []  # What caused it is that the node had joined, however long ago.
        cause = self.cause_of(record)
        more = [cause] if cause is not None else []
        if isinstance(event, ContainerFailed | ContainerFinished):
            more += self.before(record)
        elif isinstance(event, ContainerRequested) and (
            cause is not None and isinstance(cause.event, NodeEvent)
        ):
            more += self.before(record, earlier=1)
        return more

    def before(self, record: Record, *, earlier: int = 0) -> list[Record]:
        """Give what was said of an event's container, or of an earlier one, before the event."""
        assert isinstance(record.event, ContainerEvent), "only containers have attempts"
        app, service, slot, attempt = attempt_of(record.event)
        said = self.attempt((app, service, slot, attempt - earlier))
        return [one for one in said if one.sequence < record.sequence]

    def unknown(self, records: Iterable[Record]) -> list[Record]:
        """Give those whose cause would be told and was not read."""
        return [
            record
            for record in records
            if record.cause
            and record.cause_key not in self._by_key
            and not isinstance(record.event, NodeSuspected)
        ]


def attempt_of(event: ContainerEvent) -> Attempt:
    """Name the container that an event is about."""
    return (event.app, event.service, event.slot, event.attempt)
