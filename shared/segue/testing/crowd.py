"""An app of many containers on many hosts, and what became of them, told from outside."""

import functools
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import anyio

from segue.events.leader import LeaderElected
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.bed import Bed
from segue.testing.cluster import CONTROL, bare
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Host

SERVICE = {"image": BUSYBOX, "command": ["sleep", "100000"], "network_mode": "none"}


def crowd(
    replicas: int, name: str = "1", app: str = "shop", more: Mapping[str, Any] | None = None
) -> Message:
    """Ask for an app whose service `web` has so many replicas, and what more it is given."""
    compose = {"services": {"web": {**SERVICE, "deploy": {"replicas": replicas}, **(more or {})}}}
    return Message(f"deploy.requested.{app}", f"deploy-{app}-{name}", bare(compose))


async def each_once(
    bed: Bed, replicas: int, hosts: Iterable[Host], within_s: float = 120.0, app: str = "shop"
) -> float:
    """Wait until every slot runs once and on these hosts only; tell when, by `time.monotonic`."""
    wanted = {f"web.{number}" for number in range(1, replicas + 1)}
    names = {host.name for host in hosts}
    end = time.monotonic() + within_s
    while True:
        found = await anyio.to_thread.run_sync(functools.partial(bed.running, app, begun=True))
        seen_at = time.monotonic()
        places = Counter(where for slot in found.values() for where in slot)
        if set(found) == wanted and places.total() == replicas and set(places) <= names:
            return seen_at
        twice = {slot: where for slot, where in found.items() if len(where) > 1}
        missing = sorted(wanted - set(found))
        assert seen_at < end, f"missing {missing}, twice {twice}, {places} after {within_s:g} s"
        await anyio.sleep(0.02)


async def led_from(bed: Bed, home: int, elsewhere: int) -> None:
    """Start the control services on two hosts, and let those on the first lead."""
    bed.start_instances(a=home)
    for name in CONTROL:
        await bed.wait_event(LeaderElected, service=name, instance="a")
    bed.start_instances(b=elsewhere)


class Loss(NamedTuple):
    """How long until the last replacement ran: since the wire was cut, since the last beat."""

    since_cut_s: float
    since_beat_s: float
    stages: dict[str, float]  # When each kind of event was last stored, since the cut.


async def lose(bed: Bed, host: Host, replicas: int, within_s: float = 120.0) -> Loss:
    """Cut a host's wire and end everything on it; wait until all runs once on the others."""
    beat_at = 0.0

    async def hear() -> None:
        nonlocal beat_at
        with bed.bus.listen(f"beat.node_runner.{host.name}") as beats:
            async for _ in beats:
                beat_at = time.monotonic()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hear)
        with anyio.fail_after(60):
            while not beat_at:
                await anyio.sleep(0.01)
        head = await bed.head()
        host.cut()
        cut_at, cut_time = time.monotonic(), time.time()
        await anyio.to_thread.run_sync(host.kill)
        others = [one for one in bed.hosts if one is not host]
        whole_at = await each_once(bed, replicas, others, within_s)
        tasks.cancel_scope.cancel()
    since = await bed.records(after=head)
    stages = {record.event.type: round(record.time - cut_time, 2) for record in since}
    return Loss(whole_at - cut_at, whole_at - min(beat_at, cut_at), stages)


async def comes_back(bed: Bed, host: Host) -> None:
    """Start a lost host again and wait until it takes part."""
    head = await bed.head()
    await anyio.to_thread.run_sync(host.restore)
    await anyio.to_thread.run_sync(bed.servers.restore)
    await bed.wait_event(NodeJoined, after=head, node=host.name, within_s=120)
    await anyio.to_thread.run_sync(bed.servers.current)
