"""The same work by Segue and by Docker Swarm, on one engine, by turns: `just bench beside_swarm`.

Deploys of 10, 50 and 100 replicas and their removal; containers that are killed, one at a time, until
their replacement has started (Swarm without its delay of 5 s, its best); a rolling update of 10 that
begins new containers first. All by the engine's own events, so that both are seen alike. The engine's
own limit for the deploys is measured beside both, at the best of three concurrencies.

Live restore, which Swarm refuses, is off. Swarm's tasks are on the default bridge, Segue's on the
app's own.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import json
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio

from segue.events.container import ContainerStarted
from segue.events.deploy import DeployCompleted, RemovalCompleted, RemovalRequested
from segue.events.node import NodeJoined
from segue.events.rollout import RolloutCompleted
from segue.log import Message
from segue.testing.bench import Table, asked
from segue.testing.cluster import Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine, PrivateEngine

COMMAND = ["sleep", "100000"]
OURS, SWARMS, RAW = "segue.app", "com.docker.swarm.service.name", "bench"


class Tap:
    """Counts what the engine's events say, by label and kind."""

    def __init__(self, engine: Engine) -> None:
        self.seen: list[tuple[str, str, float]] = []  # Kind, label, when.
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(engine,), daemon=True)
        self._thread.start()
        self._ready.wait()

    def _read(self, engine: Engine) -> None:
        since = time.time()
        self._ready.set()
        while True:
            # In stretches: the API's client for tests reads answers that end.
            until = time.time() + 0.02
            filters = {"type": ["container"], "event": ["start", "die", "destroy"]}
            time.sleep(0.02)
            with contextlib.suppress(OSError):
                said = engine.ask("GET", "/events", since=since, until=until, filters=filters)
                since = until
                for line in (
                    said if isinstance(said, bytes) else json.dumps(said).encode()
                ).splitlines():
                    one = json.loads(line)
                    marks = one["Actor"]["Attributes"]
                    label = next((key for key in (OURS, SWARMS, RAW) if key in marks), "")
                    self.seen.append((one["Action"], label, one["timeNano"] / 1e9))

    def wait(self, kind: str, label: str, count: int, since: float, within_s: float = 300) -> float:
        """Wait for so many events after a time; give when the last of them was."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            found = [
                at
                for what, of, at in list(self.seen)
                if (what, of) == (kind, label) and at >= since
            ]
            if len(found) >= count:
                return sorted(found)[count - 1]
            time.sleep(0.005)
        raise AssertionError(f"not {count} of {kind} within {within_s:g} s")


class Swarm:
    """The engine's own orchestrator."""

    def __init__(self, engine: Engine, tap: Tap) -> None:
        self.engine, self.tap = engine, tap
        words = {"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1"}
        engine.ask("POST", "/swarm/init", words)
        self.image = engine.ask("GET", f"/images/{BUSYBOX}/json")["Id"]  # By id: it pulls nothing.

    def body(self, replicas: int, version: str = "1") -> dict[str, Any]:
        return {
            "Name": "bench",
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": self.image,
                    "Command": COMMAND,
                    "StopSignal": "SIGKILL",
                    "Env": [f"VERSION={version}"],
                },
                "RestartPolicy": {"Condition": "any", "Delay": 0},
            },
            "Mode": {"Replicated": {"Replicas": replicas}},
            "UpdateConfig": {"Parallelism": 3, "Order": "start-first", "Monitor": 10**9},
        }

    def deploy(self, replicas: int) -> float:
        begun = time.time()
        self.engine.ask("POST", "/services/create", self.body(replicas))
        return self.tap.wait("start", SWARMS, replicas, begun) - begun

    def remove(self, replicas: int) -> float:
        begun = time.time()
        self.engine.ask("DELETE", "/services/bench")
        took = self.tap.wait("destroy", SWARMS, replicas, begun) - begun
        time.sleep(1)
        return took

    def kill(self, _: int) -> float:
        found = self.engine.ask("GET", "/containers/json", filters={"label": [SWARMS]})
        begun = time.time()
        self.engine.ask("POST", f"/containers/{found[0]['Id']}/kill")
        return self.tap.wait("start", SWARMS, 1, begun) - begun

    def update(self, replicas: int) -> tuple[float, float]:
        found = self.engine.ask("GET", "/services/bench")
        begun = time.time()
        version = found["Version"]["Index"]
        body = self.body(replicas, "2")
        self.engine.ask("POST", f"/services/bench/update?version={version}", body)
        last = self.tap.wait("start", SWARMS, replicas, begun)
        while True:
            state = self.engine.ask("GET", "/services/bench").get("UpdateStatus", {}).get("State")
            if state == "completed":
                return last - begun, time.time() - begun
            time.sleep(0.02)


class Segue:
    """Ours, on the same engine; called from a thread."""

    def __init__(self, cluster: Cluster, tap: Tap) -> None:
        self.cluster, self.tap, self.number = cluster, tap, 0

    def ask(self, replicas: int, version: str = "1") -> int:
        self.number += 1
        wants = {"replicas": replicas, "update_config": {"parallelism": 3, "monitor": "1s"}}
        web = {"image": BUSYBOX, "command": COMMAND, "environment": {"VERSION": version}}
        web |= {"stop_signal": "SIGKILL", "deploy": wants}
        body = bare({"services": {"web": web}})
        head = anyio.from_thread.run(self.cluster.head)
        message = Message("deploy.requested.bench", f"ask-{self.number}", body)
        anyio.from_thread.run(self.cluster.insist, message)
        return head

    def wait(self, kind: Any, head: int) -> None:
        wait = functools.partial(self.cluster.wait_event, kind, after=head, within_s=300)
        anyio.from_thread.run(wait)

    def deploy(self, replicas: int) -> float:
        begun = time.time()
        head = self.ask(replicas)
        took = self.tap.wait("start", OURS, replicas, begun) - begun
        self.wait(DeployCompleted, head)
        return took

    def remove(self, replicas: int) -> float:
        head, begun = anyio.from_thread.run(self.cluster.head), time.time()
        anyio.from_thread.run(self.cluster.say, RemovalRequested(app="bench"))
        took = self.tap.wait("destroy", OURS, replicas, begun) - begun
        self.wait(RemovalCompleted, head)
        return took

    def kill(self, slot: int) -> float:
        """Each slot dies once only: a second death would wait out the restart policy's back-off."""
        (container,) = self.cluster.running("bench")[f"web.{slot}"]
        engine = self.cluster.engines["node-a"]
        head, begun = anyio.from_thread.run(self.cluster.head), time.time()
        engine.ask("POST", f"/containers/{container}/kill")
        took = self.tap.wait("start", OURS, 1, begun) - begun
        self.wait(ContainerStarted, head)
        return took

    def update(self, replicas: int) -> tuple[float, float]:
        begun = time.time()
        head = self.ask(replicas, "2")
        last = self.tap.wait("start", OURS, replicas, begun)
        self.wait(RolloutCompleted, head)
        return last - begun, time.time() - begun


def by_itself(engine: Engine, replicas: int) -> float:
    """What the engine needs for as many, at the best of three concurrencies."""
    body = {"Image": BUSYBOX, "Cmd": COMMAND, "Labels": {RAW: "raw"}, "HostConfig": {"Init": True}}

    def start(_: int) -> None:
        made = engine.ask("POST", "/containers/create", body)["Id"]
        engine.ask("POST", f"/containers/{made}/start")

    best = float("inf")
    for many in (2, 4, 8):
        begun = time.time()
        with concurrent.futures.ThreadPoolExecutor(many) as pool:
            list(pool.map(start, range(replicas)))
            best = min(best, time.time() - begun)
            found = engine.ask("GET", "/containers/json", filters={"label": [RAW]})
            delete = functools.partial(engine.ask, "DELETE", force=1)
            list(pool.map(delete, [f"/containers/{one['Id']}" for one in found]))
    return best


def compare(table: Table, segue: Segue, swarm: Swarm, given: argparse.Namespace) -> None:
    def beside(words: str, ours: list[float], theirs: list[float], goal: str) -> None:
        table.add(words, ours, beside="Swarm", limit=theirs, goal=goal)

    for replicas in given.sizes:
        up: tuple[list[float], ...] = ([], [], [])
        down: tuple[list[float], list[float]] = ([], [])
        for _ in range(given.rounds):
            up[0].append(segue.deploy(replicas))
            down[0].append(segue.remove(replicas))
            up[1].append(swarm.deploy(replicas))
            down[1].append(swarm.remove(replicas))
            up[2].append(by_itself(swarm.engine, replicas))
        beside(f"deploy {replicas} replicas", up[0], up[1], "≤ 1.0")
        table.add(f"deploy {replicas} replicas", up[0], beside="engine", limit=up[2])
        beside(f"remove {replicas} replicas", down[0], down[1], "")
    segue.deploy(given.kills)
    swarm.deploy(given.kills)
    killed: tuple[list[float], list[float]] = ([], [])
    for slot in range(1, given.kills + 1):
        killed[0].append(segue.kill(slot))
        killed[1].append(swarm.kill(slot))
    beside("killed -> replacement started", killed[0], killed[1], "≤ 0.3")
    segue.remove(given.kills)
    swarm.remove(given.kills)
    times: tuple[list[float], ...] = ([], [], [], [])
    for _ in range(given.rounds):
        for who, first in ((segue, 0), (swarm, 2)):
            who.deploy(given.updated)
            last, done = who.update(given.updated)
            times[first].append(last)
            times[first + 1].append(done)
            who.remove(given.updated)
    words = f"rolling update of {given.updated}, start-first"
    beside(f"{words}, last start", times[0], times[2], "≤ 0.8")
    beside(f"{words}, completed", times[1], times[3], "≤ 0.8")


@contextlib.contextmanager
def engine_without_live_restore() -> Iterator[PrivateEngine]:
    engine = PrivateEngine(live_restore=False)
    try:
        engine.start()
        engine.load_busybox()
        yield engine
    finally:
        engine.stop()


async def measure(table: Table, engine: Engine, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(pathlib.Path(folder)) as cluster:
            cluster.start_control()
            cluster.start_node("node-a", engine)
            await cluster.wait_event(NodeJoined, node="node-a")
            tap = await anyio.to_thread.run_sync(Tap, engine)
            swarm = await anyio.to_thread.run_sync(Swarm, engine, tap)
            work: Callable[[], None] = functools.partial(
                compare, table, Segue(cluster, tap), swarm, given
            )
            await anyio.to_thread.run_sync(work)
    engine.ask("POST", "/swarm/leave", force=1)


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--sizes", type=int, nargs="*", default=[10, 50, 100])
        flags.add_argument("--rounds", type=int, default=3)
        flags.add_argument("--kills", type=int, default=20)
        flags.add_argument("--updated", type=int, default=10)

    given = asked(__doc__, more)
    if given.smoke:
        given.sizes, given.rounds, given.kills, given.updated = [1], 1, 1, 1
    table = Table("beside_swarm", given.out)
    with engine_without_live_restore() as engine:
        anyio.run(measure, table, engine, given)


if __name__ == "__main__":
    main()
