"""Play one seed: first faults, in which everything must stay safe, then calm, in which all heals.

A violation raises `ViolationError`, which tells the seed, the law and what led there.
"""

from collections import Counter

import msgspec
from segue_deployer.slots import wanted_slots
from segue_node_runner.inventory import Found
from segue_node_runner.simulated import Manner

from segue.picture import App, Picture
from segue.testing.world.faults import Faults
from segue.testing.world.hosts import Cluster
from segue.testing.world.invariants import LogChecker, ViolationError
from segue.testing.world.people import People
from segue.testing.world.sim import Sim


class Plan(msgspec.Struct, frozen=True):
    """How large and how long a run is. Times in seconds of virtual time."""

    nodes: int = 5
    slots: int = 12
    faults_s: float = 60.0
    calm_s: float = 150.0
    requests: int = 12
    fault_every_s: float = 4.0


class Result(msgspec.Struct):
    """What a seed's run came to."""

    seed: int
    virtual_s: float
    steps: int
    events: int
    marks: Counter[str]


class World:
    """One seed's run."""

    def __init__(self, seed: int, plan: Plan = Plan()) -> None:  # noqa: B008 — it is frozen.
        self.sim, self.plan = Sim(seed), plan
        self.cluster = Cluster(self.sim, nodes=plan.nodes, manner=Manner())
        self.checker = LogChecker(self.sim, self.cluster.decoded)
        names = [host.name for host in self.cluster.hosts]
        self.people = People(self.sim, self.cluster.bus, plan.slots, names)
        self._checked = 0
        self.sim.after_step = self._check_step

    def play(self) -> Result:
        """Run both phases and all checks."""
        faults = Faults(self.sim, self.cluster, every_s=self.plan.fault_every_s)
        for _ in range(self.plan.requests):
            self.sim.at(self.sim.between(0.5, self.plan.faults_s), self.people.ask)
        self.sim.run(self.plan.faults_s)
        faults.heal()
        self.sim.run(self.plan.faults_s + self.plan.calm_s)
        self.check_end()
        return Result(
            seed=self.sim.seed,
            virtual_s=self.sim.now,
            steps=self.sim.steps,
            events=len(self.cluster.bus.log.stored),
            marks=self.sim.marks,
        )

    def _check_step(self) -> None:
        stored = self.cluster.bus.log.stored
        if len(stored) > self._checked:
            news, self._checked = stored[self._checked :], len(stored)
            self.checker.check(news)

    # At the end of the calm.

    def check_end(self) -> None:
        """Check what must be so once all is well and quiet."""
        picture = self._folded()
        for law in (
            self.everyone_sees_the_same,
            self.nobody_decided_twice,
            self.every_unreadable_message_has_its_record,
            self.every_request_is_answered,
            self.every_slot_is_filled_once_and_nothing_else_runs,
            self.no_node_is_overcommitted,
        ):
            problem = law(picture)
            if problem:
                raise ViolationError(self.checker.story(law.__name__, problem))

    def _folded(self) -> Picture:
        picture = Picture()
        for record in self.checker.records:
            picture.fold(record)
        return picture

    def everyone_sees_the_same(self, picture: Picture) -> str:
        """I6: every process's picture is the fold of the log."""
        picture.state.sequence = len(self.cluster.bus.log.stored)
        picture.state.cluster = self.cluster.bus.log.cluster
        wanted = msgspec.to_builtins(picture.state)
        for process in self.cluster.control:
            if process.machine.rejects:
                continue  # It counts what nobody can read, which the fold above leaves out.
            seen = msgspec.to_builtins(process.core.picture.state)
            if seen != wanted:
                parts = [part for part in wanted if seen.get(part) != wanted[part]]
                return f"{process.name} differs in {parts}"
        return ""

    def nobody_decided_twice(self, _: Picture) -> str:
        """No core owed again what the log held already."""
        repeats = {p.name: p.machine.repeats for p in self.cluster.processes if p.machine.repeats}
        return f"repeated decisions: {repeats}" if repeats else ""

    def every_unreadable_message_has_its_record(self, _: Picture) -> str:
        """I16: once all is quiet, each was rejected."""
        open_ = [sequence for sequence, n in self.checker.unreadable.items() if n != 1]
        return f"messages {open_} have no record of their rejection" if open_ else ""

    def every_request_is_answered(self, picture: Picture) -> str:
        """No request waits for its answer."""
        return f"open requests: {list(picture.state.requests)}" if picture.state.requests else ""

    def every_slot_is_filled_once_and_nothing_else_runs(self, picture: Picture) -> str:
        """I12: what runs is what is wanted."""
        running: dict[tuple[str, str, int], list[Found]] = {}
        for host in self.cluster.hosts:
            for found in host.engine.there.values():
                if found.runs:
                    name = found.identity
                    running.setdefault((name.app, name.service, name.slot), []).append(found)
        for app in picture.apps.values():
            waits = _waits(app)
            for service in app.services.values():
                for number in wanted_slots(picture, app, service):
                    slot = service.slots.get(number)
                    fillings = running.pop((app.name, service.name, number), [])
                    words = f"{app.name}/{service.name}.{number}"
                    if len(fillings) != 1:
                        state = slot.container.phase if slot and slot.container else "empty"
                        if waits and not fillings:
                            continue
                        return f"{words} runs {len(fillings)} times, the log says {state}"
                    if fillings[0].digest != service.digest and not waits:
                        return f"{words} runs an old digest"
        return f"{sorted(running)} run and nobody wants them" if running else ""

    def no_node_is_overcommitted(self, picture: Picture) -> str:
        """I3: what is reserved on a node is within what it has."""
        for name, used in picture.used.items():
            facts = picture.nodes[name].facts
            if used.cpu_millicores > facts.cpu_millicores or used.memory_bytes > facts.memory_bytes:
                return f"{name} is overcommitted: {used}"
        return ""


def _waits(app: App) -> bool:
    """Tell whether a slot says why no node can take it: then what depends on it waits too."""
    slots = [slot for service in app.services.values() for slot in service.slots.values()]
    return any(slot.container is not None and slot.container.refused for slot in slots)
