"""A node of three is emptied while its apps are at work: what that costs, seen by the engines."""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess

import anyio
import pytest
from segue.events.container import ContainerStarted
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeDrained, NodeDrainHeld, NodeDrainStarted, NodeJoined
from segue.events.scale import ScaleRequested
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

WELL_AFTER_S = 3
GATED = {
    "command": ["sh", "-c", f"sleep {WELL_AFTER_S}; touch /tmp/well; exec sleep 100000"],
    "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/well"], "interval": "1s", "timeout": "60s"},
}


@pytest.fixture
async def bed(tmp_path: Path, hosts: Hosts, servers: NatsCluster) -> AsyncIterator[Bed]:
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        for host in hosts:
            await bed.wait_event(NodeJoined, node=host.name, fenced=True)
        yield bed


async def segue(bed: Bed, *words: str, code: int = 0) -> CompletedProcess[bytes]:
    command = [sys.executable, "-m", "segue_cli", *words]
    env = os.environ | bed.servers.environment | {"SEGUE_DATA": str(bed.folder / "none")}
    done = await anyio.run_process(command, env=env, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return CompletedProcess(done.args, done.returncode, done.stdout, done.stderr)


def at_work(bed: Bed) -> dict[str, bool]:
    """Give what runs, and whether it is well, by the engines' word."""
    return {
        one["Id"]: "(healthy)" in one["Status"]
        for host in bed.hosts
        for one in host.engine.containers()
        if one["State"] == "running"
    }


async def watch(bed: Bed, seen: list[tuple[int, int]]) -> None:
    """Count what runs and what is well, where two looks in a row agree: one takes its time."""
    before: dict[str, bool] = {}
    while True:
        now = await anyio.to_thread.run_sync(at_work, bed)
        if now == before:
            seen.append((len(now), sum(now.values())))
        before = now
        await anyio.sleep(0.05)


def places(bed: Bed) -> Counter[str]:
    return Counter(where for slot in bed.running().values() for where in slot)


async def test_each_container_leaves_once_its_successor_is_well_and_only_so_many_at_once(
    bed: Bed,
) -> None:
    await bed.insist(crowd(9, more={**GATED, "x-segue": {"min_available": "100%"}}))
    await bed.wait_event(DeployCompleted)
    assert set(places(bed).values()) == {3}
    seen: list[tuple[int, int]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, bed, seen)
        said = (await segue(bed, "node", "drain", "host-1")).stdout.decode()
        tasks.cancel_scope.cancel()
    assert "host-1: is empty, 3 containers left it" in said
    assert places(bed)["host-1"] == 0
    await each_once(bed, 9, [bed.hosts[2], bed.hosts[3]])
    print(f"{len(seen)} looks: {Counter(seen)}")
    assert min(well for _, well in seen) >= 9, "as many as ever are well"
    assert max(there for there, _ in seen) <= 9 + 2, "a quarter of nine is moved at once"
    assert max(there for there, _ in seen) > 9
    await segue(bed, "node", "uncordon", "host-1")
    head = await bed.head()
    await bed.say(ScaleRequested(app="shop", service="web", replicas=12))
    await bed.wait_event(ContainerStarted, after=head, node="host-1")
    await each_once(bed, 12, bed.hosts)
    await check_log(bed.bus)


async def test_what_cannot_be_spared_is_held_and_stopped_at_the_deadline(bed: Bed) -> None:
    only_once = {"x-segue": {"singleton": True, "min_available": 3}}
    await bed.insist(crowd(3, more=only_once))
    await bed.wait_event(DeployCompleted)
    (held,) = [slot for slot, where in bed.running().items() if where == ["host-1"]]
    before = {one.container for one in bed.hosts[1].processes()}
    head = await bed.head()
    async with anyio.create_task_group() as tasks:

        async def drain() -> None:
            words = ("node", "drain", "host-1", "--deadline", "15s")
            said.append((await segue(bed, *words)).stdout.decode())

        said: list[str] = []
        tasks.start_soon(drain)
        blocked = await bed.wait_event(NodeDrainHeld, after=head, node="host-1")
        assert isinstance(blocked.event, NodeDrainHeld)
        (blocker,) = blocked.event.blockers
        assert (f"{blocker.service}.{blocker.slot}", blocker.reason) == (
            held,
            "it has to be stopped first, and its service cannot spare it",
        )
        assert {one.container for one in bed.hosts[1].processes()} == before
        begun = await bed.wait_event(NodeDrainStarted, after=head)
        drained = await bed.wait_event(NodeDrained, after=head, node="host-1")
    assert isinstance(drained.event, NodeDrained)
    assert (drained.event.moved, drained.event.left) == (1, [])
    assert drained.time - begun.time >= 15.0, "not before its deadline"
    assert "nothing more can leave it now: 1 slot held" in said[0]
    await each_once(bed, 3, [bed.hosts[2], bed.hosts[3]])
    await check_log(bed.bus)
