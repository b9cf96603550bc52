"""`segue history` and `segue rollout` on a real bus with real services, a node without engine."""

import json
import os
import pathlib
import sys
import time
from subprocess import CompletedProcess
from typing import Any

import anyio
from segue.envelope import encode
from segue.events.leader import LeaderElected
from segue.events.rollout import RollbackRequested, RolloutPaused, RolloutPauseRequested
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.puppet_node import PuppetNode

SHOP = "name: shop\nservices: {{web: {{image: 'web:{version}', deploy: {{replicas: 2}}}}}}\n"


async def segue(cluster: Cluster, *words: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | {"NATS_URL": cluster.server.url}
    done = await anyio.run_process(command, check=False, env=env, cwd=cluster.folder)
    return CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


async def lines(cluster: Cluster, *words: str) -> list[Any]:
    done = await segue(cluster, *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_what_an_app_was_is_shown_and_what_nobody_has_is_said(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(SHOP.format(version=1), encoding="utf-8")
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "node-a").run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        deployed = await segue(cluster, "deploy", str(file))
        assert deployed.returncode == 0, deployed.stderr
        (row,) = await lines(cluster, "history", "shop")
        assert (row["revision"], row["state"], row["restorable"]) == (1, "came up", True)
        assert row["images"] == {"web": "web:1"}
        assert await lines(cluster, "rollout", "status", "shop") == []
        missing = await segue(cluster, "history", "shpo")
        assert (missing.returncode, "shop" in missing.stderr) == (3, True)
        wrong = await segue(cluster, "rollout", "pause", "shop/")
        assert (wrong.returncode, "is not APP or APP/SERVICE" in wrong.stderr) == (2, True)
        tasks.cancel_scope.cancel()


async def test_a_request_is_said_and_its_answer_printed(tmp_path: pathlib.Path) -> None:
    """The deployer's part is played by hand: what matters is what is asked and how it is told."""
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:

        async def answers() -> None:
            asked = await cluster.wait_event(RolloutPauseRequested)
            assert (asked.event.app, asked.event.service) == ("shop", "web")  # type: ignore[attr-defined]  # By the wait.
            paused = RolloutPaused(app="shop", services=["web"])
            told = {"id": "answer", "source": "/test", "time": time.time()}
            await cluster.insist(encode(paused, cause=asked.as_cause(), **told))  # type: ignore[arg-type]  # One mapping of two types.

        tasks.start_soon(answers)
        paused = await segue(cluster, "rollout", "pause", "shop/web")
        assert paused.returncode == 0, paused.stderr
        assert paused.stdout == "shop: web: no further step until `segue rollout resume`\n"
        nobody = await segue(cluster, "rollback", "shop", "3", "--timeout", "1s")
        assert (nobody.returncode, "no answer within 1 s" in nobody.stderr) == (4, True)
        asked = await cluster.wait_event(RollbackRequested)
        assert asked.event.revision == 3  # type: ignore[attr-defined]  # By the wait.
