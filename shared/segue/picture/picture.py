"""Fold events into the state and its indexes; write the state to a snapshot and read it back.

The indexes are never written: they are built again after a restore.
"""

import hashlib
import re
from typing import TypeVar

import msgspec

from segue.envelope import Record, Unreadable
from segue.picture import (
    fold_app,
    fold_capacity,
    fold_container,
    fold_gateway,
    fold_log,
    fold_node,
    fold_rebalance,
    fold_rollout,
    fold_run,
    fold_scale,
)
from segue.picture.indexed import Indexed
from segue.picture.state import ENDED, Container, State

T = TypeVar("T")
_FOLDS = {
    **fold_app.FOLDS,
    **fold_capacity.FOLDS,
    **fold_container.FOLDS,
    **fold_gateway.FOLDS,
    **fold_log.FOLDS,
    **fold_node.FOLDS,
    **fold_rebalance.FOLDS,
    **fold_rollout.FOLDS,
    **fold_run.FOLDS,
    **fold_scale.FOLDS,
}


class Claim(msgspec.Struct):
    """What a snapshot says of itself: of which log it is, and the last message it folded."""

    sequence: int = 0
    mark: str = ""
    cluster: str = ""


def claim(data: bytes) -> Claim:
    """Read what a snapshot claims, or raise `msgspec.ValidationError` when it cannot be used."""
    return _decoded(data, _CLAIM)


class Picture(Indexed):
    """The folded log. Change it only through `fold`."""

    def fold(self, record: Record) -> None:
        """Correct the picture by one event; an event folded before changes nothing."""
        state = self.state
        if record.sequence <= state.sequence:
            return
        state.sequence = record.sequence
        state.time = max(state.time, record.time)
        fold_app.answer(self, record)
        fold = _FOLDS.get(record.event.type)
        if fold is not None:
            fold(self, record, record.event)

    def unreadable(self, message: Unreadable) -> None:
        """Remember a message that could not be decoded until its rejection is in the log."""
        self.state.sequence = max(self.state.sequence, message.sequence)
        self.state.unreadable[message.sequence] = (message.subject, message.reason)

    # Snapshots.

    def snapshot(self, mark: str = "") -> bytes:
        """Write the state, with the shape that can read it and the last message's mark."""
        return SHAPE + msgspec.json.encode(msgspec.structs.replace(self.state, mark=mark))

    def restore(self, data: bytes) -> None:
        """Read what `snapshot` wrote, or raise `msgspec.ValidationError` when it cannot be used."""
        self.state = _decoded(data, _STATE)
        self.state.mark = ""
        self.pending, self.on_node, self.used, self.touched = {}, {}, {}, {}
        self.touched_nodes = set()
        self.draining = {name: None for name, node in self.nodes.items() if node.drain is not None}
        self.nodes_changed = True
        for app in self.state.apps.values():
            for service in app.services.values():
                self.touch(app.name, service.name)
                for slot in service.slots.values():
                    for container in slot.containers():
                        self._index(container)
        waiting = sorted(self.pending.items(), key=lambda item: item[1].requested_seq)
        self.pending = dict(waiting)

    def _index(self, container: Container) -> None:
        if container.phase in ENDED:
            return
        if container.node:
            self._count(container)
        elif not container.retired:
            self.pending[container.key] = container


_STATE = msgspec.json.Decoder(State)
_CLAIM = msgspec.json.Decoder(Claim)


def _decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    if not data.startswith(SHAPE):
        raise msgspec.ValidationError("the snapshot was written by another version's picture")
    try:
        return decoder.decode(data[len(SHAPE) :])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise msgspec.ValidationError(f"the snapshot is damaged: {error}") from error


def _shape() -> bytes:
    """Name the state's shape: a picture of another one is rebuilt from the log instead."""
    schema = msgspec.json.encode(msgspec.json.schema(State), order="deterministic")
    return hashlib.sha256(re.sub(rb'"description":"(?:[^"\\\\]|\\\\.)*",?', b"", schema)).digest()


SHAPE = _shape()
