"""A service whose containers are busy gets more of them, and fewer when they are idle again."""

import pathlib
from typing import Any

import pytest
from segue.events.container import ContainerStarted, ContainerStopped
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.load import LoadHigh, LoadLow
from segue.events.node import NodeJoined
from segue.events.scale import ScaleDecided
from segue.testing.cluster import running
from segue.testing.engine import BUSYBOX, Engine

pytestmark = pytest.mark.engine
OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}
WORK = "end=$(( $(date +%s) + 40 )); while [ $(date +%s) -lt $end ]; do :; done; exec sleep 1000"
COMPOSE = {
    "services": {
        "web": {
            "image": BUSYBOX,
            "command": ["sh", "-c", WORK],
            "network_mode": "none",
            "stop_grace_period": "1s",
            "deploy": {
                "resources": {
                    "reservations": {"cpus": "0.02"},
                    "limits": {"cpus": "0.2"},  # A busy machine gives them no more anyway.
                }
            },
            "x-autoscale": {
                "max": 3,
                "target": {"cpu": "60%"},
                "down": {"window": "5s", "every": "1s"},
            },
        }
    }
}


@pytest.mark.timeout(400)
async def test_busy_containers_bring_more_and_idle_ones_fewer(
    tmp_path: pathlib.Path, docker_engine: Engine
) -> None:
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        await cluster.say(DeployRequested(app="shop", compose=COMPOSE))
        done = await cluster.wait_event(DeployCompleted, app="shop")
        high = await cluster.wait_event(LoadHigh, **OF_WEB, metric="cpu")
        decided = await cluster.wait_event(ScaleDecided, **OF_WEB, previous=1)
        assert decided.cause_key == high.key
        for slot in range(2, 1 + decided.event.replicas):  # type: ignore[attr-defined]  # By the wait.
            await cluster.wait_event(ContainerStarted, **OF_WEB, slot=slot)
        low = await cluster.wait_event(LoadLow, **OF_WEB, after=decided.sequence, within_s=200)
        await cluster.wait_event(ScaleDecided, **OF_WEB, replicas=1, within_s=100)
        await cluster.wait_event(ContainerStopped, **OF_WEB, slot=2)
        assert sorted(cluster.running()) == ["web.1"]
        took = [one.time - done.time for one in (high, decided, low)]
        print(f"high, decided, low after {took[0]:.1f}, {took[1]:.3f}, {took[2]:.1f} s")
        numbers = [
            record.event.replicas
            for record in await cluster.records()
            if isinstance(record.event, ScaleDecided)
        ]
        assert numbers in ([3, 1], [2, 3, 1], [3, 2, 1], [2, 1]), "it went up, and then down"
