"""What holds of the deciding cores together, whatever happens in whatever order."""

import os
import subprocess
import sys
from collections import Counter, defaultdict
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from segue.core import Core
from segue.envelope import Record
from segue.events import REGISTRY
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerFinished,
    ContainerRequested,
    ContainerStopped,
)
from segue.events.deploy import DeployAccepted, RemovalAccepted
from segue.events.node import NodeRecovered, NodeUncordonRequested
from segue.events.rollout import RolloutPromoteRequested, RolloutResumeRequested
from segue.events.scale import ScaleAccepted, ScaleDecided
from segue.picture import Picture
from segue.picture.indexed import Key
from segue.placement import allows
from segue.spec import Resources, ServiceSpec
from segue.testing.fleet import Fleet
from segue.testing.histories import APPS, CPU_MILLICORES, JOB, KINDS, Act, happen, hosts
from segue.testing.shop import plain
from segue.testing.world.invariants import LogChecker
from segue.testing.world.process import Decoded
from segue.testing.world.scaling import counts, what_a_number_hangs_on_is_noted
from segue.testing.world.sim import Sim
from segue_autoscaler.core import Autoscaler
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_scheduler.core import Scheduler

CORES: dict[str, type[Core]] = {
    core.service: core for core in (Deployer, Scheduler, Autoscaler, HealthMonitor)
}  # `wait` wants the health monitor last.
NUMBERS = st.integers(0, 7)
OFTEN = (
    "turn",
    "think",
    "speak",
    "turns",
    "wait",
    "deploy",
    "scale",
    "load",
) * 2  # Else little would come of the rest.
FAIR = [kind for kind in KINDS if kind not in ("lie", "repeat")]
ACTS, FAIR_ACTS = (
    st.lists(
        st.tuples(st.sampled_from([*kinds, *OFTEN]), NUMBERS, NUMBERS), min_size=25, max_size=90
    )
    for kinds in (KINDS, FAIR)
)


def fleet() -> Fleet:
    made = Fleet(*(core() for core in CORES.values()), hosts=hosts())
    made.calm(12)
    return made


def played(acts: list[Act]) -> Fleet:
    made = fleet()
    for act in acts:
        happen(made, act, CORES)
    return made


def recovered(acts: list[Act], dead: str = "") -> Fleet:
    """Play a history, end all faults but one host's death, and let the rest work long enough."""
    made = played(acts)
    made.heal(dead)
    for name in made.hosts:
        if name in made.picture.nodes:
            made.say(NodeUncordonRequested(node=name))
            made.say(NodeRecovered(node=name))
    made.calm(100)
    for _ in range(3):
        for app in APPS:
            made.say(RolloutResumeRequested(app=app))
            made.say(RolloutPromoteRequested(app=app))
        for host in made.hosts.values():
            for key in [key for key in host.held if key[1] == JOB]:
                host.ended[key] = 0
                del host.held[key]
        made.calm(70)
    return made


def wanted(made: Fleet) -> dict[tuple[str, str, int], str]:
    """Tell from the accepted requests, and the loads, which slots are to run."""
    replicas: dict[str, dict[str, int]] = {}
    specs: dict[str, DeployAccepted] = {}
    picture = Picture()
    for record in made.log:
        event = record.event
        if isinstance(event, DeployAccepted):
            if event.app in specs and event.revision <= specs[event.app].revision:
                continue
            specs[event.app] = event
            goes_on = {name: replicas[event.app][name] for name in follows(picture, event.app)}
            replicas[event.app] = {
                name: begins_with(spec, goes_on.get(name))
                for name, spec in event.spec.services.items()
            }
        elif isinstance(event, ScaleAccepted) or (
            isinstance(event, ScaleDecided) and counts(picture, event, record.time)
        ):
            replicas[event.app][event.service] = event.replicas
        elif isinstance(event, RemovalAccepted):
            replicas[event.app] = {}
        picture.fold(record)
    return {
        (app, name, number): specs[app].spec.services[name].mode
        for app, services in replicas.items()
        for name, count in services.items()
        for number in range(1, count + 1)
    }


def follows(picture: Picture, app: str) -> set[str]:
    """Name the services of an app that follow their load."""
    known = picture.apps.get(app)
    return {one.name for one in known.services.values() if one.scaling} if known else set()


def begins_with(spec: ServiceSpec, before: int | None) -> int:
    """Tell how many there are from a deploy on: what follows its load goes on from there."""
    count = spec.replicas if before is None or spec.autoscale is None else before
    return count if spec.autoscale is None else spec.autoscale.within(count)


def lacks_a_place(made: Fleet, slot: tuple[str, str, int], dead: str) -> bool:
    """Tell whether the dead host has its data, or was the last with room where it may be."""
    if not dead or slot[1] == "db":
        return bool(dead)
    app, service, _ = slot
    spec = made.picture.apps[app].services[service].spec
    wants = spec.resources.cpu_millicores
    free = [
        node.facts.cpu_millicores - made.picture.used.get(name, Resources()).cpu_millicores
        for name, node in made.picture.nodes.items()
        if name != dead and not allows(spec, node)
    ]
    return all(room < wants for room in free)


@settings(max_examples=50)
@given(FAIR_ACTS, st.sampled_from(["", "", "a", "b", "c", "d"]))
def test_when_the_faults_end_every_wanted_slot_runs_exactly_once(
    acts: list[Act], dead: str
) -> None:
    made = recovered(acts, dead)
    running = made.running()
    doubled = {slot: found for slot, found in running.items() if len(found) != 1}
    assert not doubled, "each slot runs once"
    expected = wanted(made)
    slots = {slot for slot, mode in expected.items() if mode == "replicated"}
    stranded = {slot for slot in slots if slot not in running and lacks_a_place(made, slot, dead)}
    agents = {(app, name) for (app, name, _), mode in expected.items() if mode == "global"}
    assert slots - stranded == {slot for slot in running if slot[:2] not in agents}
    alive = sorted(set(made.hosts) - {dead})
    for agent in agents:
        assert sorted(f[0][1] for s, f in running.items() if s[:2] == agent) == alive
    for app in made.picture.apps.values():
        if not any(slot[0] == app.name for slot in stranded):
            assert app.phase in ("running", "removed"), (app.phase, app.reason)


@settings(max_examples=30)
@given(FAIR_ACTS)
def test_when_the_faults_end_the_picture_is_what_runs(acts: list[Act]) -> None:
    made = recovered(acts)
    running = made.running()
    picture = made.picture
    for app in picture.apps.values():
        for service in app.services.values():
            for number, slot in service.slots.items():
                assert slot.leaving == {}
                if slot.container is not None and not slot.container.ended:
                    found = (slot.container.attempt, slot.container.node)
                    assert running[app.name, service.name, number] == [found]
    assert picture.state.requests == {}
    assert picture.pending == {}


@settings(max_examples=30)
@given(ACTS)
def test_no_history_breaks_a_core_and_lies_are_settled_like_faults(acts: list[Act]) -> None:
    """The fleet itself asserts that no id is given to two contents and nothing is decided twice."""
    made = recovered(acts)
    assert all(len(found) == 1 for found in made.running().values())


@settings(max_examples=30)
@given(FAIR_ACTS)
def test_attempts_of_a_slot_rise_by_exactly_one(acts: list[Act]) -> None:
    attempts: dict[tuple[str, str, int], int] = defaultdict(int)
    for record in recovered(acts).log:
        event = record.event
        if isinstance(event, ContainerRequested):
            slot = (event.app, event.service, event.slot)
            assert event.attempt == attempts[slot] + 1
            attempts[slot] = event.attempt


@settings(max_examples=30)
@given(FAIR_ACTS)
def test_no_decision_promises_more_of_a_node_than_it_has(acts: list[Act]) -> None:
    made = played(acts)
    capacity, memory = CPU_MILLICORES, 8 << 30
    specs: dict[tuple[str, int], DeployAccepted] = {}
    held: dict[str, dict[Key, tuple[int, int]]] = defaultdict(dict)
    for record in made.log:
        event = record.event
        if isinstance(event, DeployAccepted):
            specs[event.app, event.revision] = event
        elif isinstance(event, ContainerAssigned):
            wants = specs[event.app, event.revision].spec.services[event.service].resources
            key = (event.app, event.service, event.slot, event.attempt)
            held[event.node][key] = (wants.cpu_millicores, wants.memory_bytes)
            assert sum(cpu for cpu, _ in held[event.node].values()) <= capacity
            assert sum(mem for _, mem in held[event.node].values()) <= memory
        elif isinstance(event, ContainerFailed | ContainerFinished | ContainerStopped):
            key = (event.app, event.service, event.slot, event.attempt)
            held[event.node].pop(key, None)


@settings(max_examples=30)
@given(FAIR_ACTS)
def test_no_load_is_followed_twice_and_no_step_is_taken_back_too_soon(acts: list[Act]) -> None:
    checker = LogChecker(Sim(0), Decoded(), {})
    picture = checker.picture
    for record in recovered(acts).log:
        event = record.event
        if isinstance(event, ScaleDecided) and counts(picture, event, record.time):
            spec = picture.apps[event.app].services[event.service].spec.autoscale
            assert spec is not None, "it follows its load"
            book = checker.said[event.app, event.service]
            lately = [one for one in book if one.at > record.time - spec.down.window_s]
            steps = [one.level for one in lately if not one.metric]
            if not spec.min <= event.previous <= spec.max:
                pass  # Its bounds were moved.
            elif event.replicas > event.previous:
                assert event.replicas <= max(one.asks for one in book if one.level == "high")
            else:
                assert "up" not in steps or "" in steps, f"{event} after {steps}"
        assert not what_a_number_hangs_on_is_noted(checker, record)
        picture.fold(record)


@settings(max_examples=30)
@given(ACTS, st.floats(0, 1))
def test_a_snapshot_at_any_point_leads_to_the_same_picture(acts: list[Act], where: float) -> None:
    made = played(acts)
    cut = int(where * len(made.log))
    whole, part = Picture(), Picture()
    for record in made.log:
        whole.fold(record)
    for record in made.log[:cut]:
        part.fold(record)
    resumed = Picture()
    resumed.restore(part.snapshot())
    assert plain(resumed) == plain(part)
    for record in made.log[cut:]:
        resumed.fold(record)
    assert plain(resumed) == plain(whole)


@settings(max_examples=30)
@given(ACTS)
def test_a_new_leader_owes_what_the_old_one_owed(acts: list[Act]) -> None:
    made = played(acts)
    for index, core in enumerate(made.cores[:2]):
        made.flights.pop(index, None)
        fresh = CORES[core.service]()
        fresh.picture.restore(core.picture.snapshot())
        owed = {decision.id: decision.event for decision in core.decide(made.now)}
        assert {decision.id: decision.event for decision in fresh.decide(made.now)} == owed


@settings(max_examples=30)
@given(FAIR_ACTS)
def test_hearing_everything_twice_changes_nothing(acts: list[Act]) -> None:
    made = played(acts)
    once, twice = Picture(), Picture()
    for record in made.log:
        once.fold(record)
        for sequence in (2 * record.sequence - 1, 2 * record.sequence):
            twice.fold(again(record, sequence))
    assert without_sequences(twice) == without_sequences(once)


def again(record: Record, sequence: int) -> Record:
    return Record(
        sequence=sequence,
        time=record.time,
        event=record.event,
        id=record.id,
        source=record.source,
        correlation=record.correlation,
        cause=record.cause,
    )


def without_sequences(picture: Picture) -> object:
    for node in picture.nodes.values():
        node.joined_seq = node.lost_seq = 0
    for removed in picture.state.removed.values():
        removed.lost_seq = 0
    for app in picture.apps.values():
        for service in app.services.values():
            if service.scaling is not None:
                service.scaling.sequence = 0
            for slot in service.slots.values():
                for container in slot.containers():
                    container.requested_seq = 0
    for request in picture.state.requests.values():
        request.sequence = 0
    picture.state.sequence = picture.state.losses_told = 0
    return plain(picture)


def drawn(seed: int, length: int = 90) -> list[Act]:
    """Draw a history in which enough is done for much to happen."""
    random = Random(seed)
    kinds = [*FAIR, *OFTEN]
    return [(random.choice(kinds), random.randrange(8), random.randrange(8)) for _ in range(length)]


def test_the_histories_reach_what_they_are_for() -> None:
    """Else all of the above could hold of nothing."""
    seen: Counter[str] = Counter()
    for seed in range(15):
        seen.update(record.event.type for record in recovered(drawn(seed)).log)
    never = {"deploy.rejected", "event.rejected", "leader.elected", "image.pulling"}
    rarely = {"deploy.failed", "service.flapping", "service.steady", "node.request_rejected"}
    rarely |= {"node.returned", "image.pulled", "node.drain_held", "node.removed"}
    rarely |= {"rebalance.requested", "rebalance.planned", "scale.paused", "scale.resumed"}
    rarely |= {name for name in REGISTRY if name.startswith("rollout.")} | {"deploy.reverted"}
    never |= {"node.lease_ended", "node.loss_held"}  # Nobody hears leases here, or loses many.
    never |= {"gateway.joined", "gateway.left", "endpoint.ready", "endpoint.drained"}  # None here.
    never |= {"request.waiting", "service.idle", "service.busy"}  # Nor what is asked.
    never |= {"log.filling", "log.trimmed", "log.eased"}  # And nobody measures the log.
    never |= {"schedule.due", "run.completed", "run.failed"}  # And nothing has a schedule.
    assert set(REGISTRY) - set(seen) <= never | rarely


TELL = """
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("properties", sys.argv[1])
properties = importlib.util.module_from_spec(spec)
spec.loader.exec_module(properties)
log = [record for seed in (1, 2, 3) for record in properties.played(properties.drawn(seed)).log]
print(len(log), hashlib.sha256(repr(log).encode()).hexdigest())
"""


def test_the_same_history_gives_the_same_log_in_every_process() -> None:
    """Python orders sets of strings differently in each process; decisions must not."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TELL, __file__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert first == second
    assert int(first.split()[0]) > 250
