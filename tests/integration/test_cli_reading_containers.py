"""`segue logs` and `segue exec`: against a real engine, and against runners in trouble."""

import json
import pathlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from segue.bus import AnswerError, Bus
from segue.events.container import ContainerFailed, ContainerStarted
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.cluster import Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine
from segue.testing.stage import Stage
from segue_cli import execute, logs
from segue_cli.connect import BusFlags
from segue_cli.errors import FailedError, InvalidError, NotFoundError
from segue_cli.things import SlotName
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

SAYS = (
    "echo begins as $SEGUE_SERVICE.$SEGUE_SLOT@$SEGUE_ATTEMPT; echo to stderr >&2; exec sleep 1000"
)


# A real engine.


@pytest.fixture
async def shop(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    """One node that runs two slots of a service."""
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        web = {"image": BUSYBOX, "command": ["sh", "-c", SAYS], "network_mode": "none", "scale": 2}
        message = Message("deploy.requested.shop", "deploy", bare({"services": {"web": web}}))
        await cluster.bus.append([message])
        await cluster.wait_event(DeployCompleted)
        yield cluster


async def segue(cluster: Cluster, *asked: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "segue_cli", *asked, "--nats", cluster.server.url]
    return await anyio.run_process(command, check=False)


def exec_command(cluster: Cluster, slot: str, *cmd: str) -> Sequence[str]:
    url = cluster.server.url
    return [sys.executable, "-m", "segue_cli", "exec", slot, "--nats", url, "--", *cmd]


@pytest.mark.engine
async def test_a_container_is_read_and_entered_wherever_it_runs(shop: Cluster) -> None:
    one = await segue(shop, "logs", "shop/web.1")
    assert (one.stdout, one.stderr) == (b"begins as web.1@1\n", b"to stderr\n")
    both = await segue(shop, "logs", "shop/web")
    assert both.stdout.splitlines() == [
        b"shop/web.1 | begins as web.1@1",
        b"shop/web.2 | begins as web.2@1",
    ]
    as_json = await segue(shop, "logs", "shop", "--json")
    found = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert {"slot": "shop/web.2", "stream": "stderr", "line": "to stderr"} in found
    command = exec_command(shop, "shop/web.2", "sh", "-c", "echo $SEGUE_SLOT; echo no >&2; exit 7")
    ended = await anyio.run_process(command, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"2\n", b"no\n")


@pytest.mark.engine
async def test_a_followed_slot_is_followed_over_its_replacement(shop: Cluster) -> None:
    command = [sys.executable, "-m", "segue_cli", "logs", "-f", "shop/web.2"]
    async with await anyio.open_process([*command, "--nats", shop.server.url]) as process:
        assert process.stdout is not None
        said = b""
        with anyio.fail_after(60):
            while b"web.2@1" not in said:
                said += await process.stdout.receive()
            await anyio.run_process(exec_command(shop, "shop/web.2", "kill", "1"), check=False)
            while b"web.2@2" not in said:
                said += await process.stdout.receive()
        process.terminate()
    assert said == b"begins as web.2@1\nbegins as web.2@2\n"


# Runners in trouble.


@pytest.fixture
async def told(bus: Bus) -> Stage:
    """A log that tells of a shop on a node."""
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a")
    web = {"web": {"image": "web:1", "scale": 2}}
    stage.ask(DeployRequested(app="shop", compose={"services": web}))
    await stage.publish(bus)
    return stage


async def test_a_runner_that_is_not_there_is_named(told: Stage, flags: BusFlags) -> None:
    with pytest.raises(FailedError, match="the runner of node-a does not answer") as caught:
        await logs.logs("shop/web.1", bus=flags)
    assert "segue nodes" in caught.value.hint
    with pytest.raises(FailedError, match="the runner of node-a does not answer"):
        await execute.execute("shop/web.1", "true", bus=flags)


async def test_a_container_that_is_gone_leaves_its_last_words_in_the_log(
    told: Stage, bus: Bus, flags: BusFlags, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    told.fail("shop/web.1", logs=["the panic", "of old"])
    await told.publish(bus)

    async def lost(_: bytes) -> AsyncIterator[bytes]:
        raise AnswerError("node node-a has no container shop_web_1")
        yield b""

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.node.node-a.logs", lost)
        await logs.logs("shop/web.1", bus=flags)
        assert capfdbinary.readouterr().out == b"the panic\nof old\n"
        with pytest.raises(FailedError, match="has no container"):
            await logs.logs("shop/web.2", bus=flags)
        tasks.cancel_scope.cancel()


async def test_what_has_not_run_yet_has_no_logs(told: Stage, bus: Bus, flags: BusFlags) -> None:
    services = {"big": {"image": "big", "deploy": {"resources": {"reservations": {"cpus": "99"}}}}}
    told.ask(DeployRequested(app="huge", compose={"services": services}))
    await told.publish(bus)
    with pytest.raises(NotFoundError, match="nothing of huge has run yet"):
        await logs.logs("huge", bus=flags)
    with pytest.raises(NotFoundError, match=r"huge/big\.1 has no container"):
        await execute.execute("huge/big.1", "true", bus=flags)


async def test_what_has_no_logs_is_refused(told: Stage, flags: BusFlags) -> None:
    with pytest.raises(InvalidError, match="only containers have logs"):
        await logs.logs("node-a", bus=flags)
    with pytest.raises(InvalidError, match="is no slot"):
        await execute.execute("shop/web", "true", bus=flags)
    with pytest.raises(InvalidError, match="nothing to run"):
        await execute.execute("shop/web.1", bus=flags)
    with pytest.raises(InvalidError, match="know no sequence"):
        await logs.logs("shop/web.1", since="3", bus=flags)


def test_while_a_slot_waits_the_log_of_its_last_container_is_meant() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a")
    stage.ask(DeployRequested(app="shop", compose={"services": {"web": {"image": "w"}}}))
    picture = stage.cores[0].picture
    name = SlotName("shop", "web", 1)
    assert logs.found(name, picture) == [logs.Place(name, "node-a", 1)]
    stage.fail("shop/web.1")
    stage.fail("shop/web.1")
    assert len(stage.all(ContainerFailed)) == 2 == len(stage.all(ContainerStarted))
    assert logs.found(name, picture) == [logs.Place(name, "node-a", 2)]
