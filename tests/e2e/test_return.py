"""A host is cut off, is given up and comes back: what ran on there, and what is told of it then."""

import os
import signal
from pathlib import Path

import anyio
import pytest
from segue.events.container import ContainerFailed, ContainerStopped
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined, NodeLost
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Host, Hosts, Running
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

REPLICAS = 6


def slots(host: Host) -> dict[str, Running]:
    return {f"web.{one.labels['segue.slot']}": one for one in host.processes()}


def number(slot: str) -> int:
    return int(slot.removeprefix("web."))


async def told_end(bed: Bed, host: Host, slot: str) -> ContainerFailed | ContainerStopped:
    """Wait until a host has said how its first container of a slot ended.

    Where it was retired before that could be said, the word is that it has stopped.
    """
    with anyio.fail_after(60):
        while True:
            for record in await bed.records():
                event = record.event
                if isinstance(event, ContainerFailed | ContainerStopped) and (
                    (event.node, event.slot, event.attempt) == (host.name, number(slot), 1)
                ):
                    return event
            await anyio.sleep(0.1)


async def filled_elsewhere(bed: Bed, away: Host) -> None:
    """Wait until the other hosts run every slot."""
    others = [host for host in bed.hosts if host is not away]
    with anyio.fail_after(120):
        while len({slot for host in others for slot in slots(host)}) < REPLICAS:
            await anyio.sleep(0.05)


@pytest.mark.parametrize("on_return", ["keep_newest", "keep_original"])
async def test_a_host_that_was_cut_off_tells_what_happened_there_and_one_of_two_stays(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster, on_return: str
) -> None:
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        await bed.joined()
        await bed.insist(crowd(REPLICAS, more={"x-segue": {"on_return": on_return}}))
        await bed.wait_event(DeployCompleted)
        away = hosts[3]
        (dies, victim), (stays, original) = sorted(slots(away).items())

        head = await bed.head()
        away.cut()
        for pid in victim.pids:
            os.kill(pid, signal.SIGKILL)
        await bed.wait_event(NodeLost, after=head, node=away.name)
        await filled_elsewhere(bed, away)
        assert slots(away) == {stays: original}, "what was cut off runs on"

        away.mend()
        joined = await bed.wait_event(NodeJoined, after=head, node=away.name)
        assert (await told_end(bed, away, dies)).exit_code == 128 + signal.SIGKILL
        kept = on_return == "keep_original"
        stopped = await bed.wait_event(ContainerStopped, after=joined.sequence, slot=number(stays))
        assert isinstance(stopped.event, ContainerStopped)
        assert (stopped.event.node != away.name) == kept
        await each_once(bed, REPLICAS, hosts)
        assert (original in slots(away).values()) == kept
        print(f"{on_return}: stopped {stopped.time - joined.time:.2f} s after the host had joined")
        await check_log(bed.bus)
