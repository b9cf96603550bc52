"""Hosts fall silent and come back: what ran on there meanwhile, and what is told of it then."""

import os
import signal
from pathlib import Path

import anyio
import pytest
from segue.events.container import ContainerFailed, ContainerStopped
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined, NodeLossHeld, NodeLost
from segue.testing.bed import Bed, standing
from segue.testing.crowd import crowd, each_once
from segue.testing.hosts import Host, Hosts, Running
from segue.testing.laws import check_log
from segue.testing.nats_cluster import NatsCluster
from segue_health_monitor.nodes import LOST_AFTER_S

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

REPLICAS = 6


def slots(host: Host) -> dict[str, Running]:
    return {f"web.{one.labels['segue.slot']}": one for one in host.processes()}


def ids(host: Host) -> dict[str, str]:
    return {slot: one.container for slot, one in slots(host).items()}


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
        kept = {stays: original.container}

        head = await bed.head()
        away.cut()
        for pid in victim.pids:
            os.kill(pid, signal.SIGKILL)
        await bed.wait_event(NodeLost, after=head, node=away.name)
        await filled_elsewhere(bed, away)
        assert ids(away) == kept, "what was cut off runs on"

        away.mend()
        joined = await bed.wait_event(NodeJoined, after=head, node=away.name)
        assert (await told_end(bed, away, dies)).exit_code == 128 + signal.SIGKILL
        is_kept = on_return == "keep_original"
        stopped = await bed.wait_event(ContainerStopped, after=joined.sequence, slot=number(stays))
        assert isinstance(stopped.event, ContainerStopped)
        assert (stopped.event.node != away.name) == is_kept
        await each_once(bed, REPLICAS, hosts)
        assert (kept.items() <= ids(away).items()) == is_kept
        print(f"{on_return}: stopped {stopped.time - joined.time:.2f} s after the host had joined")
        await check_log(bed.bus)


async def test_hosts_that_fall_silent_together_are_kept_and_come_back_as_they_were(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster
) -> None:
    async with standing(tmp_path, hosts, servers) as bed:
        bed.start_instances(a=1, b=2)
        bed.start_runners()
        await bed.joined()
        await bed.insist(crowd(REPLICAS))
        await bed.wait_event(DeployCompleted)
        before = [ids(host) for host in hosts]
        silent = [bed["node_runner", host.name] for host in (hosts[2], hosts[3])]
        head = await bed.head()
        for runner in silent:
            runner.freeze()
        held = await bed.wait_event(NodeLossHeld, after=head)
        assert isinstance(held.event, NodeLossHeld)
        assert (held.event.nodes, held.event.of) == (["host-2", "host-3"], 3)
        await anyio.sleep(LOST_AFTER_S)
        for runner in silent:
            runner.thaw()
        over = await bed.wait_event(NodeLossHeld, after=held.sequence)
        assert isinstance(over.event, NodeLossHeld)
        assert over.event.nodes == []
        assert [ids(host) for host in hosts] == before
        assert (await check_log(bed.bus)).by_type[NodeLost.type] == 0
