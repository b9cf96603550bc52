"""Hollow nodes: the whole control plane at a size that real engines would not allow here."""

import pathlib

from segue.events.deploy import DeployCompleted, RemovalCompleted, RemovalRequested
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.cluster import bare, running

NODES, SLOTS = 30, 120


async def test_thirty_hollow_nodes_run_an_app_and_let_go_of_it(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start(
            "node_runner", "hollow", "--node", "h", "--engine", "simulated", "--count", f"{NODES}"
        )
        for number in range(1, NODES + 1):
            await cluster.wait_event(NodeJoined, node=f"h-{number}")
        body = bare({"services": {"web": {"image": "w", "deploy": {"replicas": SLOTS}}}})
        await cluster.bus.append([Message("deploy.requested.shop", "ask", body)])
        done = await cluster.wait_event(DeployCompleted, within_s=90)
        picture = await cluster.picture()
        crowds = [len(picture.on_node[f"h-{number}"]) for number in range(1, NODES + 1)]
        assert sum(crowds) == SLOTS
        assert max(crowds) <= SLOTS // NODES + 1, "they are spread"
        assert picture.nodes["h-1"].facts.engine == "simulated"
        await cluster.say(RemovalRequested(app="shop"))
        await cluster.wait_event(RemovalCompleted, after=done.sequence, within_s=60)
