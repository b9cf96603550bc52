"""Decide what is to run: answer requests, fill slots, end what is not wanted, say how it went.

It never chooses a node and never touches an engine: a slot that is owed a container gets a
`container.requested`, one that must go gets a `container.retired`.
"""

from itertools import chain, islice

from segue.core import MOST_DECISIONS, Core, Decision
from segue.picture import App
from segue.picture.indexed import EVERY_SLOT

from segue_deployer import apps, doorkeeper, drains, jobs, plans, rollouts, runs, slots
from segue_deployer.moves import Budget
from segue_deployer.tally import Tally

ANSWERS_AT_ONCE = 50  # Converting a Compose document takes milliseconds; beats must go on.


class Deployer(Core):
    """The deployer's core."""

    service = "deployer"

    def __init__(self) -> None:
        super().__init__()
        self._look_at: dict[str, float] = {}  # By app: when to look at its deploy again.
        self._tallies: dict[str, dict[str, Tally]] = {}  # By app and service.

    def decide(self, now: float) -> list[Decision]:
        """Say what is owed; a service stays touched until it is owed nothing."""
        owed = list(islice(doorkeeper.answers(self.picture), ANSWERS_AT_ONCE))
        asked = {str(request.data.get("app")) for request in self.picture.state.requests.values()}
        self._due(now)
        for app_name, services in self._touched_apps().items():
            if app_name in asked:
                continue  # What it is owed follows from the answer.
            of_app = self._decide_app(app_name, services, now)
            owed += of_app
            if not of_app:
                for service in services:
                    del self.picture.touched[app_name, service]
            if len(owed) >= MOST_DECISIONS:
                break
        if not owed:  # What is moved is judged by slots that are owed nothing themselves.
            budget = Budget(self._tallies)
            owed = drains.decide(self.picture, budget, now, asked)
            owed = [*owed, *plans.decide(self.picture, budget, asked)][:MOST_DECISIONS]
        ends = drains.deadline(self.picture, now)
        times = [*self._look_at.values(), *([] if ends is None else [ends])]
        self.wake_at = None if owed else min(times, default=None)
        return owed

    def _touched_apps(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for app, service in self.picture.touched:
            found.setdefault(app, []).append(service)
        return found

    def _decide_app(self, name: str, touched: list[str], now: float) -> list[Decision]:
        app = self.picture.apps.get(name)
        if app is None:
            return []
        tallies = self._tally(app, touched)
        services = app.services.values()
        stages = (  # Each with what the one before has led to.
            (rollouts.decide(self.picture, app, one, tallies, now) for one in services),
            (apps.revert(app),),
            (runs.decide(app, one, now) for one in services),
            (jobs.decide(one, now) for one in services),
            (slots.decide(self.picture, app, one, tallies) for one in services),
            (apps.decide(self.picture, app, tallies, now),),
        )
        for stage in stages:
            owed = list(islice(chain.from_iterable(stage), MOST_DECISIONS))
            if owed:
                return owed
        times = [apps.deadline(app), *chain.from_iterable(rollouts.times(one) for one in services)]
        times += chain.from_iterable(jobs.times(one) for one in services)
        times += chain.from_iterable(runs.times(one) for one in services)
        if later := [at for at in times if at is not None and at > now]:
            self._look_at[name] = min(later)
        return []

    def _tally(self, app: App, touched: list[str]) -> dict[str, Tally]:
        """Look again at what the picture has marked, and at all of a removed app."""
        if app.phase == "removed":
            self._tallies.pop(app.name, None)
            tallies: dict[str, Tally] = {}
        else:
            tallies = self._tallies.setdefault(app.name, {})
        for name, service in app.services.items():
            changed: set[int] = set()
            if name in touched:
                changed = self.picture.touched[app.name, name]
                self.picture.touched[app.name, name] = set()
            if name not in tallies or EVERY_SLOT in changed:
                tallies[name] = Tally(self.picture, app, service)
            else:
                tallies[name].refresh(self.picture, app, service, changed)
        return tallies

    def _due(self, now: float) -> None:
        for name in [name for name, at in self._look_at.items() if at <= now]:
            del self._look_at[name]
            self.picture.touch(name, "")
