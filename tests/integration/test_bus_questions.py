"""Questions and their answers over a real server, also when one side is gone in the middle."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import anyio
import pytest
from segue.bus import (
    AnswerError,
    Bus,
    BusError,
    BusTimeoutError,
    NobodyAnswersError,
    Settings,
    connect,
)
from segue.testing.nats_server import NatsServer
from segue.testing.wire_proxy import WireProxy


@pytest.fixture
async def asker(nats: NatsServer) -> AsyncIterator[Bus]:
    """Another program on the same bus."""
    async with await connect(Settings(url=nats.url), name="asker") as bus:
        yield bus


async def echo(data: bytes) -> bytes:
    return data[::-1]


async def gathered(pieces: AsyncGenerator[bytes, None]) -> list[bytes]:
    return [piece async for piece in pieces]


async def test_what_is_said_is_heard_by_who_listens(bus: Bus, asker: Bus) -> None:
    with bus.listen("beat.*.node-a") as listening:
        await bus._connection.barrier()
        await asker.say("beat.node.node-b", b"not for us")
        await asker.say("beat.node.node-a", b"1")
        assert await anext(listening) == ("beat.node.node-a", b"1")


async def test_a_slow_listener_loses_the_oldest_and_knows_how_many(bus: Bus) -> None:
    with bus.listen("beat.>", room=3) as listening:
        for number in range(10):
            await bus.say("beat.x", b"%d" % number)
        await bus._connection.barrier()
        assert [(await anext(listening))[1] for _ in range(3)] == [b"7", b"8", b"9"]
        assert listening.dropped == 7


async def test_a_closed_listener_ends(bus: Bus) -> None:
    listening = bus.listen("beat.>")
    waiting = asyncio.create_task(anext(listening, None))
    await asyncio.sleep(0)
    listening.close()
    assert await waiting is None


async def test_closing_the_bus_ends_what_listens_and_serves(nats: NatsServer) -> None:
    bus = await connect(Settings(url=nats.url), name="short")
    listening = asyncio.create_task(anext(bus.listen("beat.>"), None))
    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.echo", echo)
        await bus.close()
    assert await listening is None


async def test_a_loop_over_what_is_heard_leaves_no_subscription_behind(bus: Bus) -> None:
    async def hear() -> None:
        async for _ in bus.listen("beat.>"):
            pass

    before = len(bus._connection._subs)
    with anyio.move_on_after(0.01):
        await hear()
    await asyncio.sleep(0.01)  # The interpreter holds on to a cancelled frame for a turn.
    gc.collect()
    assert len(bus._connection._subs) == before


async def test_a_question_is_answered(bus: Bus, asker: Bus) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.echo", echo)
        assert await asker.ask("rpc.echo", b"abc") == b"cba"
        answers = [asker.ask("rpc.echo", b"%d" % number) for number in range(300)]
        assert await asyncio.gather(*answers) == [(b"%d" % n)[::-1] for n in range(300)]
        tasks.cancel_scope.cancel()


async def test_a_question_to_nobody_is_known_to_be_one_at_once(bus: Bus) -> None:
    began = time.monotonic()
    with pytest.raises(NobodyAnswersError, match=r"nobody serves rpc\.nowhere"):
        await bus.ask("rpc.nowhere", timeout_s=100)
    with pytest.raises(NobodyAnswersError, match=r"nobody serves rpc\.nowhere"):
        await gathered(bus.ask_stream("rpc.nowhere"))
    assert time.monotonic() - began < 30


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(bus: Bus) -> None:
    async def never(_data: bytes) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.never", never)
        with pytest.raises(BusTimeoutError, match=r"no answer on rpc\.never within 0\.1 s"):
            await bus.ask("rpc.never", timeout_s=0.1)
        tasks.cancel_scope.cancel()


async def test_of_several_who_share_a_queue_one_answers(bus: Bus, asker: Bus) -> None:
    asked: list[bytes] = []

    async def note(data: bytes) -> bytes:
        asked.append(data)
        return data

    async with anyio.create_task_group() as tasks:
        for one in (bus, asker):
            for _ in range(2):
                await tasks.start(
                    lambda *, task_status, b=one: b.serve(
                        "rpc.shared", note, queue="all", task_status=task_status
                    )
                )
        for number in range(20):
            await bus.ask("rpc.shared", b"%d" % number)
        await bus._connection.barrier()
        tasks.cancel_scope.cancel()
    assert asked == [b"%d" % number for number in range(20)]


async def test_what_goes_wrong_in_a_handler_costs_one_answer(bus: Bus) -> None:
    async def handle(data: bytes) -> bytes:
        match data:
            case b"secret":
                raise RuntimeError("the password is hunter2")
            case b"wrong":
                raise AnswerError("there is no container web.9;\r\nweb has 3 slots")
            case b"large":
                return b"x" * 2_000_000
        return b"fine"

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.x", handle)
        with pytest.raises(AnswerError, match=r"failed \(RuntimeError\); its own log") as leaked:
            await bus.ask("rpc.x", b"secret")
        assert "hunter2" not in str(leaked.value)
        with pytest.raises(AnswerError, match=r"no container web\.9;  web has 3 slots"):
            await bus.ask("rpc.x", b"wrong")
        with pytest.raises(AnswerError, match="2000000 bytes"):
            await bus.ask("rpc.x", b"large")
        assert await bus.ask("rpc.x") == b"fine"
        tasks.cancel_scope.cancel()


async def test_a_question_cannot_make_its_answerer_write_elsewhere(bus: Bus) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.echo", echo)
        bus._connection.send("rpc.echo", b"forged", reply="load.high.forged")
        assert await bus.ask("rpc.echo", b"abc") == b"cba"
        tasks.cancel_scope.cancel()
    assert (await bus.head()).last == 0


async def test_answers_go_on_after_the_server_was_killed(nats: NatsServer, bus: Bus) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.echo", echo)
        nats.restart(kill=True)
        await bus.until(connected=False)
        assert await bus.ask("rpc.echo", b"abc") == b"cba"
        tasks.cancel_scope.cancel()


async def test_an_answer_comes_in_pieces_to_its_end(bus: Bus, asker: Bus) -> None:
    async def count(data: bytes) -> AsyncGenerator[bytes, None]:
        for number in range(int(data)):
            yield b"%d" % number

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.count", count)
        for length in (0, 1, 20_000):
            pieces = await gathered(asker.ask_stream("rpc.count", b"%d" % length))
            assert pieces == [b"%d" % number for number in range(length)]
        tasks.cancel_scope.cancel()


async def test_an_answer_in_one_piece_is_a_stream_of_one(bus: Bus) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve, "rpc.echo", echo)
        assert await gathered(bus.ask_stream("rpc.echo", b"abc")) == [b"cba"]
        tasks.cancel_scope.cancel()


async def test_who_answers_in_pieces_says_so_to_who_asks_for_one(bus: Bus) -> None:
    async def none(_data: bytes) -> AsyncGenerator[bytes, None]:
        return
        yield b""

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.pieces", none)
        with pytest.raises(AnswerError, match="answers in pieces"):
            await bus.ask("rpc.pieces")
        tasks.cancel_scope.cancel()


async def test_an_error_comes_after_the_pieces_before_it(bus: Bus) -> None:
    async def broken(data: bytes) -> AsyncGenerator[bytes, None]:
        yield b"a"
        if data == b"ours":
            raise AnswerError("the container is gone")
        raise RuntimeError("the password is hunter2")

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.broken", broken)
        for data, text in ((b"ours", "the container is gone"), (b"", "failed .RuntimeError.;")):
            async with aclosing(bus.ask_stream("rpc.broken", data)) as pieces:
                assert await anext(pieces) == b"a"
                with pytest.raises(AnswerError, match=text):
                    await anext(pieces)
        tasks.cancel_scope.cancel()


async def test_leaving_an_answer_stops_its_answerer(
    bus: Bus, asker: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.answers.SILENCE_S", 300.0)
    stopped = anyio.Event()

    async def endless(_data: bytes) -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.endless", endless)
        async with aclosing(asker.ask_stream("rpc.endless")) as pieces:
            assert await anext(pieces) == b"first"
        with anyio.fail_after(60):
            await stopped.wait()
        tasks.cancel_scope.cancel()


async def test_a_slow_reader_holds_the_answerer_back_and_loses_nothing(
    bus: Bus, asker: Bus
) -> None:
    made = 0

    async def flood(_data: bytes) -> AsyncGenerator[bytes, None]:
        nonlocal made
        for _ in range(200):
            made += 1
            yield b"x" * 100_000

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.flood", flood)
        async with aclosing(asker.ask_stream("rpc.flood")) as pieces:
            await anext(pieces)
            await asyncio.sleep(0.3)
            assert made < 20
            assert len([piece async for piece in pieces]) == 199
        tasks.cancel_scope.cancel()


async def test_a_quiet_answerer_is_not_taken_for_a_dead_one(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.answers.BEAT_EVERY_S", 0.1)
    monkeypatch.setattr("segue.bus.answers.SILENCE_S", 3.0)

    async def quiet(_data: bytes) -> AsyncGenerator[bytes, None]:
        await anyio.sleep(4.0)
        yield b"at last"

    async with anyio.create_task_group() as tasks:
        await tasks.start(bus.serve_stream, "rpc.quiet", quiet)
        assert await gathered(bus.ask_stream("rpc.quiet")) == [b"at last"]
        tasks.cancel_scope.cancel()


ANSWERER = textwrap.dedent(
    """
    import sys, anyio
    from segue.bus import Settings, connect

    async def main():
        async def forever(data):
            yield b"alive"
            await anyio.sleep_forever()

        async with await connect(Settings(url=sys.argv[1]), name="answerer") as bus:
            async with anyio.create_task_group() as tasks:
                await tasks.start(bus.serve_stream, "rpc.forever", forever)
                print("ready", flush=True)

    anyio.run(main)
    """
)


async def test_a_dead_answerer_is_noticed_within_seconds(nats: NatsServer, bus: Bus) -> None:
    command = [sys.executable, "-c", ANSWERER, nats.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as answerer:
        try:
            assert answerer.stdout is not None
            assert await anyio.to_thread.run_sync(answerer.stdout.readline) == b"ready\n"
            async with aclosing(bus.ask_stream("rpc.forever")) as pieces:
                assert await anext(pieces) == b"alive"
                answerer.kill()
                began = time.monotonic()
                with pytest.raises(BusTimeoutError, match=r"rpc\.forever broke off"):
                    await anext(pieces)
                assert time.monotonic() - began < 15
        finally:
            answerer.kill()


async def test_the_answerer_of_an_asker_that_died_stops(
    nats: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.answers.SILENCE_S", 0.4)
    monkeypatch.setattr("segue.bus.answers.BEAT_EVERY_S", 0.1)
    stopped = anyio.Event()

    async def endless(_data: bytes) -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await anyio.sleep_forever()
        finally:
            stopped.set()

    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="cut off") as asker,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(bus.serve_stream, "rpc.endless", endless)
        async with aclosing(asker.ask_stream("rpc.endless")) as pieces:
            await anext(pieces)
            wire.hold()
            with anyio.fail_after(60):
                await stopped.wait()
            wire.release()
        tasks.cancel_scope.cancel()


async def test_a_lost_piece_is_an_error_and_never_a_hole(nats: NatsServer, bus: Bus) -> None:
    go_on, lost = anyio.Event(), anyio.Event()

    def lose(data: bytes) -> bytes:
        if b"piece 2" in data:
            lost.set()
            return b""
        return data

    async def three(_data: bytes) -> AsyncGenerator[bytes, None]:
        yield b"piece 1"
        await go_on.wait()
        yield b"piece 2"
        await lost.wait()
        yield b"piece 3"

    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="cut off") as asker,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(bus.serve_stream, "rpc.three", three)
        async with aclosing(asker.ask_stream("rpc.three")) as pieces:
            assert await anext(pieces) == b"piece 1"
            wire.to_client = lose
            go_on.set()
            with pytest.raises(BusError, match=r"a piece of the answer on rpc\.three was lost"):
                await anext(pieces)
        tasks.cancel_scope.cancel()
