"""The main job against the engine under it, in one run: `just bench main_job`."""

import argparse
import concurrent.futures
import json
import os
import pathlib
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
from segue.testing.bench import Table, asked, pss_mib
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


async def heal(table: Table, cluster: Cluster, raw: Raw, slots: int) -> None:
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
    table.add("killed -> started", ours, beside="create, start", limit=starts)
    table.add("killed -> started", ours, beside="kill, create, start", limit=by_hand)


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


async def measure(table: Table, engine: Engine, size: int, rounds: int, kills: int) -> None:
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
            table.add(f"deploy {size} replicas", ours, beside="engine", limit=theirs)
            table.add(f"remove {size} replicas", removals)
            await deploy(cluster, kills, "deploy-killed")
            await heal(table, cluster, raw, kills)
            await remove(cluster)
            await anyio.sleep(2)
            for (name, _), service in cluster.services.items():
                table.add(f"{name} at rest", [pss_mib(service.process.pid)], "MiB")
            table.add("nats-server at rest", [pss_mib(cluster.server.pid)], "MiB")
    if size > 2:  # Not where it is only tried whether it runs.
        table.add("segue up to ready", up_times(rounds, engine))


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--size", type=int, default=30)
        flags.add_argument("--rounds", type=int, default=3)

    given = asked(__doc__, more)
    size, rounds, kills = (2, 1, 1) if given.smoke else (given.size, given.rounds, 20)
    table = Table("main_job", given.out)
    with running_engine() as engine:
        anyio.run(measure, table, engine, size, rounds, kills)


if __name__ == "__main__":
    main()
