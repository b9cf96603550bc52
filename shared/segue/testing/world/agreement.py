"""What all must agree on at the end: every process's picture, a snapshot and the log are one."""

from typing import Any

import msgspec

from segue.envelope import Record
from segue.picture import Picture
from segue.spec import Resources
from segue.testing.world.bus import SimBus
from segue.testing.world.hosts import Cluster

UNREAD_MOST_S = 0.1  # So young is at most what has been stored and not yet delivered in the calm.


def everyone_sees_the_same(cluster: Cluster, records: list[Record], picture: Picture) -> str:
    """I6: every process's picture is the fold of the log, up to what is only just on its way."""
    ends: dict[int, dict[str, Any]] = {len(cluster.bus.log.stored): _comparable(picture)}
    for process in cluster.control:
        if problem := _unread(cluster.bus, process.position()):
            return f"{process.name} {problem}"
        at = process.position()
        if at not in ends:
            ends[at] = _comparable(_fold([record for record in records if record.sequence <= at]))
        seen = _comparable(process.core.picture)
        if seen != ends[at]:
            parts = [part for part in ends[at] if seen.get(part) != ends[at][part]]
            return f"{process.name} differs in {parts}"
    return ""


def _unread(bus: SimBus, position: int) -> str:
    unread = bus.log.stored[position:]
    if unread and bus.time - unread[0].time > UNREAD_MOST_S:
        return f"has not read what was stored {bus.time - unread[0].time:.3f} s ago"
    return ""


def a_snapshot_and_the_tail_are_the_log(
    snapshot: bytes, records: list[Record], picture: Picture
) -> str:
    """I6: fold(snapshot + tail) = fold(log), indexes too."""
    other = _fold(records, snapshot)
    for name in ("on_node", "used", "pending"):
        mine, theirs = _filled(getattr(other, name)), _filled(getattr(picture, name))
        if mine != theirs:
            return f"{name} differs: {mine} is not {theirs}"
    if sorted(other.draining) != sorted(picture.draining):
        return f"draining differs: {sorted(other.draining)} is not {sorted(picture.draining)}"
    return "" if _comparable(other) == _comparable(picture) else "the states differ"


def _fold(records: list[Record], snapshot: bytes = b"") -> Picture:
    made = Picture()
    if snapshot:
        made.restore(snapshot)
    for record in records:
        made.fold(record)
    return made


def _filled(index: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in index.items() if value and value != Resources()}


def _comparable(picture: Picture) -> dict[str, Any]:
    state: dict[str, Any] = msgspec.to_builtins(picture.state)
    for part in ("sequence", "cluster", "mark", "time", "unreadable"):
        state.pop(part, None)  # Who follows a part of the log, or none yet, has others.
    return state
