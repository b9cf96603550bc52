"""Commands about nodes, on a real bus with real services and nodes without engines."""

import json
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from subprocess import CompletedProcess
from typing import Any

import anyio
import pytest
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.events.node import NodeDrained, NodeDrainHeld, NodeDrainStarted, NodeLeft
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.puppet_node import PuppetNode

Segue = Callable[..., Awaitable[CompletedProcess[str]]]
WITH_DATA: dict[str, Any] = {"volumes": ["data:/data"], "x-segue": {"singleton": False}}
COMMAND = [sys.executable, "-m", "segue_cli"]


@pytest.fixture
async def cluster(tmp_path: pathlib.Path) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        for name in ("node-a", "node-b"):
            await tasks.start(PuppetNode(cluster.bus, name).run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        yield cluster
        tasks.cancel_scope.cancel()


@pytest.fixture
def env(tmp_path: pathlib.Path, cluster: Cluster) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    folders = {"HOME": str(tmp_path), "SEGUE_DATA": str(tmp_path / "none")}
    return kept | folders | {"NATS_URL": cluster.server.url}


@pytest.fixture
def segue(env: dict[str, str]) -> Segue:
    async def ran(*words: str, code: int = 0) -> CompletedProcess[str]:
        with anyio.fail_after(60):
            done = await anyio.run_process([*COMMAND, *words], env=env, check=False)
        assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
        return CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return ran


async def deploy(cluster: Cluster, replicas: int = 4, **more: Any) -> None:
    web = {"image": "web:1", "deploy": {"replicas": replicas}, **more}
    volumes: dict[str, Any] = {"data": {}} if "volumes" in more else {}
    head = await cluster.head()
    compose = {"services": {"web": web}, "volumes": volumes}
    await cluster.say(DeployRequested(app="shop", compose=compose))
    await cluster.wait_event(DeployCompleted, after=head)


def rows(done: CompletedProcess[str]) -> dict[str, Any]:
    return {row["node"]: row for row in map(json.loads, done.stdout.splitlines())}


async def test_a_node_is_emptied_while_it_is_told_what_leaves(
    cluster: Cluster, segue: Segue
) -> None:
    await deploy(cluster)
    said = (await segue("node", "drain", "node-a")).stdout.splitlines()
    assert "is being emptied, to be so within 10 min" in said[0]
    moved = [line for line in said if line.endswith(" moved to node-b")]
    assert len(moved) == 2
    assert said[-1] == "node-a: is empty, 2 containers left it"
    found = rows(await segue("node", "ls"))
    assert found["node-a"]["state"] == "drained"
    assert (found["node-a"]["containers"], found["node-b"]["containers"]) == (0, 4)
    await segue("node", "uncordon", "node-a")
    assert rows(await segue("node", "ls"))["node-a"]["state"] == "up"


async def test_who_does_not_wait_is_told_that_it_goes_on(cluster: Cluster, segue: Segue) -> None:
    await deploy(cluster)
    head = await cluster.head()
    done = await segue("node", "drain", "node-a", "--no-wait", "--deadline", "30s")
    assert done.stdout.splitlines()[-1] == "node-a: is being emptied"
    await cluster.wait_event(NodeDrainStarted, after=head, node="node-a", deadline_s=30.0)
    await cluster.wait_event(NodeDrained, after=head, node="node-a", moved=2)


async def test_what_is_in_the_way_is_named_and_leaving_off_changes_nothing(
    cluster: Cluster, env: dict[str, str]
) -> None:
    await deploy(cluster, 2, **WITH_DATA)
    head = await cluster.head()
    command = [*COMMAND, "node", "drain", "node-a"]
    async with await anyio.open_process(command, env=env, stderr=None) as process:
        await cluster.wait_event(NodeDrainHeld, after=head, node="node-a")
        assert process.stdout is not None
        said = ""
        with anyio.fail_after(60):
            while "nothing more can leave it now" not in said:
                said += (await process.stdout.receive()).decode()
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(60):
            said += b"".join([piece async for piece in process.stdout]).decode()
            assert await process.wait() == 130
    assert "nothing more can leave it now: 1 slot held" in said
    assert "shop/web." in said
    picture = await cluster.picture()
    assert picture.nodes["node-a"].drain is not None, "it goes on"


async def test_what_the_deadline_leaves_is_a_failure_that_names_it(
    cluster: Cluster, segue: Segue
) -> None:
    await deploy(cluster, 2, **WITH_DATA)
    done = await segue("node", "drain", "node-a", "--deadline", "2s", code=1)
    assert "node-a is not empty: the data of shop/web." in done.stderr


async def test_labels_are_set_taken_away_and_shown(cluster: Cluster, segue: Segue) -> None:
    done = await segue("node", "label", "node-a", "disk=ssd", "zone=1")
    assert done.stdout.strip() == "node-a: labels: disk=ssd, zone=1"
    await segue("node", "label", "node-a", "--remove", "zone")
    assert rows(await segue("node", "ls"))["node-a"]["labels"] == {"disk": "ssd"}
    shown = json.loads((await segue("node", "inspect", "node-a")).stdout)
    assert shown["labelled"] == {"disk": "ssd"}
    for words in (["node-a"], ["node-a", "disk"], ["node-a", "a=1", "a=2"]):
        await segue("node", "label", *words, code=2)


async def test_a_node_that_has_left_is_forgotten_and_one_at_work_is_not(
    cluster: Cluster, segue: Segue
) -> None:
    done = await segue("node", "rm", "node-a", code=1)
    assert "node node-a is at work" in done.stderr
    await segue("node", "rm", code=2)
    await cluster.say(NodeLeft(node="node-a"))
    done = await segue("node", "rm", "node-a", "--json")
    assert json.loads(done.stdout)["type"] == "node.removed"


async def test_a_node_that_there_is_not_is_said_to_be_none(cluster: Cluster, segue: Segue) -> None:
    for words in (["drain", "node-x"], ["inspect", "node-x"], ["label", "node-x", "a=b"]):
        done = await segue("node", *words, code=3)
        assert "there is no node called node-x" in done.stderr
