"""What breaks, how often, and for how long: kinds and rates are drawn anew for each seed.

Every fault ends by itself; `heal` ends those that last. After it nothing breaks any more.
"""

from collections.abc import Callable

from segue.testing.world.bus import Trouble, Way
from segue.testing.world.hosts import Cluster, Host
from segue.testing.world.process import Process
from segue.testing.world.sim import Sim

NEAR_S = (0.0, 0.2)  # Where images lie nearby.
HANDOVER_S = 25.0
HANDOVER_SHARE = (
    0.3  # In this share a host that keeps something strict is lost while all else is well.
)
STORE_SHARE = 0.1  # In this share of the runs the store is lost, or comes back older.


class Faults:
    """The saboteur of one run."""

    def __init__(self, sim: Sim, cluster: Cluster, *, every_s: float = 4.0) -> None:
        self.sim, self.cluster, self.every_s = sim, cluster, every_s
        self.over, self._quiet_until = False, 0.0
        # What people do about it: have no patience with a node; deploy what may run only once.
        self.give_up: Callable[[str], None] = lambda _: None
        self.deploy: Callable[[], None] = lambda: None
        kinds: list[Callable[[], None]] = [
            self._kill,
            self._freeze,
            self._cut,
            self._cut_in,
            self._cut_out,
            self._cut_long,
            self._cut_server,
            self._bus_down,
            self._election,
            self._engine_away,
            self._engine_frozen,
            self._container_dies,
            self._container_sickens,
            self._power_loss,
            self._started_twice,
            self._second_runner,
        ]
        self.kinds = [kind for kind in kinds if sim.chance(0.6)] or kinds
        dice = sim.between
        cluster.bus.trouble = Trouble(
            ack_lost=dice(0, 0.1),
            write_lost=dice(0, 0.05),
            write_late=dice(0, 0.03),
            core_lost=dice(0, 0.2),
            core_doubled=dice(0, 0.1),
            slow=dice(0, 0.1),
            lag=dice(0, 0.15),
        )
        near = sim.chance(0.5)  # Pulls hide how early a successor was allowed to start.
        for host in cluster.hosts:
            host.engine.manner.pull_s = NEAR_S if near else host.engine.manner.pull_s
            host.engine.manner.start_fails = dice(0, 0.05)
            host.engine.manner.start_dies = dice(0, 0.1)
            host.engine.manner.late = dice(0, 0.05)
        cluster.bus.replicated = sim.chance(0.5)
        if sim.chance(HANDOVER_SHARE):
            sim.at(dice(0.5, 2), self._deploy)
            sim.at(dice(18, 30), self._hand_over)
        for accident in (self._store_lost, self._store_restored):
            if sim.chance(STORE_SHARE):
                sim.at(dice(10, 45), self._store, accident)
        self._next()

    def _next(self) -> None:
        self.sim.at(self.sim.random.expovariate(1 / self.every_s), self._strike)

    def _strike(self) -> None:
        if self.over:
            return
        if self.sim.now < self._quiet_until:
            self._next()
            return
        kind = self.sim.random.choice(self.kinds)
        self.sim.mark(f"fault.{kind.__name__.lstrip('_')}")
        kind()
        self._next()

    def heal(self) -> None:
        """Let everything be well from now on."""
        self.over = True
        cluster = self.cluster
        cluster.bus.trouble = Trouble()
        cluster.bus.electing = False
        if cluster.bus.down:
            cluster.bus.set_down(down=False)
        for name in list(cluster.bus.cut):
            cluster.bus.set_cut(name, cut=False)
        for host in cluster.hosts:
            host.engine.manner.start_fails = host.engine.manner.start_dies = 0.0
            host.engine.manner.late = 0.0
            if host.engine.frozen:
                host.engine.set_frozen(frozen=False)
            if host.engine.away:
                host.engine.set_away(away=False)
            if not host.powered:
                host.power_on()
        for process in cluster.processes:
            if process.frozen:
                process.thaw()
            cluster.restart(process)

    # The kinds.

    def _process(self) -> Process:
        return self.sim.random.choice(self.cluster.processes)

    def _host(self) -> Host:
        return self.sim.random.choice(self.cluster.hosts)

    def _kill(self) -> None:
        process = self._process()
        process.kill()
        self.sim.at(self.sim.between(0.3, 4), self.cluster.restart, process)

    def _freeze(self) -> None:
        process = self._process()
        if process.frozen or not process.alive:
            return
        process.freeze()
        run = process.run

        def thaw() -> None:
            if process.frozen and process.run == run:
                process.thaw()

        self.sim.at(self.sim.between(0.5, 10), thaw)

    def _started_twice(self) -> None:
        """Start a control process once more; somebody notices, and ends one of the two."""
        process = self.sim.random.choice(self.cluster.control)
        if not process.alive or f"{process.name}+" in self.cluster.bus.clients:
            return
        twin = self.cluster.start_twin(process)
        if self.sim.chance(0.5):
            self.sim.at(self.sim.between(0.5, 3), process.kill)
            self.sim.at(self.sim.between(3, 8), self.cluster.restart, process)
        self.sim.at(self.sim.between(1, 12), twin.kill)

    def _second_runner(self) -> None:
        """Have a runner stand still and another begin beside it, which it finds when it goes on."""
        host = self._host()
        if not host.powered or not host.runner.alive or host.runner.frozen:
            return
        old = host.start_second()

        def thaw() -> None:
            if old.frozen and host.powered:
                old.thaw()
            else:
                old.kill()  # With its host.

        self.sim.at(self.sim.between(0.5, 10), thaw)

    def _cut(self) -> None:
        self._cut_wire("both")

    def _cut_in(self) -> None:
        self._cut_wire("in")

    def _cut_out(self) -> None:
        self._cut_wire("out")

    def _cut_long(self) -> None:
        """Cut a host off for longer than any lease lasts, where something strict runs if it can.

        Now and then a person gives the silent host up by force, before its lease is over.
        """
        name = self._cut_from(self._bound(), "both", self.sim.between(10, 40))
        if self.sim.chance(0.5):
            self.sim.at(self.sim.between(2, 9), self.give_up, name)

    def _deploy(self) -> None:
        self.deploy()

    def _hand_over(self) -> None:
        """Cut such a host off and break nothing else until all can have been taken over."""
        self.sim.mark("fault.hand_over")
        self._quiet_until = self.sim.now + HANDOVER_S
        self._cut_from(self._bound(), "both", HANDOVER_S)

    def _bound(self) -> list[str]:
        bound = [host.name for host in self.cluster.hosts if host.sheet.containers]
        return bound or [host.name for host in self.cluster.hosts]

    def _cut_server(self) -> None:
        """Cut control processes off together with their own bus server: they stay connected."""
        bus, name = self.cluster.bus, self.sim.random.choice(["control-0", "control-1"])
        if name in bus.cut:
            return
        bus.set_apart(name, apart=True)

        def mend() -> None:
            if name in bus.cut:
                bus.set_apart(name, apart=False)

        self.sim.at(self.sim.between(2, 20), mend)

    def _cut_wire(self, way: Way) -> None:
        hosts = [*(host.name for host in self.cluster.hosts), "control-0", "control-1"]
        self._cut_from(hosts, way, self.sim.between(0.5, 20))

    def _cut_from(self, hosts: list[str], way: Way, for_s: float) -> str:
        name = self.sim.random.choice(hosts)
        self.cluster.bus.set_cut(name, cut=True, way=way)

        def mend() -> None:
            if name in self.cluster.bus.cut:
                self.cluster.bus.set_cut(name, cut=False)

        self.sim.at(for_s, mend)
        return name

    def _bus_down(self) -> None:
        bus = self.cluster.bus
        if bus.down:
            return
        bus.set_down(down=True)

        def up() -> None:
            if bus.down:
                bus.set_down(down=False)

        self.sim.at(self.sim.between(0.1, 10), up)

    def _election(self) -> None:
        bus = self.cluster.bus
        bus.electing = True

        def elected() -> None:
            bus.electing = False

        self.sim.at(self.sim.between(4, 9), elected)

    def _engine_away(self) -> None:
        engine = self._host().engine
        if engine.away or engine.frozen:
            return
        engine.set_away(away=True)

        def back() -> None:
            if engine.away:
                engine.set_away(away=False)

        self.sim.at(self.sim.between(0.2, 10), back)

    def _engine_frozen(self) -> None:
        engine = self._host().engine
        if engine.away or engine.frozen:
            return
        engine.set_frozen(frozen=True)

        def thaw() -> None:
            if engine.frozen:
                engine.set_frozen(frozen=False)

        self.sim.at(self.sim.between(0.5, 10), thaw)

    def _container_dies(self) -> None:
        engine = self._host().engine
        running = [identity for identity, found in engine.there.items() if found.runs]
        if running:
            oom = self.sim.chance(0.3)
            engine.end(self.sim.random.choice(running), 137 if oom else 1, oom=oom)

    def _container_sickens(self) -> None:
        engine = self._host().engine
        healthy = [i for i, found in engine.there.items() if found.health == "healthy"]
        if healthy:
            engine.judge(self.sim.random.choice(healthy), "unhealthy")

    def _power_loss(self) -> None:
        host = self._host()
        if host.powered:
            host.lose_power()
            self.sim.at(self.sim.between(3, 30), host.power_on)

    def _store(self, accident: Callable[[], None]) -> None:
        """Let the servers go away and come back with another store."""
        self.sim.mark(f"fault.{accident.__name__.lstrip('_')}")
        self._bus_down()
        accident()

    def _store_lost(self) -> None:
        bus = self.cluster.bus
        self.cluster.leases.lost()
        bus.replace(f"sim-{bus.stores + 1}", 0)

    def _store_restored(self) -> None:
        bus = self.cluster.bus
        self.cluster.leases.lost()
        bus.replace(bus.log.cluster, int(len(bus.log.stored) * self.sim.between(0.2, 0.98)))
