"""What an event costs the deployer and the scheduler as clusters grow: `just bench core_cost`.

Each line has the ratio to the smallest size. It folds and decides in this process, without bus or
engine.
"""

import time
from collections.abc import Callable
from typing import Any

from segue.core import MOST_DECISIONS, Core
from segue.envelope import Cause, Record
from segue.events import Event
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerRequested,
    ContainerStarted,
)
from segue.events.deploy import DeployAccepted
from segue.ids import derived
from segue.picture import Container
from segue.spec import Resources, ServiceSpec, digest
from segue.testing.bench import Table, asked
from segue.testing.shop import accepted, joined, scope
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

APP, SERVICE = "shop", "web"
Asked = ContainerRequested | Container
START = 1_000_000.0
SMALL = Resources(cpu_millicores=10, memory_bytes=1 << 20)
HUGE = Resources(cpu_millicores=1_000_000)


class Log:
    """One core on a log of its own; keeps how long it decided after each event."""

    def __init__(self, core: Core, nodes: int) -> None:
        self.core, self.now, self.sequence = core, START, 0
        self.took: list[float] = []
        self.spent = 0.0
        self.names = [f"node-{number:04}" for number in range(nodes)]
        for name in self.names:
            self.say(joined(name, cpu_millicores=64_000, memory_bytes=256 << 30))

    def say(self, event: Event, cause: Cause | None = None, event_id: str = "") -> None:
        self.sequence += 1
        event_id = event_id or derived("bench", self.sequence)
        self.core.fold(
            Record(
                sequence=self.sequence,
                time=self.now,
                event=event,
                id=event_id,
                source="/bench",
                correlation=cause.correlation if cause else event_id,
                cause=cause.id if cause else "",
            )
        )

    def decide(self) -> list[Any]:
        begun = time.perf_counter()
        owed = self.core.decide(self.now)
        self.spent += time.perf_counter() - begun
        return owed

    def settle(self) -> list[Event]:
        """Decide, let what was decided come back, until nothing is owed."""
        said: list[Event] = []
        while owed := self.decide()[:MOST_DECISIONS]:
            for one in owed:
                self.say(one.event, one.cause, one.id)
                said.append(one.event)
        self.took.append(self.spent)
        self.spent = 0.0
        return said

    def hear(self, event: Event) -> list[Event]:
        """An event, and all that is decided because of it, at once as on a quiet bus."""
        self.say(event)
        return self.settle()

    def request(self, spec: DeployAccepted, slot: int, attempt: int = 1) -> ContainerRequested:
        made = ContainerRequested(
            app=spec.app,
            service=SERVICE,
            slot=slot,
            attempt=attempt,
            revision=spec.revision,
            digest=digest(spec.spec, SERVICE),
        )
        self.say(made)
        return made

    def run(self, spec: DeployAccepted, slots: int) -> None:
        """Let all slots run, spread over the nodes."""
        self.say(spec)
        for slot in range(1, slots + 1):
            asked = self.request(spec, slot)
            self.start(asked, self.names[slot % len(self.names)])
        self.settle()

    def filled(self, slot: int) -> Container:
        found = self.core.picture.slot(APP, SERVICE, slot)
        assert found is not None and found.container is not None
        return found.container

    def start(self, asked: Asked, node: str) -> None:
        self.say(assignment(asked, node))
        self.say(ContainerStarted(**scope(asked), node=node, engine_id="e"))


def assignment(asked: Asked, node: str) -> ContainerAssigned:
    return ContainerAssigned(
        **scope(asked), node=node, revision=asked.revision, digest=asked.digest
    )


def failure(slot: int, node: str, attempt: int = 1) -> ContainerFailed:
    return ContainerFailed(
        app=APP,
        service=SERVICE,
        slot=slot,
        attempt=attempt,
        node=node,
        reason="exited",
        exit_code=1,
    )


def healing(core: Core, nodes: int, slots: int, events: int) -> list[float]:
    """A container dies, is requested, assigned and started anew: the cost of each event."""
    log = Log(core, nodes)
    spec = accepted(web=ServiceSpec(image="w", replicas=slots, resources=SMALL))
    log.run(spec, slots)
    log.took = []
    for turn in range(events):
        slot = 1 + turn * 7 % slots
        log.now += 0.01
        node, attempt = log.filled(slot).node, log.filled(slot).attempt
        if isinstance(core, Scheduler):
            log.say(failure(slot, node, attempt))
            log.request(spec, slot, attempt + 1)
            log.settle()
        else:
            log.hear(failure(slot, node, attempt))
        made = log.filled(slot)
        if isinstance(core, Scheduler):
            log.say(ContainerStarted(**scope(made), node=made.node, engine_id="e"))
        else:
            log.hear(assignment(made, node))
            log.hear(ContainerStarted(**scope(made), node=node, engine_id="e"))
    return log.took


def deploying(slots: int) -> list[float]:
    """A deploy comes up one started container at a time: the cost of each event."""
    log = Log(Deployer(), 10)
    spec = accepted(web=ServiceSpec(image="w", replicas=slots))
    log.say(spec)
    asked = [event for event in log.settle() if isinstance(event, ContainerRequested)]
    log.took = []
    for one in asked[:100]:
        log.start(one, log.names[one.slot % len(log.names)])
        log.settle()
    return log.took


def crowded(waiting: int, slots: int) -> list[float]:
    """So many wait for room while others come and go on 100 nodes: the cost of each event."""
    log = Log(Scheduler(), 100)
    spec = accepted(web=ServiceSpec(image="w", replicas=slots, resources=SMALL))
    log.run(spec, slots)
    big = accepted(app="big", web=ServiceSpec(image="w", replicas=waiting, resources=HUGE))
    log.say(big)
    for slot in range(1, waiting + 1):
        log.request(big, slot)
    log.settle()
    log.took = []
    for slot in range(1, 1 + min(50, slots)):
        log.hear(failure(slot, log.filled(slot).node))
        log.request(spec, slot, 2)
        log.settle()
    return log.took


def filling(nodes: int, slots: int) -> float:
    """Give the placements per second of a scheduler that fills empty nodes."""
    log = Log(Scheduler(), nodes)
    spec = accepted(web=ServiceSpec(image="w", replicas=slots, resources=SMALL))
    log.say(spec)
    for slot in range(1, slots + 1):
        log.request(spec, slot)
    log.settle()
    assert not log.core.picture.pending
    return slots / sum(log.took)


def measure(table: Table, slots: list[int], nodes: list[int], events: int) -> None:
    def rows(work: str, sizes: list[int], measured: Callable[[int], list[float]]) -> None:
        smallest: list[float] = []
        for size in sizes:
            micro = [one * 1e6 for one in measured(size)]
            table.add(f"{work} {size:,}", micro, "us", beside="the smallest", limit=smallest)
            smallest = smallest or micro

    rows("deployer, healing, slots:", slots, lambda n: healing(Deployer(), 10, n, events))
    rows("deployer, healing, nodes:", nodes, lambda n: healing(Deployer(), n, 1_000, events))
    rows("deployer, deploying, slots:", slots, deploying)
    rows("scheduler, healing, slots:", slots, lambda n: healing(Scheduler(), 10, n, events))
    rows("scheduler, healing, nodes:", nodes, lambda n: healing(Scheduler(), n, 1_000, events))
    rows("scheduler, others wait:", slots[:2], lambda n: crowded(n, slots[-1]))


def main() -> None:
    given = asked(__doc__)
    table = Table("core_cost", given.out)
    if given.smoke:
        measure(table, [10, 20], [2, 4], 5)
        nodes, slots = 4, 40
    else:
        measure(table, [100, 1_000, 10_000], [10, 100, 1_000], 50)
        nodes, slots = 1_000, 20_000
    table.add(f"scheduler, {slots:,} slots onto {nodes:,} nodes", [filling(nodes, slots)], "/s")


if __name__ == "__main__":
    main()
