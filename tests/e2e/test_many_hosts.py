"""The main job on three hosts with three bus servers and two of each control service."""

import pathlib
from collections.abc import AsyncIterator

import anyio
import pytest
from segue.envelope import Record
from segue.events.container import ContainerRequested
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined, NodeLost
from segue.log import Message
from segue.testing.bed import Bed, standing
from segue.testing.cluster import bare
from segue.testing.crowd import each_once
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Hosts
from segue.testing.nats_cluster import TLS, NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

BUS_OPTIONS = TLS


@pytest.fixture
async def bed(tmp_path: pathlib.Path, hosts: Hosts, servers: NatsCluster) -> AsyncIterator[Bed]:
    """All of it, behind TLS, with every node joined."""
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        await bed.joined()
        yield bed


def shop(replicas: int) -> Message:
    service = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none"}
    compose = {"services": {"web": {**service, "deploy": {"replicas": replicas}}}}
    return Message("deploy.requested.shop", f"deploy-{replicas}", bare(compose))


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_deploy_survives_the_bus_server_that_leads_the_log(bed: Bed, how: str) -> None:
    first = await bed.insist(shop(6))
    await bed.wait_event(DeployCompleted, after=first)
    await each_once(bed, 6, bed.hosts)
    leader = bed.servers.leader()
    leader.kill() if how == "kill" else leader.freeze()
    second = await bed.insist(shop(9))
    await bed.wait_event(DeployCompleted, after=second, within_s=120)
    await each_once(bed, 9, bed.hosts)
    bed.servers.restore()
    bed.servers.current()
    asked: list[Record] = []
    with anyio.fail_after(60):
        while len(asked) < 9:  # A server that thaws knows less at first.
            records = await bed.records()
            asked = [one for one in records if isinstance(one.event, ContainerRequested)]
    lost = [one for one in records if isinstance(one.event, NodeLost)]
    assert lost or len(asked) == 9, "what ran was left alone, unless a busy host fell silent"


async def test_a_host_that_dies_with_its_bus_server_is_replaced_and_comes_back(bed: Bed) -> None:
    first = await bed.insist(shop(6))
    await bed.wait_event(DeployCompleted, after=first)
    host = bed.servers.leader().host
    host.cut()
    host.kill()
    others = {one.name for one in bed.hosts if one is not host}
    with anyio.fail_after(180):
        while {where for places in bed.running().values() for where in places} != others or (
            len(bed.running()) < 6
        ):
            await anyio.sleep(0.1)
    host.mend()
    host.start()
    await bed.wait_event(NodeJoined, after=first, node=host.name, within_s=120)
    second = await bed.insist(shop(9))
    await bed.wait_event(DeployCompleted, after=second, within_s=120)
    await each_once(bed, 9, bed.hosts)
    assert [host.name] in bed.running().values(), "it bears its share again"
    bed.servers.current()
