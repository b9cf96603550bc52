"""The arithmetic of the Kubernetes HorizontalPodAutoscaler, so that what users know of it holds.

Sources: "Horizontal Pod Autoscaling" in the Kubernetes documentation, and the behaviour of its
controller (`pkg/controller/podautoscaler`: `replica_calculator`, `horizontal`). Nothing here knows
of services or events.
"""

import math
from collections.abc import Iterable

from segue.spec import Pace

MOST = 1_000_000  # No more is ever recommended, whatever a metric says.


def recommended(
    value: float, target: float, replicas: int, current: int, tolerance: float = 0.1
) -> int:
    """Give `replicas` x `value` / `target`, rounded up; near the target as many as there are.

    `value` is the mean of so many replicas. What is too much never asks for fewer than there are,
    and what is too little never for more: the mean may be of other replicas than these.
    """
    ratio = min(max(0.0, value) / target, float(MOST))
    if round(abs(1.0 - ratio), 9) <= tolerance:
        return current
    asked = min(MOST, math.ceil(round(ratio * replicas, 9)))
    return max(asked, current) if ratio > 1.0 else min(asked, current)


def stabilised(current: int, up: Iterable[int], down: Iterable[int]) -> int:
    """Give what was recommended all the time: more in all of `up`, or fewer in all of `down`.

    Each has what was recommended within its own window, and what is recommended now.
    """
    return min(max(current, min(up)), max(down))


def up_limit(pace: Pace, current: int, added: int, removed: int) -> int:
    """Give how many there may be, when so many came and went within the period."""
    begun = current - added + removed
    more = [begun + pace.step] if pace.step else []
    if pace.step_percent:
        more.append(_ceil(begun, 100 + pace.step_percent))
    return max([current, *more])


def down_limit(pace: Pace, current: int, added: int, removed: int) -> int:
    """Give how few there may be, when so many came and went within the period."""
    begun = current - added + removed
    fewer = [begun - pace.step] if pace.step else []
    if pace.step_percent:
        fewer.append(begun * max(0, 100 - pace.step_percent) // 100)
    return max(0, min([current, *fewer]))


def _ceil(replicas: int, percent: int) -> int:
    return -(-replicas * percent // 100)
