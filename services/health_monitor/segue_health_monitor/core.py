"""Decide who is silent, whose lease is over, which container counts as failed, and who flaps.

It also says how much services have to do, when the log fills up, and what was done about that.

It judges; what follows from a verdict is for others to decide.
"""

import heapq
from typing import Any

from segue.beats import NodeBeat
from segue.core import BusReturned, Core, Decision
from segue.samples import GatewaySample, NodeSample, ServiceSample

from segue_health_monitor import leases, room, services
from segue_health_monitor.leases import LeasesHeard
from segue_health_monitor.loads import LoadJudge
from segue_health_monitor.nodes import SUSPECT_AFTER_S, NodeJudge
from segue_health_monitor.room import Room, Trimmed


class HealthMonitor(Core):
    """The health monitor's core."""

    service = "health_monitor"

    def __init__(self) -> None:
        super().__init__()
        self._nodes = NodeJudge(self.picture)
        self._loads = LoadJudge(self.picture)
        self._leases = LeasesHeard()
        self._room: Room | None = None
        self._trimmed: Trimmed | None = None
        self._timers: list[tuple[float, str, str]] = []  # When to look at a service again.

    def hear(self, news: Any, now: float) -> None:
        """Note a beat, a sample, whose leases hold, the log's room, or that nobody was heard."""
        if isinstance(news, NodeBeat):
            self._nodes.heard(news, now)
        elif isinstance(news, NodeSample | ServiceSample | GatewaySample):
            self._loads.hear(news, now)
        elif isinstance(news, LeasesHeard):
            self._leases = news
        elif isinstance(news, Room):
            self._room = news
        elif isinstance(news, Trimmed):
            self._trimmed = news
        elif isinstance(news, BusReturned):
            self._nodes.blinded(now)
            self._loads.blinded(now)

    def decide(self, now: float) -> list[Decision]:
        """Give the verdicts that are due."""
        if self.picture.nodes_changed:
            self.picture.nodes_changed = False
            self._nodes.check_at = min(self._nodes.check_at, now + SUSPECT_AFTER_S)
        owed = [*self._nodes.decide(now), *leases.decide(self.picture, self._leases)]
        owed += room.decide(self.picture, self._room, self._trimmed)
        owed += self._loads.decide(now)
        self._due(now)
        for app, name in list(self.picture.touched):
            service = self.picture.service(app, name)
            verdicts = list(services.decide(app, service, now)) if service else []
            owed += verdicts
            if verdicts:
                continue
            del self.picture.touched[app, name]
            again_at = services.steady_at(service) if service else None
            if again_at is not None and (again_at, app, name) not in self._timers:
                heapq.heappush(self._timers, (again_at, app, name))
        due = [self._timers[0][0]] if self._timers else []
        self.wake_at = min([*due, self._nodes.check_at, self._loads.wake_at])
        return owed

    def _due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, app, name = heapq.heappop(self._timers)
            self.picture.touch(app, name)
