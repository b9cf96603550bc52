"""The main job against the engine under it, in one run: `just bench main_job`.

Prints one table (median, min, max, ratio) and writes the same as JSON. Asserts nothing about time.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import anyio

from segue.events.container import ContainerStarted
from segue.events.deploy import DeployCompleted, RemovalCompleted, RemovalRequested
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.cluster import Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine, running_engine

SERVICE = {"image": BUSYBOX, "command": ["sleep", "1000"]}


RAW_NETWORK = "bench-raw"


class Raw:
    """The engine by itself: the very create call that Segue makes, without Segue."""

    def __init__(self, engine: Engine, like: str) -> None:
        """Learn the create call from the container `like`."""
        self.engine = engine
        found = engine.ask("GET", f"/containers/{like}/json")
        if not any(net["Name"] == RAW_NETWORK for net in engine.ask("GET", "/networks")):
            engine.ask("POST", "/networks/create", {"Name": RAW_NETWORK})
        (aliases,) = (net["Aliases"] for net in found["NetworkSettings"]["Networks"].values())
        self.body: dict[str, Any] = {
            **found["Config"],
            "Hostname": "",
            "Labels": {
                **found["Config"]["Labels"],
                "bench": "raw",
                "segue.cluster": "raw",
                "segue.app": "raw",
            },
            "HostConfig": {**found["HostConfig"], "NetworkMode": RAW_NETWORK},
            "NetworkingConfig": {"EndpointsConfig": {RAW_NETWORK: {"Aliases": aliases}}},
        }

    def start(self, name: str) -> float:
        begun = time.perf_counter()
        made = self.engine.ask("POST", "/containers/create", self.body, name=name)
        self.engine.ask("POST", f"/containers/{made['Id']}/start")
        return time.perf_counter() - begun

    def replace(self, name: str) -> float:
        """Do by hand what healing does: kill, and when the engine says it is done, start anew."""
        begun = time.perf_counter()
        self.engine.ask("POST", f"/containers/{name}/kill")
        self.start(f"{name}-again")
        return time.perf_counter() - begun

    def clear(self) -> None:
        for container in self.engine.ask(
            "GET", "/containers/json", all=1, filters=json.dumps({"label": ["bench=raw"]})
        ):
            self.engine.ask("DELETE", f"/containers/{container['Id']}", force=1)

    def deploy(self, replicas: int, concurrency: int) -> float:
        begun = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
            list(pool.map(lambda n: self.start(f"raw-{n}"), range(replicas)))
        took = time.perf_counter() - begun
        self.clear()
        return took


async def deploy(cluster: Cluster, replicas: int, name: str) -> float:
    head = await cluster.head()
    body = bare({"services": {"web": {**SERVICE, "deploy": {"replicas": replicas}}}})
    begun = time.perf_counter()
    await cluster.bus.append([Message("deploy.requested.bench", name, body)])
    await cluster.wait_event(DeployCompleted, after=head, within_s=120)
    return time.perf_counter() - begun


async def remove(cluster: Cluster) -> float:
    head = await cluster.head()
    begun = time.perf_counter()
    await cluster.say(RemovalRequested(app="bench"))
    await cluster.wait_event(RemovalCompleted, after=head, within_s=120)
    return time.perf_counter() - begun


async def heal(cluster: Cluster, raw: Raw, slots: int) -> list[dict[str, Any]]:
    """Kill each slot's container once, the same by hand before each.

    Each slot dies once only: a second death would wait out the restart policy's back-off.
    """
    ours, starts, by_hand = [], [], []
    for number in range(1, slots + 1):
        starts.append(await anyio.to_thread.run_sync(raw.start, f"raw-{number}"))
        by_hand.append(await anyio.to_thread.run_sync(raw.replace, f"raw-{number}"))
        (container,) = cluster.running("bench")[f"web.{number}"]
        head = await cluster.head()
        begun = time.perf_counter()
        await anyio.to_thread.run_sync(raw.engine.ask, "POST", f"/containers/{container}/kill")
        await cluster.wait_event(ContainerStarted, after=head, within_s=120)
        ours.append(time.perf_counter() - begun)
        await anyio.sleep(0.1)
    await anyio.to_thread.run_sync(raw.clear)
    return [
        row("killed -> started / create, start (s)", ours, starts),
        row("killed -> started / kill, create, start (s)", ours, by_hand),
    ]


def pss_mib(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def up_times(rounds: int, engine: Engine) -> list[float]:
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "DOCKER_HOST": engine.url}
            segue = [str(pathlib.Path(sys.executable).with_name("segue"))]
            begun = time.perf_counter()
            subprocess.run(
                [*segue, "up", "--detach", "--data", folder],
                check=True,
                env=environment,
                capture_output=True,
            )
            times.append(time.perf_counter() - begun)
            subprocess.run(
                [*segue, "down", "--data", folder], check=True, env=environment, capture_output=True
            )
    return times


def row(name: str, times: list[float], limit: list[float] | None = None) -> dict[str, Any]:
    made = {"work": name, "median": statistics.median(times), "min": min(times), "max": max(times)}
    if limit:
        made |= {
            "limit": statistics.median(limit),
            "ratio": statistics.median(times) / statistics.median(limit),
        }
    compared = (
        f"  engine {made['limit']:8.3f}  ratio {made['ratio']:5.2f}" if "ratio" in made else ""
    )
    spread = f"min {made['min']:8.3f}  max {made['max']:8.3f}"
    print(f"{name:44} median {made['median']:8.3f}  {spread}{compared}", flush=True)
    return made


async def measure(engine: Engine, size: int, rounds: int, kills: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with running(pathlib.Path(folder)) as cluster:
            cluster.start_control()
            cluster.start_node("node-a", engine)
            await cluster.wait_event(NodeJoined, node="node-a")
            await deploy(cluster, 1, "deploy-first")
            (like,) = cluster.running("bench")["web.1"]
            raw = Raw(engine, like)
            await remove(cluster)
            ours: list[float] = []
            theirs: list[float] = []
            removals: list[float] = []
            for n in range(rounds):
                tries = [await anyio.to_thread.run_sync(raw.deploy, size, c) for c in (2, 4, 8)]
                theirs.append(min(tries))
                ours.append(await deploy(cluster, size, f"deploy-{n}"))
                removals.append(await remove(cluster))
            rows.append(row(f"deploy {size} replicas (s)", ours, theirs))
            rows.append(row(f"remove {size} replicas (s)", removals))
            await deploy(cluster, kills, "deploy-killed")
            rows.extend(await heal(cluster, raw, kills))
            await remove(cluster)
            await anyio.sleep(2)
            for (name, _), service in cluster.services.items():
                rows.append(row(f"{name} at rest, PSS (MiB)", [pss_mib(service.process.pid)]))
            rows.append(row("nats-server at rest, PSS (MiB)", [pss_mib(cluster.server.pid)]))
    rows.append(row("segue up to ready (s)", up_times(rounds, engine)))
    return rows


def main() -> None:
    flags = argparse.ArgumentParser()
    flags.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    flags.add_argument("--size", type=int, default=30)
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--out", default="main_job.json")
    asked = flags.parse_args()
    size, rounds, kills = (2, 1, 1) if asked.smoke else (asked.size, asked.rounds, 20)
    with running_engine() as engine:
        rows = anyio.run(measure, engine, size, rounds, kills)
    pathlib.Path(asked.out).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
