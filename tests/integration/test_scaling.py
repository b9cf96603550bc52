"""A load that any program says becomes replicas, with real services on a real bus."""

import json
import os
import pathlib
import sys
from typing import Any

import anyio
import nats
from segue.events.container import ContainerAssigned, ContainerRetired, ContainerStarted
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.events.load import LoadHigh
from segue.events.scale import ScaleDecided, ScaleHeld, ScalePaused, ScaleResumed
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.puppet_node import PuppetNode

OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}
COMPOSE: dict[str, Any] = {
    "services": {
        "web": {
            "image": "web:1",
            "x-autoscale": {
                "max": 6,
                "target": {"lag": 10},
                "down": {"window": "1s", "every": "1s"},
            },
        }
    }
}


async def segue(cluster: Cluster, *words: str) -> str:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | {"NATS_URL": cluster.server.url}
    done = await anyio.run_process(command, check=False, env=env, cwd=cluster.folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


async def deployed(cluster: Cluster, tasks: anyio.abc.TaskGroup) -> None:
    cluster.start_control()
    await tasks.start(PuppetNode(cluster.bus, "node-a").run)
    for service in CONTROL:
        await cluster.wait_event(LeaderElected, service=service)
    await cluster.say(DeployRequested(app="shop", compose=COMPOSE))
    await cluster.wait_event(DeployCompleted, app="shop")


async def test_what_a_foreign_program_says_brings_containers_and_takes_them_away(
    tmp_path: pathlib.Path,
) -> None:
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        await deployed(cluster, tasks)
        foreign = await nats.connect(cluster.server.url)
        await foreign.publish("load.high.shop.web.lag", json.dumps({"value": 35}).encode())
        decided = await cluster.wait_event(ScaleDecided, **OF_WEB)
        high = await cluster.wait_event(LoadHigh, **OF_WEB)
        assert decided.event.replicas == 4  # type: ignore[attr-defined]  # By the wait.
        assert decided.cause_key == high.key
        for slot in (2, 3, 4):
            await cluster.wait_event(ContainerStarted, **OF_WEB, slot=slot)
        low = {"value": 5, "replicas": 4}
        await foreign.publish("load.low.shop.web.lag", json.dumps(low).encode())
        await cluster.wait_event(ScaleHeld, **OF_WEB, reason="window")
        await cluster.wait_event(ScaleDecided, **OF_WEB, replicas=2)
        for slot in (3, 4):
            await cluster.wait_event(ContainerRetired, **OF_WEB, slot=slot)
        await foreign.close()
        told = [json.loads(line) for line in (await segue(cluster, "ls", "--json")).splitlines()]
        assert (told[0]["wanted"], told[0]["least"], told[0]["most"]) == (2, 1, 6)
        shown = await segue(cluster, "autoscale", "explain", "shop/web", "--json")
        kinds = [json.loads(line)["type"] for line in shown.splitlines()]
        assert kinds == [
            LoadHigh.type,
            ScaleDecided.type,
            "load.low",
            ScaleHeld.type,
            ScaleDecided.type,
        ]
        tasks.cancel_scope.cancel()


async def test_a_person_pauses_and_resumes_what_follows_the_load(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        await deployed(cluster, tasks)
        said = await segue(cluster, "autoscale", "pause", "shop/web", "--for", "1h")
        assert said.startswith("shop/web: the replicas stay as they are, for 60 min")
        await cluster.wait_event(ScalePaused, **OF_WEB, for_s=3_600.0)
        await cluster.say(LoadHigh(**OF_WEB, metric="lag", value=20.0))
        await cluster.wait_event(ScaleHeld, **OF_WEB, reason="paused")
        await segue(cluster, "autoscale", "resume", "shop/web")
        await cluster.wait_event(ScaleResumed, **OF_WEB)
        await cluster.wait_event(ScaleDecided, **OF_WEB, replicas=2)
        await cluster.wait_event(ContainerAssigned, **OF_WEB, slot=2)
        tasks.cancel_scope.cancel()
