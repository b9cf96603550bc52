"""What an event costs a process, in microseconds: `just bench`. The bars catch a tenfold loss only."""

import timeit
from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from segue import telemetry
from segue.envelope import Cause, decode, encode
from segue.events.container import ContainerFailed
from segue.log import Stored
from segue.telemetry.spans import IDS

FAILED = ContainerFailed(
    app="shop", service="web", slot=3, attempt=7, node="node-a", reason="oom", logs=["x" * 100] * 20
)
CAUSE = Cause("0190e7f4-7a70-7c6e-8a51-3c5f9d2b1e00", "0190e7f4-0000-7000-8000-000000000001")
MESSAGE = encode(FAILED, id="0190e7f4", source="/segue/bench/1", time=1_782_000_000.0, cause=CAUSE)
STORED = Stored(1, 1.0, MESSAGE.subject, MESSAGE.data, MESSAGE.headers)
BARE = Stored(1, 1.0, "deploy.requested.shop", b'{"services": {"web": {"image": "web:1"}}}')


def write() -> None:
    encode(FAILED, id="0190e7f4", source="/segue/bench/1", time=1_782_000_000.0, cause=CAUSE)


@pytest.mark.parametrize(
    ("what", "work", "bar_us"),
    [
        ("encode an event with 2 kB of log lines", write, 150),
        ("decode it", lambda: decode(STORED), 100),
        ("decode a bare request", lambda: decode(BARE), 200),
        ("note its publishing while nobody traces", lambda: telemetry.published([MESSAGE]), 5),
    ],
)
def test_an_event_costs_little(what: str, work: Callable[[], object], bar_us: float) -> None:
    assert measured(what, work) < bar_us


def test_a_traced_event_costs_little() -> None:
    telemetry.record_with(TracerProvider(id_generator=IDS), None, service="bench")
    try:
        assert measured("note its publishing", lambda: telemetry.published([MESSAGE])) < 1000
    finally:
        telemetry.record_with(None, None, service="")


def measured(what: str, work: Callable[[], object]) -> float:
    """Give the best of five rounds, in microseconds."""
    rounds = 2000
    best_us = min(timeit.repeat(work, number=rounds, repeat=5)) / rounds * 1e6
    print(f"\n{best_us:8.1f} us  {what}", end="")
    return best_us
