"""A log put back from a backup is older than what runs: nothing is stopped because of it."""

import pathlib
from collections.abc import AsyncIterator

import anyio
import pytest
from segue.events.container import ContainerRetired, ContainerStarted
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.node import NodeJoined
from segue.events.scale import ScaleRequested
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.engine import BUSYBOX, Engine
from segue_cli.backup import backup, restore
from segue_cli.connect import BusFlags
from segue_cli.errors import FailedError

pytestmark = pytest.mark.engine

SETTLES_S = 8.0  # More than it takes to give a node up, and to start a container.
SLEEPER = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none"}


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        await cluster.wait_event(NodeJoined, node="node-a")
        yield cluster


async def deploy(segue: Cluster, app: str, replicas: int) -> None:
    head = await segue.head()
    web = SLEEPER | {"deploy": {"replicas": replicas}}
    await segue.say(DeployRequested(app=app, compose={"services": {"web": web}}))
    await segue.wait_event(DeployCompleted, after=head, app=app)


def ids(segue: Cluster) -> dict[str, list[str]]:
    """Give every container that runs, of every app."""
    apps = ("shop", "extra")
    return {f"{app}/{k}": v for app in apps for k, v in segue.running(app).items()}


async def ended(segue: Cluster, name: str, instance: str) -> str:
    """Wait until a service has ended by itself; give what it said last."""
    service = segue[name, instance]
    with anyio.fail_after(90):
        while service.running:
            await anyio.sleep(0.05)
    return service.tail(1)


async def test_an_older_log_stops_no_container_neither_refused_nor_accepted(
    segue: Cluster, tmp_path: pathlib.Path, log_settings: None
) -> None:
    flags, file = BusFlags(nats=segue.server.url), tmp_path / "cluster.segue"
    await deploy(segue, "shop", 2)
    await backup(file, bus=flags)
    kept = await segue.head()
    await segue.say(ScaleRequested(app="shop", service="web", replicas=3))
    await segue.wait_event(ContainerStarted, after=kept, slot=3)
    victim = segue.running()["web.1"][0]
    segue.engines["node-a"].ask("POST", f"/containers/{victim}/kill")
    await segue.wait_event(ContainerStarted, after=kept, slot=1, attempt=2)
    await deploy(segue, "extra", 1)
    before = ids(segue)
    assert sorted(before) == ["extra/web.1", "shop/web.1", "shop/web.2", "shop/web.3"]

    with pytest.raises(FailedError, match="still at work: autoscaler a, deployer a, health"):
        await restore(file, replace=True, bus=flags)
    for name in CONTROL:
        segue[name, "a"].stop()
    await restore(file, replace=True, bus=flags)
    assert await segue.head() == kept

    assert "the log" in await ended(segue, "node_runner", "node-a")
    segue.start("node_runner", "node-a")
    said = await ended(segue, "node_runner", "node-a")
    assert "restored from an older copy. Containers run on and no order is taken" in said
    assert ids(segue) == before

    (remembered,) = (tmp_path / "state/node-a").glob("*.sequence")
    assert f"remove {remembered}" in said
    remembered.unlink()
    segue.start("node_runner", "node-a")
    await segue.wait_event(NodeJoined, after=kept)
    for name in CONTROL:
        segue.start(name)
    with anyio.move_on_after(SETTLES_S):
        while ids(segue) == before:
            await anyio.sleep(0.2)
    assert ids(segue) == before
    assert not [r for r in await segue.records(kept) if isinstance(r.event, ContainerRetired)]
    # What is wanted from now on is done.
    await segue.say(ScaleRequested(app="shop", service="web", replicas=4))
    await segue.wait_event(ContainerStarted, after=kept, slot=4)
