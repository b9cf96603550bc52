"""What a process tells its operators about itself: log lines, traces and measurements.

Nothing here decides anything, and no core may import it: what a core returns is its log. Traces
and measurements cost next to nothing until the environment asks for them by OpenTelemetry's own
names: `OTEL_EXPORTER_OTLP_ENDPOINT` (needs the extra `segue-core[otlp]`), `OTEL_TRACES_EXPORTER`
or `OTEL_METRICS_EXPORTER`; until then OpenTelemetry is not even imported.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from segue.envelope import Record
from segue.log import Message, Outcome
from segue.telemetry import logs

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from segue.telemetry.measures import Measures
    from segue.telemetry.spans import Spans

__all__ = ["configure", "decided", "not_stored", "processed", "published", "record_with"]

_ASKED_BY = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_METRICS_EXPORTER",
    "OTEL_TRACES_EXPORTER",
)
_spans: "Spans | None" = None
_measures: "Measures | None" = None


def configure(service: str, instance: str = "") -> None:
    """Begin a process: its log lines, and whatever the environment asks for beyond them."""
    logs.configure(service, instance)
    if any(os.environ.get(name) for name in _ASKED_BY):
        from segue.telemetry import export  # noqa: PLC0415 — costs 200 ms that few need.

        try:
            record_with(*export.providers(service, instance, os.environ), service=service)
        except export.ExportError as error:  # A service without traces is better than none.
            structlog.get_logger("segue.telemetry").error("not exporting", why=str(error))


def record_with(
    tracers: "TracerProvider | None", meters: "MeterProvider | None", *, service: str
) -> None:
    """Record spans and measurements with these providers from now on; None records none.

    Spans carry the ids of the envelopes only if `tracers` uses `segue.telemetry.spans.Ids`.
    """
    global _measures, _spans  # noqa: PLW0603 — one process, one telemetry.
    _spans = _measures = None
    if tracers is not None:
        from segue.telemetry.spans import Spans  # noqa: PLC0415 — as above.

        _spans = Spans(tracers, service, links_only=bool(os.environ.get("SEGUE_TRACE_LINKS_ONLY")))
    if meters is not None:
        from segue.telemetry.measures import Measures  # noqa: PLC0415 — as above.

        _measures = Measures(meters, service)


def published(messages: Sequence[Message], *, took_s: float = 0.0) -> None:
    """Note that the log has stored these messages of ours, `took_s` after they were sent."""
    if _spans is not None:
        for message in messages:
            _spans.published(message, took_s)
    if _measures is not None:
        _measures.published(messages, took_s)


def not_stored(outcome: Outcome) -> None:
    """Note that a write of ours was refused, or got no answer, or is invalid."""
    if _measures is not None:
        _measures.not_stored(outcome)


def processed(record: Record, *, took_s: float = 0.0, lag_s: float = 0.0) -> None:
    """Note that a new event was folded, `lag_s` after the log had stored it; replays are not."""
    if _spans is not None:
        _spans.processed(record, took_s)
    if _measures is not None:
        _measures.processed(record, took_s, lag_s)


def decided(count: int, *, took_s: float) -> None:
    """Note that the core was asked what is owed, and said this many things."""
    if _measures is not None:
        _measures.decided(count, took_s)
