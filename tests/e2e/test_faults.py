"""The main job while services, the bus and the supervisor die: nothing lost, nothing twice."""

import json
import os
import pathlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest
from segue.events.container import ContainerAssigned, ContainerRequested, ContainerStarted
from segue.events.deploy import DeployCompleted, RemovalCompleted, RemovalRequested
from segue.events.leader import LeaderElected
from segue.events.load import LoadHigh
from segue.events.node import NodeJoined
from segue.events.scale import ScaleAccepted, ScaleRequested
from segue.log import Message
from segue.testing.cluster import CONTROL, Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine
from segue.testing.wire_proxy import WireProxy

pytestmark = pytest.mark.engine

ROUNDS = int(os.environ.get("SEGUE_ROUNDS", "2"))  # `just rounds` plays 20.
REPLICAS = 30
SAYS = {
    "deployer": b"PUB scale.accepted.",
    "scheduler": b"PUB container.assigned.",
    "health_monitor": b"PUB node.",
    "autoscaler": b"PUB scale.decided.",
}
FOLLOWS = {"min": 1, "max": 3, "target": {"lag": 100}}


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    """One host, everything running."""
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        yield cluster


def shop(replicas: int, name: str = "1", **more: Any) -> Message:
    service = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none", **more}
    compose = {"services": {"web": {**service, "deploy": {"replicas": replicas}}}}
    return Message("deploy.requested.shop", f"deploy-{name}", bare(compose))


def check_each_slot_once(segue: Cluster, replicas: int) -> None:
    found = segue.running()
    assert sorted(found) == sorted(f"web.{n}" for n in range(1, replicas + 1))
    assert {slot: ids for slot, ids in found.items() if len(ids) != 1} == {}


async def check_log(segue: Cluster) -> None:
    """No decision is stored past its leader's term, no id and no attempt twice."""
    records = await segue.records()
    assert [i for i, n in Counter(r.id for r in records).items() if n > 1] == []
    leaders: dict[str, str] = {}
    for record in records:
        if isinstance(record.event, LeaderElected):
            leaders[record.event.service] = record.source
            continue
        service = record.source.split("/")[2] if record.source.startswith("/segue/") else ""
        if service in CONTROL:
            assert leaders[service] == record.source, f"{record.sequence} {record.event}"
    for kind in (ContainerRequested, ContainerAssigned):
        attempts = Counter(
            (r.event.app, r.event.service, r.event.slot, r.event.attempt)
            for r in records
            if isinstance(r.event, kind)
        )
        assert [key for key, n in attempts.items() if n > 1] == []


@pytest.mark.timeout(900)
async def test_every_service_may_die_at_any_moment_of_a_deploy(segue: Cluster) -> None:
    seed = int(os.environ.get("SEGUE_SEED", "1"))
    dice = random.Random(seed)
    for round_ in range(ROUNDS):
        head = await segue.head()
        await segue.insist(shop(REPLICAS, f"round-{round_}"))
        async with anyio.create_task_group() as deaths:
            for name, instance in list(segue.services):
                deaths.start_soon(_die, segue, name, instance, dice.uniform(0.0, 4.0))
        await segue.wait_event(DeployCompleted, after=head, within_s=90)
        check_each_slot_once(segue, REPLICAS)
        await check_log(segue)
        head = await segue.head()
        await segue.say(RemovalRequested(app="shop"))
        await segue.wait_event(RemovalCompleted, after=head, within_s=90)
        assert segue.running() == {}, f"round {round_} of seed {seed}"


async def _die(segue: Cluster, name: str, instance: str, after_s: float) -> None:
    await anyio.sleep(after_s)
    segue[name, instance].kill()
    segue.start(name, instance)


async def start_fellow(segue: Cluster, name: str) -> None:
    """Start a second instance, and wait until it follows the log."""
    names = partial(segue.bus._connection.query, "$JS.API.CONSUMER.NAMES.EVENTS", timeout_s=30)

    async def followers() -> set[str]:
        return set(json.loads((await names()).data)["consumers"])

    before = await followers()
    segue.start(name, "b")
    with anyio.fail_after(60):
        while not await followers() - before:
            await anyio.sleep(0.05)


@pytest.mark.parametrize("name", CONTROL)
async def test_when_a_leader_is_killed_its_fellow_decides_within_seconds(
    segue: Cluster, name: str
) -> None:
    await segue.insist(shop(2))
    await segue.wait_event(DeployCompleted)
    await start_fellow(segue, name)
    head = await segue.head()
    before = await segue.bus.head()
    segue[name, "a"].kill()
    elected = await segue.wait_event(LeaderElected, after=head, service=name, instance="b")
    assert elected.time - before.time < 6.0, "1 to 2 s on a machine that has nothing else to do"
    await segue.say(ScaleRequested(app="shop", service="web", replicas=3))
    await segue.wait_event(ContainerStarted, after=head, slot=3)
    await check_log(segue)


async def test_a_frozen_leader_that_thaws_is_refused_by_the_bus(segue: Cluster) -> None:
    await segue.insist(shop(1))
    await segue.wait_event(DeployCompleted)
    await start_fellow(segue, "deployer")
    head = await segue.head()
    segue["deployer", "a"].send(signal.SIGSTOP)
    await segue.wait_event(LeaderElected, after=head, service="deployer", instance="b")
    await segue.say(ScaleRequested(app="shop", service="web", replicas=3))
    segue["deployer", "a"].send(signal.SIGCONT)
    await segue.wait_event(ScaleAccepted, after=head, replicas=3)
    await segue.wait_event(ContainerStarted, after=head, slot=3)
    await anyio.sleep(1.0)  # Long enough for a late word.
    await check_log(segue)
    assert segue["deployer", "a"].process.poll() is None, "it follows on"


@pytest.mark.parametrize("service", CONTROL)
async def test_the_late_word_of_a_deposed_leader_is_refused_by_the_bus(
    tmp_path: pathlib.Path, docker_engine: Engine, service: str
) -> None:
    """What a leader says is held on its way until its fellow leads, and then delivered."""
    refusals: list[bytes] = []

    def watched(answer: bytes) -> bytes:
        if b'"err_code":10071' in answer:
            refusals.append(answer)
        return answer

    async with running(tmp_path) as segue, WireProxy(segue.server.port) as wire:
        for other in CONTROL:
            flags = ["--nats", wire.url] if other == service else []
            segue.start(other, "a", *flags)
        node = segue.start_node("node-a", docker_engine)
        follows: dict[str, Any] = {"x-autoscale": FOLLOWS} if service == "autoscaler" else {}
        await segue.insist(shop(1, **follows))
        await segue.wait_event(DeployCompleted)
        await start_fellow(segue, service)
        if service == "health_monitor":
            await anyio.sleep(10.5)  # It judges nobody before its grace is over.
        head = await segue.head()
        wire.to_client = watched
        if service == "health_monitor":
            node.send(signal.SIGSTOP)
            await anyio.sleep(0.9)  # Suspected in 0.6 s, while this one still leads.
        segue[service, "b"].freeze()
        wire.hold_up()
        if service == "autoscaler":
            await segue.say(LoadHigh(app="shop", service="web", metric="lag", value=300))
        else:
            await segue.say(ScaleRequested(app="shop", service="web", replicas=3))
        if service == "scheduler":
            await segue.wait_event(ContainerRequested, after=head, slot=3)
        with anyio.fail_after(60):
            while SAYS[service] not in wire.held:
                await anyio.sleep(0.05)
        segue[service, "b"].thaw()
        await segue.wait_event(LeaderElected, after=head, service=service, instance="b")
        assert refusals == []
        wire.release()
        with anyio.fail_after(60):
            while not refusals:
                await anyio.sleep(0.05)
        node.send(signal.SIGCONT)
        await segue.wait_event(ContainerStarted, after=head, slot=3)
        await check_log(segue)
        assert segue[service, "a"].process.poll() is None, "it follows on"


async def test_the_bus_may_die_in_the_middle_of_a_deploy(segue: Cluster) -> None:
    await segue.insist(shop(10))
    await segue.wait_event(ContainerStarted, slot=1)
    await anyio.to_thread.run_sync(lambda: segue.server.restart(kill=True))
    await segue.wait_event(DeployCompleted, within_s=60)
    check_each_slot_once(segue, 10)
    await check_log(segue)


async def test_a_killed_node_runner_adopts_what_runs_and_restarts_nothing(segue: Cluster) -> None:
    await segue.insist(shop(5))
    await segue.wait_event(DeployCompleted)
    before = segue.running()
    for _ in range(3):
        head = await segue.head()
        segue["node_runner", "node-a"].kill()
        segue.start("node_runner", "node-a")
        await segue.wait_event(NodeJoined, after=head)
    assert segue.running() == before
    assert not [r for r in await segue.records() if isinstance(r.event, ContainerRequested)][5:], (
        "nothing was asked for again"
    )
