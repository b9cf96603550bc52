"""What may run only once: whatever is cut off, frozen or killed, no slot ever has two copies.

Nothing that Segue says counts here. Each copy writes down many times a second that it lives, by the
machine's one clock and into a folder that all hosts share; and the kernel's process tables are
looked at all the while.
"""

import os
import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Host, Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

ROUNDS = int(os.environ.get("SEGUE_ROUNDS", "1"))  # `just strict`: 10.
SEED = int(os.environ.get("SEGUE_SEED", "1"))
SLOTS = 3
AWAY_MOST_S = 40.0  # Twice as long as it takes until a lease is over and what ran under it, moves.
PROGRAM = """
exec >/lives/$SEGUE_SLOT.$SEGUE_ATTEMPT.$SEGUE_NODE
while read now rest </proc/uptime; do echo $now; usleep 50000; done
"""

Fault = Callable[[Bed, Host], None]


class Life(NamedTuple):
    """A copy of a slot: when it said first and last that it lives, in seconds since boot."""

    slot: int
    began: float
    ended: float
    name: str


def cut(_: Bed, host: Host) -> None:
    host.cut()


def freeze_runner(bed: Bed, host: Host) -> None:
    bed["node_runner", host.name].freeze()


def kill_runner(bed: Bed, host: Host) -> None:
    bed["node_runner", host.name].kill()


def cut_and_freeze_engine(_: Bed, host: Host) -> None:
    host.cut()
    host.engine.freeze("dockerd")
    host.engine.freeze("containerd")


def undo(bed: Bed, host: Host) -> None:
    host.mend()
    host.engine.thaw()
    bed["node_runner", host.name].thaw()
    bed["node_runner", host.name].start()


def lives(folder: Path) -> list[Life]:
    """Read what the copies have written, slot by slot in the order of their births."""
    found = []
    for file in folder.iterdir():
        if moments := [float(line) for line in file.read_text().splitlines()]:
            slot = int(file.name.split(".")[0])
            found.append(Life(slot, moments[0], moments[-1], file.name))
    return sorted(found)


async def watch(bed: Bed, twice: list[dict[str, list[str]]], looks: list[int]) -> None:
    """Look for slots of which two copies have a process."""
    while True:
        found = await anyio.to_thread.run_sync(bed.running)
        looks[0] += 1
        if seen := {slot: where for slot, where in found.items() if len(where) > 1}:
            twice.append(seen)
        await anyio.sleep(0.05)


async def at_work(bed: Bed, hosts: Iterable[Host], shared: Path) -> None:
    """Wait until each slot has a copy on these hosts, which has written that it lives."""
    await each_once(bed, SLOTS, hosts, within_s=120)
    files = [
        shared / f"{one.labels['segue.slot']}.{one.labels['segue.attempt']}.{host.name}"
        for host in hosts
        for one in host.processes()
    ]
    with anyio.fail_after(60):
        while not all(file.exists() and file.stat().st_size for file in files):
            await anyio.sleep(0.02)


async def one_round(bed: Bed, fault: Fault, shared: Path, away_s: float) -> None:
    """Break the host that runs a copy, and undo that after a while, or once all has moved."""
    (name,) = bed.running()["web.1"]
    (host,) = [one for one in bed.hosts if one.name == name]
    fault(bed, host)
    if away_s:
        await anyio.sleep(away_s)
    else:
        await at_work(bed, [one for one in bed.hosts if one is not host], shared)
    undo(bed, host)
    await anyio.to_thread.run_sync(bed.servers.current)
    await at_work(bed, list(bed.hosts), shared)


@pytest.mark.timeout(240 + 120 * ROUNDS)
@pytest.mark.parametrize("fault", [cut, freeze_runner, kill_runner, cut_and_freeze_engine])
async def test_no_two_copies_ever_live(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster, fault: Fault
) -> None:
    dice = random.Random(SEED)
    shared, policy = tmp_path / "lives", tmp_path / "policy.toml"
    shared.mkdir()
    policy.write_text(f'binds = ["{shared}"]\n')
    twice: list[dict[str, list[str]]] = []
    looks = [0]
    async with standing(tmp_path, hosts, servers) as bed, anyio.create_task_group() as tasks:
        bed.start_instances(a=1, b=2)
        bed.start_runners("--policy", str(policy))
        for host in hosts:
            await bed.wait_event(NodeJoined, node=host.name, fenced=True)
        program = {"command": ["sh", "-c", PROGRAM], "volumes": [f"{shared}:/lives"]}
        await bed.insist(crowd(SLOTS, more={**program, "x-segue": {"singleton": True}}))
        await bed.wait_event(DeployCompleted)
        tasks.start_soon(watch, bed, twice, looks)
        for number in range(ROUNDS):
            away_s = dice.uniform(0, AWAY_MOST_S) if number else 0.0
            await one_round(bed, fault, shared, away_s)
        await check_log(bed.bus)
        tasks.cancel_scope.cancel()
    found = lives(shared)
    pauses = [
        (after.began - before.ended, before.name, after.name)
        for before, after in pairwise(found)
        if before.slot == after.slot
    ]
    print(f"{fault.__name__}: {ROUNDS} rounds, {looks[0]} looks, {len(found)} copies, pauses:")
    print(sorted(round(pause, 2) for pause, *_ in pauses))
    assert twice == []
    assert [pause for pause in pauses if pause[0] <= 0] == []
    assert len(found) > SLOTS, "something has moved"
