"""Fold what was said of the room that nodes have together, so that it is said once."""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.capacity import CapacityEased, CapacityExhausted
from segue.picture.indexed import Indexed
from segue.picture.state import Capacity


def exhausted(picture: Indexed, record: Record, event: CapacityExhausted) -> None:
    """Remember what is missing, and since when anything is."""
    before = picture.state.capacity
    since = before.since if before is not None and before.shortages else record.time
    picture.state.capacity = Capacity(
        cause=record.as_cause(),
        at=record.time,
        since=since,
        slots=event.slots,
        shortages=event.shortages,
    )


def eased(picture: Indexed, record: Record, _: CapacityEased) -> None:
    """Remember that nothing is missing."""
    picture.state.capacity = Capacity(cause=record.as_cause(), at=record.time)


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    CapacityExhausted.type: exhausted,
    CapacityEased.type: eased,
}
