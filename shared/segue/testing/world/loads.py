"""The simulated load: demand that comes and goes, who measures it, who has a say in what follows.

In a third of the runs replicas follow their load. Nodes sample CPU, one program says how long a
queue is, another says `load.*` itself: late, twice, and again what is long over. In the calm demand
stays as it is, and every program's last word is true.
"""

from random import Random
from typing import Any

import msgspec
from segue_node_runner.labels import Identity

from segue.envelope import encode
from segue.events import Event
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import (
    ScaleEvent,
    ScalePauseRequested,
    ScaleRequested,
    ScaleResumeRequested,
)
from segue.picture import Picture, Service
from segue.samples import SAMPLE_EVERY_S, ContainerSample, NodeSample, ServiceSample
from segue.testing.world.bus import SimBus
from segue.testing.world.hosts import Host
from segue.testing.world.sim import Sim

RUNS = 0.3  # So many of the runs are of loads.
FOLLOWS = 0.8  # So many of a service's versions follow their load.
CPU, QUEUE, JOBS = "cpu", "lag", "jobs"  # By nodes, by a program's samples, by a program's word.
TARGET_PERCENT, TARGET = 60, 10.0
MOST_MILLICORES = 1_000.0  # A container uses no more than one CPU.
EVERY_S = 5.0  # So often the programs look …
LATE_S = 20.0  # … and so late their word may come.
LAST_WORD_S = 45.0  # So long before the end each says something for the last time.
NOISE = 0.03
SOURCE = "/queues"


def are_on(seed: int) -> bool:
    """Tell whether a run is one of loads; the other runs' histories do not hang on it."""
    return Random(f"loads {seed}").random() < RUNS


def follow(dice: Random, section: dict[str, Any], most: int) -> None:
    """Let a service's replicas follow their load, for the most part."""
    if dice.random() >= FOLLOWS:
        return
    targets: dict[str, Any] = {CPU: f"{TARGET_PERCENT}%", QUEUE: TARGET, JOBS: TARGET}
    kept = dice.choice(((CPU,), (QUEUE,), (JOBS,), (CPU, JOBS), (CPU, QUEUE, JOBS)))
    asked: dict[str, Any] = {
        "min": 1,
        "max": most,
        "target": {name: targets[name] for name in kept},
        "down": {"window": f"{dice.choice((10, 20))}s"},
    }
    if dice.random() < 0.3:
        asked["up"] = {"window": "6s"}
    if dice.random() < 0.3:
        asked["up"] = {"step": dice.choice((1, 2)), "every": "5s"}
    section["x-autoscale"] = asked


def petition(dice: Random, app: str) -> Event:
    """Have a say in a number that follows its load, whether there is one or not."""
    which: dict[str, Any] = {"app": app, "service": "web"}
    for_s = dice.choice((0.0, 5.0, 15.0))
    asked: tuple[ScaleEvent, ...] = (
        ScalePauseRequested(**which, for_s=for_s),
        ScaleResumeRequested(**which),
        ScaleRequested(**which, replicas=dice.randint(1, 5), for_s=for_s),
    )
    return dice.choice(asked)


class Demand:
    """What the services of one run have to do, and everyone who tells of it."""

    def __init__(self, sim: Sim, bus: SimBus, hosts: list[Host], apps: tuple[str, ...]) -> None:
        self.sim, self.bus, self.hosts, self.apps = sim, bus, hosts, apps
        self.dice = Random(f"demand {sim.seed}")
        self.picture: Picture = Picture()  # The log's, as it is now.
        self.changes = 0
        self.wanted: dict[str, float] = {}  # By app: how many replicas would do its work.
        self._used: dict[str, float] = {}  # By the engine's id: seconds of a CPU.
        self._at: dict[str, float] = {}
        self._said: list[LoadEvent] = []
        self._told = 0

    def begin(self, ends_s: float, last_s: float) -> None:
        """Let demand change up to a time, and everyone tell of it up to another."""
        self._ends_s, self._last_s = ends_s, last_s - LAST_WORD_S
        for app in self.apps:
            self._change(app)
            self.sim.at(self.sim.between(0, EVERY_S), self._look, app)
        for host in self.hosts:
            self.sim.at(self.sim.between(0, SAMPLE_EVERY_S), self._sample, host)

    def _change(self, app: str) -> None:
        self.changes += 1
        self.wanted[app] = self.dice.uniform(0.3, 8.0)
        after_s = self.dice.uniform(5, 25)
        if self.sim.now + after_s < self._ends_s:
            self.sim.at(after_s, self._change, app)

    def share(self, app: str, service: Service) -> float:
        """Give what each of a service's replicas has to do, in shares of what it is meant for."""
        return self.wanted[app] / max(1, service.replicas)

    # What nodes measure.

    def _sample(self, host: Host) -> None:
        self.sim.at(SAMPLE_EVERY_S, self._sample, host)
        running: dict[str, list[Identity]] = {}
        for one in self.hosts:
            for identity, found in one.engine.there.items():
                if found.runs and identity.service == "web":
                    running.setdefault(identity.app, []).append(identity)
        since_s = self.sim.now - self._at.get(host.name, self.sim.now)
        self._at[host.name] = self.sim.now
        samples = []
        for identity, found in host.engine.there.items():
            together = running.get(identity.app, [])
            if found.runs and identity in together:
                rate = self._rate(identity, len(together)) * self.dice.uniform(1 - NOISE, 1 + NOISE)
                used = self._used.get(found.engine_id, 0.0) + since_s * rate / 1_000
                self._used[found.engine_id] = used
                key = identity.app, identity.service, identity.slot, identity.attempt
                samples.append(ContainerSample(*key, cpu_s=used, memory_bytes=1 << 20))
        runner = host.runner
        if runner.alive and not runner.frozen:
            self._tell(host, NodeSample(host.name, runner.clock, samples))

    def _rate(self, identity: Identity, count: int) -> float:
        """Give how many millicores a container uses, of so many that share its service's work."""
        service = self.picture.service(identity.app, identity.service)
        autoscale = service.spec.autoscale if service is not None else None
        whole = autoscale.whole.cpu_millicores if autoscale is not None else 0
        meant = (whole or MOST_MILLICORES) * TARGET_PERCENT / 100
        return min(MOST_MILLICORES, meant * self.wanted.get(identity.app, 0.0) / count)

    def _tell(self, host: Host, sample: NodeSample) -> None:
        subject, data = f"sample.containers.{host.name}", msgspec.json.encode(sample)
        self.bus.tell(host.name, subject, data)
        if self.sim.now < self._ends_s and self.dice.random() < 0.1:
            self.sim.mark("sample.late")
            self.sim.at(self.dice.uniform(0.1, 15), self.bus.tell, host.name, subject, data)

    # What programs say.

    def _look(self, app: str) -> None:
        """Measure an app's queues, and say so sooner or later."""
        if self.sim.now < self._last_s:
            self.sim.at(EVERY_S, self._look, app)
        service = self.picture.service(app, "web")
        if service is None or service.scaling is None:
            return
        value = TARGET * self.wanted[app] * self.dice.uniform(1 - NOISE, 1 + NOISE)
        sample = ServiceSample(app=app, service="web", metric=QUEUE, value=value)
        self.bus.tell("outside", sample.subject, msgspec.json.encode(sample))
        said = _load(app, value / max(1, service.replicas), service.replicas)
        if self.sim.now > self._ends_s + LATE_S:
            self._say(said)
            return
        for _ in range(self.dice.choice((1, 1, 1, 2))):
            late_s = self.dice.choice((0.0, 0.0, self.dice.uniform(0, LATE_S)))
            self.sim.at(late_s, self._say, said)
        if self._said and self.sim.now < self._ends_s and self.dice.random() < 0.1:
            self.sim.mark("load.old")
            self._say(self.dice.choice(self._said))

    def _say(self, event: LoadEvent) -> None:
        self._said.append(event)
        self._told += 1
        event_id = f"load-{self._told}"
        self.bus.say([encode(event, id=event_id, source=SOURCE, time=self.bus.time)])


def _load(app: str, value: float, replicas: int) -> LoadEvent:
    over = value / TARGET - 1.0
    kind = LoadHigh if over > 0.1 else LoadLow if over < -0.1 else LoadNormal
    which: dict[str, Any] = {"app": app, "service": "web", "metric": JOBS}
    return kind(**which, value=round(value, 3), replicas=replicas)
