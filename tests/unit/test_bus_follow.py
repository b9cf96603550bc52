"""What a consumer's reader believes of what a server says: how far it has really looked."""

from typing import Any, cast

import pytest
from segue.bus.follow import Consumer

LEADER, OTHER = "bus-1", "bus-2"


class Wire:
    """Stands where a connection stands, and does nothing: what arrives is put in by hand."""

    def new_inbox(self) -> str:
        return "_INBOX.1"

    def attach(self, _subject: str, _sink: Any) -> int:
        return 1

    def watch(self, _watcher: Any) -> None:
        return


def reader(home: str, *, waiting: int) -> Consumer:
    """Give a reader whose consumer was made on a server, of a log that ends at 10."""
    made = Consumer(cast("Any", Wire()), "EVENTS", 0, 10, LEADER)
    made.made(home, waiting)
    return made


def push(consumer: Consumer, count: int, sequence: int, waiting: int) -> None:
    """Let a message arrive: the how-manieth, its place in the log, what is behind it."""
    reply = f"$JS.ACK.EVENTS.{consumer._name}.1.{sequence}.{count}.1000000000.{waiting}"
    consumer._take(b"load.x", reply.encode(), b"", b"")


def beat(consumer: Consumer, count: int, upto: int) -> None:
    """Let a heartbeat arrive: nothing is left up to a place in the log."""
    headers = f"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {count}\r\n"
    headers += f"Nats-Last-Stream: {upto}\r\n\r\n"
    consumer._take(b"_INBOX.1", b"", headers.encode(), b"")


async def test_a_server_that_has_not_taken_in_all_yet_does_not_make_a_reader_pass_it_by() -> None:
    """It counts as whole for the leader, whose word says how long the log is."""
    late = reader(OTHER, waiting=1)
    push(late, 1, 5, 0)
    first = await late.next()
    assert (first.upto, first.caught) == (5, False)
    beat(late, 1, 6)
    second = await late.next()
    assert (second.upto, second.caught) == (6, False)
    push(late, 2, 9, 0)
    beat(late, 2, 10)
    third = await late.next()
    assert ([one.sequence for one in third.messages], third.upto, third.caught) == ([9], 10, True)


async def test_a_server_with_nothing_for_a_reader_says_itself_how_far_it_has_looked() -> None:
    late = reader(OTHER, waiting=0)
    beat(late, 0, 10)
    stretch = await late.next()
    assert (stretch.upto, stretch.caught) == (10, True)


@pytest.mark.parametrize("home", ["", LEADER])
async def test_the_leader_and_a_single_server_are_believed_at_once(home: str) -> None:
    empty = reader(home, waiting=0)
    stretch = await empty.next()
    assert (stretch.upto, stretch.caught) == (10, True)
    full = reader(home, waiting=1)
    push(full, 1, 5, 0)
    stretch = await full.next()
    assert (stretch.upto, stretch.caught) == (10, True)
