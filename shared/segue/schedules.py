"""Reckon the instants of a schedule. Times are in seconds since 1970.

Daylight saving is treated as Debian's cron does: an instant of fixed hours that the clock skips is
the one after the gap; one that the clock shows twice is the first; what recurs within the hour goes
on by elapsed time.
"""

import datetime as dt
import itertools
import zoneinfo
from collections.abc import Iterator

from cronsim import CronSim, CronSimError

from segue.jobs import Schedule

MISSED_COUNTED = 100


def wrong(cron: str, zone: str) -> str:
    """Say why these are no instants, or nothing."""
    if len(cron.split()) != 5:
        return f"'{cron}' has not five fields: minute, hour, day, month, day of the week"
    try:
        begin = dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f"'{zone}' is no time zone of the tz database"
    try:
        CronSim(cron, begin)
    except CronSimError as error:
        return f"'{cron}': {str(error).lower()}"
    return ""


def following(schedule: Schedule, after: float) -> float | None:
    """Give the first instant after a time, or None where there is none for decades."""
    return next(_instants(schedule, after), None)


def due(schedule: Schedule, after: float, now: float) -> tuple[float, int] | None:
    """Give the last instant in `(after, now]`, and how many before it there were, at most 100."""
    back = itertools.dropwhile(lambda at: at > now, _instants(schedule, now + 1.0, back=True))
    found = [at for at, _ in zip(_since(back, after), range(MISSED_COUNTED + 1), strict=False)]
    return (found[0], len(found) - 1) if found else None


def _since(back: Iterator[float], after: float) -> Iterator[float]:
    for at in back:
        if at <= after:
            return
        yield at


def _instants(schedule: Schedule, at: float, *, back: bool = False) -> Iterator[float]:
    begin = dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(schedule.zone))
    for instant in CronSim(schedule.cron, begin, reverse=back):
        yield instant.timestamp()
