"""The node runner as a process, on a real bus and a real engine; its orders are said by hand."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from shutil import disk_usage

import anyio
import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerHealthy,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import RemovalAccepted, RemovalCompleted
from segue.events.node import NodeDegraded, NodeJoined, NodeLeft, NodeLost, NodeRecovered
from segue.spec import (
    Health,
    NetworkRef,
    NetworkSpec,
)
from segue.testing.engine import BUSYBOX, Engine, EngineRefusedError, PrivateEngine
from segue.testing.one_node import NODE, SLEEP, OneNode, one_node

pytestmark = pytest.mark.engine


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[OneNode]:
    async with one_node(tmp_path, docker_engine) as running:
        yield running


async def said(host: OneNode, word: bytes) -> None:
    """Wait until the container has said that it deals with signals."""
    with anyio.fail_after(60):
        while word not in host.engine.ask("GET", "/containers/shop.web.1/logs", stdout="1"):
            await anyio.sleep(0.02)


async def test_a_node_joins_with_what_it_has(host: OneNode) -> None:
    joined = (await host.cluster.wait_event(NodeJoined)).event
    assert joined.cpu_millicores >= 1000
    assert joined.memory_bytes > 1 << 28
    assert "API 1." in joined.engine
    assert BUSYBOX in joined.images
    assert joined.version
    assert joined.inventory == []


async def test_an_order_is_followed_from_start_to_end(host: OneNode) -> None:
    await host.deploy()
    started = await host.up()
    assert started.event.took_s > 0
    assert started.event.image.startswith("sha256:")
    orders = [r for r in await host.cluster.records() if isinstance(r.event, ContainerAssigned)]
    assert (started.cause, started.correlation) == (orders[0].id, orders[0].correlation)
    await host.retire()
    stopped = (await host.cluster.wait_event(ContainerStopped)).event
    assert (stopped.exit_code, stopped.killed) == (143, False)
    assert host.cluster.running() == {}
    with pytest.raises(EngineRefusedError):
        host.engine.ask("GET", "/containers/shop.web.1/json")


async def test_a_crash_is_in_the_log_at_once_with_its_last_words(host: OneNode) -> None:
    await host.deploy(["sh", "-c", "echo begins; sleep 1; echo oops >&2; exit 3"])
    await host.up()
    failed = await host.cluster.wait_event(ContainerFailed)
    assert (failed.event.reason, failed.event.exit_code) == ("exited", 3)
    assert failed.event.logs == ["begins", "oops"]
    assert 0 < failed.event.ran_s < 60
    ended = host.engine.ask("GET", "/containers/shop.web.1/json")["State"]["FinishedAt"]
    assert ended.startswith("20"), "what failed stays for whoever wants to look"


async def test_health_is_in_the_log_as_it_changes(host: OneNode) -> None:
    check = Health(test=["CMD", "test", "-e", "/tmp/well"], interval_s=1.0, retries=2)
    await host.deploy(["sh", "-c", "touch /tmp/well; exec sleep 1000"], health=check)
    await host.up()
    await host.cluster.wait_event(ContainerHealthy)
    made = host.engine.ask("POST", "/containers/shop.web.1/exec", {"Cmd": ["rm", "/tmp/well"]})
    host.engine.ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})
    unhealthy = await host.cluster.wait_event(ContainerUnhealthy)
    assert unhealthy.event.streak >= 2


async def test_an_image_that_cannot_be_had_fails_in_the_registrys_words(host: OneNode) -> None:
    await host.deploy(image="127.0.0.1:1/team/app:1")
    await host.assign()
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.final) == ("image", False)
    assert "connection refused" in failed.message


async def test_what_the_nodes_policy_forbids_is_rejected(host: OneNode) -> None:
    body = {"Cmd": SLEEP, "HostConfig": {"Privileged": True}}
    await host.deploy(container=body)
    await host.assign()
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.final) == ("rejected", True)
    assert "privileged: set `privileged = true`" in failed.message


async def test_a_killed_runner_finds_everything_as_it_left_it(host: OneNode) -> None:
    await host.deploy()
    before = [(await host.up(slot=slot)).event.pid for slot in (1, 2)]
    joined = (await host.restart()).event
    assert [(held.slot, held.running) for held in joined.inventory] == [(1, True), (2, True)]
    await host.retire(slot=2)
    await host.cluster.wait_event(ContainerStopped, slot=2)
    state = host.engine.ask("GET", "/containers/shop.web.1/json")["State"]
    assert (state["Pid"], state["Running"]) == (before[0], True)
    starts = [r for r in await host.cluster.records() if isinstance(r.event, ContainerStarted)]
    assert len(starts) == 2


async def test_a_death_while_the_runner_was_away_is_told_as_it_was(host: OneNode) -> None:
    program = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
    await host.deploy(["sh", "-c", program])
    await host.up()
    await said(host, b"ready")
    host.runner.kill()
    host.engine.ask("POST", "/containers/shop.web.1/stop", t=30)
    host.cluster.start("node_runner", NODE)
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.exit_code, failed.logs) == ("exited", 5, ["ready", "bye"])


async def test_a_container_that_somebody_removes_is_told_dead(host: OneNode) -> None:
    await host.deploy()
    await host.up()
    host.engine.ask("DELETE", "/containers/shop.web.1", force=1)
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert (failed.reason, failed.exit_code) == ("exited", 137)


async def test_a_second_runner_under_one_name_is_refused_with_a_clear_word(host: OneNode) -> None:
    second = host.cluster.start("node_runner", "second", *host.runner.extra)
    assert await anyio.to_thread.run_sync(second.process.wait, 60) == 1
    assert "a runner is at work on node node-a already" in second.tail()
    assert "--node" in second.tail()
    assert host.runner.process.poll() is None


async def test_a_frozen_runner_gives_way_to_the_one_that_replaced_it(host: OneNode) -> None:
    first, head = host.runner, await host.cluster.head()
    first.send(signal.SIGSTOP)
    second = host.cluster.start("node_runner", "second", *first.extra)
    await host.cluster.wait_event(NodeJoined, after=head)
    first.send(signal.SIGCONT)
    assert await anyio.to_thread.run_sync(first.process.wait, 60) == 1
    assert "another runner has joined under this node's name" in first.tail()
    assert second.process.poll() is None
    await host.deploy()
    await host.up()


async def test_a_runner_that_is_stopped_leaves_and_its_containers_run_on(host: OneNode) -> None:
    await host.deploy()
    await host.up()
    assert await anyio.to_thread.run_sync(host.runner.stop) == 0
    await host.cluster.wait_event(NodeLeft)
    assert list(host.cluster.running()) == ["web.1"]


async def test_a_runner_stops_at_once_whatever_it_waits_for(
    host: OneNode, faulty_engine: PrivateEngine
) -> None:
    await host.deploy(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
    await host.up()
    await said(host, b"ready")
    await host.cluster.say(ContainerRetired(**host.names(1, 1), reason="scaled", grace_s=60.0))
    await anyio.sleep(0.5)  # The stop is under way; nothing tells.
    faulty_engine.freeze()
    await host.assign(slot=2)
    began = anyio.current_time()
    assert await anyio.to_thread.run_sync(host.runner.stop) == 0
    assert anyio.current_time() - began < 30.0


async def test_a_node_that_was_declared_lost_joins_again_and_keeps_what_runs(host: OneNode) -> None:
    await host.deploy()
    await host.up()
    head = await host.cluster.head()
    await host.cluster.say(NodeLost(node=NODE, silent_s=3.0))
    lost = await host.cluster.wait_event(NodeLost, after=head)
    joined = (await host.cluster.wait_event(NodeJoined, after=lost.sequence)).event
    assert joined.lost_seq == lost.sequence
    assert [held.running for held in joined.inventory] == [True]
    await host.retire()
    await host.cluster.wait_event(ContainerStopped)


async def test_an_engine_that_dies_and_comes_back_is_told_and_nothing_is_guessed(
    host: OneNode, faulty_engine: PrivateEngine
) -> None:
    await host.deploy()
    pid = (await host.up()).event.pid
    faulty_engine.kill()
    degraded = (await host.cluster.wait_event(NodeDegraded)).event
    assert degraded.reason
    await host.assign(slot=2)
    await anyio.to_thread.run_sync(faulty_engine.start)
    await host.cluster.wait_event(NodeRecovered)
    await host.cluster.wait_event(ContainerStarted, slot=2)
    assert host.engine.ask("GET", "/containers/shop.web.1/json")["State"]["Pid"] == pid
    assert not [r for r in await host.cluster.records() if isinstance(r.event, ContainerFailed)]


async def test_a_frozen_containerd_is_told_and_orders_wait_for_it(
    host: OneNode, faulty_engine: PrivateEngine
) -> None:
    await host.deploy()
    await host.up()
    faulty_engine.freeze("containerd")
    degraded = (await host.cluster.wait_event(NodeDegraded)).event
    assert "frozen" in degraded.reason
    await host.assign(slot=2)
    faulty_engine.thaw()
    await host.cluster.wait_event(NodeRecovered)
    await host.cluster.wait_event(ContainerStarted, slot=2)


@pytest.fixture
def small_engine() -> Iterator[PrivateEngine]:
    """An engine on a disk of its own, which is soon full."""
    engine = PrivateEngine()
    try:
        (engine.root / "data").mkdir(mode=0o711, parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "small", str(engine.root / "data")]
        subprocess.run(mount, check=True)
        engine.start()
        engine.load_busybox()
        yield engine
    finally:
        engine.stop()


async def test_a_node_whose_disk_is_full_says_so_and_what_it_runs_goes_on(
    tmp_path: pathlib.Path, small_engine: PrivateEngine
) -> None:
    async with one_node(tmp_path, small_engine) as host:
        await host.deploy()
        pid = (await host.up()).event.pid
        rest = small_engine.root / "data/rest"
        rest.write_bytes(bytes(disk_usage(rest.parent).free - (4 << 20)))
        degraded = (await host.cluster.wait_event(NodeDegraded)).event
        assert "its disk is full: less than 12 MiB are free at" in degraded.reason
        await host.assign(slot=2)
        refused = (await host.cluster.wait_event(ContainerFailed, slot=2)).event
        assert (refused.reason, refused.message) == ("rejected", degraded.reason)
        assert small_engine.ask("GET", "/containers/shop.web.1/json")["State"]["Pid"] == pid
        rest.unlink()
        await host.cluster.wait_event(NodeRecovered)
        await host.up(attempt=2, slot=2)


async def test_what_a_removed_app_leaves_behind_is_removed(host: OneNode) -> None:
    name = f"net-{os.getpid()}"
    app = {"networks": {"default": NetworkSpec(name=name)}}
    await host.deploy(app=app, network_mode=None, networks={"default": NetworkRef()})
    await host.up()
    await host.cluster.say(RemovalAccepted(app="shop"))
    await host.retire()
    await host.cluster.wait_event(ContainerStopped)
    assert host.engine.ask("GET", f"/networks/{name}")["Name"] == name
    await host.cluster.say(RemovalCompleted(app="shop"))
    with anyio.fail_after(60):
        with contextlib.suppress(EngineRefusedError):
            while host.engine.ask("GET", f"/networks/{name}"):
                await anyio.sleep(0.02)


async def test_a_bus_that_was_restored_from_an_older_copy_is_not_obeyed(host: OneNode) -> None:
    await host.deploy()
    await host.up()
    assert await anyio.to_thread.run_sync(host.runner.stop) == 0
    head = await host.cluster.bus.head()
    memory = host.cluster.folder / "state" / NODE / f"{head.cluster}.sequence"
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(f"{head.last + 1000}\n")
    again = host.cluster.start("node_runner", NODE)
    assert await anyio.to_thread.run_sync(again.process.wait, 60) == 1
    assert "was restored from an older copy" in again.tail()
    assert list(host.cluster.running()) == ["web.1"]
