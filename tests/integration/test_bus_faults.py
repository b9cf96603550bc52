"""What happens to writes and followers when the server dies, freezes, forgets or is replaced."""

import asyncio
import itertools
import pathlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import anyio
import pytest
from segue.bus import Bus, LogReplacedError, Settings, connect
from segue.log import Fence, Message, Outcome, Stored, Stretch
from segue.testing.nats_server import NatsServer
from segue.testing.wire_proxy import WireProxy

ELECTED = "leader.elected.scheduler"


def message(number: int, subject: str = "load.high.shop.web") -> Message:
    return Message(subject, f"id-{number}", b"%d" % number)


async def insist(bus: Bus, messages: list[Message], fence: Fence | None = None) -> Outcome:
    """Repeat a write with the same ids until its fate is known."""
    while (outcome := await bus.append(messages, fence, timeout_s=1)).kind == "unknown":
        await asyncio.sleep(0.02)
    return outcome


async def write_until(
    bus: Bus, done: anyio.Event, size: int, numbers: "itertools.count[int]"
) -> int:
    """Write batches of `size` one after another; gives how many messages were written."""
    written = 0
    while not done.is_set():
        batch = [message(next(numbers)) for _ in range(size)]
        assert (await insist(bus, batch)).kind == "stored"
        written += size
    return written


async def collect(bus: Bus, into: list[Stored]) -> None:
    async with aclosing(bus.follow(0)) as stretches:
        async for stretch in stretches:
            into.extend(stretch.messages)


async def exhaust(stretches: AsyncIterator[Stretch]) -> None:
    async for _ in stretches:
        pass


async def until_seen(bus: Bus, seen: list[Stored]) -> None:
    head = await bus.head()
    with anyio.fail_after(60):
        while not seen or seen[-1].sequence < head.last:
            await asyncio.sleep(0.01)


async def lose_answer(
    wire: WireProxy,
    cut_off: Bus,
    messages: list[Message],
    fence: Fence | None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> Outcome:
    """Write, lose the answer and the connection, and write again once it is there."""
    lost = asyncio.Event()

    def lose(data: bytes) -> bytes:
        if b'"stream":"EVENTS"' in data:
            lost.set()
            return b""
        return data

    wire.to_client = lose
    writing = asyncio.create_task(cut_off.append(messages, fence))
    await lost.wait()
    wire.cut()
    wire.to_client = bytes
    assert (await writing).kind == "unknown"
    if meanwhile is not None:
        await meanwhile()
    return await insist(cut_off, messages, fence)


@pytest.fixture
async def wire(nats: NatsServer, bus: Bus) -> AsyncIterator[WireProxy]:
    """A breakable wire to the server, whose log is made."""
    async with WireProxy(nats.port) as wire:
        yield wire


@pytest.fixture
async def cut_off(wire: WireProxy) -> AsyncIterator[Bus]:
    """A connection over that wire."""
    async with await connect(Settings(url=wire.url), name="cut off") as bus:
        yield bus


@pytest.mark.parametrize("size", [1, 7])
async def test_kills_of_the_server_lose_nothing_and_repeat_nothing(
    nats: NatsServer, bus: Bus, size: int
) -> None:
    seen: list[Stored] = []
    following = asyncio.create_task(collect(bus, seen))
    numbers, done = itertools.count(), anyio.Event()
    writers = [asyncio.create_task(write_until(bus, done, size, numbers)) for _ in range(3)]
    for _ in range(4):
        await asyncio.sleep(0.15)
        nats.restart(kill=True)
    await asyncio.sleep(0.1)
    done.set()
    written = sum(await asyncio.gather(*writers))
    await until_seen(bus, seen)
    following.cancel()
    assert [stored.sequence for stored in seen] == list(range(1, written + 1))
    assert sorted(int(stored.data) for stored in seen) == list(range(written))


async def test_a_frozen_server_delays_a_write_and_a_follower_and_no_more(
    nats: NatsServer, bus: Bus
) -> None:
    seen: list[Stored] = []
    following = asyncio.create_task(collect(bus, seen))
    await insist(bus, [message(1)])
    nats.freeze()
    late = asyncio.create_task(insist(bus, [message(2)]))
    await asyncio.sleep(2.5)  # Longer than the follower bears silence.
    nats.thaw()
    assert (await late).sequence == 2
    await insist(bus, [message(3)])
    await until_seen(bus, seen)
    following.cancel()
    assert [stored.data for stored in seen] == [b"1", b"2", b"3"]


async def test_a_writer_that_repeats_at_once_lets_the_connection_come_back(
    nats: NatsServer, bus: Bus
) -> None:
    async def repeat() -> int:
        for tries in range(1, 1_000):  # Nothing else is waited for between the tries.
            if (await bus.append([message(1)], timeout_s=0.2)).kind == "stored":
                return tries
        raise AssertionError("the bus did not come back")

    nats.freeze()
    writing = asyncio.create_task(repeat())
    await asyncio.sleep(0.1)
    nats.kill()
    await asyncio.sleep(0.5)
    nats.start()
    assert await writing > 1
    assert (await bus.head()).last == 1


async def test_a_write_that_nobody_takes_is_told_of_though_nobody_says_what_the_log_takes(
    tmp_path: pathlib.Path,
) -> None:
    class Electing(NatsServer):
        """It has no log just now, and whoever is to tell of the log does not answer."""

        def configure(self) -> pathlib.Path:
            file = self.directory / "server.conf"
            file.write_text(f'listen: "127.0.0.1:{self.port}"')
            return file

    with Electing(tmp_path) as server:
        async with await connect(Settings(url=server.url), name="test") as bus:
            silent = bus.listen("$JS.API.STREAM.INFO.EVENTS")
            begun = time.monotonic()
            outcome = await bus.append([message(1)], timeout_s=30)
            assert (outcome.kind, "nobody serves" in outcome.reason) == ("unknown", True)
            assert time.monotonic() - begun < 4
            await anext(aiter(silent))
            silent.close()


async def test_a_follower_outlives_its_consumer(bus: Bus) -> None:
    seen: list[Stored] = []
    following = asyncio.create_task(collect(bus, seen))
    for number in range(3):
        await bus.append([message(number)])
        await until_seen(bus, seen)
        names = await bus._connection.query("$JS.API.CONSUMER.NAMES.EVENTS", timeout_s=30)
        name = names.data.partition(b'"consumers":["')[2].partition(b'"')[0].decode()
        answer = await bus._connection.query(f"$JS.API.CONSUMER.DELETE.EVENTS.{name}", timeout_s=30)
        assert b'"success":true' in answer.data
    await bus.append([message(3)])
    await until_seen(bus, seen)
    following.cancel()
    assert [stored.sequence for stored in seen] == [1, 2, 3, 4]


async def test_a_follower_that_missed_a_message_begins_again_behind_the_last_it_has(
    wire: WireProxy, bus: Bus, cut_off: Bus
) -> None:
    seen: list[Stored] = []
    following = asyncio.create_task(collect(cut_off, seen))
    await bus.append([message(1)])
    await until_seen(bus, seen)
    lost = asyncio.Event()

    def lose(data: bytes) -> bytes:
        if b"load.high.shop.web" in data:
            lost.set()
            return b""
        return data

    wire.to_client = lose
    await bus.append([message(2)])
    await lost.wait()
    wire.to_client = bytes
    await bus.append([message(3)])
    await until_seen(bus, seen)
    following.cancel()
    assert [stored.sequence for stored in seen] == [1, 2, 3]


@pytest.mark.parametrize("count", [1, 5])
async def test_the_repeat_of_a_write_whose_answer_was_lost_is_stored(
    wire: WireProxy, bus: Bus, cut_off: Bus, count: int
) -> None:
    messages = [message(number) for number in range(count)]
    outcome = await lose_answer(wire, cut_off, messages, None)
    assert (outcome.kind, outcome.sequence, outcome.duplicate) == ("stored", count, True)
    assert (await bus.head()).last == count


async def test_an_election_whose_answer_was_lost_is_won(
    wire: WireProxy, bus: Bus, cut_off: Bus
) -> None:
    won = [Message(ELECTED, "election-1", b"")]
    outcome = await lose_answer(wire, cut_off, won, Fence(ELECTED, 0))
    assert (outcome.kind, outcome.sequence, outcome.duplicate) == ("stored", 1, True)


@pytest.mark.parametrize("count", [1, 5])
async def test_a_decision_whose_answer_was_lost_is_stored_even_if_its_leader_has_been_deposed(
    wire: WireProxy, bus: Bus, cut_off: Bus, count: int
) -> None:
    await bus.append([Message(ELECTED, "election-1", b"")], Fence(ELECTED, 0))
    decisions = [message(number) for number in range(count)]

    async def depose() -> None:
        await bus.append([Message(ELECTED, "election-2", b"")], Fence(ELECTED, 1))
        await bus.append([message(99)], Fence(ELECTED, 2 + count))

    outcome = await lose_answer(wire, cut_off, decisions, Fence(ELECTED, 1), depose)
    assert (outcome.kind, outcome.sequence, outcome.duplicate) == ("stored", 1 + count, True)
    assert (await bus.append([message(50)], Fence(ELECTED, 1))).kind == "refused"


async def test_of_racing_elections_exactly_one_wins(bus: Bus) -> None:
    term = 0
    for round_number in range(20):
        races = [
            bus.append([Message(ELECTED, f"{round_number}-{racer}", b"")], Fence(ELECTED, term))
            for racer in range(20)
        ]
        outcomes = await asyncio.gather(*races)
        won = [outcome.sequence for outcome in outcomes if outcome.kind == "stored"]
        assert len(won) == 1
        assert {outcome.kind for outcome in outcomes} == {"stored", "refused"}
        term = won[0]


async def test_a_batch_behind_a_broken_fence_leaves_nothing(bus: Bus) -> None:
    outcome = await bus.append([message(n) for n in range(1000)], Fence(ELECTED, 7))
    assert outcome.kind == "refused"
    assert (await bus.head()).last == 0


async def test_an_empty_log_in_place_of_the_old_one_is_told_of_and_not_read(
    nats: NatsServer, bus: Bus
) -> None:
    async with aclosing(bus.follow(0)) as stretches:
        await bus.append([message(1)])
        while (await anext(stretches)).upto < 1:
            pass
        nats.kill()
        shutil.rmtree(nats.directory / "store")
        nats.start()
        async with await connect(Settings(url=nats.url), name="other") as other:
            await other.set_up()
        with pytest.raises(LogReplacedError, match="ends at 0, but it has been read to 1"):
            await exhaust(stretches)


async def test_another_log_of_the_same_length_is_told_of(nats: NatsServer, bus: Bus) -> None:
    async with aclosing(bus.follow(0)) as stretches:
        await anext(stretches)
        nats.kill()
        shutil.rmtree(nats.directory / "store")
        nats.start()
        async with await connect(Settings(url=nats.url), name="other") as other:
            await other.set_up()
        with pytest.raises(LogReplacedError, match="is now the log of"):
            await exhaust(stretches)


async def test_a_reader_that_the_log_has_left_behind_is_told_so(bus: Bus) -> None:
    await bus.append([message(number) for number in range(10)])
    answer = await bus._connection.query("$JS.API.STREAM.PURGE.EVENTS", b'{"seq":6}', timeout_s=30)
    assert b'"success":true' in answer.data
    async with aclosing(bus.follow(2)) as stretches:
        with pytest.raises(LogReplacedError, match="begins at 6, but it has been read to 2 only"):
            await anext(stretches)
    async with aclosing(bus.follow(0)) as stretches:
        assert (await anext(stretches)).messages[0].sequence == 6
