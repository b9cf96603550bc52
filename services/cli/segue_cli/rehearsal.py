"""Rehearse a deploy: ask the services what they would decide, and play the rest of the world.

Deployer and scheduler answer with their own cores on copies of their pictures (`what_if`); here
every node starts at once what it is assigned, all health checks pass, gateways lead there, all jobs
succeed, what is to stop stops, and the time passes for which a new version is watched. So the
outcome is what would be decided if nothing went wrong, and nothing happens.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec
from segue.events import REGISTRY, Event
from segue.events.container import (
    ContainerAssigned,
    ContainerEvent,
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnplaceable,
)
from segue.events.deploy import DeployAccepted, DeployCompleted, DeployRejected, DeployRequested
from segue.events.gateway import EndpointReady
from segue.events.rollout import RolloutCompleted, RolloutEvent, RolloutHeld, RolloutStarted
from segue.shell.what_if import Answer, Question, Supposed, packed, unpacked
from segue.spec import AppSpec, ServiceSpec

ROUNDS_MOST = 500
PLACED_AT_ONCE = 2_000  # The scheduler's answer must fit in a message.

Ask = Callable[[str, Sequence[Event], float], Awaitable[list[Event]]]


class EndlessError(Exception):
    """The services went on deciding without end."""


def question(events: Sequence[Event], later_s: float = 0.0) -> bytes:
    """Ask what would be decided after these events and so much time."""
    supposed = [Supposed(event.type, msgspec.to_builtins(_bare(event))) for event in events]
    return packed(msgspec.json.encode(Question(supposed, later_s)))


def _bare(event: Event) -> Event:
    """Leave out what no service reads: a question has to fit in a message."""
    if isinstance(event, ContainerAssigned):
        return msgspec.structs.replace(event, score=0.0, parts={}, runners_up=[], refused=[])
    return event


def decisions(answer: bytes) -> list[Event]:
    """Read an answer; raises `msgspec.MsgspecError` for one of another Segue."""
    said = msgspec.json.decode(unpacked(answer), type=Answer).decisions
    return [msgspec.convert(one.data, REGISTRY[one.type]) for one in said if one.type in REGISTRY]


class Rehearsal:
    """One deploy, rehearsed. `run` it, then read what was `said`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.said: list[Event] = []  # All that would be said, in order.
        self.accepted: DeployAccepted | None = None
        self.rejected: DeployRejected | None = None
        self._app = ""

    @property
    def completes(self) -> bool:
        """The deploy would come up."""
        return any(isinstance(event, DeployCompleted) for event in self.said)

    async def run(self, asked: DeployRequested) -> None:
        """Play until nobody decides anything more, or raise `EndlessError`."""
        self._app = asked.app
        for event in self._ours(await self._ask("deployer", [asked], 0.0)):
            if isinstance(event, DeployRejected):
                self.rejected = event
                return
            if isinstance(event, DeployAccepted):
                self.accepted = event
            self._say(event)
        if self.accepted is None:
            return
        for _ in range(ROUNDS_MOST):
            before = len(self.said)
            for service in ("scheduler", "deployer"):
                await self._hear(service)
            if len(self.said) == before and self._rolls():
                await self._hear("deployer", self._watched_s())
            if len(self.said) == before:
                return
        raise EndlessError(f"not settled after {ROUNDS_MOST} rounds")

    @property
    def held(self) -> str:
        """What a rollout would wait for in the end, if it would not come to its own."""
        last = next((e for e in reversed(self.said) if isinstance(e, RolloutEvent)), None)
        return last.reason if isinstance(last, RolloutHeld) else ""

    async def _hear(self, service: str, later_s: float = 0.0) -> None:
        for event in self._ours(await self._ask(service, self._told(service), later_s)):
            self._say(event)

    def _rolls(self) -> bool:
        counts = Counter(type(event) for event in self.said)
        return counts[RolloutStarted] > counts[RolloutCompleted]

    def _watched_s(self) -> float:
        """Tell how long a step is watched at most."""
        assert self.accepted is not None, "nothing rolls out before"
        of_each = (spec.update for spec in self.accepted.spec.services.values())
        return max((max(update.monitor_s, update.delay_s) for update in of_each), default=0.0)

    def _ours(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in events if getattr(event, "app", None) == self._app]

    def _told(self, service: str) -> list[Event]:
        """Give what a service is told: the scheduler of so many open requests at a time."""
        if service != "scheduler":
            return self.said
        settled = {
            _key(e) for e in self.said if isinstance(e, ContainerAssigned | ContainerUnplaceable)
        }
        told, still = [], 0
        for event in self.said:
            if isinstance(event, ContainerRequested) and _key(event) not in settled:
                still += 1
                if still > PLACED_AT_ONCE:
                    continue
            told.append(event)
        return told

    def _say(self, event: Event) -> None:
        self.said.append(event)
        self.said.extend(self._reaction(event))

    def _reaction(self, event: Event) -> Iterator[Event]:
        """Say what a node would."""
        if isinstance(event, ContainerRetired) and event.node:
            yield ContainerStopped(**_which(event, event.node))
        elif isinstance(event, ContainerAssigned):
            which = _which(event, event.node)
            yield ContainerStarted(**which, engine_id="rehearsed")
            assert self.accepted is not None, "nothing is assigned before"
            app = self.accepted.spec
            spec = app.services.get(event.service)
            if spec is None:
                return
            if spec.is_job or _is_awaited_to_end(app, event.service):
                yield ContainerFinished(**which)
                return
            if spec.checked:
                yield ContainerHealthy(**which)
            if spec.routed:
                yield EndpointReady(**which)


def _key(event: ContainerEvent) -> tuple[str, int, int]:
    return (event.service, event.slot, event.attempt)


def _which(event: ContainerEvent, node: str) -> dict[str, Any]:
    fields = ("app", "service", "slot", "attempt")
    return {field: getattr(event, field) for field in fields} | {"node": node}


def _is_awaited_to_end(app: AppSpec, name: str) -> bool:
    waiting: Iterator[ServiceSpec] = iter(app.services.values())
    return any(
        name in spec.depends_on and spec.depends_on[name].condition == "completed"
        for spec in waiting
    )
