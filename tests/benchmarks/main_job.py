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


def raw_body() -> dict[str, Any]:
    return {
        "Image": BUSYBOX,
        "Cmd": ["sleep", "1000"],
        "HostConfig": {"Init": True},
        "Labels": {"bench": "raw"},
    }


def raw_start(engine: Engine, name: str) -> float:
    begun = time.perf_counter()
    made = engine.ask("POST", "/containers/create", raw_body(), name=name)
    engine.ask("POST", f"/containers/{made['Id']}/start")
    return time.perf_counter() - begun


def clear_raw(engine: Engine) -> None:
    for container in engine.ask(
        "GET", "/containers/json", all=1, filters=json.dumps({"label": ["bench=raw"]})
    ):
        engine.ask("DELETE", f"/containers/{container['Id']}", force=1)


def raw_deploy(engine: Engine, replicas: int, concurrency: int) -> float:
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(lambda n: raw_start(engine, f"raw-{n}"), range(replicas)))
    took = time.perf_counter() - begun
    clear_raw(engine)
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


async def heal(cluster: Cluster, engine: Engine, kills: int) -> list[float]:
    times = []
    for _ in range(kills):
        (container,) = cluster.running("bench")["web.1"]
        head = await cluster.head()
        engine.ask("POST", f"/containers/{container}/kill")
        begun = time.perf_counter()
        await cluster.wait_event(ContainerStarted, after=head, within_s=120)
        times.append(time.perf_counter() - begun)
        await anyio.sleep(0.1)
    return times


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
    print(f"{name:38} median {made['median']:8.3f}  {spread}{compared}", flush=True)
    return made


async def measure(engine: Engine, size: int, rounds: int, kills: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with running(pathlib.Path(folder)) as cluster:
            cluster.start_control()
            cluster.start_node("node-a", engine)
            await cluster.wait_event(NodeJoined, node="node-a")
            ours: list[float] = []
            theirs: list[float] = []
            removals: list[float] = []
            for n in range(rounds):
                raw = [await anyio.to_thread.run_sync(raw_deploy, engine, size, c) for c in (4, 8)]
                theirs.append(min(raw))
                ours.append(await deploy(cluster, size, f"deploy-{n}"))
                removals.append(await remove(cluster))
            rows.append(row(f"deploy {size} replicas (s)", ours, theirs))
            rows.append(row(f"remove {size} replicas (s)", removals))
            single = [
                await anyio.to_thread.run_sync(raw_start, engine, f"raw-{n}") for n in range(kills)
            ]
            await anyio.to_thread.run_sync(clear_raw, engine)
            await deploy(cluster, 1, "deploy-one")
            rows.append(
                row("killed -> replacement started (s)", await heal(cluster, engine, kills), single)
            )
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
