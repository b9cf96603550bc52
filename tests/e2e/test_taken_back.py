"""New versions that are no good, on a real engine: each is taken back by itself, and says why.

What is asserted of the words is what a tired person needs: which slot, what it did, what it said
last, and that the old version is there.
"""

import json
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator
from subprocess import CompletedProcess
from typing import Any

import anyio
import pytest
from segue.events.deploy import DeployCompleted, DeployRequested, DeployReverted
from segue.events.node import NodeJoined
from segue.events.rollout import RolloutAdvanced
from segue.testing.cluster import Cluster, running
from segue.testing.engine import BUSYBOX, Engine

pytestmark = pytest.mark.engine

REPLICAS = 3
GOOD: dict[str, Any] = {
    "image": BUSYBOX,
    "command": ["sleep", "1000"],
    "stop_signal": "SIGKILL",
    "deploy": {
        "replicas": REPLICAS,
        "update_config": {"monitor": "1s"},
        "rollback_config": {"monitor": "0s", "parallelism": 0},
    },
}
NEVER_HEALTHY = {"test": ["CMD-SHELL", "echo no answer from the database; exit 1"]}


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    """One host, everything running, and the first version of an app."""
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        done = await deploy(cluster, GOOD)
        assert done.returncode == 0, done.stderr
        yield cluster


async def run(cluster: Cluster, *words: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | {"NATS_URL": cluster.server.url, "COLUMNS": "200"}
    done = await anyio.run_process(command, check=False, env=env, cwd=cluster.folder)
    return CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


async def deploy(cluster: Cluster, web: dict[str, Any], *words: str) -> CompletedProcess[str]:
    file = cluster.folder / "compose.json"
    file.write_text(json.dumps({"services": {"web": web}}), encoding="utf-8")
    return await run(cluster, "deploy", str(file), "--app", "shop", "--timeout", "2m", *words)


async def lines(cluster: Cluster, *words: str) -> list[Any]:
    done = await run(cluster, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# What is changed, the deadline where that is what ends it, and what has to be told.
CASES: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "an image that does not exist": (
        {"image": "127.0.0.1:9/none:1"},
        "8s",
        ("web.1", "failed", "127.0.0.1:9/none:1"),
    ),
    "it crashes": (
        {"command": ["sh", "-c", "echo cannot open /etc/shop.conf; exit 3"]},
        "5m",
        ("web.1", "exited with code 3", "cannot open /etc/shop.conf"),
    ),
    "it never becomes healthy": (
        {"healthcheck": NEVER_HEALTHY | {"interval": "1s", "retries": 2}},
        "15s",
        ("web.1", "no answer from the database"),
    ),
    "there is no room": (
        {"deploy": GOOD["deploy"] | {"resources": {"reservations": {"memory": "900g"}}}},
        "2s",
        ("web.1", "finds no node: not enough memory"),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_version_that_is_no_good_is_taken_back_and_says_why(
    segue: Cluster, case: str
) -> None:
    change, deadline, told = CASES[case]
    before = segue.running()
    rollout = {"rollout": {"deadline": deadline}}
    done = await deploy(segue, GOOD | change | {"x-segue": rollout})
    reverted = await segue.wait_event(DeployReverted, revision=2)
    await segue.wait_event(DeployCompleted, revision=3, within_s=90)
    assert done.returncode == 1
    assert "revision 2 was taken back to 1" in done.stderr
    for words in told:
        assert words in done.stderr
    event: Any = reverted.event
    assert told[0] in event.reason
    (_, second, third) = await lines(segue, "history", "shop")
    assert second["state"] == "taken back"
    assert second["note"] == f"to revision 1: {event.reason}"
    assert (third["state"], third["note"].split(";")[0]) == ("came up", "restores revision 1")
    assert segue.running() == before, "the old version was not touched"


async def test_a_canary_that_fails_its_probe_is_the_only_one_that_was_tried(segue: Cluster) -> None:
    probe = {"readiness": {"http": 8080, "path": "/ready", "every": "1s"}}
    rollout = {"strategy": "canary", "canary": 1, "deadline": "15s"}
    serve = ["sh", "-c", "mkdir /w; exec httpd -f -p 8080 -h /w"]
    before = segue.running()
    change = {"command": serve, "x-segue": {"rollout": rollout, "probe": probe}}
    done = await deploy(segue, GOOD | change)
    assert done.returncode == 1
    await segue.wait_event(DeployCompleted, revision=3)
    for words in ("web.1", "readiness", "404"):
        assert words in done.stderr
    advanced = [r.event for r in await segue.records() if isinstance(r.event, RolloutAdvanced)]
    assert [event.slots for event in advanced] == [[1]]
    assert segue.running() == before


async def test_ctrl_c_during_a_rollout_ends_only_the_following(segue: Cluster) -> None:
    file = segue.folder / "compose.json"
    newer = GOOD | {"command": ["sleep", "2000"]}
    file.write_text(json.dumps({"services": {"web": newer}}), encoding="utf-8")
    command = [sys.executable, "-m", "segue_cli", "deploy", str(file), "--app", "shop"]
    env = os.environ | {"NATS_URL": segue.server.url, "COLUMNS": "200"}
    async with await anyio.open_process(command, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        followed = b""
        with anyio.fail_after(60):
            while b"now web.1" not in followed:
                followed += await process.stdout.receive()
        process.send_signal(signal.SIGINT)
        said = b"".join([part async for part in process.stderr]).decode()
        with anyio.fail_after(60):
            assert await process.wait() == 130
    assert "not followed any longer; the deploy goes on" in said
    assert "`segue rollout status shop`" in said
    assert "`segue rollout abort shop`" in said
    assert "Traceback" not in said
    await segue.wait_event(DeployCompleted, revision=2, within_s=90)


async def test_a_rollout_stands_still_while_no_service_runs_and_then_goes_on(
    segue: Cluster,
) -> None:
    """That is what Ctrl-C makes of `segue up`: it stops its services, and no container."""
    newer = GOOD | {"command": ["sleep", "2000"]}
    services = {"web": newer}
    await segue.say(DeployRequested(app="shop", compose={"services": services}))
    await segue.wait_event(RolloutAdvanced)
    stopped = [key for key in segue.services if key[0] != "fencer"]
    for key in stopped:
        await anyio.to_thread.run_sync(segue[key].stop)
    assert len(segue.running()) == REPLICAS, "each slot has a container, old or new"
    segue.start_control()
    segue.start("node_runner", "node-a")
    await segue.wait_event(DeployCompleted, revision=2, within_s=90)
    advanced = [r.event for r in await segue.records() if isinstance(r.event, RolloutAdvanced)]
    assert sorted(slot for event in advanced for slot in event.slots) == [1, 2, 3]
