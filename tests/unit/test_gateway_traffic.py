"""What a gateway makes of HAProxy's counts: rates, what is in flight, a mean that forgets."""

import math

import pytest
from segue.samples import GatewaySample, ServiceTraffic, as_service_samples
from segue_gateway.traffic import SAMPLES, Backends, Counted, Meter, between, read

WEB = [Backends("shop", "web", ["shop.web:80"])]
HEAD = "# pxname,svname,qtime,ctime,rtime,mode,req_tot,stot,hrsp_5xx,scur"


class Worker:
    """Counts as HAProxy does: the sum of times fades by a 1,024th with each request."""

    def __init__(self) -> None:
        self.requests = self.errors = self.inflight = self._faded_ms = 0

    def serve(self, count: int, each_ms: int) -> None:
        for _ in range(count):
            self.requests += 1
            self._faded_ms += each_ms - math.ceil(self._faded_ms / SAMPLES)

    @property
    def counted(self) -> Counted:
        window = max(1, min(self.requests, SAMPLES))
        mean = math.ceil(self._faded_ms / window)
        return Counted(self.requests, self.errors, self.inflight, http=True, waited_ms=mean)


def traffic(meter: Meter, at_s: float, **workers: Worker | Counted) -> ServiceTraffic:
    counted = {
        int(pid.removeprefix("of_")): {
            "shop.web:80": one.counted if isinstance(one, Worker) else one
        }
        for pid, one in workers.items()
    }
    [found] = meter.measured(counted, WEB, at_s)
    return found


def test_what_haproxy_prints_is_read_by_the_names_of_its_columns() -> None:
    said = f"{HEAD}\nshop.web:80,BACKEND,1,2,30,http,7,9,2,3\nshop.db:1,BACKEND,,,,tcp,,5,,1\n"
    said += "shop.web:80,1-1,1,2,30,http,7,9,2,3\n"
    assert read(said) == {
        "shop.web:80": Counted(7, 2, 3, http=True, waited_ms=33),
        "shop.db:1": Counted(5, 0, 1),
    }


def test_rates_are_of_the_time_between_two_looks_and_not_of_what_was_before() -> None:
    meter, worker = Meter(), Worker()
    worker.serve(500, 1)
    assert traffic(meter, 10.0, of_1=worker).rps == 0.0
    worker.serve(40, 1)
    worker.errors, worker.inflight = 4, 3
    found = traffic(meter, 12.0, of_1=worker)
    assert (found.rps, found.errors, found.inflight) == (20.0, 2.0, 3)


def test_a_worker_that_came_by_a_reload_counts_from_its_beginning_and_the_old_one_goes_on() -> None:
    meter, old, new = Meter(), Worker(), Worker()
    traffic(meter, 0.0, of_1=old)
    old.serve(10, 1)
    traffic(meter, 2.0, of_1=old)
    old.serve(2, 1)
    old.inflight = 1
    new.serve(6, 1)
    new.inflight = 4
    found = traffic(meter, 4.0, of_1=old, of_2=new)
    assert (found.rps, found.inflight) == (4.0, 5)
    assert traffic(meter, 6.0, of_2=new).rps == 0.0


def test_a_worker_that_has_just_been_taken_for_another_tells_nothing_below_zero() -> None:
    meter = Meter()
    traffic(meter, 0.0, of_1=Counted(100, 5, http=True))
    found = traffic(meter, 2.0, of_1=Counted(3, 0, http=True))
    assert (found.rps, found.errors, found.timed) == (0.0, 0.0, 0)


@pytest.mark.parametrize("before", [0, 30, 700, 5_000])
def test_a_latency_is_that_of_the_requests_in_between_however_many_were_before(before: int) -> None:
    meter, worker = Meter(), Worker()
    worker.serve(before, 20)
    traffic(meter, 0.0, of_1=worker)
    worker.serve(200, 400)
    found = traffic(meter, 2.0, of_1=worker)
    assert found.timed == 200
    assert found.latency_s == pytest.approx(0.4, abs=SAMPLES / 200 / 1e3)
    worker.serve(200, 20)
    assert traffic(meter, 4.0, of_1=worker).latency_s == pytest.approx(
        0.02, abs=SAMPLES / 200 / 1e3
    )


def test_few_requests_are_timed_together_within_ten_seconds() -> None:
    meter, worker = Meter(), Worker()
    traffic(meter, 0.0, of_1=worker)
    told = []
    for second in range(2, 14, 2):
        worker.serve(4, 50)
        told.append(traffic(meter, float(second), of_1=worker))
    assert [one.timed for one in told] == [0, 0, 0, 0, 20, 0]
    assert told[4].latency_s == pytest.approx(0.05, abs=SAMPLES / 20 / 1e3)


def test_a_request_counts_in_the_latency_once_it_is_over() -> None:
    meter, worker = Meter(), Worker()
    traffic(meter, 0.0, of_1=worker)
    worker.serve(150, 10)
    begun = worker.counted._replace(requests=180, inflight=30)
    found = traffic(meter, 2.0, of_1=begun)
    assert (found.rps, found.timed) == (90.0, 150)


def test_what_waits_is_in_flight_once_also_while_it_is_led_on() -> None:
    said = f"{HEAD}\nshop.web:80,BACKEND,,,,http,0,0,0,1\n"
    said += "hold:shop.web:80,BACKEND,,,,http,3,3,0,3\nagain:shop.web:80,FRONTEND,,,,http,1,1,0,1\n"
    said += "p:any:80,FRONTEND,,,,http,3,3,0,3\n"
    [found] = Meter().measured({1: read(said)}, WEB, 0.0)
    assert found.inflight == 3
    old = read(f"{HEAD}\nhold:shop.web:80,BACKEND,,,,tcp,,3,,2\n")
    new = read(
        f"{HEAD}\nagain:shop.web:80,FRONTEND,,,,tcp,,3,,2\nshop.web:80,BACKEND,,,,tcp,,,,2\n"
    )
    [found] = Meter().measured({1: old, 2: new}, WEB, 0.0)
    assert found.inflight == 2, "an old worker holds it, and the new one leads it on"


def test_no_latency_is_below_zero() -> None:
    slow = Counted(2_000, http=True, waited_ms=900)
    assert between(slow, Counted(2_010, http=True, waited_ms=880)) == 0.0


def test_what_a_gateway_says_of_a_service_is_a_sample_of_each_metric() -> None:
    of = ServiceTraffic("shop", "web", rps=20.0, inflight=3, errors=1.0, latency_s=0.2, timed=40)
    found = {one.metric: one for one in as_service_samples(GatewaySample("a", [of]), of)}
    assert {name: one.value for name, one in found.items()} == {
        "rps": 20.0,
        "inflight": 3.0,
        "errors": 1.0,
        "latency": 0.2,
    }
    assert {one.source for one in found.values()} == {"gateway/a"}
    assert (found["latency"].mean, found["latency"].weight, found["rps"].mean) == (
        True,
        40.0,
        False,
    )
    nothing = ServiceTraffic("shop", "web")
    assert "latency" not in {
        one.metric for one in as_service_samples(GatewaySample("a", []), nothing)
    }
