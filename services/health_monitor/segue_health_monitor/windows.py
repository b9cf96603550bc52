"""Keep what was measured lately: of containers and of services, as far back as a window reaches.

It is known to this process alone and harmless to lose: it fills again within a window. A sample
that comes twice, late or out of order changes nothing.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from segue.samples import SAMPLE_EVERY_S, NodeSample, ServiceSample

WINDOW_S = 10.0
FRESH_S = 3 * SAMPLE_EVERY_S
Name = tuple[str, str, int, int]


class Used(NamedTuple):
    """What a container used within the window."""

    cpu_millicores: float
    memory_bytes: float
    since: float  # When the first of the samples was heard.


class Total(NamedTuple):
    """What a service has to do within the window."""

    value: float
    mean: bool  # It is the mean itself, not the sum of all replicas.
    sources: int


class _Point(NamedTuple):
    heard_at: float
    at_s: float
    cpu_s: float
    memory_bytes: int


class Windows:
    """All that was measured lately. `now` is when it was heard."""

    def __init__(self) -> None:
        self._containers: dict[Name, deque[_Point]] = {}
        self._services: dict[
            tuple[str, str, str], dict[str, deque[tuple[float, ServiceSample]]]
        ] = {}

    def clear(self) -> None:
        """Forget it all: for a while nothing could be heard."""
        self._containers.clear()
        self._services.clear()

    def hear(self, sample: NodeSample | ServiceSample, now: float) -> None:
        """Take a sample."""
        if isinstance(sample, ServiceSample):
            by = self._services.setdefault((sample.app, sample.service, sample.metric), {})
            points = by.setdefault(sample.source, deque())
            points.append((now, sample))
            while len(points) > 1 and points[0][0] <= now - WINDOW_S:
                points.popleft()
            return
        for one in sample.containers:
            name = (one.app, one.service, one.slot, one.attempt)
            line = self._containers.setdefault(name, deque())
            if line and sample.at_s <= line[-1].at_s:
                continue
            line.append(_Point(now, sample.at_s, one.cpu_s, one.memory_bytes))
            while len(line) > 2 and line[1].at_s <= sample.at_s - WINDOW_S:
                line.popleft()

    def forget(self, now: float) -> None:
        """Drop what was measured too long ago to mean anything."""
        for name in [name for name, line in self._containers.items() if not _fresh(line, now)]:
            del self._containers[name]
        for key, by in list(self._services.items()):
            for source in [one for one, points in by.items() if not _holds(points, now)]:
                del by[source]
            if not by:
                del self._services[key]

    def used(self, name: Name, now: float) -> Used | None:
        """Give what a container used, if there are fresh samples of it."""
        line = self._containers.get(name)
        if not line or not _fresh(line, now) or len(line) < 2:
            return None
        first, last = line[0], line[-1]
        cpu_s = max(0.0, last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
        memory = sum(point.memory_bytes for point in line) / len(line)
        return Used(1000 * cpu_s, memory, first.heard_at)

    def total(self, app: str, service: str, metric: str, now: float) -> Total | None:
        """Give what a service has to do, as its sources say together."""
        by = self._services.get((app, service, metric), {})
        found = [list(_lately(points, now)) for points in by.values() if _holds(points, now)]
        if not found:
            return None
        if found[0][0].mean:
            samples = [sample for samples in found for sample in samples]
            weight = sum(sample.weight for sample in samples)
            if weight <= 0:
                return Total(0.0, mean=True, sources=len(found))
            value = sum(sample.value * sample.weight for sample in samples) / weight
            return Total(value, mean=True, sources=len(found))
        value = sum(sum(one.value for one in samples) / len(samples) for samples in found)
        return Total(value, mean=False, sources=len(found))

    def newest(self, app: str, service: str, metric: str, now: float) -> float | None:
        """Give what a service's sources said last, together; None: nobody says it now."""
        by = self._services.get((app, service, metric), {})
        found = [points[-1][1].value for points in by.values() if _holds(points, now)]
        return sum(found) if found else None


def _fresh(line: deque[_Point], now: float) -> bool:
    return line[-1].heard_at > now - FRESH_S


def _holds(points: deque[tuple[float, ServiceSample]], now: float) -> bool:
    heard_at, newest = points[-1]
    return heard_at > now - 3 * max(1.0, newest.every_s)


def _lately(points: deque[tuple[float, ServiceSample]], now: float) -> Iterator[ServiceSample]:
    """Give the samples within the window, at least the newest."""
    for heard_at, sample in points:
        if heard_at > now - WINDOW_S or sample is points[-1][1]:
            yield sample
