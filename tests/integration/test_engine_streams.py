"""What flows from a real engine: logs as they are written, and programs run inside a container."""

import pathlib
from collections.abc import Callable

import anyio
import pytest
from segue.asks import Size
from segue.testing.engine import Engine as RealEngine
from segue_node_runner.effects import Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.sdk import Limits
from segue_node_runner.streams import Chunk, execution, logs

pytestmark = pytest.mark.engine
Orders = Callable[..., Start]
COUNT = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


async def test_a_log_is_read_with_its_two_outputs_apart(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(["sh", "-c", "echo out; echo err >&2"]), nothing)
    with anyio.fail_after(60):
        async with logs(node_engine.calls, "shop.web.1", follow=True) as flow:
            chunks = [chunk async for chunk in flow]
    assert sorted(chunks, key=lambda chunk: chunk.source) == [
        Chunk("stderr", b"err\n"),
        Chunk("stdout", b"out\n"),
    ]


async def test_a_log_is_followed_while_it_is_written_and_let_go(
    node_engine: Engine, order: Orders
) -> None:
    await node_engine.start(order(["sh", "-c", COUNT]), nothing)
    seen: list[bytes] = []
    with anyio.fail_after(60):
        async with logs(node_engine.calls, "shop.web.1", follow=True) as flow:
            async for chunk in flow:
                seen.append(chunk.data)
                if len(seen) == 30:
                    break
    assert seen[:2] == [b"line 1\n", b"line 2\n"]
    assert node_engine.calls.streams.borrowed_tokens == 0


async def test_only_the_end_of_a_log_is_read_when_asked_for(
    node_engine: Engine, order: Orders
) -> None:
    await node_engine.start(order(["sh", "-c", "seq 50"]), nothing)
    with anyio.fail_after(60):
        async with logs(node_engine.calls, "shop.web.1", follow=True) as flow:
            assert len([chunk async for chunk in flow]) == 50
    async with logs(node_engine.calls, "shop.web.1", tail_lines=2) as flow:
        assert b"".join([chunk.data async for chunk in flow]) == b"49\n50\n"
    found = await node_engine.find("shop.web.1")
    assert found is not None
    since_s = found.finished_at + 1
    async with logs(node_engine.calls, "shop.web.1", since_s=since_s) as flow:
        assert [chunk async for chunk in flow] == []


async def test_a_terminals_log_comes_as_it_is(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(["sh", "-c", "echo hello"], container={"Tty": True}), nothing)
    with anyio.fail_after(60):
        async with logs(node_engine.calls, "shop.web.1", follow=True) as flow:
            assert b"".join([chunk.data async for chunk in flow]) == b"hello\r\n"


async def test_a_log_of_nobody_is_an_error_in_words(node_engine: Engine) -> None:
    with pytest.raises(EngineError, match="No such container") as refused:
        async with logs(node_engine.calls, "shop.web.9"):
            raise AssertionError("there is nothing to read")
    assert refused.value.kind == "missing"


async def test_only_so_many_streams_are_read_at_once(
    docker_engine: RealEngine, order: Orders, tmp_path: pathlib.Path
) -> None:
    engine = Engine(docker_engine.url, runtime=tmp_path, limits=Limits(streams=1))
    await engine.start(order(), nothing)
    async with logs(engine.calls, "shop.web.1", follow=True):
        with pytest.raises(EngineError, match="1 logs and programs are being followed") as refused:
            async with logs(engine.calls, "shop.web.1"):
                raise AssertionError("the limit is one")
        assert refused.value.kind == "busy"
    async with logs(engine.calls, "shop.web.1") as flow:
        assert [chunk async for chunk in flow] == []


async def test_a_program_runs_inside_and_says_how_it_ended(
    node_engine: Engine, order: Orders
) -> None:
    await node_engine.start(order(), nothing)
    command = ["sh", "-c", "echo out; echo err >&2; exit 5"]
    async with execution(node_engine.calls, "shop.web.1", command) as running:
        chunks = [chunk async for chunk in running.output]
        assert await running.exit_code() == 5
    assert {chunk.source: chunk.data for chunk in chunks} == {
        "stdout": b"out\n",
        "stderr": b"err\n",
    }


async def test_a_program_inside_takes_input(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(), nothing)
    async with execution(node_engine.calls, "shop.web.1", ["tr", "a-z", "A-Z"], stdin=True) as it:
        await it.write(b"hello\n")
        it.close_input()
        assert b"".join([chunk.data async for chunk in it.output]) == b"HELLO\n"
        assert await it.exit_code() == 0


async def test_a_terminal_inside_has_a_size(node_engine: Engine, order: Orders) -> None:
    await node_engine.start(order(), nothing)
    command = ["sh", "-c", "read go; stty size"]
    async with execution(
        node_engine.calls, "shop.web.1", command, stdin=True, terminal=True
    ) as running:
        await running.resize(Size(12, 34))
        await running.write(b"\n")
        text = b"".join([chunk.data async for chunk in running.output])
    assert text.split()[-2:] == [b"12", b"34"]


async def test_a_program_in_a_dead_container_is_an_error_in_words(
    node_engine: Engine, order: Orders
) -> None:
    started = await node_engine.start(order(), nothing)
    await node_engine.stop(started.found.engine_id, 0)
    with pytest.raises(EngineError, match="is not running"):
        async with execution(node_engine.calls, "shop.web.1", ["true"]):
            raise AssertionError("it is dead")
