"""Reckon the spans of time of a schedule of minimums: pure, the time is given, in s since 1970.

A span begins at each instant of `start` and ends at the first of `end` after it, as KEDA's cron
scaler has it. Daylight saving is treated as Debian's cron does: an instant of fixed hours that the
clock skips is the one after the gap, one that it shows twice is the first.
"""

import datetime as dt
import functools
import zoneinfo

from cronsim import CronSim

from segue.spec import Autoscale, Span

_NEVER = float("inf")


def is_on(span: Span, at: float) -> bool:
    """Tell whether it is within one: its next end comes before its next start."""
    return _next(span.end, span.zone, at // 60) < _next(span.start, span.zone, at // 60)


def least(spec: Autoscale, at: float) -> int:
    """Give how many replicas there are to be at least at a time."""
    asked = [span.min for span in spec.schedule if is_on(span, at)]
    return min(spec.max, max([spec.min, *asked]))


def turns(spec: Autoscale, at: float) -> float | None:
    """Give when any of its spans begins or ends next."""
    found = [
        _next(cron, span.zone, at // 60)
        for span in spec.schedule
        for cron in (span.start, span.end)
    ]
    first = min(found, default=_NEVER)
    return first if first < _NEVER else None


@functools.lru_cache(4_096)
def _next(cron: str, zone: str, minute: float) -> float:
    """Give the first instant after a minute's beginning: there is none within a minute."""
    begin = dt.datetime.fromtimestamp(minute * 60, zoneinfo.ZoneInfo(zone))
    instants = (found.timestamp() for found in CronSim(cron, begin))
    # Of an hour that comes twice it gives the first, also when that is over.
    return next((at for at in instants if at > minute * 60), _NEVER)
