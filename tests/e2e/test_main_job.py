"""The main job on a real bus and a real engine, seen by a program that knows nothing of Segue."""

import asyncio
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from segue.events.container import ContainerAssigned, ContainerFailed, ContainerStarted
from segue.events.deploy import DeployCompleted, DeployRejected, RemovalCompleted, RemovalRequested
from segue.events.event import EventRejected
from segue.events.node import NodeJoined
from segue.events.scale import ScaleRequested
from segue.testing.cluster import Cluster, bare, running
from segue.testing.engine import BUSYBOX, Engine

pytestmark = pytest.mark.engine

SLEEPER = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none"}


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    """One host, everything running."""
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        yield cluster


@pytest.fixture
async def stranger(segue: Cluster) -> AsyncIterator[Client]:
    """A program with a plain NATS client."""
    client = await nats.connect(segue.server.url)
    yield client
    await client.close()


async def heard(client: Client, subject: str, act: Any) -> dict[str, Any]:
    """Subscribe, act, and give the data of the first event that comes."""
    future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def hear(message: Any) -> None:
        if not future.done():
            future.set_result(json.loads(message.data))

    subscription = await client.subscribe(subject, cb=hear)
    await client.flush()
    await act()
    event = await asyncio.wait_for(future, 90)
    await subscription.unsubscribe()
    return event


def services(**named: Any) -> bytes:
    return bare({"services": named})


async def test_a_program_that_knows_nothing_of_segue_deploys_an_app(
    segue: Cluster, stranger: Client
) -> None:
    body = services(web={**SLEEPER, "deploy": {"replicas": 3}})

    async def ask() -> None:
        await stranger.publish("deploy.requested.shop", body)

    done = await heard(stranger, "deploy.completed.shop", ask)
    assert done["type"] == "deploy.completed"
    assert done["data"]["slots"] == 3
    assert sorted(segue.running()) == ["web.1", "web.2", "web.3"]


async def test_a_malformed_request_is_rejected_with_the_reason_and_disturbs_nothing(
    segue: Cluster, stranger: Client
) -> None:
    await stranger.publish("deploy.requested.shop", services(web=SLEEPER))
    await segue.wait_event(DeployCompleted, app="shop")
    before = segue.running()

    async def ask() -> None:
        await stranger.publish("deploy.requested.shop", services(web={"imag": "x", "links": ["a"]}))

    rejected = await heard(stranger, "deploy.rejected.shop", ask)
    words = json.dumps(rejected["data"]["problems"])
    assert "imag" in words
    assert "links" in words

    async def babble() -> None:
        await stranger.publish("deploy.requested.shop", b"\xff\x00 not json")

    unreadable = await heard(stranger, "event.rejected", babble)
    assert unreadable["data"]["on"] == "deploy.requested.shop"
    assert segue.running() == before
    assert len([r for r in await segue.records() if isinstance(r.event, EventRejected)]) == 1
    assert len([r for r in await segue.records() if isinstance(r.event, DeployRejected)]) == 1


async def test_a_container_that_dies_is_replaced_and_its_failure_says_how(
    segue: Cluster, stranger: Client, docker_engine: Engine
) -> None:
    await stranger.publish("deploy.requested.shop", services(web=SLEEPER))
    done = await segue.wait_event(DeployCompleted, app="shop")
    (first,) = segue.running()["web.1"]
    docker_engine.ask("POST", f"/containers/{first}/kill")
    failed = await segue.wait_event(ContainerFailed, after=done.sequence)
    assert isinstance(failed.event, ContainerFailed)
    assert (failed.event.reason, failed.event.exit_code) == ("exited", 137)
    started = await segue.wait_event(ContainerStarted, attempt=2)
    (second,) = segue.running()["web.1"]
    assert second != first
    assigned = await segue.wait_event(ContainerAssigned, attempt=2)
    assert started.cause == assigned.id
    assert {r.correlation for r in (failed, started)} == {done.correlation}


async def test_scaling_and_removal_leave_exactly_what_is_wanted(segue: Cluster) -> None:
    await segue.bus.append([_message("deploy.requested.shop", services(web=SLEEPER))])
    await segue.wait_event(DeployCompleted, app="shop")
    await segue.say(ScaleRequested(app="shop", service="web", replicas=4))
    await segue.wait_event(ContainerStarted, slot=4)
    head = await segue.head()
    await segue.say(RemovalRequested(app="shop"))
    await segue.wait_event(RemovalCompleted, after=head)
    assert segue.running() == {}


def _message(subject: str, data: bytes) -> Any:
    from segue.log import Message

    return Message(subject, f"{subject}-1", data)
