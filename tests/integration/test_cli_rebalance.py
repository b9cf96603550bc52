"""`segue rebalance` on a real bus with real services and nodes without engines."""

import json
import os
import pathlib
import sys
from subprocess import CompletedProcess

import anyio
from segue.events.deploy import DeployCompleted
from segue.events.leader import LeaderElected
from segue.events.node import NodeJoined
from segue.events.rebalance import RebalanceRequested
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.puppet_node import PuppetNode

SHOP = """
name: shop
services:
  web:
    image: web:1
    deploy: {replicas: 3}
"""


async def segue(cluster: Cluster, *words: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | {"NATS_URL": cluster.server.url}
    done = await anyio.run_process(command, check=False, env=env, cwd=cluster.folder)
    return CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


async def test_a_plan_is_shown_before_it_is_made(tmp_path: pathlib.Path) -> None:
    """The dry run and the plan agree; only the second is in the log."""
    (tmp_path / "compose.yaml").write_text(SHOP, encoding="utf-8")
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "node-a").run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        nothing = await segue(cluster, "rebalance", "--dry-run")
        words = "Nothing to move: there are not two nodes that can be used.\n"
        assert (nothing.returncode, nothing.stdout) == (0, words)
        deployed = await segue(cluster, "deploy", str(tmp_path / "compose.yaml"))
        assert deployed.returncode == 0, deployed.stderr
        await cluster.wait_event(DeployCompleted)
        await tasks.start(PuppetNode(cluster.bus, "node-b").run)
        await cluster.wait_event(NodeJoined, node="node-b")
        shown = await segue(cluster, "rebalance", "--dry-run", "--json")
        (move,) = json.loads(shown.stdout)["moves"]
        assert (move["source"], move["target"]) == ("node-a", "node-b")
        said = [record.event for record in await cluster.records()]
        assert not any(isinstance(event, RebalanceRequested) for event in said)
        made = await segue(cluster, "rebalance")
        assert json.loads(made.stdout) == move
        tasks.cancel_scope.cancel()
