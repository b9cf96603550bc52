"""A host is lost with all that is on it: what it ran, runs elsewhere, in seconds."""

import os
from pathlib import Path

import pytest
from segue.events.container import ContainerRequested
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeLost
from segue.testing.bed import standing
from segue.testing.crowd import comes_back, crowd, each_once, led_from, lose
from segue.testing.hosts import Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

ROUNDS = int(os.environ.get("SEGUE_ROUNDS", "1"))  # Each loses two hosts; `just host-loss`: 10.
REPLICAS = 60
WITHIN_S = 240.0  # Some 15 s on a machine that has nothing else to do.


@pytest.mark.timeout(300 + 300 * ROUNDS)
async def test_what_a_lost_host_ran_runs_elsewhere(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster
) -> None:
    async with standing(tmp_path, hosts, servers) as bed:
        await servers.lead(1)
        await led_from(bed, 1, 2)
        bed.start_runners()
        await bed.joined()
        await bed.insist(crowd(REPLICAS))
        await bed.wait_event(DeployCompleted, within_s=WITHIN_S)
        for _ in range(ROUNDS):
            for number in (3, 1):  # One that leads nothing, then one that may lead everything.
                leader = servers.leader().name
                loss = await lose(bed, hosts[number], REPLICAS, WITHIN_S)
                print(f"{hosts[number].name}, the bus led by {leader}: {loss}")
                await comes_back(bed, hosts[number])
                await each_once(bed, REPLICAS, hosts, WITHIN_S)
        checker = await check_log(bed.bus)
        lost = [one.event.node for one in checker.records if isinstance(one.event, NodeLost)]
        assert set(lost) >= {"host-3", "host-1"}
        assert checker.by_type[ContainerRequested.type] > REPLICAS
