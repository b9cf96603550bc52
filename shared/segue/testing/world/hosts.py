"""The simulated cluster: control processes in two copies, hosts with engines, and their faults.

This is the only part of `segue.testing` that knows the services: it puts their real cores into
simulated processes.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from segue_autoscaler.core import Autoscaler
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_node_runner import news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import GiveWay, Mark, Start
from segue_node_runner.labels import Identity
from segue_node_runner.lease import GONE_S, Holder, Look, Renew, Sheet
from segue_node_runner.simulated import Manner, SimulatedEngine
from segue_scheduler.core import Scheduler

from segue.beats import NODE_BEAT_EVERY_S, NODE_BEATS, NodeBeat
from segue.core import Core
from segue.leases import Standing, Terms, terms
from segue.log import Head, Outcome
from segue.picture import Picture
from segue.samples import (
    CONTAINER_SAMPLES,
    SERVICE_SAMPLES,
    NodeSample,
    ServiceSample,
    service_sample,
)
from segue.shell.errors import LogReplacedError
from segue.testing.world.bus import EPOCH_S, SimBus
from segue.testing.world.leases import Ear, SimLeases
from segue.testing.world.process import Decoded, Process
from segue.testing.world.sim import Sim

REMEMBER_EVERY_S = 5.0
LOOK_S = 0.1  # A fencer's, and a runner's at its lease.
NOBODY = Identity("", "", 0, 0)
_NODE_BEAT = msgspec.json.Decoder(NodeBeat)
_NODE_SAMPLE = msgspec.json.Decoder(NodeSample)


def _news(subject: str, data: bytes) -> NodeBeat | NodeSample | ServiceSample:
    """Read what a health monitor hears."""
    if subject.startswith("sample.service."):
        return service_sample(subject, data)
    return (_NODE_SAMPLE if subject.startswith("sample.") else _NODE_BEAT).decode(data)


class Host:
    """A machine with an engine and a node runner."""

    def __init__(
        self, sim: Sim, leases: SimLeases, decoded: Decoded, name: str, manner: Manner
    ) -> None:
        bus = leases.bus
        self.sim, self.bus, self.name, self.powered = sim, bus, name, True
        self.leases, self.sheet, self.fences, self.margin_s = leases, Sheet(), True, 0.0
        self._holder: Holder | None = None
        self._guard = news.Guard()
        self._guarded: tuple[int, str, tuple[str, ...]] = (0, "", ())  # What it was made of.
        self.before: Callable[[Host, Process, Any], None] = lambda _, __, ___: None
        self.engine = SimulatedEngine(sim.at, sim.random, manner, lambda: EPOCH_S + sim.now)
        self._sessions = 0
        self.memory: dict[str, int] = {}  # Cluster: how far its log had been read.
        self._replaced: dict[str, None] = {}  # Runners that another has taken the place of.
        self._starts: dict[Identity, list[str]] = {}  # Who waits for an engine's answer, in order.
        self.runner = self._new_runner(decoded)
        self.engine.hear, self.engine.admit = self._hear, self._admit
        self.sim.at(sim.between(0, LOOK_S), self._look)
        self.sim.at(sim.between(0, NODE_BEAT_EVERY_S), self._beat)
        self.sim.at(sim.between(0, REMEMBER_EVERY_S), self._remember)
        self.begin()

    def _new_runner(self, decoded: Decoded) -> Process:
        runner = Process(
            self.sim,
            self.bus,
            decoded,
            name=f"runner-{self.name}{'+' * self._sessions}",
            host=self.name,
            make=self._core,
            instance=f"runner-{self.name}",
            leads=False,
            subjects=follows(self.name),
            perform=self._perform,
        )
        runner.before_following = self._check_memory
        return runner

    def start_second(self) -> Process:
        """Start another runner beside one that stands still; give the one that it replaces."""
        old = self.runner
        old.freeze()
        self._replaced[old.name] = None
        self.runner = self._new_runner(old.decoded)
        self.runner.ended = old.ended
        self.begin()
        return old

    def _core(self) -> NodeRunner:
        self._sessions += 1
        return NodeRunner(self.name, f"{self.name}-{self._sessions}")

    def begin(self) -> None:
        """Tell a fresh runner what its engine is; it goes on with the lease of the one before."""
        self.runner.hear(self.engine.facts())
        self._holder, self._guard, self._guarded = None, news.Guard(), (0, "", ())

    def _perform(self, process: Process, effect: Any) -> None:
        if isinstance(effect, GiveWay):
            self.sim.mark("gave_way")
            if process.name not in self._replaced:
                process.restarted()
            else:
                process.kill()
            return
        if isinstance(effect, Start):
            self._starts.setdefault(effect.identity, []).append(process.name)
        self.before(self, process, effect)
        if isinstance(effect, Mark) and self._holder is not None:
            if effect.strict:
                self._holder.keep(effect.engine_id)
            else:
                self._holder.let_go(frozenset((effect.engine_id,)))
        self.engine.perform(effect)

    def _hear(self, said: Any) -> None:
        """Pass on what the engine says; of another cluster's containers it is asked for nothing."""
        found = self.engine.there.get(getattr(said, "identity", None) or NOBODY)
        foreign = found is not None and found.cluster != self.bus.log.cluster
        if foreign and isinstance(said, news.Died | news.HealthChanged):
            return
        if isinstance(said, news.StartFailed | news.StartDone):
            waits = self._starts.get(said.identity)
            asker = waits.pop(0) if waits else ""
            if asker in self._replaced and isinstance(said, news.StartFailed):
                return  # It is the other's to hear.
        if isinstance(said, news.Died) and self._holder is not None:
            fenced = self._holder.killed(said.engine_id, self.runner.clock)
            said = msgspec.structs.replace(said, fenced=fenced)
        self.runner.hear(said)

    # The lease: what `Fence` does in production.

    def _look(self) -> None:
        """Let the fencer look, and then the runner at what that allows."""
        self.sim.at(LOOK_S, self._look)
        if not self.powered:
            return
        now, sheet = self.runner.clock, self.sheet
        overdue = sheet.over + (sheet.containers if now >= sheet.deadline else ())
        for identity, found in list(self.engine.there.items()) if overdue and self.fences else []:
            if found.runs and found.engine_id in overdue:
                self.sim.mark("fencer.killed")
                self.engine.end(identity, 137)
        if self.runner.alive and not self.runner.frozen:
            self._hold(now)

    def _hold(self, now: float) -> None:
        if self._holder is None:
            self._holder = Holder(f"{self.name}-{self._sessions}", self._terms(), self.sheet)
        holder = self._holder
        act = holder.step(now, 1.0 + self.sim.now)
        self.sheet = holder.sheet
        if act is not None:
            run = self.runner.run
            self.leases.ask(self.name, act, lambda found: self._answered(run, act, found))
        missing = holder.missing(now, GONE_S)
        lease = 0 if missing else holder.held(now)
        if self._guarded == (lease, missing, holder.sheet.containers):
            return
        self._guarded = lease, missing, holder.sheet.containers
        guard = news.Guard(lease, missing, frozenset(holder.sheet.containers))
        if guard != self._guard:
            self._guard = guard
            self.runner.hear(guard)

    def _terms(self) -> Terms:
        held = terms(3 if self.bus.replicated else 1)
        return msgspec.structs.replace(held, margin_s=held.margin_s + self.margin_s)

    def _answered(self, run: int, act: Look | Renew, found: Outcome | Standing) -> None:
        if run != self.runner.run or self._holder is None:
            return
        if self.runner.held(self._answered, run, act, found):
            return
        now = self.runner.clock
        if isinstance(found, Standing):
            self._holder.looked(found, now)
        elif isinstance(act, Renew):
            self._holder.claimed(found, now)
        else:
            self._holder.unheard(found.reason, now)
        self.sheet = self._holder.sheet

    def _admit(self, effect: Start, engine_id: str) -> str:
        """Put a container on the fencer's list before it starts, or say what is missing."""
        if self._holder is None or self.runner.frozen or not self.runner.alive:
            return "its runner is not at work"
        words = self._holder.admit(engine_id, effect.lease, self.runner.clock)
        self.sheet = self._holder.sheet
        return words

    def _remember(self) -> None:
        """Keep, over the runner's restarts, how far the log had come: `Memory` in production."""
        self.sim.at(REMEMBER_EVERY_S, self._remember)
        cluster = self.runner.core.picture.state.cluster
        if self.runner.alive and not self.runner.frozen and cluster:
            self.memory[cluster] = max(self.memory.get(cluster, 0), self.runner.position())

    def _check_memory(self, _: Process, head: Head) -> None:
        """Take no order from a log that is behind what was read of it, until a person agrees."""
        if head.last < self.memory.get(head.cluster, 0):
            self.sim.mark("node.refuses")
            self.sim.at(self.sim.between(1, 15), self.memory.clear)
            raise LogReplacedError("the log is behind what this node has read")

    def ours(self) -> list[Identity]:
        """Give what the engine has of the log's own cluster."""
        cluster = self.bus.log.cluster
        return [one for one, found in self.engine.there.items() if found.cluster == cluster]

    def clear(self, picture: Picture, before: float) -> None:
        """Remove, as a person does after the store was replaced, what the log knows nothing of."""
        known = picture.on_node.get(self.name, {})
        for identity, found in list(self.engine.there.items()):
            key = (identity.app, identity.service, identity.slot, identity.attempt)
            foreign = found.cluster != self.bus.log.cluster
            ordered = known.get(key)
            other = ordered is None or ordered.digest != found.digest
            if foreign or (found.runs and other and found.started_at < before):
                self.sim.mark("container.left_over")
                del self.engine.there[identity]
                self.engine.changed()
                self.runner.hear(news.Gone(identity=identity, engine_id=found.engine_id))

    def _beat(self) -> None:
        self.sim.at(NODE_BEAT_EVERY_S, self._beat)
        if self.runner.alive and not self.runner.frozen:
            beat = NodeBeat(self.name, f"{self.name}-{self._sessions}")
            data = msgspec.json.encode(beat)
            self.bus.tell(self.name, f"beat.node_runner.{self.name}", data)

    def restart_runner(self) -> None:
        """Start the runner again; it finds what runs."""
        if self.powered and not self.runner.alive:
            self.runner.start()
            self.begin()

    def lose_power(self) -> None:
        """Everything on the host ends at once."""
        self.powered = False
        self.sheet = Sheet()  # It was in memory.
        self.runner.kill()
        self.engine.lose_power()

    def power_on(self) -> None:
        """The host comes back, if it was off; nothing runs there but its runner."""
        self.powered = True
        self.restart_runner()


class Cluster:
    """The deciding services in copies, and hosts; an autoscaler only where there are loads."""

    def __init__(
        self,
        sim: Sim,
        *,
        nodes: int = 5,
        copies: int = 2,
        manner: Manner | None = None,
        loads: bool = False,
    ) -> None:
        self.sim, self.bus, self.decoded = sim, SimBus(sim), Decoded()
        self.leases = SimLeases(self.bus)
        self.control: list[Process] = []
        for copy in range(copies):
            host = f"control-{copy}"
            for core in self._deciding(loads=loads):
                samples = [CONTAINER_SAMPLES, SERVICE_SAMPLES] if loads else []
                listens = [NODE_BEATS, *samples] if core is HealthMonitor else []
                process = Process(
                    sim,
                    self.bus,
                    self.decoded,
                    name=f"{core.service}-{copy}",
                    host=host,
                    make=core,
                    hears=listens,
                    read_news=_news,
                )
                self.control.append(process)
                if core is HealthMonitor:
                    Ear(self.leases, process)
        self.hosts = [
            Host(
                sim, self.leases, self.decoded, f"n{n}", msgspec.structs.replace(manner or Manner())
            )
            for n in range(nodes)
        ]

        for process in self.processes:
            process.ended = self._ended

    @staticmethod
    def _deciding(*, loads: bool) -> list[type[Core]]:
        return [Deployer, Scheduler, HealthMonitor, *([Autoscaler] if loads else [])]

    def start_twin(self, process: Process) -> Process:
        """Start a control process a second time, under its name."""
        twin = Process(
            self.sim,
            self.bus,
            self.decoded,
            name=f"{process.name}+",
            host=process.host,
            make=process.make,
            instance=process.instance,
            hears=process.hears,
            read_news=process.read_news,
        )
        twin.before_writing = process.before_writing
        if process.core.service == HealthMonitor.service:
            Ear(self.leases, twin)
        return twin

    def _ended(self, process: Process) -> None:
        self.sim.at(self.sim.between(0.5, 3), self.restart, process)

    @property
    def processes(self) -> list[Process]:
        """Every process, node runners too."""
        return [*self.control, *(host.runner for host in self.hosts)]

    def restart(self, process: Process) -> None:
        """Start a dead process again, as its supervisor does."""
        if process.alive:
            return
        for host in self.hosts:
            if host.runner is process:
                host.restart_runner()
                return
        process.start()
