"""Decide the next step of a service on its way from one version to another, or why there is none.

A step advances a few slots; the next follows once what they run has been ready for long enough and
has relieved what they ran before. Nothing is replaced here but what is relieved: a slot that was
advanced is owed another container, and `slots` sees to that. What becomes of an app whose new
version does not work is decided in `apps`.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from segue.core import Decision
from segue.events.rollout import (
    Order,
    RolloutAdvanced,
    RolloutCompleted,
    RolloutFailed,
    RolloutHeld,
    RolloutPromoted,
    RolloutStalled,
    RolloutStarted,
    Strategy,
)
from segue.picture import App, Container, Picture, Service, Slot
from segue.picture.fold_rollout import config
from segue.picture.state import Failure, Rollout
from segue.wants import ready

from segue_deployer.settling import works
from segue_deployer.slots import gate_of, retire, room
from segue_deployer.tally import Tally, relieved

SHOWN = 100


def decide(
    picture: Picture, app: App, service: Service, tallies: Mapping[str, Tally], now: float
) -> Iterator[Decision]:
    """Say what is the next step of the service's rollout."""
    rollout = service.rollout
    if rollout is not None and app.reverted is None and app.phase not in ("removing", "removed"):
        yield from _Step(picture, app, service, rollout, tallies, now).decide()


def times(service: Service) -> Iterator[float]:
    """Give when the clock alone may bring the next step."""
    rollout = service.rollout
    if rollout is not None:
        update = config(service)
        yield rollout.ready_at + update.monitor_s
        yield rollout.ready_at + update.delay_s
        yield rollout.progressed_at + service.spec.strategy.deadline_s


class _Step:
    """One look at a service's rollout."""

    def __init__(  # noqa: PLR0917 — made in one place.
        self,
        picture: Picture,
        app: App,
        service: Service,
        rollout: Rollout,
        tallies: Mapping[str, Tally],
        now: float,
    ) -> None:
        self.picture, self.app, self.service, self.rollout = picture, app, service, rollout
        self.tallies, self.tally, self.now = tallies, tallies[service.name], now
        self.update = config(service)
        self.scope: dict[str, Any] = {"app": app.name, "service": service.name}

    def decide(self) -> Iterator[Decision]:
        rollout, update = self.rollout, self.update
        if not rollout.strategy:
            yield self._start()
        elif rollout.verdict is not None:
            if update.failure_action == "pause":
                yield from self._hold(rollout.verdict.reason)
        elif rollout.failure is not None and self._is_too_much():
            yield self._fail(rollout.failure)
        elif self.tally.places("advancing"):
            yield from self._stall()
        elif self.tally.places("relief"):
            if self.now >= rollout.ready_at + update.monitor_s:
                yield from self._relieve()
        elif self.now >= rollout.ready_at + max(update.monitor_s, update.delay_s):
            yield from self._advance()

    # How it begins.

    def _start(self) -> Decision:
        strategy, order, reason = self._way()
        total = self.tally.at_hand
        event = RolloutStarted(
            **self.scope,
            revision=self.app.revision,
            previous=self.rollout.old.revision,
            strategy=strategy,
            order=order,
            reason=reason,
            parallelism=total if strategy == "blue_green" else self.update.at_once(total),
            total=total,
        )
        return Decision(event, self.rollout.cause, key=str(self.app.revision))

    def _way(self) -> tuple[Strategy, Order, str]:
        """Choose how it is done, and say why not in the way that was asked for or would be best."""
        asked = "rolling" if self.rollout.back else self.service.spec.strategy.kind
        alone = self.service.spec.alone or self.rollout.old.spec.alone
        stops = self.update.order == "stop-first"
        if not alone and asked == "blue_green":
            return "blue_green", "start-first", "blue_green needs start-first" if stops else ""
        if not alone and not stops:
            return asked, "start-first", ""
        reason = "" if stops and asked != "blue_green" else alone
        return "rolling" if asked == "blue_green" else asked, "stop-first", reason

    # What goes wrong.

    def _is_too_much(self) -> bool:
        if self.update.failure_action == "continue":
            return False
        share = len(self.rollout.failed) / max(1, self.tally.at_hand)
        return share > self.update.max_failure_ratio

    def _fail(self, failure: Failure) -> Decision:
        count, total = len(self.rollout.failed), self.tally.at_hand
        name = f"{self.service.name}.{failure.slot}"
        event = RolloutFailed(
            **self.scope,
            reason=f"{name} {_words(failure)}",
            slot=failure.slot,
            attempt=failure.attempt,
            exit_code=failure.exit_code,
            output=failure.message,
            logs=failure.logs,
            failed=count,
            total=total,
        )
        return Decision(event, failure.cause)

    def _stall(self, reason: str = "") -> Iterator[Decision]:
        """Give up waiting once the deadline is over."""
        if self.rollout.paused:
            return
        waited_s = self.now - self.rollout.progressed_at
        if waited_s < self.service.spec.strategy.deadline_s:
            return
        slots = [number for _, number in self.tally.places("advancing")]
        if not slots and self.update.failure_action == "continue":
            return  # There is nothing to go on without; why it is held was said.
        if not reason:
            reason = f"{self.service.name}.{slots[0]} {self._waits(slots[0])}"
            reason += f", and {len(slots) - 1} more wait" if len(slots) > 1 else ""
        event = RolloutStalled(
            **self.scope, reason=reason, slots=slots[:SHOWN], waited_s=round(waited_s, 3)
        )
        yield Decision(event, self.rollout.cause)

    def _waits(self, number: int) -> str:
        """Say what a slot that is to run the new version waits for, and how that failed before."""
        slot = self.service.slots.get(number) or Slot(number=number)
        state = self._state(slot.container)
        if not slot.streak or slot.last_digest != self.service.digest:
            return state
        times = "once" if slot.streak == 1 else f"{slot.streak} times, the last time"
        code = f" with code {slot.last_exit_code}" if slot.last_exit_code is not None else ""
        return f"failed {times}: {slot.last_reason}{code}; now it {state}"

    def _state(self, container: Container | None) -> str:
        if container is None or (container.ended and container.phase == "stopped"):
            return "has not begun: what it depends on is not there"
        if container.refused:
            reasons = "; ".join(refusal.reason for refusal in container.refused)
            lacks = container.moves and "not enough" in reasons and self._is_no_larger()
            hint = "; with order: stop-first the older one would make room" if lacks else ""
            return f"finds no node: {reasons}{hint}"
        if container.ended:
            return f"ended: {container.message or container.reason or container.phase}"
        if container.digest != self.service.digest:
            return f"still runs the older version on {container.node or 'no node'}"
        if ready(self.service, container):
            return f"is ready on {container.node}, and its gateway does not lead to it"
        if container.phase == "assigned":
            return f"has not started on {container.node}"
        if container.phase == "requested":
            return "waits for a node"
        told = f": {container.message}" if container.message else ""
        asked = f", its {container.probe} fails" if container.probe else ""
        return f"is not healthy on {container.node}{asked}{told}"

    def _is_no_larger(self) -> bool:
        """Tell whether the new version fits where the older one was."""
        new, old = self.service.spec.resources, self.rollout.old.spec.resources
        smaller = new.memory_bytes <= old.memory_bytes
        return smaller and new.cpu_millicores <= old.cpu_millicores

    # How it goes on.

    def _relieve(self) -> Iterator[Decision]:
        """Retire what the ready ones relieve; with blue_green all at once, when it is time."""
        rollout = self.rollout
        if rollout.strategy == "blue_green" and not rollout.promoted:
            if self.tally.places("first") or self.tally.places("rest"):
                yield from self._advance()
            elif self.service.spec.strategy.promote == "manual":
                yield from self._hold("the new version is ready; promote it, or abort")
            elif not rollout.paused:
                event = RolloutPromoted(app=self.app.name, services=[self.service.name])
                yield Decision(event, rollout.cause, key=self.service.name)
            return
        for _, number in self.tally.places("relief"):
            slot = self.service.slots[number]
            assert slot.container is not None, "it is ready"
            for old in relieved(self.picture, self.service, slot):
                yield retire(self.service, old, "replaced", slot.container.cause)

    def _advance(self) -> Iterator[Decision]:
        """Let the next slots run the new version, or say why that has to wait."""
        left = len(self.tally.places("first")) + len(self.tally.places("rest"))
        done = self.tally.at_hand - left
        canary = self._waits_for_canary(done)
        if not left and not canary:
            yield self._complete()
            return
        if self.rollout.paused:
            return
        if canary:
            yield from self._hold("the canary is ready; promote the new version, or abort")
            return
        if reason := self._waits_for_others():
            yield from self._hold(reason)
            return
        if gate_of(self.app, self.service, self.service.spec, self.tallies) is None:
            reason = "what it depends on is not there"
            yield from self._hold(reason) or self._stall(reason)
            return
        if self.tally.places("leftover"):
            return  # The step takes their room.
        todo = chain(self.tally.places("first"), self.tally.places("rest"))
        slots = self._chosen((number for _, number in todo), done)
        assert slots, "what does not work goes first, and then one that works can be spared"
        event = RolloutAdvanced(**self.scope, slots=slots, done=done, total=self.tally.at_hand)
        yield Decision(event, self.rollout.cause)

    def _waits_for_canary(self, done: int) -> bool:
        rollout, strategy = self.rollout, self.service.spec.strategy
        if rollout.strategy != "canary" or rollout.promoted or strategy.promote == "auto":
            return False
        return done >= strategy.canaries(self.tally.at_hand)

    def _waits_for_others(self) -> str:
        """Let what it depends on go first."""
        for name in self.service.spec.depends_on:
            other = self.app.services.get(name)
            if other is not None and other.wanted and other.rollout is not None:
                return f"the rollout of {name} comes first"
        return ""

    def _chosen(self, todo: Iterable[int], done: int) -> list[int]:
        """Choose as many as may be under way at once, and stop no more than can be spared."""
        rollout, total = self.rollout, self.tally.at_hand
        most = self.update.at_once(total)
        if rollout.strategy == "blue_green":
            most = total
        elif rollout.strategy == "canary" and not rollout.promoted:
            left = self.service.spec.strategy.canaries(total) - done
            most = min(most, left) if left > 0 else most
        spared = most if rollout.order == "start-first" else room(self.service, self.tally)
        slots: list[int] = []
        for number in todo:
            if len(slots) == most:
                break
            stops = self._works(number)
            if stops and spared <= 0:
                continue
            spared -= stops
            slots.append(number)
        return slots

    def _works(self, number: int) -> bool:
        slot = self.service.slots.get(number)
        container = slot.container if slot is not None else None
        return container is not None and works(self.picture, self.service, container)

    def _hold(self, reason: str) -> list[Decision]:
        """Say why it does not go on, unless it was said."""
        if reason == self.rollout.held:
            return []
        return [Decision(RolloutHeld(**self.scope, reason=reason), self.rollout.cause)]

    def _complete(self) -> Decision:
        rollout = self.rollout
        event = RolloutCompleted(
            **self.scope,
            slots=self.tally.at_hand,
            failed=len(rollout.failed),
            skipped=sorted(rollout.skipped)[:SHOWN],
            took_s=round(max(0.0, self.now - rollout.begun_at), 3),
        )
        return Decision(event, rollout.cause)


def _words(failure: Failure) -> str:
    code = f" with code {failure.exit_code}" if failure.exit_code is not None else ""
    told = failure.message.strip()
    return f"{failure.reason}{code}" + (f": {told}" if told else "")
