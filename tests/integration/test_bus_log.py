"""The log on a real server: what is written is there once, in order, behind its fence."""

import pytest
from segue.bus import Bus
from segue.log import Fence, Message


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
