"""News from a real engine: told at once, in order, and across the engine's own faults."""

import os
import pathlib
import signal
from collections.abc import Callable

import anyio
import msgspec
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream
from segue.spec import Health
from segue.testing.engine import Engine as RealEngine
from segue.testing.engine import PrivateEngine
from segue_node_runner.beside import beside
from segue_node_runner.body import Ground, create_body
from segue_node_runner.effects import Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.facts import condition
from segue_node_runner.news import Away, Died, Gone, HealthChanged, News, Resync, Running
from segue_node_runner.sdk import Limits
from segue_node_runner.watch import _Actor, _Event, _Watch, watched

pytestmark = pytest.mark.engine
Orders = Callable[..., Start]


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


async def next_news(news: MemoryObjectReceiveStream[News]) -> News:
    with anyio.fail_after(60):
        return await news.receive()


async def test_a_crash_is_told_with_everything_about_it(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    crash = order(["sh", "-c", "echo oops >&2; sleep 1; exit 3"], attempt=4)
    async with watched(node_engine, cluster) as news:
        assert await next_news(news) == Resync()
        started = await node_engine.start(crash, nothing)
        assert isinstance(await next_news(news), Running)
        died = await next_news(news)
        assert isinstance(died, Died)
        assert died.identity == crash.identity
        assert (died.exit_code, died.oom, died.logs) == (3, False, ["oops"])
        assert 0 < died.ran_s < 60  # The engine notes the start a little late.
        await node_engine.remove(started.found.engine_id)
        assert isinstance(await next_news(news), Gone)


async def test_memory_is_named_as_the_cause_of_death(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    limits = {"HostConfig": {"Memory": 8 << 20, "MemorySwap": 8 << 20}}
    async with watched(node_engine, cluster) as news:
        await next_news(news)
        # The engine learns nothing of what is killed before it looks, some ms after the start.
        greedy = order(
            ["sh", "-c", "sleep 0.5; tail /dev/zero; sleep 0.5; exit 137"], container=limits
        )
        await node_engine.start(greedy, nothing)
        while not isinstance(died := await next_news(news), Died):
            pass
        assert died.oom


async def test_events_whose_times_are_out_of_order_are_all_told_and_none_twice(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    send, news = anyio.create_memory_object_stream[News](100)
    async with send, news, beside() as tasks:
        watch = _Watch(node_engine, cluster, send, tasks)
        orders = {number: order(["true"], attempt=number) for number in (1, 2, 3)}
        for number in (2, 1, 3, 1, 2):  # The engine's clock may also be set back.
            marks = create_body(orders[number], Ground("1.47"), image="x", files=[])["Labels"]
            watch._take(_Event("start", _Actor(f"id-{number}", marks), 10**18 + number))
        told = [await next_news(news) for _ in orders]
        assert [one.identity.attempt for one in told if isinstance(one, Running)] == [2, 1, 3]
        await anyio.wait_all_tasks_blocked()
        assert not news.statistics().current_buffer_used


@pytest.mark.parametrize("lacks", [True, False])
async def test_a_lack_of_memory_that_is_told_of_after_the_end_is_its_cause(
    node_engine: Engine,
    order: Orders,
    cluster: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lacks: bool,
) -> None:
    monkeypatch.setattr("segue_node_runner.watch.OOM_WORD_S", 60.0 if lacks else 0.01)
    limits = {"HostConfig": {"Memory": 64 << 20, "MemorySwap": 64 << 20, "Init": False}}
    send, news = anyio.create_memory_object_stream[News](100)
    async with send, news, beside() as tasks:
        watch = _Watch(node_engine, cluster, send, tasks)
        tasks.start_soon(watch.run)
        assert await next_news(news) == Resync()
        started = await node_engine.start(order(["sleep", "1000"], container=limits), nothing)
        assert isinstance(await next_news(news), Running)
        os.kill(started.found.pid, signal.SIGKILL)
        if lacks:
            while not watch._turns:  # Its end is being looked into.
                await anyio.sleep(0.001)
            late = _Actor(started.found.engine_id)  # As the engine tells of it.
            watch._take(_Event(action="oom", actor=late, nanos=watch._nanos + 1))
        died = await next_news(news)
        assert isinstance(died, Died)
        assert (died.exit_code, died.oom) == (137, lacks)
        watch.close()


async def test_health_is_told_when_it_changes(
    node_engine: Engine, order: Orders, cluster: str, docker_engine: RealEngine
) -> None:
    check = Health(
        test=["CMD-SHELL", "test -e /tmp/well || { echo not well; exit 1; }"],
        interval_s=1.0,
        timeout_s=30.0,
        retries=2,
    )
    script = "touch /tmp/well; sleep 1000"
    async with watched(node_engine, cluster) as news:
        await next_news(news)
        started = await node_engine.start(order(["sh", "-c", script], health=check), nothing)
        assert isinstance(await next_news(news), Running)
        well = await next_news(news)
        assert isinstance(well, HealthChanged)
        assert well.healthy
        command = {"Cmd": ["rm", "/tmp/well"]}
        made = docker_engine.ask("POST", f"/containers/{started.found.engine_id}/exec", command)
        docker_engine.ask("POST", f"/exec/{made['Id']}/start", {"Detach": True})
        ill = await next_news(news)
        assert isinstance(ill, HealthChanged)
        assert (ill.healthy, ill.output.strip()) == (False, "not well")
        assert ill.streak >= 2, "it may have failed again before it was looked at"


async def test_a_container_removed_by_force_is_told_dead_and_then_gone(
    node_engine: Engine, order: Orders, cluster: str, docker_engine: RealEngine
) -> None:
    async with watched(node_engine, cluster) as news:
        await next_news(news)
        await node_engine.start(order(), nothing)
        assert isinstance(await next_news(news), Running)
        docker_engine.ask("DELETE", "/containers/shop.web.1", force=1)
        died = await next_news(news)
        assert isinstance(died, Died)
        assert died.exit_code == 137
        assert isinstance(await next_news(news), Gone)


async def test_another_clusters_containers_are_no_news(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    async with watched(node_engine, f"{cluster}-other") as others:
        await next_news(others)
        async with watched(node_engine, cluster) as news:
            await next_news(news)
            await node_engine.start(order(), nothing)
            assert isinstance(await next_news(news), Running)
        assert others.statistics().current_buffer_used == 0


async def test_an_engine_that_is_killed_and_comes_back_leaves_containers_running(
    faulty_engine: PrivateEngine, node_engine: Engine, order: Orders, cluster: str
) -> None:
    async with watched(node_engine, cluster) as news:
        assert await next_news(news) == Resync()
        before = await node_engine.start(order(), nothing)
        assert isinstance(await next_news(news), Running)
        faulty_engine.kill()
        assert isinstance(await next_news(news), Away)
        assert (await condition(node_engine.calls, cluster)).state == "away"
        with pytest.raises(EngineError) as refused:
            await node_engine.list_ours(cluster)
        assert refused.value.kind == "away"
        await anyio.to_thread.run_sync(faulty_engine.start)
        assert await next_news(news) == Resync()
        [after] = await node_engine.list_ours(cluster)
        assert (after.pid, after.started_at) == (before.found.pid, before.found.started_at)
        assert (await condition(node_engine.calls, cluster)).state == "well"
        await node_engine.stop(after.engine_id, 0)
        assert isinstance(await next_news(news), Died)


async def test_a_death_while_the_engine_is_away_is_found_afterwards(
    faulty_engine: PrivateEngine, node_engine: Engine, order: Orders, cluster: str
) -> None:
    before = await node_engine.start(order(), nothing)
    faulty_engine.kill()
    os.kill(before.found.pid, signal.SIGKILL)
    await anyio.to_thread.run_sync(faulty_engine.start)
    with anyio.fail_after(60):
        while not (found := (await node_engine.list_ours(cluster))[0]).ended:
            await anyio.sleep(0.02)
    assert found.exit_code == 137


async def test_a_frozen_containerd_is_found_out_although_the_engine_answers(
    faulty_engine: PrivateEngine,
    docker_engine: RealEngine,
    node_engine: Engine,
    order: Orders,
    cluster: str,
) -> None:
    await node_engine.start(order(), nothing)
    faulty_engine.freeze("containerd")
    with anyio.fail_after(60):
        found = await condition(node_engine.calls, cluster)
    assert found.state == "frozen"
    assert docker_engine.ask("GET", "/_ping") == b"OK"


async def test_a_frozen_engine_is_told_from_one_that_is_away(
    faulty_engine: PrivateEngine, node_engine: Engine, order: Orders, cluster: str
) -> None:
    await node_engine.start(order(), nothing)
    faulty_engine.freeze()
    with anyio.fail_after(60):
        assert (await condition(node_engine.calls, cluster)).state == "frozen"
        with pytest.raises(EngineError) as refused:
            await node_engine.find("shop.web.1")
    assert refused.value.kind == "timeout"


async def test_a_start_without_an_answer_may_have_worked_and_is_not_made_twice(
    faulty_engine: PrivateEngine, order: Orders, cluster: str, tmp_path: pathlib.Path
) -> None:
    limits = Limits(quick_s=60.0, start_s=60.0)
    engine = Engine(faulty_engine.url, runtime=tmp_path, limits=limits)
    await engine.start(order(slot=2), nothing)  # Everything a start needs is known and there.
    engine.calls.limits = msgspec.structs.replace(limits, start_s=2.0)
    faulty_engine.freeze("containerd")
    with pytest.raises(EngineError) as unknown:
        await engine.start(order(), nothing)
    assert (unknown.value.kind, unknown.value.step) == ("timeout", "start")
    faulty_engine.thaw()
    engine.calls.limits = limits
    async with watched(engine, cluster) as news:
        await next_news(news)
        started = await engine.start(order(), nothing)
    assert started.found.runs
    names = [one.name for one in await engine.list_ours(cluster)]
    assert names == ["shop.web.1", "shop.web.2"]


async def test_a_dead_containerd_is_found_out(
    faulty_engine: PrivateEngine, node_engine: Engine, order: Orders, cluster: str
) -> None:
    assert (await condition(node_engine.calls, cluster)).state == "well"
    faulty_engine.kill("containerd")
    assert (await condition(node_engine.calls, cluster)).state == "frozen"
    faulty_engine.start_containerd()
    with anyio.fail_after(60):
        while (await condition(node_engine.calls, cluster)).state != "well":
            await anyio.sleep(0.05)
    assert (await node_engine.start(order(), nothing)).found.runs
