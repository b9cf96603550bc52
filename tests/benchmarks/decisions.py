"""How many decisions a second the scheduler's core makes in a full cell: `just bench decisions`.

The core alone, in this process: nodes of two zones and two sizes, some cordoned; services with a
constraint, a preference, reservations, each by turns. It is filled, and then containers of random
services die and are placed anew, explained as always: one at a time, and as many at once as are
written at once. What is folded is not counted, only `decide`, in processor time.

`--services`: how many services the containers are of; each has a choice of nodes of its own.
"""

import argparse
import random
import statistics
import time
from typing import Any

from segue.core import MOST_DECISIONS
from segue.envelope import Record
from segue.events import Event
from segue.events.container import ContainerAssigned, ContainerFailed, ContainerRequested
from segue.events.node import NodeCordoned
from segue.ids import derived
from segue.spec import Placement, Resources, ServiceSpec, digest
from segue.testing.bench import Table, asked, share
from segue.testing.shop import accepted, joined, scope
from segue_scheduler.core import Scheduler

START = 1_000_000.0
GIB = 1 << 30


class Cell:
    """A scheduler on a log of its own."""

    def __init__(self, nodes: int, containers: int, services: int, seed: int = 1) -> None:
        self.core, self.now, self.sequence = Scheduler(), START, 0
        self.dice = random.Random(seed)
        for number in range(nodes):
            big = number % 4 == 0
            self.say(
                joined(
                    f"node-{number:05}",
                    cpu_millicores=64_000 if big else 32_000,
                    memory_bytes=(256 if big else 128) * GIB,
                    labels={"zone": "ab"[number % 2], "disk": "ssd" if number % 3 else "hdd"},
                )
            )
            if number % 100 == 99:
                self.say(NodeCordoned(node=f"node-{number:05}"))
        each = containers // services
        self.specs = {}
        for number in range(services):
            placement = Placement(
                constraints=["node.labels.disk == ssd"] if number % 4 == 1 else [],
                spread=["node.labels.zone"] if number % 4 == 2 else [],
            )
            wants = Resources(cpu_millicores=100 + 50 * (number % 5), memory_bytes=GIB // 4)
            web = ServiceSpec(image="w", replicas=each, resources=wants, placement=placement)
            self.specs[f"app-{number}"] = accepted(app=f"app-{number}", web=web)
            self.say(self.specs[f"app-{number}"])
        self.waiting = [(app, slot, 1) for slot in range(1, each + 1) for app in self.specs]

    def say(self, event: Event) -> None:
        self.sequence += 1
        event_id = derived("bench", self.sequence)
        self.core.fold(
            Record(
                sequence=self.sequence,
                time=self.now,
                event=event,
                id=event_id,
                source="/bench",
                correlation=event_id,
                cause="",
            )
        )

    def ask(self, app: str, slot: int, attempt: int) -> None:
        spec = self.specs[app]
        self.say(
            ContainerRequested(
                app=app,
                service="web",
                slot=slot,
                attempt=attempt,
                revision=1,
                digest=digest(spec.spec, "web"),
            )
        )

    def decide(self) -> tuple[float, int]:
        """Decide and let it come back; tell how long the deciding took, and of how many."""
        begun = time.process_time()
        owed = self.core.decide(self.now)
        took = time.process_time() - begun
        for one in owed[:MOST_DECISIONS]:
            assert isinstance(one.event, ContainerAssigned), one.event
            self.say(one.event)
        return took, len(owed)

    def fill(self) -> tuple[float, int]:
        took, made = 0.0, 0
        for at in range(0, len(self.waiting), MOST_DECISIONS):
            for one in self.waiting[at : at + MOST_DECISIONS]:
                self.ask(*one)
            while self.core.picture.pending:
                more_s, more = self.decide()
                took, made = took + more_s, made + more
        self.attempts = dict.fromkeys((one[:2] for one in self.waiting), 1)
        self.slots = list(self.attempts)
        return took, made

    def lose(self, many: int) -> None:
        """Let random containers die and be requested anew."""
        self.now += 0.01
        for app, slot in self.dice.sample(self.slots, many):
            found = self.core.picture.slot(app, "web", slot)
            assert found is not None and found.container is not None
            old = found.container
            about: dict[str, Any] = scope(old) | {"node": old.node}
            self.say(ContainerFailed(**about, reason="exited", exit_code=1))
            self.attempts[app, slot] += 1
            self.ask(app, slot, self.attempts[app, slot])

    def imbalance(self) -> float:
        """Give the fullest node's use of its CPUs over the mean of those that may be used."""
        picture = self.core.picture
        shares = [
            picture.used[name].cpu_millicores / node.facts.cpu_millicores
            for name, node in picture.nodes.items()
            if not node.cordoned and name in picture.used
        ]
        return max(shares) / statistics.mean(shares)


def measure(table: Table, nodes: int, containers: int, services: int, seconds: float) -> float:
    """Fill a cell and let containers die; give the decisions per second, one at a time."""
    cell = Cell(nodes, containers, services)
    of = f"{nodes:,} nodes, {containers:,} containers of {services:,} services"
    took, made = cell.fill()
    table.add(f"fill {of}", [made / took], "/s", goal="≥ 30,000")
    singles: list[float] = []
    end = time.process_time() + seconds
    while time.process_time() < end or not singles:
        cell.lose(1)
        took, made = cell.decide()
        singles.append(took / made)
    rates: list[float] = []
    many = min(MOST_DECISIONS, containers // 4)
    end = time.process_time() + seconds
    while time.process_time() < end or not rates:
        cell.lose(many)
        took, made = 0.0, 0
        while cell.core.picture.pending:
            more_s, more = cell.decide()
            took, made = took + more_s, made + more
        rates.append(made / took)
    micro = [one * 1e6 for one in singles]
    table.add(f"one at a time: {of}", micro, "us")
    table.add(f"one at a time, 99 of 100: {of}", [share(micro, 0.99)], "us")
    table.add(f"{many:,} at once: {of}", rates, "/s", goal="≥ 30,000")
    table.add(f"fullest node over the mean: {of}", [cell.imbalance()], "", goal="≤ 1.3")
    return statistics.median(micro)


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--nodes", type=int, default=5_000)
        flags.add_argument("--containers", type=int, default=100_000)
        flags.add_argument("--services", type=int, nargs="*", default=[10, 1_000])
        flags.add_argument("--seconds", type=float, default=5.0)

    given = asked(__doc__, more)
    nodes, containers, services, seconds = (
        (20, 80, [4], 0.1)
        if given.smoke
        else (given.nodes, given.containers, given.services, given.seconds)
    )
    table = Table("decisions", given.out)
    for many in services:
        costs = {}
        for part in (16, 4, 1):
            costs[part] = measure(
                table, nodes // part, containers // part, max(1, many // part), seconds
            )
        table.add(
            f"cost of one, 16 times as large, {many:,} services", [costs[1] / costs[16]], "times"
        )


if __name__ == "__main__":
    main()
