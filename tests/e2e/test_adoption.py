"""A node runner may die at any moment of its work: what runs is adopted, never started again."""

import os
import random
from pathlib import Path

import anyio
import pytest
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined
from segue.events.scale import ScaleRequested
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Host, Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

KILLS = int(os.environ.get("SEGUE_KILLS", "10"))  # `just adoption`: 50.
STEADY = 12  # Containers of an app that nobody asks to change.


def steady(host: Host) -> dict[str, tuple[int, int, str]]:
    """Give, by container of the app `steady`: pid, restarts, start; the engine's own words."""
    found = {}
    for one in host.engine.containers():
        if one["Labels"].get("segue.app") == "steady":
            told = host.engine.ask("GET", f"/containers/{one['Id']}/json")
            state = told["State"]
            found[one["Id"]] = (state["Pid"], told["RestartCount"], state["StartedAt"])
    return found


async def changing(bed: Bed, dice: random.Random) -> None:
    """Deploy and scale another app without end."""
    number = 0
    while True:
        number += 1
        if dice.random() < 0.3:
            await bed.insist(crowd(dice.randint(2, 12), f"n{number}"))
        else:
            replicas = dice.randint(2, 12)
            await bed.say(ScaleRequested(app="shop", service="web", replicas=replicas))
        await anyio.sleep(dice.uniform(0.1, 0.8))


@pytest.mark.timeout(300 + 20 * KILLS)
async def test_a_runner_that_is_killed_under_load_adopts_all_that_runs(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster
) -> None:
    dice = random.Random(KILLS)
    async with standing(tmp_path, hosts, servers) as bed:
        # No health monitor: a host whose runner takes long to come up is not to be given up.
        bed.start_instances(("deployer", "scheduler"), a=1, b=2)
        bed.start_runners()
        await bed.joined()
        for app, replicas in (("steady", STEADY), ("shop", 6)):
            await bed.insist(crowd(replicas, app=app))
            await bed.wait_event(DeployCompleted, app=app)
        before = {host.name: steady(host) for host in hosts}
        assert sum(len(found) for found in before.values()) == STEADY
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(changing, bed, dice)
            for _ in range(KILLS):
                await anyio.sleep(dice.uniform(0.0, 0.5))
                name = dice.choice(list(hosts)).name
                head = await bed.head()
                bed.start("node_runner", name)
                await bed.wait_event(NodeJoined, after=head, node=name)
                now = {host.name: steady(host) for host in hosts}
                assert now == before
            tasks.cancel_scope.cancel()
        last = await bed.insist(crowd(9, "last"))
        await bed.wait_event(DeployCompleted, after=last, app="shop", within_s=120)
        await each_once(bed, 9, hosts)
        assert {host.name: steady(host) for host in hosts} == before, "adopted, every time"
        failed = (await check_log(bed.bus)).by_type["container.failed"]
        print(f"{KILLS} kills, {failed} containers failed")
        assert not failed
