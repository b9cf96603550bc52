"""Fold what happens to the log itself: whether it was said to be filling up, and what was done."""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.log import LogEased, LogFilling, LogTrimmed
from segue.picture.indexed import Indexed
from segue.picture.state import LogRoom


def _room(picture: Indexed) -> LogRoom:
    picture.state.log = picture.state.log or LogRoom()
    return picture.state.log


def filling(picture: Indexed, record: Record, event: LogFilling) -> None:
    """Remember since when it has been filling up, and what is in the way of trimming it."""
    room = _room(picture)
    room.filling_since = room.filling_since or record.time
    room.words, room.cause = event.words, record.as_cause()


def trimmed(picture: Indexed, record: Record, event: LogTrimmed) -> None:
    """Remember when it was trimmed last, and from where it goes on."""
    room = _room(picture)
    room.first, room.trimmed_at = max(room.first, event.first), record.time
    room.words, room.cause = "", record.as_cause()


def eased(picture: Indexed, record: Record, _: LogEased) -> None:
    """Forget that it was filling up."""
    room = _room(picture)
    room.filling_since, room.words, room.cause = 0.0, "", record.as_cause()


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    LogFilling.type: filling,
    LogTrimmed.type: trimmed,
    LogEased.type: eased,
}
