"""Minimums by time: when they begin and end, daylight saving too, and what follows from them."""

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from segue import spans
from segue.compose import Result, convert
from segue.events import Event
from segue.events.load import LoadHigh, LoadLow
from segue.events.scale import ScaleAccepted, ScaleDecided, ScaleHeld
from segue.spec import Autoscale, ServiceSpec, Span
from segue.testing.shop import Shop, accepted
from segue_autoscaler.core import Autoscaler

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
OF_WEB: dict[str, Any] = {"app": "shop", "service": "web"}
OFFICE = Span(start="0 8 * * 1-5", end="0 18 * * 1-5", zone="Europe/Berlin", min=6)


def berlin(text: str, *, fold: int = 0) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("at", "on"),
    [
        ("2026-06-01T07:59:59", False),  # A Monday.
        ("2026-06-01T08:00:00", True),
        ("2026-06-01T17:59:59.9", True),
        ("2026-06-01T18:00:00", False),
        ("2026-06-06T12:00:00", False),  # A Saturday.
        ("2026-12-01T08:00:00", True),  # In winter too it is the zone's clock that counts.
        ("2026-12-01T07:59:00", False),
    ],
)
def test_it_is_on_from_start_to_end_by_the_zones_clock(at: str, *, on: bool) -> None:
    assert spans.is_on(OFFICE, berlin(at)) is on


def test_it_may_last_over_midnight_and_over_days() -> None:
    night = Span(start="0 22 * * *", end="0 6 * * *", zone="Europe/Berlin", min=2)
    assert spans.is_on(night, berlin("2026-06-01T23:00:00"))
    assert spans.is_on(night, berlin("2026-06-02T05:59:00"))
    assert not spans.is_on(night, berlin("2026-06-02T06:00:00"))
    weekend = Span(start="0 18 * * 5", end="0 6 * * 1", zone="Europe/Berlin", min=2)
    assert spans.is_on(weekend, berlin("2026-06-07T12:00:00"))
    assert not spans.is_on(weekend, berlin("2026-06-08T06:00:00"))


def test_what_begins_in_the_hour_that_is_skipped_begins_after_it() -> None:
    early = Span(start="30 2 * * *", end="0 4 * * *", zone="Europe/Berlin", min=2)
    gap = berlin("2026-03-29T03:00:00")  # The clock goes from 02:00 to 03:00.
    assert not spans.is_on(early, gap - 1)
    assert spans.is_on(early, gap)
    assert not spans.is_on(early, berlin("2026-03-29T04:00:00"))


def test_what_begins_in_the_hour_that_comes_twice_begins_once() -> None:
    early = Span(start="30 2 * * *", end="45 2 * * *", zone="Europe/Berlin", min=2)
    first, second = (berlin("2026-10-25T02:31:00", fold=fold) for fold in (0, 1))
    assert second - first == 3_600
    assert spans.is_on(early, first)
    assert not spans.is_on(early, second)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_a_day_lasts_as_long_as_the_zones_day(day: str, hours: int) -> None:
    begin = berlin(f"{day}T00:00:00")
    spec = Autoscale(
        max=9, schedule=[Span(start="0 0 * * *", end="0 12 * * *", zone="Europe/Berlin", min=3)]
    )
    noon = spans.turns(spec, begin)
    assert noon is not None
    midnight = spans.turns(spec, noon)
    assert midnight == begin + hours * 3_600


def test_of_several_the_largest_counts_up_to_the_most_there_may_be() -> None:
    always = Span(start="0 0 * * *", end="59 23 * * *", min=4)
    spec = Autoscale(max=5, min=2, schedule=[OFFICE, always])
    assert spans.least(spec, berlin("2026-06-01T12:00:00")) == 5
    assert spans.least(spec, berlin("2026-06-06T12:00:00")) == 4


# What the autoscaler makes of it.


def stage(at: str, replicas: int = 1, **more: Any) -> Shop:
    shop = Shop(Autoscaler())
    shop.now = berlin(at)
    spec = Autoscale(max=10, schedule=[OFFICE], **more)
    shop.say(accepted(web=ServiceSpec(image="w", replicas=replicas, autoscale=spec)))
    shop.settle()
    return shop


def numbers(events: list[Event]) -> list[int]:
    return [event.replicas for event in events if isinstance(event, ScaleDecided)]


def test_the_number_follows_at_its_start_and_goes_back_after_its_end_and_the_window() -> None:
    shop = stage("2026-06-01T07:59:00")
    assert shop.cores[0].wake_at == berlin("2026-06-01T08:00:00")
    assert not numbers(shop.at(59.0))
    (said,) = shop.at(1.0)
    assert isinstance(said, ScaleDecided)
    assert (said.previous, said.replicas, said.recommended) == (1, 6, 6)
    assert [(one.metric, one.recommended) for one in said.inputs] == [("schedule", 6)]
    assert not shop.at(10 * 3_600 - 1)
    (held,) = shop.at(1.0)
    assert isinstance(held, ScaleHeld)
    assert held.reason == "window"
    assert numbers(shop.at(120.0)) == [1]
    assert numbers(shop.at(14 * 3_600 - 120.0)) == [6], "the next day"


def test_what_begins_within_a_span_has_as_many_at_once() -> None:
    assert stage("2026-06-01T12:00:00").all(ScaleDecided)[0].replicas == 6


def test_more_may_be_wanted_by_load_and_fewer_may_not() -> None:
    shop = stage("2026-06-01T12:00:00", 6, target={"lag": 10.0})
    assert numbers(shop.tell(LoadHigh(**OF_WEB, metric="lag", value=15.0, replicas=6))) == [9]
    shop.at(60.0)
    shop.tell(LoadLow(**OF_WEB, metric="lag", value=1.0, replicas=9))
    assert numbers(shop.at(120.0)) == [6]
    assert not numbers(shop.at(3_600.0))


def test_after_its_end_the_load_alone_counts() -> None:
    shop = stage("2026-06-01T17:59:00", 6, target={"lag": 10.0})
    shop.tell(LoadLow(**OF_WEB, metric="lag", value=5.0, replicas=6))
    assert not numbers(shop.at(60.0))
    assert numbers(shop.at(120.0)) == [3]


def test_a_persons_number_holds_against_the_schedule() -> None:
    shop = stage("2026-06-01T07:59:00")
    shop.tell(ScaleAccepted(**OF_WEB, replicas=2, previous=1))
    said = shop.at(60.0)
    assert not numbers(said)


# How it is read.


def converted(schedule: Any, **more: Any) -> Result:
    asked = {"max": 10, "schedule": schedule} | more
    return convert({"services": {"web": {"image": "i", "x-autoscale": asked}}}, app="shop")


def test_it_is_read_as_it_is_written_and_reads_back_as_itself() -> None:
    asked = {"start": OFFICE.start, "end": OFFICE.end, "timezone": OFFICE.zone, "min": 6}
    found = converted([asked])
    assert found.spec is not None, found.problems
    autoscale = found.spec.services["web"].autoscale
    assert autoscale == Autoscale(max=10, schedule=[OFFICE])
    assert not found.notes, "a schedule alone is something to follow"
    assert convert(found.canonical, app="shop").spec == found.spec


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"end": "0 9 * * *", "min": 2}, "has no start"),
        ({"start": "0 8 * * *", "min": 2}, "has no end"),
        ({"start": "0 8 * * *", "end": "0 9 * * *"}, "has no min"),
        ({"start": "0 8 * *", "end": "0 9 * * *", "min": 2}, "has not five fields"),
        ({"start": "0 8 * * *", "end": "0 99 * * *", "min": 2}, "bad hour"),
        ({"start": "0 8 * * *", "end": "0 8  * * *", "min": 2}, "ends when it begins"),
        ({"start": "0 8 * * *", "end": "0 9 * * *", "min": 11}, "above max 10"),
        (
            {"start": "0 8 * * *", "end": "0 9 * * *", "min": 2, "timezone": "Mars/Olympus"},
            "is no time zone",
        ),
        ({"start": "0 8 * * *", "end": "0 9 * * *", "min": 2, "zone": "UTC"}, "zone"),
    ],
)
def test_what_is_no_span_of_time_is_refused(entry: dict[str, Any], words: str) -> None:
    problems = [problem.what for problem in converted([entry]).problems]
    assert any(words in what for what in problems), problems
