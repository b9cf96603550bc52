"""Judge whether the log has room left, and from where on it is still needed.

    70 % of what it may take   said, once, for people
    85 %                       trimmed by who leads, until it is below 60 %
    95 %                       trimmed by whoever is there: a full log elects no leader
    below 65 %                 said to have room again

It is trimmed only up to a snapshot, from which every service can start: of those that leave enough
room the oldest one, so that as much history and as many snapshots stay as can. Pure;
`segue_health_monitor.gauge` measures and acts.
"""

from collections.abc import Sequence

import msgspec
from segue.core import Decision
from segue.events.log import LogEased, LogFilling, LogTrimmed
from segue.picture import LogRoom, Picture

ALARM_AT, TRIM_AT, LAST_RESORT_AT = 0.70, 0.85, 0.95
TRIM_TO, EASED_AT = 0.60, 0.65
LEAST_GAIN = 0.10  # Of the limit: a cut that gives back less is made again and again.


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The log as it was measured. `words`: why it could not be trimmed, though it should be."""

    used_bytes: int
    limit_bytes: int  # 0: it has none.
    events: int
    first: int
    last: int
    words: str = ""

    @property
    def share(self) -> float:
        """How much of the room it has taken, 0 without a limit."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


class Trimmed(msgspec.Struct, frozen=True):
    """It was trimmed: how it was before, and how it is since."""

    before: Room
    after: Room


def must_trim(room: Room, *, leading: bool) -> bool:
    """Tell whether whoever measures it has to trim it."""
    return room.share >= (TRIM_AT if leading else LAST_RESORT_AT)


def cut(room: Room, snapshots: Sequence[int]) -> int | None:
    """Choose the snapshot that the log may begin at, or None: another has to be made first.

    Events are taken to be of one size: what is left over is measured again.
    """
    within = [at for at in sorted(snapshots) if room.first < at <= room.last]
    for at in within:
        if _after(room, at) <= TRIM_TO:
            return at
    newest = within[-1] if within else room.first
    return newest if room.share - _after(room, newest) >= LEAST_GAIN else None


def _after(room: Room, at: int) -> float:
    """Estimate what share is taken once it begins at `at`."""
    return room.share * (room.last - at + 1) / (room.last - room.first + 1)


def decide(picture: Picture, room: Room | None, trimmed: Trimmed | None) -> list[Decision]:
    """Say what is new about the log's room, each time it is."""
    said = picture.state.log or LogRoom()
    if room is None or not room.limit_bytes:
        return []
    filling = bool(said.filling_since)
    if room.share >= ALARM_AT and (not filling or room.words != said.words):
        event = LogFilling(
            used_bytes=room.used_bytes,
            limit_bytes=room.limit_bytes,
            events=room.events,
            first=room.first,
            words=room.words,
        )
        return [Decision(event, said.cause, key=f"{room.first} {room.words}")]
    if trimmed is not None and trimmed.after.first > said.first:
        return [Decision(_trimmed(trimmed), said.cause, key=str(trimmed.after.first))]
    if filling and room.share < EASED_AT:
        eased = LogEased(used_bytes=room.used_bytes, limit_bytes=room.limit_bytes)
        return [Decision(eased, said.cause)]
    return []


def _trimmed(trimmed: Trimmed) -> LogTrimmed:
    before, after = trimmed.before, trimmed.after
    return LogTrimmed(
        first=after.first,
        events=after.first - before.first,
        freed_bytes=max(0, before.used_bytes - after.used_bytes),
        used_bytes=after.used_bytes,
        limit_bytes=after.limit_bytes,
    )
