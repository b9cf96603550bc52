"""Containers on a real engine: they start once, end as told, and say how they ended."""

import pathlib
from collections.abc import Callable
from typing import TypeVar

import anyio
import pytest
from docker import APIClient
from segue.spec import Mount, NetworkRef, NetworkSpec, VolumeSpec
from segue.testing.engine import Engine as RealEngine
from segue.testing.engine import PrivateEngine
from segue_node_runner import streams
from segue_node_runner.effects import RemoveApp, Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.facts import condition, facts
from segue_node_runner.inventory import Found
from segue_node_runner.policy import Policy
from segue_node_runner.sdk import Limits

pytestmark = pytest.mark.engine
Orders = Callable[..., Start]
T = TypeVar("T")


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


async def ended(engine: Engine, container: str) -> Found:
    """Look until the container has ended."""
    with anyio.fail_after(60):
        while True:
            found = await engine.find(container)
            assert found is not None
            if found.ended:
                return found
            await anyio.sleep(0.01)


async def ready(engine: Engine) -> None:
    """Wait until the program has said that it deals with signals."""
    with anyio.fail_after(60):
        while await streams.tail(engine.calls, "shop.web.1") != ["ready"]:
            await anyio.sleep(0.01)


async def test_a_container_starts_and_says_what_it_is(
    node_engine: Engine, order: Orders, docker_engine: RealEngine
) -> None:
    started = await node_engine.start(order(attempt=6), nothing)
    assert not started.adopted
    assert started.found.state == "running"
    assert started.found.pid > 0
    body = docker_engine.ask("GET", "/containers/shop.web.1/json")
    assert body["Image"] == started.found.image, "it runs by what the name meant at its start"
    assert body["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert body["HostConfig"]["Init"] is True
    assert "SEGUE_ATTEMPT=6" in body["Config"]["Env"]
    assert body["Config"]["Labels"]["segue.correlation"] == "correlation-id"


async def test_a_start_said_again_finds_what_runs(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    first = await node_engine.start(order(), nothing)
    again = await node_engine.start(order(), nothing)
    assert again.adopted
    assert again.found.engine_id == first.found.engine_id
    assert again.found.pid == first.found.pid
    assert len(await node_engine.list_ours(cluster)) == 1


async def test_a_start_goes_on_where_an_earlier_one_came_to(
    node_engine: Engine, order: Orders, docker_engine: RealEngine
) -> None:
    await node_engine.start(order(), nothing)
    made = docker_engine.ask("GET", "/containers/shop.web.1/json")
    docker_engine.ask("DELETE", "/containers/shop.web.1", force=1)
    body = made["Config"] | {"HostConfig": made["HostConfig"]}
    half = docker_engine.ask("POST", "/containers/create", body, name="shop.web.1")
    started = await node_engine.start(order(), nothing)
    assert started.found.engine_id == half["Id"]
    assert started.found.runs


async def test_a_stopped_container_tells_its_exit_code_and_its_time(
    node_engine: Engine, order: Orders
) -> None:
    trap = ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done"]
    started = await node_engine.start(order(trap), nothing)
    await ready(node_engine)
    stopped = await node_engine.stop(started.found.engine_id, 10)
    assert (stopped.exit_code, stopped.killed) == (3, False)
    assert stopped.ran_s > 0


async def test_a_container_that_ignores_its_stop_signal_is_killed(
    node_engine: Engine, order: Orders
) -> None:
    deaf = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done"]
    started = await node_engine.start(order(deaf), nothing)
    await ready(node_engine)
    stopped = await node_engine.stop(started.found.engine_id, 1)
    assert (stopped.exit_code, stopped.killed) == (137, True)
    again = await node_engine.stop(started.found.engine_id, 1)
    assert again.exit_code == 137, "a stop may be said twice"


async def test_a_crash_leaves_its_exit_code_and_its_last_words(
    node_engine: Engine, order: Orders
) -> None:
    words = f"for i in $(seq 30); do echo line $i; done; echo {'x' * 600}; exit 7"
    await node_engine.start(order(["sh", "-c", words]), nothing)
    found = await ended(node_engine, "shop.web.1")
    assert (found.exit_code, found.oom) == (7, False)
    tail = await streams.tail(node_engine.calls, "shop.web.1")
    assert len(tail) == 20
    assert tail[-1] == "x" * 500
    assert tail[-2] == "line 30"


async def test_a_container_that_takes_too_much_memory_is_reported_as_that(
    node_engine: Engine, order: Orders
) -> None:
    limits = {"HostConfig": {"Memory": 8 << 20, "MemorySwap": 8 << 20}}
    # The engine learns nothing of what is killed before it looks, some ms after the start, nor of a
    # kill that its containerd tells it after the end: so the container outlives its child a while.
    greedy = ["sh", "-c", "sleep 0.5; tail /dev/zero; sleep 0.5; exit 137"]
    await node_engine.start(order(greedy, container=limits), nothing)
    found = await ended(node_engine, "shop.web.1")
    assert found.oom


async def test_a_dead_attempt_makes_way_and_keeps_its_log(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    first = await node_engine.start(order(["sh", "-c", "echo one; exit 1"]), nothing)
    await ended(node_engine, "shop.web.1")
    second = await node_engine.start(order(attempt=2), nothing)
    assert second.found.name == "shop.web.1"
    past = await node_engine.find_attempt(cluster, order().identity)
    assert past is not None
    assert past.engine_id == first.found.engine_id
    assert past.name == f"shop.web.1.1.{past.engine_id[:12]}"
    assert await streams.tail(node_engine.calls, past.engine_id) == ["one"]
    await node_engine.remove(past.engine_id)
    await node_engine.remove(past.engine_id)
    left = [one.engine_id for one in await node_engine.list_ours(cluster)]
    assert left == [second.found.engine_id], "a removal may be said twice"


async def test_an_engine_never_runs_a_slot_twice(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(), nothing)
    with pytest.raises(EngineError, match=r"attempt 1 of shop.web.1 still runs here") as refused:
        await node_engine.start(order(attempt=2), nothing)
    assert (refused.value.kind, refused.value.final) == ("occupied", False)


async def test_an_order_that_is_over_changes_nothing(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(attempt=5), nothing)
    with pytest.raises(EngineError, match="has attempt 5 here; 4 is over") as refused:
        await node_engine.start(order(attempt=4), nothing)
    assert (refused.value.kind, refused.value.final) == ("stale", False)


async def test_a_name_that_somebody_else_uses_is_left_alone(
    node_engine: Engine, order: Orders, docker_engine: RealEngine, cluster: str
) -> None:
    body = {"Image": "busybox:test", "Labels": {"test.owner": cluster}}
    theirs = docker_engine.ask("POST", "/containers/create", body, name="shop.web.1")
    try:
        with pytest.raises(EngineError, match="of someone else is on this engine: remove or"):
            await node_engine.start(order(), nothing)
        assert docker_engine.ask("GET", f"/containers/{theirs['Id']}/json")["Name"] == "/shop.web.1"
    finally:
        docker_engine.ask("DELETE", f"/containers/{theirs['Id']}")


async def test_a_program_that_is_not_there_is_a_final_failure(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    bare = {"HostConfig": {"Init": False}}  # An init process would be what starts.
    with pytest.raises(EngineError, match="no-such-program") as refused:
        await node_engine.start(order(["no-such-program"], container=bare), nothing)
    assert (refused.value.step, refused.value.final) == ("start", True)
    assert await node_engine.list_ours(cluster) == [], "what never ran leaves nothing behind"


async def test_a_create_call_that_makes_no_sense_is_a_final_failure(
    node_engine: Engine, order: Orders
) -> None:
    with pytest.raises(EngineError) as refused:
        await node_engine.start(order(container={"HostConfig": {"Memory": 17}}), nothing)
    assert (refused.value.step, refused.value.final) == ("create", True)
    assert "Minimum memory limit" in refused.value.message


async def test_the_nodes_policy_has_the_last_word(
    docker_engine: RealEngine, order: Orders, tmp_path: pathlib.Path
) -> None:
    strict = Engine(docker_engine.url, runtime=tmp_path, allowed=Policy())
    fragment = {"HostConfig": {"Privileged": True}}
    with pytest.raises(EngineError, match="privileged: set `privileged = true`") as refused:
        await strict.start(order(container=fragment), nothing)
    assert (refused.value.step, refused.value.kind) == ("policy", "forbidden")


async def test_removing_an_app_leaves_other_apps_and_its_volumes_unless_told(
    node_engine: Engine, order: Orders, cluster: str, docker_engine: RealEngine
) -> None:
    app = {
        "networks": {"default": NetworkSpec(name=f"{cluster}_default")},
        "volumes": {"data": VolumeSpec(name=f"{cluster}_data")},
    }
    runs = {
        "app": app,
        "networks": {"default": NetworkRef()},
        "mounts": [Mount(kind="volume", source="data", target="/data")],
    }
    started = await node_engine.start(order(**runs), nothing)
    assert await node_engine.commons.owners(cluster) == (["shop"], ["shop"])
    await node_engine.stop(started.found.engine_id, 1)
    await node_engine.remove(started.found.engine_id)
    await node_engine.remove_app(RemoveApp(cluster=cluster, app="other", volumes=True))
    assert await node_engine.commons.owners(cluster) == (["shop"], ["shop"])
    await node_engine.remove_app(RemoveApp(cluster=cluster, app="shop"))
    assert await node_engine.commons.owners(cluster) == ([], ["shop"]), "volumes stay"
    await node_engine.remove_app(RemoveApp(cluster=cluster, app="shop", volumes=True))
    assert await node_engine.commons.owners(cluster) == ([], [])


async def test_starts_are_bound_and_all_come_up(
    docker_engine: RealEngine,
    order: Orders,
    cluster: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(quick_s=60.0, start_s=120.0)
    engine = Engine(docker_engine.url, runtime=tmp_path, limits=limits)
    most, now = 0, 0
    begin = engine.calls.start

    async def counted(ask: Callable[[APIClient], T]) -> T:
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            return await begin(ask)
        finally:
            now -= 1

    monkeypatch.setattr(engine.calls, "start", counted)
    async with anyio.create_task_group() as tasks:
        for slot in range(1, 31):
            tasks.start_soon(engine.start, order(slot=slot), nothing)
    assert most == engine.calls.limits.starts
    assert sum(one.runs for one in await engine.list_ours(cluster)) == 30


async def test_a_node_says_what_it_has(node_engine: Engine, docker_engine: RealEngine) -> None:
    found = await facts(node_engine.calls)
    assert found.cpu_millicores >= 1000
    assert found.memory_bytes > 1 << 28
    assert found.disk_bytes > 0
    assert found.platform.startswith("linux/")
    assert "API 1." in found.engine
    assert "busybox:test" in found.images
    if isinstance(docker_engine, PrivateEngine):
        assert found.live_restore is docker_engine.live_restore


async def test_an_engine_that_works_is_well(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    assert (await condition(node_engine.calls, cluster)).state == "well"
    await node_engine.start(order(), nothing)
    assert (await condition(node_engine.calls, cluster)).state == "well"


async def test_another_clusters_dead_container_blocks_no_replacement(
    node_engine: Engine, order: Orders, docker_engine: RealEngine
) -> None:
    """A log that began anew leaves dead containers under the names that its successor uses."""
    first = await node_engine.start(order(["true"]), nothing)
    await ended(node_engine, first.found.engine_id)
    taken = f"{first.found.name}.1"
    body = {"Image": order().runs.image, "Cmd": ["true"]}
    foreign = docker_engine.ask("POST", "/containers/create", body, name=taken)["Id"]
    try:
        second = await node_engine.start(order(attempt=2), nothing)
        assert second.found.runs
    finally:
        docker_engine.ask("DELETE", f"/containers/{foreign}", force=1)
