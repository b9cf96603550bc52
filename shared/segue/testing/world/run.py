"""Play one seed: first faults, in which everything must stay safe, then calm, in which all heals.

A violation raises `ViolationError`, which tells the seed, the law and what led there.
"""

from collections import Counter

import msgspec
from segue_node_runner.core import NodeRunner
from segue_node_runner.effects import Start, Stop
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.simulated import Manner

from segue.events.container import ContainerRetired
from segue.events.node import NodeRequestRejected
from segue.events.rollout import RolloutStarted
from segue.picture import Picture
from segue.shell.commands import Append
from segue.testing.world import agreement, loads, releases, rollouts, scaling, storms
from segue.testing.world.bus import EPOCH_S
from segue.testing.world.faults import Faults
from segue.testing.world.hosts import LOOK_S, Cluster, Host
from segue.testing.world.invariants import (
    LogChecker,
    ViolationError,
    a_leader_has_folded_its_election,
    a_move_leaves_enough_up,
    an_older_attempt_is_never_started,
    no_clock_runs_ahead,
    nothing_is_stopped_without_an_order,
)
from segue.testing.world.loads import Demand
from segue.testing.world.patience import Patience
from segue.testing.world.people import APPS, People
from segue.testing.world.process import Process
from segue.testing.world.sim import Sim
from segue.wants import at_hand

BLIND_S = 1.5  # Beats come every half second; a verdict sooner is made of silence alone.
DOUBLE_MOST_S = 90.0
STRICT_MOST_S = 2 * LOOK_S  # A start that the engine carries out late lives for one look at most.
SPOKEN_S = (25.0, 50.0)  # When in the calm a person ends what waits for one's word.
CLEARED_S = (5.0, 30.0)  # When in the calm a person removes what a replaced log left running.
COUNTED = ("capacity.", "deploy.reverted", "load.", "rollout.", "scale.")
CROSSED_S = 30.0  # So long after it what was ordered before may still be started.


class Plan(msgspec.Struct, frozen=True):
    """How large and how long a run is. Times in seconds of virtual time."""

    nodes: int = 5
    slots: int = 12
    faults_s: float = 50.0
    calm_s: float = 110.0  # All must have converged within it.
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
        manner = Manner(
            crashes=frozenset((releases.CRASHES,)),
            sickens=frozenset((releases.SICKENS,)),
            unknown=frozenset((releases.UNKNOWN,)),
        )
        following = loads.are_on(seed)
        self.cluster = Cluster(self.sim, nodes=plan.nodes, manner=manner, loads=following)
        self.demand = Demand(self.sim, self.cluster.bus, self.cluster.hosts, APPS)
        self.checker = self._new_checker()
        names = [host.name for host in self.cluster.hosts]
        self.people = People(self.sim, self.cluster.bus, plan.slots, names)
        self._checked = 0
        self._strict: dict[Identity, None] = {}  # What was started under a lease.
        self._strict_since: dict[str, float] = {}
        self._double_since: dict[tuple[str, str, int], float] = {}
        self._snapshot = b""
        self.cluster.bus.grown = self._check_news
        self._replaced_at = 0.0
        self.cluster.bus.replaced = self._store_replaced
        self.cluster.bus.returned = self._bus_returned
        for process in self.cluster.control:
            process.before_writing = self._check_write
        for host in self.cluster.hosts:
            host.before = self._check_effect
            host.engine.changed = self.a_slot_runs_twice_only_briefly
            host.engine.manner.cpu_millicores = self.sim.random.choice((2_000, 3_000, 8_000))
            host.begin()
        self.sim.at(self.sim.between(5, plan.faults_s), self._take_snapshot)
        if following:
            self.demand.begin(plan.faults_s, plan.faults_s + plan.calm_s)
        Patience(self)

    def play(self) -> Result:
        """Run both phases and all checks."""
        faults = Faults(self.sim, self.cluster, every_s=self.plan.fault_every_s)
        faults.give_up, faults.deploy = self.people.give_up, self.people.deploy_strict
        asked, people = self.plan.requests, self.people
        if people.releasing:
            asked *= 2
            people.say(releases.first(self.sim.random, APPS[0], self.plan.slots))
        for _ in range(asked):
            self.sim.at(self.sim.between(0.5, self.plan.faults_s), people.ask)
        self.sim.run(self.plan.faults_s)
        faults.heal()
        people.let_go()
        if self.cluster.bus.stores:
            for after_s in CLEARED_S:
                self.sim.at(after_s, self._clear_up)
        for after_s in SPOKEN_S if people.releasing and self.sim.chance(0.7) else ():
            self.sim.at(after_s, self._end_what_waits)
        self.sim.run(self.plan.faults_s + self.plan.calm_s)
        self.check_end()
        self._mark_what_was_reached()
        return Result(
            seed=self.sim.seed,
            virtual_s=self.sim.now,
            steps=self.sim.steps,
            events=len(self.cluster.bus.log.stored),
            marks=self.sim.marks,
        )

    def _mark_what_was_reached(self) -> None:
        by_type = self.checker.by_type
        marks = self.sim.marks
        marks["node.lost"] += by_type["node.lost"]
        marks["lease.ended"] += by_type["node.lease_ended"]
        marks["loss.held"] += by_type["node.loss_held"]
        marks["unplaceable"] += by_type["container.unplaceable"]
        marks["rejoin"] += max(0, by_type["node.joined"] - self.plan.nodes)
        marks["takeover"] += max(0, by_type["leader.elected"] - len(self.checker.leaders))
        marks["node.drained"] += by_type["node.drained"]
        marks["node.drain_held"] += by_type["node.drain_held"]
        marks["node.removed"] += by_type["node.removed"]
        marks["fenced"] += sum(p.machine.refusals for p in self.cluster.processes)
        for record in self.checker.records:
            if record.event.type.startswith(COUNTED):
                marks[record.event.type] += 1
            if isinstance(record.event, RolloutStarted):
                marks[f"rollout.{record.event.strategy}.{record.event.order}"] += 1
            if isinstance(record.event, ContainerRetired):
                marks[f"retired.{record.event.reason}"] += 1
            elif isinstance(record.event, NodeRequestRejected):
                said = [problem.what for problem in record.event.problems]
                marks["node.not_given_up"] += any("must never run twice" in what for what in said)

    def _new_checker(self) -> LogChecker:
        bus = self.cluster.bus
        checker = LogChecker(self.sim, self.cluster.decoded, bus.late)
        checker.picture.state.cluster, checker.replaced = bus.log.cluster, bus.stores > 0
        checker.laws += rollouts.LAWS + scaling.LAWS
        self.demand.picture = checker.picture
        return checker

    def _store_replaced(self) -> None:
        """Know only what is in the log now; what was told before counts no more."""
        known_before = {*self.checker.known_before, *self.checker.sequence_of}
        self.checker, self._checked, self._snapshot = self._new_checker(), 0, b""
        self.checker.known_before = known_before
        self._replaced_at = self.sim.now
        self._check_news()

    def _clear_up(self) -> None:
        before = EPOCH_S + self._replaced_at + CROSSED_S
        for host in self.cluster.hosts:
            host.clear(self.checker.picture, before)

    def _end_what_waits(self) -> None:
        for event in releases.last_words(self.sim.random, self.checker.picture):
            self.people.say(event)

    def _check_news(self) -> None:
        stored = self.cluster.bus.log.stored
        if len(stored) > self._checked:
            news, self._checked = stored[self._checked :], len(stored)
            self.checker.check(news)

    def _take_snapshot(self) -> None:
        """Keep what a leader would keep: whoever starts from now on starts from it."""
        self._snapshot = self.checker.picture.snapshot()
        sequence = self.checker.picture.state.sequence
        if sequence:
            self.cluster.bus.snapshots[sequence] = self._snapshot
            self.sim.mark("snapshot.saved")

    def _bus_returned(self, away_s: float) -> None:
        if away_s > 2 * BLIND_S:
            self.checker.blind_until = self.sim.now + BLIND_S
            self.sim.mark("bus.returned")

    def _check_write(self, process: Process, command: Append) -> None:
        now = process.machine.log_time(process.clock)  # As it takes the log's time to be.
        for law in (
            no_clock_runs_ahead,
            a_leader_has_folded_its_election,
            a_move_leaves_enough_up,
            *rollouts.DECIDING,
        ):
            problem = law(process, command, now)
            if problem:
                raise ViolationError(self.checker.story(law.__name__, problem))
        for rule in () if self.cluster.bus.stores else scaling.DECIDING:
            problem = rule(self.checker, process, command, EPOCH_S + self.sim.now)
            if problem:
                raise ViolationError(self.checker.story(rule.__name__, problem))

    def _check_effect(self, host: Host, process: Process, effect: object) -> None:
        problem = ""
        stored = self.cluster.bus.log.stored
        if process.machine.read_to > (stored[-1].sequence if stored else 0):
            return  # It obeys the log that was, until it hears that there is another.
        if isinstance(effect, Stop):
            problem = nothing_is_stopped_without_an_order(self.checker, host.name, effect)
        elif isinstance(effect, Start):
            problem = an_older_attempt_is_never_started(self._known_on(host, process), effect)
            if effect.lease:
                self._strict[effect.identity] = None
        if problem:
            raise ViolationError(self.checker.story(type(effect).__name__, problem))

    def _known_on(self, host: Host, process: Process) -> list[Identity]:
        """Give what a runner can know of on its host; of a replaced log, what that put there.

        One that stood still while another took its place knows less; the engine refuses a name
        that is taken.
        """
        ours = host.ours()
        if process is not host.runner:
            core = process.core
            assert isinstance(core, NodeRunner), "it acts"
            return [one for one in ours if one in core.yard.there]
        if not self.cluster.bus.stores:
            return ours
        there = self.checker.picture.on_node.get(host.name, {})
        return [one for one in ours if (one.app, one.service, one.slot, one.attempt) in there]

    def what_is_strict_never_runs_twice(self) -> None:
        """I1: what may run only once never runs twice, but for a fencer's look."""
        if self.cluster.bus.stores:
            return  # What another log had ordered runs on until a person removes it.
        where: Counter[str] = Counter(
            identity.slot_name
            for host in self.cluster.hosts
            for identity, found in host.engine.there.items()
            if found.runs and identity in self._strict
        )
        doubles = {name for name, times in where.items() if times > 1}
        for name in sorted(doubles):
            since = self._strict_since.setdefault(name, self.sim.now)
            if self.sim.now - since > STRICT_MOST_S:
                problem = f"{name} runs twice since {since:.3f} s"
                story = self.checker.story("what_is_strict_never_runs_twice", problem)
                raise ViolationError(story)
            self.sim.at(1.1 * STRICT_MOST_S, self.what_is_strict_never_runs_twice)
        self._strict_since = {k: v for k, v in self._strict_since.items() if k in doubles}

    def a_slot_runs_twice_only_briefly(self) -> None:
        """I2: a slot runs twice only for a while: a node that was given up may come back."""
        where: Counter[tuple[str, str, int]] = Counter(
            (identity.app, identity.service, identity.slot)
            for host in self.cluster.hosts
            for identity, found in host.engine.there.items()
            if found.runs
        )
        self.what_is_strict_never_runs_twice()
        doubles = {key for key, times in where.items() if times > 1}
        for key in sorted(doubles):
            since = self._double_since.setdefault(key, self.sim.now)
            if self.sim.now - since > DOUBLE_MOST_S:
                problem = f"{key} runs twice since {since:.3f} s"
                raise ViolationError(self.checker.story("a_slot_runs_twice_only_briefly", problem))
        self._double_since = {k: v for k, v in self._double_since.items() if k in doubles}

    # At the end of the calm.

    def check_end(self) -> None:
        """Check what must be so once all is well and quiet."""
        picture = self.checker.picture
        for law in (
            self.everyone_sees_the_same,
            self.a_snapshot_and_the_tail_are_the_log,
            self.the_log_does_not_storm,
            self.loads_do_not_storm,
            self.nobody_decided_twice,
            self.every_unreadable_message_has_its_record,
            self.every_request_is_answered,
            self.what_is_drained_is_empty,
            self.every_rollout_ends,
            self.the_number_follows_the_load,
            self.every_slot_is_filled_once_and_nothing_else_runs,
        ):
            problem = law(picture)
            if problem:
                raise ViolationError(self.checker.story(law.__name__, problem))

    def everyone_sees_the_same(self, picture: Picture) -> str:
        """I6: every process's picture is the fold of the log."""
        return agreement.everyone_sees_the_same(self.cluster, self.checker.records, picture)

    def a_snapshot_and_the_tail_are_the_log(self, picture: Picture) -> str:
        """I6: fold(snapshot + tail) = fold(log), indexes too."""
        return agreement.a_snapshot_and_the_tail_are_the_log(
            self._snapshot, self.checker.records, picture
        )

    def the_log_does_not_storm(self, _: Picture) -> str:
        """I14: the number of events is bounded by what was asked for and what broke."""
        return storms.storm(self.checker, self.sim.marks, self.people.asked, self.plan.nodes)

    def loads_do_not_storm(self, _: Picture) -> str:
        """I14: what is said of loads is bounded too."""
        return scaling.loads_do_not_storm(self.checker, self.demand, storms.strikes(self.sim.marks))

    def the_number_follows_the_load(self, _: Picture) -> str:
        """There are as many replicas as the load asks for, and it is the true one."""
        return scaling.the_number_follows_the_load(
            self.checker, self.demand, EPOCH_S + self.sim.now
        )

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

    def what_is_drained_is_empty(self, picture: Picture) -> str:
        """A node that was drained runs only what has its data there, and that was said."""
        now = EPOCH_S + self.sim.now
        for host in self.cluster.hosts:
            node = picture.nodes.get(host.name)
            if node is None or node.drain is None or node.drain.deadline_at > now:
                continue
            for identity, found in host.engine.there.items():
                service = picture.service(identity.app, identity.service)
                if found.runs and (service is None or not service.spec.local_volumes):
                    return f"{identity} runs on {host.name}, which is drained"
            if not node.drain.done:
                return f"nobody has said that {host.name} is drained"
        return ""

    def every_rollout_ends(self, _: Picture) -> str:
        """A rollout ends, or waits for a person."""
        well_since = EPOCH_S + self.plan.faults_s
        return rollouts.every_rollout_ends(self.checker, well_since, EPOCH_S + self.sim.now)

    def every_slot_is_filled_once_and_nothing_else_runs(self, picture: Picture) -> str:
        """I12: what runs is what is wanted."""
        running: dict[tuple[str, str, int], list[Found]] = {}
        for host in self.cluster.hosts:
            for found in host.engine.there.values():
                if found.runs:
                    name = found.identity
                    running.setdefault((name.app, name.service, name.slot), []).append(found)
        for app in picture.apps.values():
            for service in app.services.values():
                for number in at_hand(picture, app, service):
                    fillings = running.pop((app.name, service.name, number), [])
                    problem = rollouts.misfilled(app, service, number, fillings)
                    if problem:
                        return f"{app.name}/{service.name}.{number} {problem}"
        return f"{sorted(running)} run and nobody wants them" if running else ""
