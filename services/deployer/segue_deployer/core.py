"""Decide what is to run: answer requests, fill slots, end what is not wanted, say how it went.

It never chooses a node and never touches an engine: a slot that is owed a container gets a
`container.requested`, one that must go gets a `container.retired`.
"""

import heapq

from segue.core import MOST_DECISIONS, Core, Decision

from segue_deployer import apps, doorkeeper, slots


class Deployer(Core):
    """The deployer's core."""

    service = "deployer"

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, str]] = []  # When to look at an app again.

    def decide(self, now: float) -> list[Decision]:
        """Say what is owed; a service stays touched until it is owed nothing."""
        owed = list(doorkeeper.answers(self.picture))
        asked = {request.data.get("app") for request in self.picture.state.requests.values()}
        self._due(now)
        for app_name in self._touched_apps():
            if app_name in asked:
                continue  # What it is owed follows from the answer.
            owed += self._decide_app(app_name, now)
            if len(owed) >= MOST_DECISIONS:
                break
        self.wake_at = self._timers[0][0] if self._timers and not owed else None
        return owed

    def _touched_apps(self) -> list[str]:
        return list(dict.fromkeys(app for app, _ in self.picture.touched))

    def _decide_app(self, name: str, now: float) -> list[Decision]:
        app = self.picture.apps.get(name)
        owed: list[Decision] = []
        if app is not None:
            for service in app.services.values():
                owed += slots.decide(self.picture, app, service)
            if not owed:
                owed += apps.decide(self.picture, app, now)
        if not owed:
            for key in [key for key in self.picture.touched if key[0] == name]:
                del self.picture.touched[key]
            deadline = apps.deadline(app) if app else None
            if deadline is not None and (deadline, name) not in self._timers:
                heapq.heappush(self._timers, (deadline, name))
        return owed

    def _due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, name = heapq.heappop(self._timers)
            if name in self.picture.apps:
                self.picture.touch(name, "")
