"""A strict container on a real engine under a real lease: dead before the bus says that it is over.

Each fault leaves the lease unrenewed: the runner hangs, the runner is killed, the bus is gone.
"""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined"

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import pytest
from segue.events.container import ContainerFailed, ContainerStarted
from segue.events.node import NodeJoined
from segue.leases import Claimed, Expired, Told, terms
from segue.testing.engine import Engine
from segue.testing.one_node import NODE, OneNode, one_node

pytestmark = [pytest.mark.engine, pytest.mark.hosts]
SLOT = "/containers/shop.web.1/json"


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[OneNode]:
    """A node that holds a lease."""
    async with one_node(tmp_path, docker_engine) as running:
        await running.cluster.wait_event(NodeJoined, fenced=True)
        yield running


async def strict(host: OneNode) -> int:
    """Let a strict container run; give its process."""
    await host.deploy(strict=True)
    pid: int = (await host.up()).event.pid
    return pid


def alive(pid: int) -> bool:
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return words.rpartition(")")[2].split()[0] != "Z"


async def dead(pid: int) -> float:
    """Wait for a process's end; give when it was."""
    with anyio.fail_after(60):
        while alive(pid):
            await anyio.sleep(0.01)
    return time.monotonic()


async def marker(host: OneNode) -> float:
    """Wait until the bus says that the node's lease is over; give when it was."""
    async with aclosing(host.cluster.bus.leases.heard()) as news:
        async for one in news:
            if one == Expired(NODE):
                return time.monotonic()
    raise AssertionError("leases are heard without an end")


async def renewed(host: OneNode) -> None:
    """Wait until the node's lease is renewed: what follows has all of its time."""
    told = False
    with anyio.fail_after(60):
        async with aclosing(host.cluster.bus.leases.heard()) as news:
            async for one in news:
                if told and isinstance(one, Claimed):
                    return
                told = told or one == Told()


@pytest.mark.parametrize("fault", ["hangs", "is killed"])
async def test_it_is_dead_before_the_bus_says_that_the_lease_is_over(
    host: OneNode, fault: str
) -> None:
    pid = await strict(host)
    over = asyncio.create_task(marker(host))
    if fault == "hangs":
        host.runner.freeze()
    else:
        host.runner.kill()
    died_at = await dead(pid)
    assert died_at < await asyncio.wait_for(over, 60)


async def test_it_dies_when_the_bus_is_gone_and_is_told_so_when_it_is_back(host: OneNode) -> None:
    pid = await strict(host)
    began = time.monotonic()
    host.cluster.server.kill()
    died_at = await dead(pid)
    assert died_at - began < terms(1).ttl_s
    host.cluster.server.start()
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.exit_code) == ("fenced", 137)
    joined = (await host.cluster.wait_event(NodeJoined, fenced=True, after=2)).event
    await host.up(attempt=2)
    assert joined.lease > 0


async def test_while_it_is_renewed_it_runs_and_a_short_outage_does_not_matter(
    host: OneNode,
) -> None:
    pid = await strict(host)
    await renewed(host)
    host.cluster.server.restart(kill=True)
    await anyio.sleep(7.0)
    assert alive(pid)
    ends = [r for r in await host.cluster.records() if isinstance(r.event, ContainerFailed)]
    assert ends == []


async def test_a_runner_that_is_started_again_goes_on_with_the_lease(host: OneNode) -> None:
    pid = await strict(host)
    first = (await host.cluster.wait_event(NodeJoined, fenced=True)).event
    head = await host.cluster.head()
    await renewed(host)
    await host.restart()
    joined = (await host.cluster.wait_event(NodeJoined, fenced=True, after=head)).event
    assert (joined.lease, joined.session == first.session) == (first.lease, False)
    await anyio.sleep(7.0)
    assert alive(pid)


async def test_what_was_killed_while_no_runner_was_there_is_told_as_fenced(host: OneNode) -> None:
    pid = await strict(host)
    host.runner.kill()
    await dead(pid)
    await anyio.sleep(2.0)
    host.cluster.start("node_runner", NODE)
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.exit_code) == ("fenced", 137)


async def test_what_is_not_strict_runs_on_whatever_becomes_of_the_lease(host: OneNode) -> None:
    await host.deploy()
    pid = (await host.up()).event.pid
    host.runner.kill()
    await anyio.sleep(7.5)
    assert alive(pid)


async def test_without_a_fencer_it_is_not_started_and_the_node_says_so(host: OneNode) -> None:
    assert host.cluster.fencer is not None
    host.cluster.fencer.kill()
    await host.cluster.wait_event(NodeJoined, fenced=False)
    await host.deploy(strict=True)
    await host.assign()
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert failed.reason == "rejected"
    assert "start segue-fencer" in failed.message
    starts = [r for r in await host.cluster.records() if isinstance(r.event, ContainerStarted)]
    assert starts == []
    assert host.cluster.running() == {}
    host.cluster.fencer.start()
    await host.up(attempt=2)


async def test_a_fencer_that_dies_between_the_order_and_the_start_lets_nothing_start(
    host: OneNode,
) -> None:
    assert host.cluster.fencer is not None
    await host.deploy(strict=True)
    host.cluster.fencer.kill()
    await anyio.sleep(1.3)
    await host.assign()
    await anyio.sleep(4.0)
    assert host.cluster.running() == {}
    host.cluster.fencer.start()
    await host.cluster.wait_event(ContainerStarted)
