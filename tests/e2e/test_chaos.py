"""Everything fails at random while people change their minds; afterwards all is as they want it."""

import os
from pathlib import Path

import anyio
import pytest
from segue.events.leader import LeaderElected
from segue.events.node import NodeLost
from segue.picture import Picture
from segue.testing.bed import Bed, standing
from segue.testing.chaos import APPS, Chaos
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Hosts
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

_TIME = os.environ.get("SEGUE_CHAOS", "3m")  # `just chaos 30m`.
FOR_S = float(_TIME[:-1]) * {"s": 1, "m": 60, "h": 3600}[_TIME[-1]]
SEED = int(os.environ.get("SEGUE_SEED", "1"))
CALM_WITHIN_S = 240.0


def check_engines(bed: Bed, picture: Picture) -> None:
    """Each engine runs what the log says, and has no other container at work."""
    for host in bed.hosts:
        for one in host.engine.containers():
            if one["State"] != "running":
                continue
            of = {name: one["Labels"][f"segue.{name}"] for name in ("app", "service", "slot")}
            slot = picture.slot(of["app"], of["service"], int(of["slot"]))
            assert slot is not None
            assert slot.container is not None
            known = slot.container
            assert (known.node, str(known.attempt)) == (host.name, one["Labels"]["segue.attempt"])


async def comes_to_rest(bed: Bed) -> None:
    """Wait until each slot runs once, and the same containers after a late word could have come."""
    with anyio.fail_after(CALM_WITHIN_S):
        before: set[str] = set()
        while True:
            for app in APPS:
                await each_once(bed, 9, bed.hosts, CALM_WITHIN_S, app)
            now = {one.container for host in bed.hosts for one in host.processes()}
            if now == before:
                return
            before = now
            await anyio.sleep(5.0)


@pytest.mark.timeout(FOR_S + 600)
async def test_after_any_faults_all_is_as_wanted(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster
) -> None:
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        await bed.joined()
        for app in APPS:
            await bed.insist(crowd(6, app=app))
        chaos = Chaos(bed, SEED)
        await chaos.run(FOR_S)
        await chaos.calm()
        for app in APPS:
            await bed.insist(crowd(9, "last", app))
        await comes_to_rest(bed)
        checker = await check_log(bed.bus)
        check_engines(bed, checker.picture)
        print(f"seed {SEED}, {FOR_S:g} s: {sum(chaos.faults.values())} faults, {chaos.faults}")
        print(f"wishes {sum(chaos.wishes.values())}, {chaos.wishes}")
        kinds = (LeaderElected.type, NodeLost.type, "container.requested", "container.failed")
        print({kind: checker.by_type[kind] for kind in kinds}, len(checker.records), "events")
