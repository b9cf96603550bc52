"""The connection against a real server: whatever arrives or breaks, it goes on by itself."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from segue.bus import (
    Bus,
    BusTimeoutError,
    BusTooOldError,
    BusUnreachableError,
    Settings,
    connect,
)
from segue.envelope import MAX_BYTES
from segue.log import Message, Stored
from segue.testing.nats_server import NatsServer
from segue.testing.ports import free_port
from segue.testing.wire_proxy import WireProxy


async def say_raw(server: NatsServer, *lines: bytes) -> None:
    """Speak the protocol by hand, as a client in another language with no scruples might."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    hello = b'CONNECT {"verbose":false,"headers":true}\r\n'
    writer.write(hello + b"".join(line + b"\r\n" for line in lines) + b"PING\r\n")
    while (line := await reader.readline()) != b"PONG\r\n":
        assert line, "the server has refused these bytes"
    writer.close()
    await writer.wait_closed()


async def stored(bus: Bus, count: int) -> list[Stored]:
    """Read the log once it holds so many: what is said by hand is stored a moment later."""
    with anyio.fail_after(60):
        while (await bus.head()).last < count:
            await asyncio.sleep(0.002)
    return [message async for message in bus.read()]


def header_message(subject: bytes, headers: bytes) -> bytes:
    return b"HPUB %s %d %d\r\n%s" % (subject, len(headers), len(headers), headers)


async def test_an_answer_to_a_ping_nobody_waits_for_any_more_does_no_harm(
    nats: NatsServer, bus: Bus
) -> None:
    nats.freeze()
    with pytest.raises(BusTimeoutError):
        await bus._connection.barrier(timeout_s=0.2)
    nats.thaw()
    await bus._connection.barrier()
    assert bus._connection.times_up == 1


@pytest.mark.parametrize("subject", [b"beat.\xff\xfe", b"beat.a\x0bb", b"beat.a\x01\x7f"])
async def test_a_subject_of_strange_bytes_is_heard_like_any_other(
    nats: NatsServer, bus: Bus, subject: bytes
) -> None:
    with bus.listen("beat.>") as listening:
        await bus._connection.barrier()
        await say_raw(nats, b"PUB %s 2\r\nhi" % subject, b"PUB beat.plain 2\r\nho")
        assert await anext(listening) == (subject.decode("utf-8", "replace"), b"hi")
        assert await anext(listening) == ("beat.plain", b"ho")
    assert bus._connection.times_up == 1


@pytest.mark.parametrize("subject", [b"load.\xff\xfe", b"load.a\x0bb", b"load.*", b"load.a\x01"])
async def test_a_stored_subject_of_strange_bytes_stops_no_follower(
    nats: NatsServer, bus: Bus, subject: bytes
) -> None:
    await say_raw(nats, b"PUB %s 2\r\nhi" % subject, b"PUB load.plain 2\r\nho")
    got = await stored(bus, 2)
    assert [message.data for message in got] == [b"hi", b"ho"]
    assert got[0].subject == subject.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "headers",
    [
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: \xff\r\nno colon here\r\n: no name\r\n\r\n",
        b"NATS",
        b"\r\n\r\n",
    ],
)
async def test_headers_that_are_none_cost_nothing(
    nats: NatsServer, bus: Bus, headers: bytes
) -> None:
    with bus.listen("load.>") as listening:
        await bus._connection.barrier()
        await say_raw(nats, header_message(b"load.x", headers), b"PUB load.x 2\r\nho")
        assert [(await anext(listening))[1] for _ in range(2)] == [b"", b"ho"]
    assert [message.data for message in await stored(bus, 2)] == [b"", b"ho"]
    assert bus._connection.times_up == 1


async def test_a_stranger_in_a_followers_inbox_is_not_believed(nats: NatsServer, bus: Bus) -> None:
    async with aclosing(bus.follow(0)) as stretches:
        assert (await anext(stretches)).caught
        inbox = asyncio.get_running_loop().create_future()

        def overhear(subject: bytes, _reply: bytes, headers: bytes, _data: bytes) -> None:
            if b"Idle Heartbeat" in headers and not inbox.done():
                inbox.set_result(subject)

        bus._connection.attach("_INBOX.>", overhear)
        waiting = asyncio.create_task(anext(stretches))
        subject = await inbox
        with bus.listen("load.stolen") as stolen:
            await say_raw(
                nats,
                b"PUB %s 5\r\nhello" % subject,
                b"PUB %s load.stolen 5\r\nhello" % subject,
                b"PUB %s $JS.ACK.EVENTS.x.1.1.1.1.1 0\r\n" % subject,
                b"PUB %s $JS.ACK.short 0\r\n" % subject,
                header_message(
                    subject + b" load.stolen", b"NATS/1.0 100 FlowControl Request\r\n\r\n"
                ),
            )
            await bus.append([Message("load.high", "1", b"x")])
            stretch = await waiting
            assert [message.data for message in stretch.messages] == [b"x"]
            await bus._connection.barrier()
            assert stolen.dropped == 0
            with anyio.move_on_after(0.05):
                pytest.fail(f"said where a stranger wanted: {await anext(stolen)}")


async def test_a_watcher_that_fails_does_not_stop_the_others(nats: NatsServer) -> None:
    told: list[bool] = []

    def fails(up: bool) -> None:  # noqa: FBT001 — the signature of a watcher.
        told.append(up)
        raise RuntimeError("on purpose")

    async with await connect(Settings(url=nats.url), name="test", on_change=fails) as bus:
        nats.restart(kill=True)
        await bus.until(connected=False)
        await bus.until(connected=True)
        assert told == [True, False, True]


async def test_behind_the_barrier_a_subscription_misses_nothing(nats: NatsServer, bus: Bus) -> None:
    async with await connect(Settings(url=nats.url), name="other") as other:
        for number in range(60):
            with bus.listen(f"beat.{number}") as listening:
                await bus._connection.barrier()
                await other.say(f"beat.{number}", b"x")
                with anyio.fail_after(60):
                    assert await anext(listening) == (f"beat.{number}", b"x")


async def test_headers_count_towards_what_a_message_may_weigh(bus: Bus) -> None:
    just_fits = Message("load.high", "1", b"x" * 1_000_000)
    too_large = Message("load.high", "2", b"x" * 1_000_000, {"Note": "y" * 60_000})
    assert (await bus.append([just_fits])).kind == "stored"
    outcome = await bus.append([too_large])
    assert outcome.kind == "invalid"
    assert "the bus takes 1048576" in outcome.reason
    assert bus._connection.times_up == 1


async def test_what_no_reader_would_take_is_not_stored(bus: Bus) -> None:
    assert (await bus.append([Message("load.high", "1", b"x" * MAX_BYTES)])).kind == "stored"
    outcome = await bus.append([Message("load.high", "2", b"x" * (MAX_BYTES + 1))])
    assert outcome.kind == "invalid"
    assert "at most 1000000 are read" in outcome.reason
    assert (await bus.head()).last == 1


async def test_what_the_server_hangs_up_on_costs_one_reconnect(bus: Bus) -> None:
    states = bus.states()
    assert await anext(states)
    bus._connection._queue(b"NO SUCH VERB\r\n")
    assert not await anext(states)
    assert await anext(states)
    assert (await bus.append([Message("load.high", "1", b"x")])).kind == "stored"


async def test_a_cut_connection_is_noticed_and_made_again(nats: NatsServer) -> None:
    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="test") as bus,
    ):
        with bus.listen("beat.>") as listening:
            for _ in range(3):
                wire.cut()
                await bus.until(connected=False)
                await bus.until(connected=True)
            await bus.say("beat.x", b"x")
            assert await anext(listening) == ("beat.x", b"x")


async def test_whoever_waits_for_an_answer_learns_of_a_cut_at_once(nats: NatsServer) -> None:
    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="test") as bus,
    ):
        wire.hold()
        waiting = asyncio.create_task(bus.head())
        await asyncio.sleep(0.05)
        wire.cut()
        with pytest.raises(BusUnreachableError):  # Its time was not up.
            await waiting


async def test_what_was_said_before_a_cut_is_not_said_after_it(nats: NatsServer) -> None:
    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="test") as bus,
        await connect(Settings(url=nats.url), name="other") as other,
    ):
        with other.listen("beat.>") as listening:
            await other._connection.barrier()
            wire.hold()
            await bus.say("beat.old", b"x")
            wire.cut()
            wire.release()
            await bus.until(connected=False)
            await bus.say("beat.away", b"x")
            await bus.until(connected=True)
            await bus.say("beat.new", b"x")
            assert await anext(listening) == ("beat.new", b"x")


async def test_a_connection_that_only_answers_pings_is_made_again(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.connection.PROBE_EVERY_S", 0.05)
    async with (
        WireProxy(nats.port) as wire,
        await connect(Settings(url=wire.url), name="test") as bus,
    ):
        wire.to_client = lambda data: b"PONG\r\n" if b"PONG" in data else b""
        with anyio.fail_after(60):
            await bus.until(connected=False)
        wire.to_client = bytes
        with anyio.fail_after(60):
            await bus.until(connected=True)


async def test_a_frozen_server_is_noticed_however_much_waits_to_be_sent(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.connection.PING_EVERY_S", 0.1)
    async with await connect(Settings(url=nats.url), name="test") as bus:
        nats.freeze()
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(bus.say, "beat.x", b"x" * 1_000_000)
            with anyio.fail_after(60):
                await bus.until(connected=False)
            nats.thaw()
            with anyio.fail_after(60):
                await bus.until(connected=True)


async def test_it_waits_for_a_bus_that_is_not_there_yet(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        server.kill()
        connecting = asyncio.create_task(connect(Settings(url=server.url), name="test"))
        await asyncio.sleep(0.3)
        assert not connecting.done()
        server.start()
        with anyio.fail_after(60):
            await (await connecting).close()


async def test_without_waiting_an_absent_bus_is_told_of_quickly() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(BusUnreachableError, match=f"{url} cannot be reached.*NATS_URL"):
        await connect(Settings(url=url), name="test", wait=False)
    assert time.monotonic() - began < 5


async def test_without_waiting_a_refused_user_is_told_so(tmp_path: Path) -> None:
    extra = "authorization { user: right, password: secret }"
    with NatsServer(tmp_path, extra=extra) as server:
        settings = Settings(url=server.url, user="wrong", password="secret")
        with pytest.raises(BusUnreachableError, match=r"Authorization Violation|these credentials"):
            await connect(settings, name="test", wait=False)


@pytest.mark.parametrize("wait", [True, False])
async def test_a_server_that_is_too_old_is_refused(nats: NatsServer, *, wait: bool) -> None:
    async with WireProxy(nats.port) as wire:
        wire.to_client = lambda data: data.replace(b'"version":"2.15.1"', b'"version":"2.11.9"')
        with pytest.raises(BusTooOldError, match=r"2\.11\.9; Segue needs 2\.12"):
            await connect(Settings(url=wire.url), name="test", wait=wait)


async def test_closing_is_safe_twice_under_cancellation_and_while_the_bus_is_away(
    nats: NatsServer,
) -> None:
    bus = await connect(Settings(url=nats.url), name="test")
    nats.kill()
    await bus.until(connected=False)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await bus.close()
    await bus.close()
    with pytest.raises(BusUnreachableError):
        await bus.head()
