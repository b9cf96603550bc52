"""Reckon what was led to each service, from what HAProxy counts. Pure.

HAProxy counts requests, errors and sessions of each backend since its worker began, and keeps the
mean of what its requests waited for over the last 1,024 of them, no quantiles. A mean that reaches
so far back would go on telling of an overload that is over: so its change is turned back into the
mean of the requests in between, which is right to within 1,024 ms by their number.

After a reload another worker counts anew, and old ones end what they have begun; so each worker's
counts are compared with its own before.
"""

import csv
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from segue.samples import TIMED_EVERY_S, ServiceTraffic

from segue_gateway.hold import AGAIN, again_name, hold_name

SAMPLES = 1_024  # HAProxy's TIME_STATS_SAMPLES.
TIMED_MOST = 100  # So many requests are enough for a latency.


class Counted(NamedTuple):
    """A backend in one worker."""

    requests: int = 0  # Since the worker began; of TCP, connections.
    errors: int = 0
    inflight: int = 0
    http: bool = False
    waited_ms: int = 0  # The mean over the last ones: in the queue, to connect, for an answer.

    @property
    def ended(self) -> int:
        """How many requests are over: only of these it is known how long they waited."""
        return self.requests - self.inflight


class Backends(NamedTuple):
    """Which backends are a service's."""

    app: str
    service: str
    names: list[str]


Worker = Mapping[str, Counted]  # By backend.


class _Timed(NamedTuple):
    """What a latency is reckoned from: the counts that it was reckoned up to."""

    at_s: float
    counted: Counted


def read(said: str) -> dict[str, Counted]:
    """Read a worker's `show stat`: its backends, and what has led on what was held."""
    found: dict[str, Counted] = {}
    for row in csv.DictReader(said.removeprefix("# ").splitlines()):
        is_again = row["svname"] == "FRONTEND" and row["pxname"].startswith(AGAIN)
        if row["svname"] != "BACKEND" and not is_again:
            continue
        http = row["mode"] == "http"
        waits = (row["qtime"], row["ctime"], row["rtime"]) if http else ()
        found[row["pxname"]] = Counted(
            requests=int(row["req_tot" if http else "stot"] or 0),
            errors=int(row["hrsp_5xx"] or 0),
            inflight=int(row["scur"] or 0),
            http=http,
            waited_ms=sum(int(one or 0) for one in waits),
        )
    return found


class Meter:
    """What was counted before, of each worker."""

    def __init__(self) -> None:
        self._at_s: float | None = None
        self._before: dict[int, Worker] = {}
        self._timed: dict[tuple[int, str], _Timed] = {}

    def measured(
        self,
        workers: Mapping[int, Worker],
        services: Iterable[Backends],
        at_s: float,
    ) -> list[ServiceTraffic]:
        """Give each service's traffic since the last call; `services` names their backends."""
        before, since_s = self._before, self._at_s
        self._before, self._at_s = dict(workers), at_s
        self._timed = {key: one for key, one in self._timed.items() if key[0] in workers}
        if since_s is None:
            before, seconds = dict(workers), 1.0  # What was before the first look is nobody's.
        else:
            seconds = max(at_s - since_s, 1e-3)
        return [self._service(of, workers, before, seconds) for of in services]

    def _service(
        self,
        of: Backends,
        workers: Mapping[int, Worker],
        before: Mapping[int, Worker],
        seconds: float,
    ) -> ServiceTraffic:
        requests = errors = inflight = timed = 0
        waited_s = 0.0
        for pid, worker in workers.items():
            for backend in of.names:
                now = worker.get(backend, Counted())
                was = before.get(pid, {}).get(backend, Counted())
                requests += max(0, now.requests - was.requests)
                errors += max(0, now.errors - was.errors)
                inflight += now.inflight + _waiting(worker, backend)
                count, mean_s = self._latency(pid, backend, now, was)
                timed += count
                waited_s += count * mean_s
        return ServiceTraffic(
            of.app,
            of.service,
            rps=round(requests / seconds, 3),
            inflight=max(0, inflight),
            errors=round(errors / seconds, 3),
            latency_s=round(waited_s / timed, 6) if timed else 0.0,
            timed=timed,
        )

    def _latency(self, pid: int, backend: str, now: Counted, was: Counted) -> tuple[int, float]:
        """Give of how many requests it is told now how long they waited, and the mean."""
        assert self._at_s is not None, "it has been called"
        if not now.http:
            return 0, 0.0
        last = self._timed.setdefault((pid, backend), _Timed(self._at_s, was))
        count = now.ended - last.counted.ended
        if not count:
            self._timed[pid, backend] = _Timed(self._at_s, now)
        if count < 1 or (count < TIMED_MOST and self._at_s - last.at_s < TIMED_EVERY_S):
            return 0, 0.0
        self._timed[pid, backend] = _Timed(self._at_s, now)
        return count, between(last.counted, now) / 1e3


def _waiting(worker: Worker, backend: str) -> int:
    """Give how many are held and not led on; those that an old worker holds, a new one leads on."""
    held, again = (
        worker.get(name, Counted()) for name in (hold_name(backend), again_name(backend))
    )
    return held.inflight - again.inflight


def between(before: Counted, now: Counted) -> float:
    """Give the mean wait, in milliseconds, of the requests between two looks at a worker."""
    count = now.ended - before.ended
    kept = (1.0 - 1.0 / SAMPLES) ** count
    had, has = (one.waited_ms * min(one.requests, SAMPLES) for one in (before, now))
    return max(0.0, (has - had * kept) / (SAMPLES * (1.0 - kept)))
