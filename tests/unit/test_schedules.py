"""The instants of a schedule: time zones, daylight saving, outages."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.jobs import Schedule
from segue.schedules import MISSED_COUNTED, due, following, wrong

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def at(text: str, zone: dt.tzinfo = dt.UTC) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def berlin(cron: str) -> Schedule:
    return Schedule(cron=cron, zone="Europe/Berlin")


def instants(schedule: Schedule, after: str, count: int) -> list[str]:
    found, now = [], at(after)
    for _ in range(count):
        instant = following(schedule, now)
        assert instant is not None
        now = instant
        found.append(dt.datetime.fromtimestamp(now, BERLIN).isoformat(timespec="minutes"))
    return found


def test_an_instant_of_fixed_hours_that_the_clock_skips_comes_after_the_gap() -> None:
    assert instants(berlin("30 2 * * *"), "2026-03-28T12:00", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_an_instant_of_fixed_hours_that_the_clock_shows_twice_is_the_first() -> None:
    assert instants(berlin("30 2 * * *"), "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_what_recurs_within_the_hour_goes_on_by_elapsed_time() -> None:
    autumn = instants(berlin("*/30 * * * *"), "2026-10-24T23:59", 5)
    assert autumn == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:00+01:00",
    ]
    spring = instants(berlin("*/30 * * * *"), "2026-03-29T00:29", 3)
    assert spring == [
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:30+02:00",
    ]


def test_the_days_are_the_zones_own() -> None:
    friday = Schedule(cron="0 1 * * 5", zone="Pacific/Auckland")
    assert following(friday, at("2026-12-01T00:00")) == at("2026-12-03T12:00")


def test_of_what_was_missed_the_last_is_due_and_the_others_are_counted() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert due(hourly, at("2026-12-01T00:00"), at("2026-12-01T05:30")) == (
        at("2026-12-01T05:00"),
        4,
    )
    assert due(hourly, at("2026-12-01T05:00"), at("2026-12-01T05:30")) is None


def test_an_instant_is_due_from_itself_on_and_not_before() -> None:
    noon, daily = at("2026-12-01T12:00"), Schedule(cron="0 12 * * *")
    assert due(daily, noon - 60, noon - 0.001) is None
    assert due(daily, noon - 60, noon) == (noon, 0)


def test_no_more_than_a_hundred_are_counted() -> None:
    assert due(Schedule(cron="* * * * *"), 0.0, at("2026-12-01T12:00")) == (
        at("2026-12-01T12:00"),
        MISSED_COUNTED,
    )


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "15 1-3 * * 0", "0 0 29 2 *"])
@given(begin=st.integers(1_700_000_000, 1_900_000_000), step_s=st.integers(1, 10_000_000))
def test_what_follows_next_is_what_is_due_first(cron: str, begin: int, step_s: int) -> None:
    schedule = berlin(cron)
    instant = following(schedule, begin)
    assert instant is not None
    assert instant > begin
    assert due(schedule, begin, instant - 0.5) is None
    assert due(schedule, begin, instant) == (instant, 0)
    found = due(schedule, begin, begin + step_s)
    assert (found is None) == (instant > begin + step_s)
    assert found is None or begin < found[0] <= begin + step_s


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule(cron="0 3 * *"), "has not five fields"),
        (Schedule(cron="* * * * * *"), "has not five fields"),
        (Schedule(cron="61 * * * *"), "bad minute"),
        (Schedule(cron="0 3 * * *", zone="Mars/Olympus"), "is no time zone"),
        (Schedule(cron="0 3 * * *", zone="../../etc/passwd"), "is no time zone"),
    ],
)
def test_what_is_no_schedule(schedule: Schedule, words: str) -> None:
    assert words in wrong(schedule.cron, schedule.zone)
