"""Read and write times as people at a terminal do: `14:05`, `10m` ago, a sequence number.

A moment of the log is a sequence or a time by the log's clock. Nothing here asks a clock: what is
now is an argument, and it is the log's. Clock times without a zone are those of this terminal.
"""

import datetime as dt
import re

import msgspec

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
FORMS = "a sequence number, 10m (ago), 14:05, 14:05:30, or 2026-08-01T14:05"


class Moment(msgspec.Struct, frozen=True):
    """A place in the log: right after a sequence, or at a time (seconds since 1970)."""

    sequence: int | None = None
    time: float | None = None


class MomentError(ValueError):
    """A text that names no moment; the message says what would."""


def moment(text: str, now: float) -> Moment:
    """Read a moment, or raise `MomentError`."""
    text = text.strip()
    if text.isdecimal():
        return Moment(sequence=int(text))
    return Moment(time=time_of(text, now))


def time_of(text: str, now: float) -> float:
    """Read a time, or raise `MomentError`. A clock time is the last such one that is over."""
    try:
        time = _time_of(text, now)
    except (ValueError, OverflowError, OSError):
        time = -1.0
    if time < 0:
        raise MomentError(f"{text!r} is not a time; write {FORMS}")
    return time


def _time_of(text: str, now: float) -> float:
    if text == "now":
        return now
    if _AGO.fullmatch(text):
        return now - sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text))
    if _CLOCK.fullmatch(text):
        return _at_clock(text, now)
    return dt.datetime.fromisoformat(text).timestamp()


def _at_clock(text: str, now: float) -> float:
    clock = dt.time.fromisoformat(text.zfill(5) if text.count(":") == 1 else text.zfill(8))
    today = local(now).date()
    for day in (today, today - dt.timedelta(days=1)):
        at = dt.datetime.combine(day, clock).astimezone().timestamp()
        if at <= now:
            return at
    return at


def local(time: float) -> dt.datetime:
    """Give the log's time as this terminal's clock shows it."""
    return dt.datetime.fromtimestamp(time, dt.UTC).astimezone()


def stamp(time: float) -> dt.datetime | None:
    """Give the log's time for JSON, in UTC; 0 is no time."""
    return dt.datetime.fromtimestamp(round(time, 3), dt.UTC) if time else None


def clock(time: float) -> str:
    """Write the time of day to the millisecond."""
    return local(time).strftime("%H:%M:%S.%f")[:-3]


def day(time: float) -> str:
    """Write the day: `Sat 2026-08-01`."""
    return local(time).strftime("%a %Y-%m-%d")
