"""From none to one and back: a real gateway holds what is asked until somebody listens."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anyio
import pytest
from segue.events.container import ContainerRetired, ContainerStarted, ContainerStopped
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.leader import LeaderElected
from segue.events.request import RequestWaiting
from segue.events.scale import ScaleDecided
from segue.events.service import ServiceIdle
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.load import Server, ask, line
from segue.testing.ports import free_port
from segue.testing.puppet_node import PuppetNode

BEHIND = "127.93.7.1"
OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}
ROUNDS = 3


class Ports(NamedTuple):
    """Where people ask, and where the container listens."""

    http: int
    tcp: int
    http_behind: int
    tcp_behind: int


def compose(at: Ports) -> dict[str, Any]:
    ports = [
        {"target": at.http_behind, "published": str(at.http), "app_protocol": "http"},
        {"target": at.tcp_behind, "published": str(at.tcp)},
    ]
    scale = {"min": 0, "max": 3, "idle": "2s", "target": {"inflight": 50}}
    return {"services": {"web": {"image": "web:1", "ports": ports, "x-autoscale": scale}}}


@pytest.fixture
def ports() -> Ports:
    return Ports(*(free_port() for _ in range(4)))


async def begun(cluster: Cluster, tasks: anyio.abc.TaskGroup, ports: Ports) -> None:
    cluster.start_control()
    await tasks.start(PuppetNode(cluster.bus, "node-a", places={1: BEHIND}).run)
    cluster.start_gateway("node-a")
    for service in CONTROL:
        await cluster.wait_event(LeaderElected, service=service)
    await cluster.say(DeployRequested(app="shop", compose=compose(ports)))
    await cluster.wait_event(DeployCompleted, app="shop")


@contextlib.asynccontextmanager
async def listening(ports: Ports) -> AsyncIterator[None]:
    http, tcp = (Server("s", BEHIND, port) for port in (ports.http_behind, ports.tcp_behind))
    async with http, tcp:
        yield


async def emptied(cluster: Cluster, after: int) -> int:
    decided = await cluster.wait_event(ScaleDecided, **OF_WEB, replicas=0, after=after)
    idle = await cluster.wait_event(ServiceIdle, **OF_WEB, after=after)
    assert decided.cause_key == idle.key
    await cluster.wait_event(ContainerStopped, **OF_WEB, after=decided.sequence)
    return decided.sequence


async def test_a_service_sleeps_and_wakes_again_and_again_and_nothing_is_lost(
    tmp_path: pathlib.Path, ports: Ports
) -> None:
    answers: list[Any] = []

    async def ask_web() -> None:
        answers.append(await ask("127.0.0.1", ports.http))

    async def talk() -> None:
        async with line("127.0.0.1", ports.tcp) as there:
            answers.append(await there.say("hello"))

    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        await begun(cluster, tasks, ports)
        at = await emptied(cluster, 0)
        for round_ in range(ROUNDS):
            way = talk if round_ % 2 else ask_web
            async with anyio.create_task_group() as asking:
                asking.start_soon(way)
                decided = await cluster.wait_event(ScaleDecided, **OF_WEB, replicas=1, after=at)
                waiting = await cluster.wait_event(RequestWaiting, **OF_WEB, after=at)
                assert decided.cause_key == waiting.key
                await cluster.wait_event(ContainerStarted, **OF_WEB, after=at)
                assert len(answers) == round_, "nobody listens yet"
                async with listening(ports):
                    with anyio.fail_after(60):
                        while len(answers) == round_:
                            await anyio.sleep(0.02)
                    at = await emptied(cluster, decided.sequence)
                    await cluster.wait_event(ContainerRetired, **OF_WEB, after=decided.sequence)
        assert answers == [(200, "s"), "s hello", (200, "s")]
        tasks.cancel_scope.cancel()
