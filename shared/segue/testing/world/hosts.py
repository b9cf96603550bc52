"""The simulated cluster: control processes in two copies, hosts with engines, and their faults.

This is the only part of `segue.testing` that knows the services: it puts their real cores into
simulated processes.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_node_runner import news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import GiveWay
from segue_node_runner.labels import Identity
from segue_node_runner.simulated import Manner, SimulatedEngine
from segue_scheduler.core import Scheduler

from segue.beats import NODE_BEAT_EVERY_S, NODE_BEATS, NodeBeat
from segue.log import Head
from segue.picture import Picture
from segue.shell.errors import LogReplacedError
from segue.testing.world.bus import EPOCH_S, SimBus
from segue.testing.world.process import Decoded, Process
from segue.testing.world.sim import Sim

REMEMBER_EVERY_S = 5.0
NOBODY = Identity("", "", 0, 0)
_NODE_BEAT = msgspec.json.Decoder(NodeBeat)


class Host:
    """A machine with an engine and a node runner."""

    def __init__(self, sim: Sim, bus: SimBus, decoded: Decoded, name: str, manner: Manner) -> None:
        self.sim, self.bus, self.name, self.powered = sim, bus, name, True
        self.before: Callable[[Host, Any], None] = lambda _, __: None
        self.engine = SimulatedEngine(sim.at, sim.random, manner, lambda: EPOCH_S + sim.now)
        self._sessions = 0
        self.runner = Process(
            sim,
            bus,
            decoded,
            name=f"runner-{name}",
            host=name,
            make=self._core,
            leads=False,
            subjects=follows(name),
            perform=self._perform,
        )
        self.memory: dict[str, int] = {}  # Cluster: how far its log had been read.
        self.runner.before_following = self._check_memory
        self.engine.hear = self._hear
        self.sim.at(sim.between(0, NODE_BEAT_EVERY_S), self._beat)
        self.sim.at(sim.between(0, REMEMBER_EVERY_S), self._remember)
        self.begin()

    def _core(self) -> NodeRunner:
        self._sessions += 1
        return NodeRunner(self.name, f"{self.name}-{self._sessions}")

    def begin(self) -> None:
        """Tell a fresh runner what its engine is."""
        self.runner.hear(self.engine.facts())

    def _perform(self, process: Process, effect: Any) -> None:
        if isinstance(effect, GiveWay):
            process.kill()
            return
        self.before(self, effect)
        self.engine.perform(effect)

    def _hear(self, said: Any) -> None:
        """Pass on what the engine says; of another cluster's containers it is asked for nothing."""
        found = self.engine.there.get(getattr(said, "identity", None) or NOBODY)
        foreign = found is not None and found.cluster != self.bus.log.cluster
        if not (foreign and isinstance(said, news.Died | news.HealthChanged)):
            self.runner.hear(said)

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
        self.runner.kill()
        self.engine.lose_power()

    def power_on(self) -> None:
        """The host comes back, if it was off; nothing runs there but its runner."""
        self.powered = True
        self.restart_runner()


class Cluster:
    """Deployer, scheduler and health monitor in copies, and hosts."""

    def __init__(
        self, sim: Sim, *, nodes: int = 5, copies: int = 2, manner: Manner | None = None
    ) -> None:
        self.sim, self.bus, self.decoded = sim, SimBus(sim), Decoded()
        self.control: list[Process] = []
        for copy in range(copies):
            host = f"control-{copy}"
            for core in (Deployer, Scheduler, HealthMonitor):
                listens = [NODE_BEATS] if core is HealthMonitor else []
                process = Process(
                    sim,
                    self.bus,
                    self.decoded,
                    name=f"{core.service}-{copy}",
                    host=host,
                    make=core,
                    hears=listens,
                    read_news=_NODE_BEAT.decode,
                )
                self.control.append(process)
        self.hosts = [
            Host(sim, self.bus, self.decoded, f"n{n}", msgspec.structs.replace(manner or Manner()))
            for n in range(nodes)
        ]

        for process in self.processes:
            process.ended = self._ended

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
