"""The log on a real server: what is written is there once, in order, behind its fence."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from segue.bus import Bus, BusRefusedError
from segue.log import Fence, Message, Stored, Stretch


def message(number: int, subject: str = "load.high.shop.web") -> Message:
    return Message(subject, f"id-{number}", b"%d" % number)


async def test_a_message_is_stored_and_its_repeat_is_known(bus: Bus) -> None:
    first = await bus.append([message(1)])
    again = await bus.append([message(1)])
    assert (first.kind, first.sequence, first.duplicate) == ("stored", 1, False)
    assert (again.kind, again.sequence, again.duplicate) == ("stored", 1, True)
    assert (await bus.head()).last == 1


async def test_a_batch_is_stored_whole_and_its_repeat_is_known(bus: Bus) -> None:
    messages = [message(number) for number in range(50)]
    first = await bus.append(messages)
    again = await bus.append(messages)
    assert (first.kind, first.sequence, first.duplicate) == ("stored", 50, False)
    assert (again.kind, again.sequence, again.duplicate) == ("stored", 50, True)
    assert [stored.data async for stored in bus.read()] == [m.data for m in messages]


async def test_of_a_batch_that_is_half_known_the_other_half_is_stored(bus: Bus) -> None:
    await bus.append([message(number) for number in range(5)])
    outcome = await bus.append([message(number) for number in range(10)])
    assert (outcome.kind, outcome.sequence, outcome.duplicate) == ("stored", 10, False)
    assert [stored.data async for stored in bus.read()] == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_fence_that_no_longer_holds_stores_nothing(bus: Bus, count: int) -> None:
    elected = Message("leader.elected.scheduler", "election-1", b"")
    won = await bus.append([elected], Fence(elected.subject, 0))
    await bus.append([Message(elected.subject, "election-2", b"")], Fence(elected.subject, 1))
    late = [message(number) for number in range(count)]
    outcome = await bus.append(late, Fence(elected.subject, won.sequence))
    assert outcome.kind == "refused"
    assert (await bus.head()).last == 2


@pytest.mark.parametrize(
    ("subject", "data"),
    [("load.*", b""), ("load high", b""), ("", b""), ("load..high", b""), ("load.x", b"x" * 2**20)],
)
@pytest.mark.parametrize("count", [1, 2])
async def test_what_the_log_can_never_take_is_invalid(
    bus: Bus, subject: str, data: bytes, count: int
) -> None:
    messages = [*(message(n) for n in range(count - 1)), Message(subject, "bad", data)]
    assert (await bus.append(messages)).kind == "invalid"
    assert (await bus.head()).last == 0


async def test_a_subject_that_is_not_the_logs_is_invalid(bus: Bus) -> None:
    outcome = await bus.append([message(1, "weather.fine")])
    assert outcome.kind == "invalid"
    assert "weather.fine" in outcome.reason


async def test_more_messages_than_a_batch_takes_are_stored_in_order(bus: Bus) -> None:
    outcome = await bus.append([message(number) for number in range(2_500)])
    assert (outcome.kind, outcome.sequence) == ("stored", 2_500)
    assert [int(stored.data) async for stored in bus.read()] == list(range(2_500))


async def test_nothing_to_append_is_stored_at_once(bus: Bus) -> None:
    assert (await bus.append([])).kind == "stored"


async def test_a_message_comes_back_as_it_was_written(bus: Bus) -> None:
    await bus.append([Message("load.high", "the-id", b"\x00\xff", {"traceparent": "00-a-b-01"})])
    stored = await anext(bus.read())
    newest = await bus.last("load.>")
    assert stored == newest
    assert (stored.sequence, stored.subject, stored.data) == (1, "load.high", b"\x00\xff")
    assert stored.headers == {"traceparent": "00-a-b-01", "Nats-Msg-Id": "the-id"}
    assert abs((await bus.head()).time - stored.time) < 5
    assert abs(time.time() - stored.time) < 5


async def test_there_is_no_last_message_where_there_is_none(bus: Bus) -> None:
    assert await bus.last("load.high") is None


async def test_a_stretch_of_history_is_read(bus: Bus) -> None:
    await bus.append([message(n, f"load.{'high' if n % 2 else 'low'}") for n in range(1, 21)])

    async def numbers(*bounds: int, **which: Any) -> list[int]:
        return [int(stored.data) async for stored in bus.read(*bounds, **which)]

    assert await numbers(5, 8) == [5, 6, 7, 8]
    assert await numbers(18) == [18, 19, 20]
    assert await numbers(30) == []
    assert await numbers(count=2) == [1, 2]
    assert await numbers(count=0) == []
    assert await numbers(5, subjects=["load.low"], count=3) == [6, 8, 10]
    assert await numbers(subjects=["load.normal"]) == []


async def test_a_follower_of_an_empty_log_knows_that_it_has_everything(bus: Bus) -> None:
    async with aclosing(bus.follow(0)) as stretches:
        assert await anext(stretches) == Stretch([], 0, caught=True)


async def test_a_follower_knows_when_it_has_everything(bus: Bus) -> None:
    await bus.append([message(number) for number in range(1_200)])
    await bus.append([message(9_999, "load.normal")])
    seen: list[Stored] = []
    async with aclosing(bus.follow(0, ["load.high.>"])) as stretches:
        async for stretch in stretches:
            assert len(stretch.messages) <= 500
            seen += stretch.messages
            if stretch.caught:
                break
    assert len(seen) == 1_200
    assert stretch.upto == 1_201, "the last message is another subject's"


async def test_a_follower_learns_that_other_subjects_went_by(bus: Bus) -> None:
    async with aclosing(bus.follow(0, ["leader.>"])) as stretches:
        await anext(stretches)
        await bus.append([message(1)])
        with anyio.fail_after(60):
            assert await anext(stretches) == Stretch([], 1, caught=True)


async def test_overlapping_filters_are_one(bus: Bus) -> None:
    await bus.append([message(1), message(2, "leader.elected.x"), message(3, "node.lost.a")])
    filters = ["load.>", "load.high.shop.web", "load.>", "leader.elected.*"]
    async with aclosing(bus.follow(0, filters)) as stretches:
        assert [m.sequence for m in (await anext(stretches)).messages] == [1, 2]


async def test_a_filter_that_is_none_is_refused_and_not_tried_for_ever(bus: Bus) -> None:
    with pytest.raises(BusRefusedError, match="filter"):
        await anext(bus.follow(0, ["load..x"]))


async def test_news_reach_a_follower_without_being_asked_for(bus: Bus) -> None:
    delays: list[float] = []
    async with aclosing(bus.follow(0)) as stretches:
        await anext(stretches)
        for number in range(200):
            await bus.append([message(number)])
            began = time.perf_counter()
            while not (await anext(stretches)).messages:
                pass
            delays.append(time.perf_counter() - began)
    assert sorted(delays)[20] < 0.02, "the quicker ones tell on a busy machine"


async def test_a_slow_reader_gets_everything_and_holds_the_server_back(bus: Bus) -> None:
    for start in range(0, 40_000, 1_000):
        batch = [Message("load.x", f"{start + n}", b"x" * 1_000) for n in range(1_000)]
        assert (await bus.append(batch)).kind == "stored"
    got = 0
    async with aclosing(bus.follow(0)) as stretches:
        await anext(stretches)
        await asyncio.sleep(1.5)  # The server may send no more than its window meanwhile.
        before = bus._connection.stats["in_msgs"]
        async for stretch in stretches:
            got += len(stretch.messages)
            if stretch.caught:
                break
    assert stretch.upto == 40_000
    assert before < 40_000
    assert got > 39_000


async def test_followers_leave_nothing_behind(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.bus.follow.FORGOTTEN_AFTER_S", 300)
    for _ in range(5):
        async with aclosing(bus.follow(0)) as stretches:
            await anext(stretches)
    names, ask = b"", bus._connection.query
    with anyio.fail_after(60):
        while b'"total":0' not in names:
            names = (await ask("$JS.API.CONSUMER.NAMES.EVENTS", timeout_s=30)).data
    assert len(bus._connection._subs) == 1, "the inbox of answers"
