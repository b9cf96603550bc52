"""Jobs on a real engine: how many at once, what fails, what takes too long, what stays."""

import json
import os
import pathlib
import sys
from subprocess import CompletedProcess
from typing import Any

import anyio
import pytest
from segue.events.container import ContainerFailed, ContainerFinished, ContainerStopped
from segue.events.deploy import DeployCompleted, DeployFailed
from segue.events.job import RunCompleted, ScheduleDue
from segue.events.node import NodeJoined
from segue.testing.cluster import Cluster, running
from segue.testing.engine import BUSYBOX, Engine

pytestmark = pytest.mark.engine
LIMIT_S = 60
PATH = "/containers/json"


def job(script: str, replicas: int = 1, **how: Any) -> dict[str, Any]:
    return {
        "image": BUSYBOX,
        "command": ["sh", "-c", script],
        "stop_signal": "SIGKILL",
        "deploy": {"mode": "replicated-job", "replicas": replicas},
        "x-job": how,
    }


async def segue(cluster: Cluster, *words: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | {"NATS_URL": cluster.server.url, "COLUMNS": "200"}
    done = await anyio.run_process(command, check=False, env=env, cwd=cluster.folder)
    return CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


async def deploy(cluster: Cluster, app: str, **services: Any) -> CompletedProcess[str]:
    file = cluster.folder / f"{app}.json"
    file.write_text(json.dumps({"services": services}), encoding="utf-8")
    return await segue(cluster, "deploy", str(file), "--app", app, "--timeout", "2m")


async def rows(cluster: Cluster, *words: str) -> list[Any]:
    done = await segue(cluster, *words, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def gone(docker_engine: Engine, name: str) -> None:
    """Wait until the engine has no such container."""
    with anyio.fail_after(LIMIT_S):
        while any(name in one["Names"][0] for one in docker_engine.ask("GET", PATH, all=1)):
            await anyio.sleep(0.2)


async def test_jobs_run_in_turns_and_leave_their_words(
    tmp_path: pathlib.Path, docker_engine: Engine
) -> None:
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        every = job("echo run $$SEGUE_SLOT") | {"x-schedule": "* * * * *"}
        assert (await deploy(cluster, "clock", every=every)).returncode == 0
        said = await deploy(
            cluster, "sums", sums=job("echo sum $$SEGUE_SLOT", 4, parallelism=2, keep="0s")
        )
        assert said.returncode == 0, said.stderr
        await cluster.wait_event(DeployCompleted, app="sums")
        ends = [
            await cluster.wait_event(ContainerFinished, app="sums", slot=slot)
            for slot in (1, 2, 3, 4)
        ]
        assert [end.event.logs for end in ends] == [[f"sum {slot}"] for slot in (1, 2, 3, 4)]  # type: ignore[attr-defined]  # By the wait.
        shown_all = {row["service"]: row for row in await rows(cluster, "ls")}
        service = shown_all["sums"]
        assert shown_all["every"]["state"] in ("idle", "running")
        assert (service["state"], service["up"], service["wanted"]) == ("finished", 4, 4)
        notes = [row["note"] for row in await rows(cluster, "ps", "sums")]
        assert all(note.startswith("exit 0 after ") for note in notes)
        await gone(docker_engine, "sums")

        said = await deploy(
            cluster,
            "bad",
            breaks=job("echo no money; exit 7", retries=1),
            hangs=job("sleep 1000", deadline="2s"),
        )
        assert said.returncode != 0
        failed = await cluster.wait_event(DeployFailed, app="bad")
        assert failed.event.reason.split()[0] in ("breaks.1", "hangs.1")  # type: ignore[attr-defined]  # By the wait.
        await cluster.wait_event(ContainerStopped, app="bad", service="hangs")
        last = await cluster.wait_event(ContainerFailed, app="bad", service="breaks", attempt=2)
        assert last.event.exit_code == 7  # type: ignore[attr-defined]  # By the wait.
        assert last.event.logs == ["no money"]  # type: ignore[attr-defined]  # By the wait.
        shown = {row["service"]: row for row in await rows(cluster, "ps", "bad")}
        assert shown["breaks"]["state"] == "failed"
        assert (shown["hangs"]["state"], shown["hangs"]["note"]) == ("stopped", "deadline")

        due = await cluster.wait_event(ScheduleDue, app="clock", within_s=150)
        run = due.event.run  # type: ignore[attr-defined]  # By the wait.
        await cluster.wait_event(RunCompleted, app="clock", run=run)
        ended = await cluster.wait_event(ContainerFinished, app="clock", slot=run)
        assert ended.event.logs == [f"run {run}"]  # type: ignore[attr-defined]  # By the wait.
