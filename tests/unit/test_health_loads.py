"""What the health monitor says of loads: what is measured, what is missing, and when it is said."""

from typing import Any

import pytest
from segue.beats import NodeBeat
from segue.core import BusReturned
from segue.events import Event
from segue.events.container import ContainerHealthy, ContainerUnhealthy
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import ScaleAccepted
from segue.samples import (
    ContainerSample,
    GatewaySample,
    NodeSample,
    ServiceSample,
    ServiceTraffic,
    service_sample,
)
from segue.spec import Autoscale, Probe, Resources, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.loads import reckoned
from segue_health_monitor.windows import Windows

WHOLE = Resources(cpu_millicores=1_000, memory_bytes=1_000_000)
PROBE = Probe(kind="tcp", port=80)


class Ward(Shop):
    """A service whose containers use what they are told to, measured every two seconds."""

    def __init__(self, replicas: int = 2, *, checked: bool = False, **target: float) -> None:
        super().__init__(HealthMonitor())
        self.monitor = self.cores[0]
        spec = Autoscale(max=10, target=target, whole=WHOLE)
        probe = PROBE if checked else None
        self.say(
            accepted(web=ServiceSpec(image="w", replicas=replicas, autoscale=spec, readiness=probe))
        )
        self.cpu_s: dict[int, float] = {}
        for slot in range(1, replicas + 1):
            self.begin(slot)

    def begin(self, slot: int) -> None:
        """Let a container of the slot run."""
        self.run(self.ask("web", slot))

    def of(self, slot: int) -> dict[str, Any]:
        return {"app": "shop", "service": "web", "slot": slot, "attempt": 1}

    def healthy(self, slot: int) -> None:
        self.say(ContainerHealthy(**self.of(slot), node="a"))

    def work(self, seconds: float, *shares: float | None, memory: int = 0) -> list[Event]:
        """Let so much time pass in which each container uses that share of a CPU; None: unheard."""
        said: list[Event] = []
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            samples = []
            for slot, share in enumerate(shares, 1):
                self.cpu_s[slot] = self.cpu_s.get(slot, 0.0) + 2.0 * (share or 0.0)
                if share is not None:
                    samples.append(
                        ContainerSample(
                            **self.of(slot), cpu_s=self.cpu_s[slot], memory_bytes=memory
                        )
                    )
            self.hear(NodeSample("a", self.now, samples))
            said += self.beat()
        return said

    def settle(self, rounds: int = 200) -> list[Event]:
        self.source = "/segue/health_monitor/1"
        try:
            return super().settle(rounds)
        finally:
            self.source = "/test"

    def beat(self) -> list[Event]:
        self.hear(NodeBeat("a", "s-a"))
        return self.settle()

    def rest(self, seconds: int) -> list[Event]:
        """Let time pass in which the node is heard, and nothing is measured."""
        said: list[Event] = []
        for _ in range(seconds):
            self.now += 1.0
            said += self.beat()
        return said

    def lag(self, seconds: float, value: float, **more: Any) -> list[Event]:
        said: list[Event] = []
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            self.hear(ServiceSample("shop", "web", "lag", value, **more))
            said += self.settle()
        return said

    def lead(self, seconds: float, *traffic: dict[str, Any], service: str = "web") -> list[Event]:
        """Let so much time pass in which each gateway leads that to the service; {}: nothing."""
        said: list[Event] = []
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            for number, one in enumerate(traffic):
                of = ServiceTraffic("shop", service, **one)
                self.hear(GatewaySample(f"gate-{number}", [of]))
            said += self.beat()
        return said

    def hear(self, sample: Any) -> None:
        self.monitor.hear(sample, self.now)


def words(events: list[Event]) -> list[tuple[str, float, int]]:
    return [
        (event.type.split(".")[1], event.value, event.replicas)
        for event in events
        if isinstance(event, LoadEvent)
    ]


def test_cpu_is_said_in_percent_of_what_a_replica_may_use() -> None:
    ward = Ward(2, cpu=50.0)
    assert words(ward.work(30, 0.9, 0.7)) == [("high", 80.0, 2)]
    (said,) = ward.all(LoadHigh)
    assert (said.metric, said.target, said.window_s) == ("cpu", 50.0, 10.0)


def test_a_level_is_said_once_and_again_only_when_it_asks_for_another_number() -> None:
    ward = Ward(2, cpu=50.0)
    ward.work(30, 0.8, 0.8)
    assert not ward.work(120, 0.8, 0.8)
    assert not ward.work(60, 0.78, 0.86), "it asks for the same number"
    said = words(ward.work(60, 1.2, 1.2))
    assert [(level, replicas) for level, _, replicas in said] == [("high", 2)]
    assert said[0][1] > 100.0


def test_a_level_is_left_half_as_far_from_the_target_as_it_is_entered() -> None:
    ward = Ward(1, cpu=50.0)
    assert words(ward.work(20, 0.5)) == [("normal", 50.0, 1)]
    assert not ward.work(20, 0.54)
    assert [level for level, _, _ in words(ward.work(20, 0.57))] == ["high"]
    assert not ward.work(20, 0.54), "it was high, and is not far enough from that"
    assert [level for level, _, _ in words(ward.work(20, 0.51))] == ["normal"]
    assert [level for level, _, _ in words(ward.work(20, 0.43))] == ["low"]
    assert not ward.work(20, 0.46)


def test_memory_is_its_working_set_by_what_is_reserved() -> None:
    ward = Ward(2, memory=50.0)
    assert words(ward.work(20, 0.0, 0.0, memory=900_000)) == [("high", 90.0, 2)]


def test_what_is_not_ready_counts_as_nothing_towards_more_and_not_at_all_towards_fewer() -> None:
    ward = Ward(3, checked=True, cpu=30.0)
    for slot in (2, 3):
        ward.healthy(slot)
    assert words(ward.work(30, 0.3, 0.5, 0.7)) == [("high", 40.0, 3)]
    assert "1 not ready count as 0 %" in ward.all(LoadHigh)[0].words
    assert words(ward.work(30, 0.3, 0.1, 0.1))[-1] == ("low", 10.0, 2)


def test_what_has_just_become_ready_counts_once_a_window_of_it_is_its_load() -> None:
    ward = Ward(1, checked=True, cpu=50.0)
    assert not ward.work(20, 1.0)
    ward.healthy(1)
    assert not ward.work(8, 0.2), "its start is still in the window"
    assert words(ward.work(10, 0.2)) == [("low", 20.0, 1)]


def test_what_became_unhealthy_later_still_counts() -> None:
    ward = Ward(1, checked=True, cpu=50.0)
    ward.healthy(1)
    ward.work(310, 0.5)
    ward.say(ContainerUnhealthy(**ward.of(1), node="a", streak=3, probe="readiness"))
    assert [level for level, _, _ in words(ward.work(20, 0.9))] == ["high"]


def test_what_is_not_measured_counts_as_little_towards_more_and_as_much_towards_fewer() -> None:
    ward = Ward(2, cpu=50.0)
    assert words(ward.work(20, 0.4, None)) == [("normal", 70.0, 2)]
    assert "1 without samples count as 100 %" in ward.all(LoadNormal)[0].words
    ward = Ward(2, cpu=20.0)
    assert words(ward.work(20, 0.8, None)) == [("high", 40.0, 2)]


@pytest.mark.parametrize(
    ("values", "others", "target", "mean", "counted"),
    [  # Facts of kubernetes, pkg/controller/podautoscaler/replica_calculator_test.go, by its tests.
        ([30, 50, 70], (0, 0), 30, 50, 3),  # ScaleUp
        ([50, 70], (1, 0), 30, 40, 3),  # ScaleUpUnreadyLessScale
        ([40], (2, 0), 30, 40 / 3, 3),  # ScaleUpUnreadyNoScale: it would turn the direction round.
        ([10, 30, 50], (2, 0), 50, 30, 3),  # ScaleDownIncludeUnreadyPods
        ([10], (4, 0), 100, 10, 1),  # ScaleDownExcludeUnscheduledPods
        (
            [40, 9.5],
            (0, 2),
            100,
            62.375,
            4,
        ),  # MissingMetrics (horizontal_test.go): 3 of 4 are asked.
    ],
)
def test_what_is_not_ready_or_not_measured_is_reckoned_as_the_hpa_does(
    values: list[float], others: tuple[int, int], target: float, mean: float, counted: int
) -> None:
    """`others` are not ready, or not measured."""
    found = reckoned(values, *others, target)
    assert found is not None
    assert found.value == pytest.approx(mean)
    assert found.replicas == counted
    assert found.turned == (mean < target < max(values) and sum(values) / len(values) > target)


def test_a_total_is_divided_among_the_replicas_there_are_to_be() -> None:
    ward = Ward(2, lag=10.0)
    assert words(ward.lag(4, 50.0)) == [("high", 25.0, 2)]
    ward.say(ScaleAccepted(app="shop", service="web", replicas=5, previous=2))
    assert words(ward.lag(4, 50.0)) == [("normal", 10.0, 5)]


def test_totals_of_several_sources_add_up_and_means_are_weighed() -> None:
    windows = Windows()
    for value, source in ((3.0, "a"), (4.0, "b")):
        windows.hear(ServiceSample("s", "w", "rps", value, source=source), 1.0)
    windows.hear(ServiceSample("s", "w", "latency", 0.1, source="a", mean=True, weight=9.0), 1.0)
    windows.hear(ServiceSample("s", "w", "latency", 1.1, source="b", mean=True, weight=1.0), 1.0)
    rps, latency = (windows.total("s", "w", name, 2.0) for name in ("rps", "latency"))
    assert rps is not None
    assert latency is not None
    assert (rps.value, rps.sources) == (7.0, 2)
    assert latency.value == pytest.approx(0.2)
    assert windows.total("s", "w", "rps", 100.0) is None, "it is too old"
    windows.forget(100.0)
    assert windows.total("s", "w", "rps", 2.0) is None


def test_a_sample_that_comes_twice_or_late_changes_nothing() -> None:
    ward = Ward(1, cpu=50.0)
    ward.work(20, 0.5)
    old = NodeSample(
        "a", ward.now - 6.0, [ContainerSample(**ward.of(1), cpu_s=99.0, memory_bytes=0)]
    )
    again = NodeSample("a", ward.now, [ContainerSample(**ward.of(1), cpu_s=99.0, memory_bytes=0)])
    for sample in (old, again, old):
        ward.hear(sample)
    assert not ward.work(10, 0.5)


def test_what_is_not_measured_any_more_is_taken_back() -> None:
    ward = Ward(1, cpu=50.0)
    ward.work(20, 0.9)
    said = ward.rest(70)
    assert words(said) == [("normal", 50.0, 0)]
    assert isinstance(said[0], LoadNormal)
    assert "nothing was measured" in said[0].words


def test_what_others_said_is_theirs_to_take_back() -> None:
    ward = Ward(1, lag=10.0, cpu=50.0)
    ward.work(10, 0.5)
    foreign = LoadHigh(app="shop", service="web", metric="lag", value=50.0)
    assert not ward.tell(foreign)
    assert not words(ward.rest(90))


def test_nothing_is_said_of_what_could_not_be_heard() -> None:
    ward = Ward(1, cpu=50.0)
    ward.work(20, 0.9)
    ward.now += 300.0
    ward.monitor.hear(BusReturned(), ward.now)
    assert not ward.rest(50)
    assert not ward.work(20, 0.9)


def test_a_service_without_a_target_or_without_containers_is_left_alone() -> None:
    assert not Ward(1).work(20, 0.9)
    assert not Ward(1, cpu=50.0).work(20)


def test_low_is_said_as_well() -> None:
    ward = Ward(4, cpu=50.0)
    assert words(ward.work(20, 0.1, 0.1, 0.1, 0.1)) == [("low", 10.0, 4)]
    assert len(ward.all(LoadLow)) == 1


def test_the_subject_says_what_the_body_leaves_out() -> None:
    said = service_sample("sample.service.shop.worker.lag", b'{"value": 250}')
    assert said == ServiceSample("shop", "worker", "lag", 250.0)
    assert said.subject == "sample.service.shop.worker.lag"


def test_what_gateways_lead_adds_up_and_is_told_as_the_mean_per_replica() -> None:
    ward = Ward(2, rps=50.0)
    assert words(ward.lead(12, {"rps": 130.0}, {"rps": 30.0})) == [("high", 80.0, 2)]
    assert words(ward.lead(30, {"rps": 20.0}, {}))[-1] == ("low", 10.0, 2)


def test_what_is_in_flight_and_what_fails_is_told_in_the_same_way() -> None:
    ward = Ward(2, inflight=10.0, errors=5.0)
    said = ward.lead(12, {"inflight": 50, "errors": 8.0}, {"inflight": 14, "errors": 2.0})
    assert sorted(words(said)) == [("high", 32.0, 2), ("normal", 5.0, 2)]


def test_a_latency_is_the_mean_over_gateways_by_how_many_requests_each_timed() -> None:
    ward = Ward(2, latency=0.1)
    slow, quick = {"latency_s": 0.4, "timed": 30}, {"latency_s": 0.1, "timed": 90}
    assert words(ward.lead(12, slow, quick)) == [("high", 0.175, 2)]


def test_a_latency_holds_until_nobody_has_asked_for_half_a_minute() -> None:
    ward = Ward(1, latency=0.1)
    ward.lead(2, {"latency_s": 0.4, "timed": 30})
    assert not ward.lead(20, {})
    assert words(ward.lead(90, {})) == [("normal", 0.1, 0)]


def test_a_gateway_that_is_heard_no_more_counts_no_more() -> None:
    ward = Ward(1, rps=50.0)
    assert words(ward.lead(12, {"rps": 60.0}, {"rps": 60.0})) == [("high", 120.0, 1)]
    assert words(ward.lead(30, {"rps": 50.0}))[-1][0] == "normal"


def test_what_gateways_say_of_others_or_of_metrics_without_a_target_is_nobodys() -> None:
    ward = Ward(1, rps=50.0)
    assert not words(ward.lead(12, {"rps": 90.0}, service="stranger"))
    assert [one.metric for one in ward.all(LoadHigh)] == []
    ward.lead(12, {"rps": 90.0, "inflight": 90, "latency_s": 9.0, "timed": 9})
    assert [one.metric for one in ward.all(LoadHigh)] == ["rps"]
