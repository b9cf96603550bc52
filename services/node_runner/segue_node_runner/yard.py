"""Know what the engine has and what is under way there, from listings, news and outcomes.

A listing is complete but old; news is new but may be missed. What changed while a listing was made
is believed over it. Nothing here decides what is to be done about any of it.
"""

from collections.abc import Container
from typing import Any

import msgspec
from segue.spec import Resources

from segue_node_runner import news
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity

LIST_EVERY_S = 10.0
AGAIN_AFTER_S = 1.0


class Yard:
    """The containers on one engine, by identity."""

    def __init__(self) -> None:
        self.facts: news.Facts | None = None
        self.condition = news.Condition("away")  # Without words: nobody has said so yet.
        self.there: dict[Identity, Found] = {}
        self.listed = False  # `there` is complete since the engine was last reached.
        self.starting: dict[Identity, None] = {}
        self.stopping: dict[Identity, None] = {}
        self.doubtful: dict[
            Identity, int
        ] = {}  # Starts without an answer, and since which listing.
        self.examining: dict[Identity, None] = {}
        self.started: dict[Identity, news.StartDone] = {}
        self.failed: dict[Identity, news.StartFailed] = {}
        self.died: dict[Identity, news.Died] = {}
        self.stopped: dict[Identity, news.StopDone] = {}
        self.giving_up: dict[Identity, None] = {}
        self.leftovers: dict[str, bool] = {}  # Apps with networks (True) or volumes only.
        self.untidy = False  # A listing came since somebody last tidied up.
        self.again_at: dict[Identity, float] = {}  # Not to be tried before.
        self._health: dict[Identity, news.HealthChanged] = {}  # Heard before the start was done.
        self._changed: dict[Identity, None] = {}  # Since the listing under way was begun.
        self._listing = False
        self._listings = 0  # An answer to any but the newest is too old to be believed.
        self._list_at = 0.0

    def list_due(self, now: float) -> bool:
        """Tell whether the engine is to be asked for all it has."""
        return not self._listing and now >= self._list_at and self.condition.state != "frozen"

    def list_begins(self) -> int:
        """Note that it is being asked; give the listing's number."""
        self._listing, self._changed = True, {}
        self._listings += 1
        return self._listings

    def wake_at(self, now: float) -> float | None:
        """Give when the clock alone makes something due here."""
        times = [] if self._listing or self.condition.state == "frozen" else [self._list_at]
        times += [at for at in self.again_at.values() if at > now]
        return min(times, default=None)

    def slot_is_taken(self, identity: Identity, beside: int = 0) -> bool:
        """Tell whether another container of the slot runs, or is on its way up or down.

        Attempt `beside` may run, or be on its way down: it has been moved out of the name's way.
        """
        name = identity.slot_name
        running = [other for other, found in self.there.items() if found.runs]
        there = [one for one in (*self.stopping, *running) if one.attempt != beside]
        others = [*self.starting, *there]
        return any(other.slot_name == name and other != identity for other in others)

    def newest(self, slot_name: str, above: int) -> int:
        """Give the greatest attempt of a slot here that is greater than this one, or 0."""
        attempts = [other.attempt for other in self.there if other.slot_name == slot_name]
        return max((attempt for attempt in attempts if attempt > above), default=0)

    def no_room(self, used: Resources) -> str:
        """Check the capacity once more, with all that was ordered here before."""
        assert self.facts is not None, "nothing is started before the facts are known"
        if self.condition.full:
            return self.condition.full
        if used.memory_bytes > self.facts.memory_bytes:
            return f"the node has {self.facts.memory_bytes >> 20} MiB, reserved would be more"
        if used.cpu_millicores > self.facts.cpu_millicores:
            return f"the node has {self.facts.cpu_millicores} millicores, reserved would be more"
        return ""

    def list_now(self) -> None:
        """Ask for a listing at the next occasion."""
        self._list_at = 0.0

    def forget(self, identity: Identity) -> None:
        """Drop what is remembered of a container whose end is in the log."""
        for memory in self._memories():
            memory.pop(identity, None)

    def forget_all_but(self, kept: Container[Identity]) -> None:
        """Drop what is remembered of containers that nobody asks about any more."""
        moving = {**self.starting, **self.stopping}
        for memory in self._memories():
            for identity in [one for one in memory if one not in kept and one not in moving]:
                del memory[identity]

    def _memories(self) -> tuple[dict[Identity, Any], ...]:
        outcomes = (self.started, self.failed, self.died, self.stopped)
        return (*outcomes, self.again_at, self.giving_up, self._health)

    # What the host says.

    def hear(self, said: Any, now: float) -> None:
        """Note what the engine has done or what an effect came to."""
        if isinstance(said, news.ContainerNews):
            self._changed[said.identity] = None
        match said:
            case news.Facts():
                self.facts = said
            case news.Condition():
                self._judge(said)
            case news.Resync():
                self.listed, self._listing, self._list_at = False, False, now
            case news.Away(words=words):
                self._judge(news.Condition("away", words))
            case news.Inventory(number=number) if number == self._listings:
                self._take(said, now)
            case news.ListFailed(number=number) if number == self._listings:
                self._listing, self._list_at = False, now + AGAIN_AFTER_S
            case news.StartDone() | news.StartFailed() | news.StopDone() | news.StopFailed():
                self._outcome(said, now)
            case news.ContainerNews():
                self._change(said, now)

    def _judge(self, condition: news.Condition) -> None:
        if condition.state != "well":
            self.listed = False
        elif self.condition.state != "well":
            self.listed, self._listing, self._list_at = False, False, 0.0
        self.condition = condition

    def _take(self, inventory: news.Inventory, now: float) -> None:
        """Believe a listing, but for what changed while it was made."""
        listed = {found.identity: found for found in inventory.found}
        for identity in self._changed:
            listed.pop(identity, None)
            if identity in self.there:
                listed[identity] = self.there[identity]
        self.there, self.listed, self.untidy = listed, True, True
        self.leftovers = dict.fromkeys(inventory.volumes_of, False)
        self.leftovers |= dict.fromkeys(inventory.networks_of, True)
        for identity in [one for one, since in self.doubtful.items() if since < self._listings]:
            del self.doubtful[identity]
            self._start_over(identity)
        self._listing = False
        self._list_at = now if self.doubtful else now + LIST_EVERY_S
        if self.condition.state == "away":
            self.condition = news.Condition("well")

    def _outcome(self, said: Any, now: float) -> None:
        identity = said.identity
        match said:
            case news.StartDone():
                self._start_over(identity)
                self.started[identity] = said
                died, health = self.died.get(identity), self._health.pop(identity, None)
                found = _judged(said.found, health) if health else said.found
                self.there[identity] = _ended(found, died) if died else found
            case news.StartFailed(kind="timeout"):
                self.doubtful[identity] = self._listings  # It may have started all the same.
                self.again_at[identity] = now + AGAIN_AFTER_S
                self.list_now()
            case news.StartFailed():
                self._start_over(identity)
                if said.passing:
                    self.again_at[identity] = now + AGAIN_AFTER_S
                    if said.kind == "occupied":
                        self.list_now()  # What is in the way has not been seen.
                else:
                    self.failed[identity] = said
            case news.StopDone():
                self.stopping.pop(identity, None)
                self.stopped[identity] = said
                self.there.pop(identity, None)
            case news.StopFailed():
                self.stopping.pop(identity, None)
                self.again_at[identity] = now + AGAIN_AFTER_S

    def _start_over(self, identity: Identity) -> None:
        self.doubtful.pop(identity, None)
        self.starting.pop(identity, None)
        self.giving_up.pop(identity, None)

    def _change(self, said: news.ContainerNews, now: float) -> None:
        identity = said.identity
        found = self.there.get(identity)
        match said:
            case news.Died():
                self.examining.pop(identity, None)
                self.died[identity] = said
                if found is not None:
                    self.there[identity] = _ended(found, said)
            case news.HealthChanged() if found is not None:
                self.there[identity] = _judged(found, said)
            case news.HealthChanged():
                self._health[identity] = said
            case news.Running() if identity not in self.starting and not (found and found.runs):
                self._list_at = (
                    now  # A start that was given up, or not one's own, worked after all.
                )
            case news.Gone():
                self.there.pop(identity, None)


def _judged(found: Found, said: news.HealthChanged) -> Found:
    if not found.runs:
        return found
    health = "healthy" if said.healthy else "unhealthy"
    return msgspec.structs.replace(found, health=health, streak=said.streak, output=said.output)


def _ended(found: Found, died: news.Died) -> Found:
    return msgspec.structs.replace(
        found, state="exited", exit_code=died.exit_code, oom=died.oom, health=""
    )
