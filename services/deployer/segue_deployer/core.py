"""Decide what is to run: answer requests, fill slots, end what is not wanted, say how it went.

It never chooses a node and never touches an engine: a slot that is owed a container gets a
`container.requested`, one that must go gets a `container.retired`.
"""

from itertools import islice

from segue.core import MOST_DECISIONS, Core, Decision

from segue_deployer import apps, doorkeeper, slots

ANSWERS_AT_ONCE = 50  # Converting a Compose document takes milliseconds; beats must go on.


class Deployer(Core):
    """The deployer's core."""

    service = "deployer"

    def __init__(self) -> None:
        super().__init__()
        self._look_at: dict[str, float] = {}  # By app: when to look at its deploy again.

    def decide(self, now: float) -> list[Decision]:
        """Say what is owed; a service stays touched until it is owed nothing."""
        owed = list(islice(doorkeeper.answers(self.picture), ANSWERS_AT_ONCE))
        asked = {request.data.get("app") for request in self.picture.state.requests.values()}
        self._due(now)
        for app_name in self._touched_apps():
            if app_name in asked:
                continue  # What it is owed follows from the answer.
            owed += self._decide_app(app_name, now)
            if len(owed) >= MOST_DECISIONS:
                break
        self.wake_at = None if owed else min(self._look_at.values(), default=None)
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
            if deadline is not None:
                self._look_at[name] = deadline
        return owed

    def _due(self, now: float) -> None:
        for name in [name for name, at in self._look_at.items() if at <= now]:
            del self._look_at[name]
            self.picture.touch(name, "")
