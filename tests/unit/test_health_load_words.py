"""When a load is said again, with which words, and when it is said that nothing is measured."""

from typing import Any

import msgspec
import pytest
from segue.events import Event
from segue.events.deploy import DeployAccepted, RemovalAccepted
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import ScaleAccepted
from segue.samples import ServiceSample
from segue.spec import Autoscale, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.loads import Measured, reckoned
from segue_health_monitor.windows import Windows


class Queue(Shop):
    """A service that follows the length of a queue, which is told when a test says so."""

    def __init__(self, replicas: int = 2, target: float = 10.0, **more: Any) -> None:
        super().__init__(HealthMonitor())
        self.deploys, self.replicas = 0, replicas
        self.accept(target, **more)
        for slot in range(1, replicas + 1):
            self.run(self.ask("web", slot))

    def accept(self, target: float, **more: Any) -> None:
        self.deploys += 1
        spec = Autoscale(max=100, target={"queue": target}, **more)
        web = ServiceSpec(image="w", replicas=self.replicas, autoscale=spec)
        self.say(accepted(self.deploys, web=web))

    def settle(self, rounds: int = 200) -> list[Event]:
        self.source = "/segue/health_monitor/1"
        try:
            return super().settle(rounds)
        finally:
            self.source = "/test"

    def told(self, value: float, seconds: float = 0.0) -> list[LoadEvent]:
        """Let a sample be heard after so much time; it lasts as long as the next takes."""
        self.now += seconds
        sample = ServiceSample("shop", "web", "queue", value, every_s=100.0)
        self.cores[0].hear(sample, self.now)
        return loads(self.settle())

    def level(self, value: float, seconds: float = 20.0) -> list[str]:
        return [event.type.removeprefix("load.") for event in self.told(value, seconds)]


def loads(events: list[Event]) -> list[LoadEvent]:
    return [event for event in events if isinstance(event, LoadEvent)]


# What is said.


@pytest.mark.parametrize(("value", "kind"), [(30.0, LoadHigh), (4.0, LoadLow), (20.0, LoadNormal)])
def test_a_load_is_said_with_its_measure_target_and_number(
    value: float, kind: type[LoadEvent]
) -> None:
    queue = Queue()
    said = queue.told(value)
    assert said == [
        kind(
            app="shop",
            service="web",
            metric="queue",
            value=value / 2,
            target=10.0,
            replicas=2,
            window_s=10.0,
        )
    ]


def test_a_value_is_told_in_thousandths() -> None:
    (said,) = Queue(replicas=3).told(100.0)
    assert said.value == 33.333


def test_what_is_said_of_a_load_follows_from_the_deploy_that_wants_it_measured() -> None:
    queue = Queue()
    queue.told(50.0)
    queue.told(20.0, 20)
    (accepted_,) = [record for record in queue.log if isinstance(record.event, DeployAccepted)]
    said = [record for record in queue.log if isinstance(record.event, LoadEvent)]
    assert [record.cause for record in said] == [accepted_.id] * 2
    assert len({record.id for record in said}) == 2


# When it is said.


@pytest.mark.parametrize(
    ("value", "level"),
    [(22.0, "normal"), (22.1, "high"), (18.0, "normal"), (17.9, "low")],
)
def test_a_level_begins_beyond_the_tolerance_and_not_on_it(value: float, level: str) -> None:
    assert Queue().level(value) == [level]


@pytest.mark.parametrize(
    ("entered", "then", "level"),
    [
        (30.0, 21.1, []),
        (30.0, 21.0, ["normal"]),
        (17.0, 18.9, []),
        (10.0, 19.0, ["normal"]),
        (30.0, 17.9, ["low"]),
        (30.0, 18.1, ["normal"]),
        (10.0, 22.1, ["high"]),
        (10.0, 21.9, ["normal"]),
    ],
)
def test_a_level_ends_within_half_the_tolerance(
    entered: float, then: float, level: list[str]
) -> None:
    queue = Queue()
    queue.level(entered)
    assert queue.level(then) == level


def test_a_change_of_level_is_said_at_the_next_look_a_second_later() -> None:
    queue = Queue()
    assert queue.level(30.0) == ["high"]
    assert queue.level(20.0, 11.0) == ["normal"]
    queue = Queue()
    queue.level(20.0)
    assert queue.cores[0].wake_at == queue.now + 1
    assert queue.level(900.0, 0.9) == []
    assert loads(queue.at(0.1))


def test_a_level_that_asks_for_another_number_is_said_again_after_a_quarter_of_a_minute() -> None:
    queue = Queue()
    queue.level(30.0)
    assert queue.level(90.0, 14.9) == []
    (again,) = queue.told(90.0, 0.1 + 1.0)
    assert again.value == 45.0


def test_what_moves_within_the_tolerance_asks_for_nothing_new() -> None:
    queue = Queue(tolerance=0.5)
    queue.told(80.0)
    assert queue.told(119.0, 20) == []
    assert len(queue.told(121.0, 20)) == 1
    queue = Queue(tolerance=0.5)
    queue.told(81.0)
    assert queue.told(90.0, 20) == [], "nine are asked for as before"


def test_a_mean_of_another_number_of_replicas_is_said_again_however_little_it_moved() -> None:
    queue = Queue(tolerance=0.5)
    queue.told(80.0)
    queue.say(ScaleAccepted(app="shop", service="web", replicas=4, previous=2))
    (again,) = queue.told(81.0, 20)
    assert (again.value, again.replicas) == (20.25, 4)


def test_what_is_normal_is_not_said_again() -> None:
    queue = Queue()
    queue.told(20.0)
    queue.say(ScaleAccepted(app="shop", service="web", replicas=4, previous=2))
    assert queue.told(40.0, 20) == []


def test_another_target_is_measured_from_anew() -> None:
    queue = Queue()
    queue.told(30.0)
    queue.accept(15.0)
    assert queue.level(31.0) == ["normal"], "it is not called high for having been so"
    queue.accept(14.0)
    assert queue.level(28.0) == ["normal"], "the new target is said"
    queue.accept(10.0)
    assert queue.level(29.0) == ["high"]


# When nothing is measured.


def ended(queue: Queue, seconds: float) -> list[LoadEvent]:
    """Let time pass, after the samples mean nothing any more."""
    return loads(queue.at(seconds))


def test_what_nobody_measures_any_more_is_withdrawn_a_minute_after_it_was_said() -> None:
    queue = Queue()
    queue.cores[0].hear(ServiceSample("shop", "web", "queue", 40.0, every_s=1.0), queue.now)
    (said,) = loads(queue.settle())
    assert said.value == 20.0
    assert ended(queue, 59.0) == []
    (withdrawn,) = ended(queue, 1.0)
    assert withdrawn == LoadNormal(
        app="shop",
        service="web",
        metric="queue",
        value=10.0,
        target=10.0,
        replicas=0,
        window_s=10.0,
        words="nothing was measured for 60 s",
    )
    assert ended(queue, 600.0) == []


@pytest.mark.parametrize("value", [20.0, None])
def test_what_was_normal_or_never_measured_is_not_withdrawn(value: float | None) -> None:
    queue = Queue()
    if value is not None:
        queue.cores[0].hear(ServiceSample("shop", "web", "queue", value, every_s=1.0), queue.now)
    else:
        queue.cores[0].hear(ServiceSample("shop", "other", "queue", 1.0), queue.now)
    queue.settle()
    assert ended(queue, 300.0) == []


def test_nothing_is_said_of_a_service_that_is_not_wanted_any_more() -> None:
    queue = Queue()
    queue.say(accepted(2, api=ServiceSpec(image="a")))
    assert queue.told(50.0) == []
    queue = Queue()
    queue.say(RemovalAccepted(app="shop"))
    assert queue.told(50.0) == []


# What is not ready or not measured.


@pytest.mark.parametrize(
    ("values", "unready", "missing", "target", "words"),
    [
        ([80.0], 0, 0, 50.0, ""),
        ([80.0], 0, 1, 50.0, "1 without samples count as 0 %"),
        ([40.0], 0, 2, 50.0, "2 without samples count as 100 %"),
        ([40.0], 0, 2, 120.0, "2 without samples count as 120 %"),
        ([50.0], 0, 2, 50.0, ""),
        ([80.0], 1, 0, 50.0, "1 not ready count as 0 %"),
        ([40.0], 3, 0, 50.0, "3 not ready are left out"),
        ([50.0], 3, 0, 50.0, "3 not ready are left out"),
        ([90.0], 1, 1, 50.0, "1 without samples count as 0 %; 1 not ready count as 0 %"),
    ],
)
def test_what_was_reckoned_without_a_measure_is_told(
    values: list[float], unready: int, missing: int, target: float, words: str
) -> None:
    found = reckoned(values, unready, missing, target)
    assert found is not None
    assert found.words == words


def test_without_any_measure_nothing_is_reckoned() -> None:
    assert reckoned([], 2, 2, 50.0) is None


@pytest.mark.parametrize(
    ("values", "unready", "missing", "turned"),
    [
        ([60.0], 1, 0, True),  # Towards more, but 30 % on the mean of both.
        ([100.0], 1, 0, False),  # Exactly the target then.
        ([40.0], 0, 1, True),  # Towards fewer, but 70 % with one that may use all.
        ([0.0], 0, 1, False),  # Exactly the target then.
        ([200.0], 1, 1, False),
    ],
)
def test_what_would_turn_the_direction_round_is_known(
    values: list[float], unready: int, missing: int, *, turned: bool
) -> None:
    found = reckoned(values, unready, missing, 50.0)
    assert isinstance(found, Measured)
    assert found.turned is turned


# Samples of services.


def test_a_sum_is_made_of_each_sources_mean_within_the_window() -> None:
    windows = Windows()
    for at, value in ((0.0, 90.0), (0.5, 6.0), (5.0, 12.0)):
        windows.hear(ServiceSample("s", "w", "rps", value, source="a"), at)
    windows.hear(ServiceSample("s", "w", "rps", 1.0, source="b", every_s=2.0), 5.0)
    total = windows.total("s", "w", "rps", 10.0)
    assert total is not None
    assert (total.value, total.mean, total.sources) == (9.0 + 1.0, False, 2)
    total = windows.total("s", "w", "rps", 11.0)
    assert total is not None
    assert (total.value, total.sources) == (12.0, 1), "three of b's intervals are over"


def test_means_of_which_none_weighs_anything_are_none_at_all() -> None:
    windows = Windows()
    sample = ServiceSample("s", "w", "latency", 0.3, source="a", mean=True, weight=0.0)
    windows.hear(sample, 1.0)
    total = windows.total("s", "w", "latency", 2.0)
    assert total is not None
    assert (total.value, total.mean, total.sources) == (0.0, True, 1)
    windows.hear(msgspec.structs.replace(sample, weight=1e-9), 1.5)
    total = windows.total("s", "w", "latency", 2.0)
    assert total is not None
    assert total.value == pytest.approx(0.3)


@pytest.mark.parametrize(("every_s", "holds_s"), [(1.0, 3.0), (0.1, 3.0), (20.0, 60.0)])
def test_a_sample_holds_for_three_of_its_intervals(every_s: float, holds_s: float) -> None:
    windows = Windows()
    windows.hear(ServiceSample("s", "w", "rps", 5.0, every_s=every_s), 0.0)
    assert windows.total("s", "w", "rps", holds_s - 0.01) is not None
    assert windows.total("s", "w", "rps", holds_s) is None
