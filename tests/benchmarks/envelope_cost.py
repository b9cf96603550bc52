"""What an event costs a process, in microseconds: `just bench envelope_cost`."""

import timeit
from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider
from segue import telemetry
from segue.envelope import Cause, decode, encode
from segue.events.container import ContainerFailed
from segue.log import Stored
from segue.telemetry.spans import IDS
from segue.testing.bench import Table, asked

FAILED = ContainerFailed(
    app="shop", service="web", slot=3, attempt=7, node="node-a", reason="oom", logs=["x" * 100] * 20
)
CAUSE = Cause("0190e7f4-7a70-7c6e-8a51-3c5f9d2b1e00", "0190e7f4-0000-7000-8000-000000000001")
MESSAGE = encode(FAILED, id="0190e7f4", source="/segue/bench/1", time=1_782_000_000.0, cause=CAUSE)
STORED = Stored(1, 1.0, MESSAGE.subject, MESSAGE.data, MESSAGE.headers)
BARE = Stored(1, 1.0, "deploy.requested.shop", b'{"services": {"web": {"image": "web:1"}}}')


def write() -> None:
    encode(FAILED, id="0190e7f4", source="/segue/bench/1", time=1_782_000_000.0, cause=CAUSE)


def main() -> None:
    given = asked(__doc__)
    rounds = 10 if given.smoke else 2_000
    table = Table("envelope_cost", given.out)

    def measure(what: str, work: Callable[[], object]) -> None:
        took = [one / rounds * 1e6 for one in timeit.repeat(work, number=rounds, repeat=5)]
        table.add(what, took, "us")

    measure("encode an event with 2 kB of log lines", write)
    measure("decode it", lambda: decode(STORED))
    measure("decode a bare request", lambda: decode(BARE))
    measure("note its publishing while nobody traces", lambda: telemetry.published([MESSAGE]))
    telemetry.record_with(TracerProvider(id_generator=IDS), None, service="bench")
    measure("note its publishing", lambda: telemetry.published([MESSAGE]))
    telemetry.record_with(None, None, service="")


if __name__ == "__main__":
    main()
