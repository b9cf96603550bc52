"""What is said of a log that fills up, and from where on it is kept."""

import itertools

import pytest
from segue.events import Event
from segue.events.log import LogEased, LogFilling, LogTrimmed
from segue.testing.board import Board
from segue_health_monitor import room
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.room import Room, Trimmed


def measured(share: float, *, first: int = 1, last: int = 1000, words: str = "") -> Room:
    return Room(
        used_bytes=round(share * 1000),
        limit_bytes=1000,
        events=last - first + 1,
        first=first,
        last=last,
        words=words,
    )


class Tank(Board):
    """A health monitor and a log of which it is told how full it is."""

    def __init__(self) -> None:
        self.monitor = HealthMonitor()
        super().__init__(self.monitor)
        self.settle()

    def hear(self, *news: Room | Trimmed) -> list[Event]:
        for one in news:
            self.monitor.hear(one, self.now)
        return self.settle()


def test_a_log_that_fills_up_is_said_once_and_that_it_has_room_again_too() -> None:
    tank = Tank()
    assert tank.hear(measured(0.69)) == []
    (filling,) = tank.hear(measured(0.70))
    assert filling == LogFilling(used_bytes=700, limit_bytes=1000, events=1000, first=1)
    assert tank.hear(measured(0.75), measured(0.65)) == []
    assert tank.hear(measured(0.64)) == [LogEased(used_bytes=640, limit_bytes=1000)]
    assert tank.hear(measured(0.64)) == []
    assert [type(event) for event in tank.hear(measured(0.70))] == [LogFilling]


def test_a_log_without_a_limit_is_never_full() -> None:
    endless = Room(used_bytes=1 << 40, limit_bytes=0, events=9, first=1, last=9)
    assert Tank().hear(endless) == []
    assert not room.must_trim(endless, leading=True)


def test_that_it_was_trimmed_is_said_with_what_it_gave_back() -> None:
    tank = Tank()
    before, after = measured(0.85), measured(0.5, first=400)
    tank.hear(before)
    said = tank.hear(Trimmed(before, after), after)
    assert said == [
        LogTrimmed(first=400, events=399, freed_bytes=350, used_bytes=500, limit_bytes=1000),
        LogEased(used_bytes=500, limit_bytes=1000),
    ]
    causes = [record.cause for record in tank.log]
    assert causes[1:] == [record.id for record in tank.log][:-1]
    assert tank.hear(after) == []


def test_why_it_cannot_be_trimmed_is_said_when_it_becomes_another_reason() -> None:
    tank = Tank()
    tank.hear(measured(0.9))
    (why,) = tank.hear(measured(0.9, words="no room for a snapshot"))
    assert isinstance(why, LogFilling)
    assert why.words == "no room for a snapshot"
    assert tank.hear(measured(0.91, words="no room for a snapshot")) == []


def test_only_who_leads_trims_unless_the_log_is_so_full_that_nobody_could() -> None:
    shares = (0.84, 0.85, 0.94, 0.95, 1.0)
    assert [room.must_trim(measured(s), leading=True) for s in shares] == [False] + [True] * 4
    assert [room.must_trim(measured(s), leading=False) for s in shares] == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    ("snapshots", "at"),
    [
        ([], None),
        ([100, 200, 300, 400, 500, 600], 300),  # The oldest that leaves less than 60 %.
        ([300, 301, 302], 300),
        ([250, 500, 700], 500),
        ([500, 700], 500),
        ([500], 500),
        ([1, 2, 3], None),  # None gives anything back.
        ([1, 2, 140], 140),  # Some of it, better than nothing.
        ([2, 130, 140], 140),  # And then as much as can be.
        ([1000], 1000),  # The newest event may be all that stays.
        ([1, 2, 110], None),
        ([1001, 2000], None),  # Not of this log.
    ],
)
def test_as_much_is_kept_as_can_be(snapshots: list[int], at: int | None) -> None:
    assert room.cut(measured(0.85), snapshots) == at


@pytest.mark.parametrize(("last", "at"), [(10, 5), (6, 4), (1000, 401)])
def test_what_stays_is_reckoned_to_the_event(last: int, at: int) -> None:
    for first in (1, 5001):
        full = measured(1.0, first=first, last=first + last - 1)
        assert room.cut(full, range(first + last)) == first + at - 1


def test_a_log_is_never_cut_where_it_begins_already() -> None:
    assert room.cut(measured(0.5), [1]) is None


def test_a_cut_that_gave_nothing_back_is_told_as_that() -> None:
    tank = Tank()
    before, after = measured(0.85), measured(0.9, first=400)
    tank.hear(before)
    (trimmed,) = tank.hear(Trimmed(before, after), after)
    assert isinstance(trimmed, LogTrimmed)
    assert (trimmed.events, trimmed.freed_bytes) == (399, 0)


def test_what_is_left_after_a_cut_is_always_within_the_log_and_held_by_a_snapshot() -> None:
    for share, first, step in itertools.product((0.7, 0.85, 1.0), (1, 500), (1, 7, 90, 400)):
        there = list(range(0, 1500, step))
        at = room.cut(measured(share, first=first), there)
        assert at is None or (at in there and first < at <= 1000)
        assert at is not None or step == 400
