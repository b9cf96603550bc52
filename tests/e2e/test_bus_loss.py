"""Servers of the bus die, one, two or all of them: what runs is left alone, and work goes on."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from segue.events.container import ContainerFailed
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeLost
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import HostedServer, NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

AWAY_S = 8.0  # Longer than it takes to give up a node that is silent.


@pytest.fixture
async def bed(tmp_path: Path, hosts: Hosts, servers: NatsCluster) -> AsyncIterator[Bed]:
    """All of it, with 20 containers at work."""
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        await bed.joined()
        await bed.insist(crowd(20))
        await bed.wait_event(DeployCompleted)
        yield bed


def pids(bed: Bed) -> dict[str, int]:
    """Give each container's first process: it changes when the container is started again."""
    return {one.container: min(one.pids) for host in bed.hosts for one in host.processes()}


def doomed(servers: NatsCluster, many: int) -> list[HostedServer]:
    """Choose servers to kill, the one that leads the log first."""
    leader = servers.leader()
    return [leader, *(server for server in servers.servers if server is not leader)][:many]


@pytest.mark.parametrize("many", [1, 2, 3])
async def test_what_runs_is_left_alone_while_servers_of_the_bus_are_dead(
    bed: Bed, many: int
) -> None:
    before = pids(bed)
    assert len(before) == 20
    killed = doomed(bed.servers, many)
    killed_at = time.monotonic()
    for server in killed:
        server.kill()
    if many > 1:
        await anyio.sleep(AWAY_S)
        assert pids(bed) == before
        await anyio.to_thread.run_sync(bed.servers.restore)
        killed_at = time.monotonic()
    deploy = await bed.insist(crowd(24, "2"))
    print(f"{many} killed: writes blocked for {time.monotonic() - killed_at:.1f} s", end="; ")
    await bed.wait_event(DeployCompleted, after=deploy, within_s=120)
    print(f"a deploy was complete after {time.monotonic() - killed_at:.1f} s")
    await each_once(bed, 24, bed.hosts)
    now = pids(bed)
    assert {container: now.get(container) for container in before} == before
    checker = await check_log(bed.bus)
    assert checker.by_type[NodeLost.type] == 0
    assert checker.by_type[ContainerFailed.type] == 0
