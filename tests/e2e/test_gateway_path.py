"""People reach containers of a real engine through a real gateway, and never notice a change."""

import os
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from segue.events.container import ContainerRetired
from segue.events.deploy import DeployCompleted, DeployRequested, DeployReverted
from segue.events.gateway import EndpointDrained, EndpointReady, GatewayJoined, GatewayLeft
from segue.events.node import NodeJoined
from segue.events.scale import ScaleRequested
from segue.testing.cluster import Cluster, running
from segue.testing.engine import BUSYBOX, Engine
from segue.testing.load import ask, under_load

pytestmark = pytest.mark.engine
PORT = 19_000 + os.getpid() % 3_000 * 3


def web(version: str, replicas: int) -> dict[str, Any]:
    """A web server that dies at once when it is told to stop: nothing but draining helps it."""
    serve = f"mkdir /w; echo {version} > /w/index.html; exec httpd -f -p 8080 -h /w"
    return {
        "image": BUSYBOX,
        "command": ["sh", "-c", serve],
        "stop_signal": "SIGKILL",
        "ports": [{"target": 8080, "published": str(PORT)}],
        "deploy": {"replicas": replicas, "update_config": {"monitor": "1s"}},
    }


async def deploy(cluster: Cluster, version: str, replicas: int = 3) -> None:
    app = {"services": {"web": web(version, replicas)}}
    await cluster.say(DeployRequested(app="shop", compose=app))


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    """One host, everything running."""
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        cluster.start_gateway("node-a", "--http-port", str(PORT + 1))
        await cluster.wait_event(NodeJoined, node="node-a")
        await cluster.wait_event(GatewayJoined, node="node-a")
        yield cluster


async def test_a_published_port_leads_to_every_replica_and_outlives_bus_and_gateway(
    segue: Cluster,
) -> None:
    await deploy(segue, "v1")
    for slot in (1, 2, 3):
        await segue.wait_event(EndpointReady, slot=slot)
    assert await ask("127.0.0.1", PORT) == (200, "v1\n")
    [joined] = [
        record.event for record in await segue.records() if isinstance(record.event, GatewayJoined)
    ]
    assert any("CAP_NET_ADMIN" in words for words in joined.limits)
    assert joined.proxy.startswith("HAProxy 2")

    segue["gateway", "node-a"].kill()
    assert await ask("127.0.0.1", PORT) == (200, "v1\n"), "the proxy goes on by itself"
    segue.start_gateway("node-a", "--http-port", str(PORT + 1))
    head = await segue.head()
    await segue.wait_event(GatewayJoined, after=head)
    async with under_load(("127.0.0.1", PORT), clients=2) as tally:
        await segue.say(ScaleRequested(app="shop", service="web", replicas=4))
        await segue.wait_event(EndpointReady, slot=4)
        await anyio.sleep(0.2)
    assert tally.failed == []

    await segue.say(ScaleRequested(app="shop", service="web", replicas=2))
    for slot in (3, 4):
        await segue.wait_event(ContainerRetired, slot=slot)
        drained = await segue.wait_event(EndpointDrained, slot=slot)
        assert drained.event.in_flight == 0  # type: ignore[attr-defined] # It is what was waited for.

    segue["gateway", "node-a"].stop()
    await segue.wait_event(GatewayLeft)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await ask("127.0.0.1", PORT)


async def test_a_gateway_that_starts_without_a_bus_does_what_it_did_last(segue: Cluster) -> None:
    await deploy(segue, "v1", replicas=1)
    await segue.wait_event(DeployCompleted)
    await segue.wait_event(EndpointReady, slot=1)
    segue["gateway", "node-a"].stop()
    segue.server.stop()
    segue.start_gateway("node-a", "--http-port", str(PORT + 1))
    with anyio.fail_after(60):
        while True:
            try:
                assert await ask("127.0.0.1", PORT) == (200, "v1\n")
                break
            except OSError:
                await anyio.sleep(0.1)
    segue.server.start()
    await segue.wait_event(GatewayJoined, after=0)


async def test_ten_replicas_are_replaced_under_load_and_no_request_fails(segue: Cluster) -> None:
    await deploy(segue, "v1", replicas=10)
    await segue.wait_event(DeployCompleted, revision=1)
    for slot in range(1, 11):
        await segue.wait_event(EndpointReady, slot=slot)
    async with under_load(("127.0.0.1", PORT), clients=2) as tally:
        await deploy(segue, "v2", replicas=10)
        await segue.wait_event(DeployCompleted, revision=2, within_s=200)
    print(f"{tally.asked} requests")
    assert tally.failed == []
    assert tally.answers.keys() == {"v1\n", "v2\n"}
    assert await ask("127.0.0.1", PORT) == (200, "v2\n")


async def test_a_canary_that_fails_is_taken_back_under_load_and_no_request_fails(
    segue: Cluster,
) -> None:
    await deploy(segue, "v1")
    await segue.wait_event(DeployCompleted, revision=1)
    for slot in (1, 2, 3):
        await segue.wait_event(EndpointReady, slot=slot)
    ours = {
        "probe": {"readiness": {"tcp": 9}},  # Nothing listens there.
        "rollout": {"strategy": "canary", "canary": 1, "deadline": "3s"},
    }
    bad = {"services": {"web": web("v2", 3) | {"x-segue": ours}}}
    async with under_load(("127.0.0.1", PORT), clients=4, pause_s=0.01) as tally:
        await segue.say(DeployRequested(app="shop", compose=bad))
        await segue.wait_event(DeployReverted, revision=2, within_s=90)
        await segue.wait_event(DeployCompleted, revision=3, within_s=90)
    print(f"{tally.asked} requests")
    assert tally.failed == []
    assert tally.answers.keys() == {"v1\n"}
