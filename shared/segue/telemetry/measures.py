"""Measurements, by OpenTelemetry's names for messaging where it has some and by ours where not.

No attribute here has many values: subjects stand unfilled, and ids are for spans.
"""

from collections import Counter
from collections.abc import Sequence

from opentelemetry.metrics import Histogram, Meter, MeterProvider

from segue.envelope import Record
from segue.log import Message, Outcome
from segue.telemetry.names import template

# A decision takes microseconds, a reader behind is seconds behind; the SDK's bounds fit neither.
_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)


class Measures:
    """The instruments of one service."""

    def __init__(self, meters: MeterProvider, service: str) -> None:
        meter = meters.get_meter("segue")
        self._process_attributes = {"messaging.consumer.group.name": service}
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Events that the log has stored"
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Events that were folded"
        )
        self._not_stored = meter.create_counter(
            "segue.publish.refused", "{write}", "Writes that the log did not store"
        )
        self._owed = meter.create_counter(
            "segue.decisions", "{decision}", "Events and effects that the core owed"
        )
        self._operation = _seconds(
            meter, "messaging.client.operation.duration", "From sending to the log's answer"
        )
        self._process = _seconds(meter, "messaging.process.duration", "Folding an event")
        self._lag = _seconds(
            meter, "segue.event.lag", "From the log's storing an event to its being folded"
        )
        self._decision = _seconds(meter, "segue.decision.duration", "Asking the core what is owed")

    def published(self, messages: Sequence[Message], took_s: float) -> None:
        """Count what the log has stored with one write."""
        types = Counter(".".join(message.subject.split(".")[:2]) for message in messages)
        for event_type, count in types.items():
            self._sent.add(count, _said(event_type, "publish"))
        self._operation.record(
            took_s, {"messaging.system": "nats", "messaging.operation.name": "publish"}
        )

    def not_stored(self, outcome: Outcome) -> None:
        """Count a write that was refused, unanswered or invalid."""
        self._not_stored.add(1, {"segue.outcome": outcome.kind})

    def processed(self, record: Record, took_s: float, lag_s: float) -> None:
        """Count an event that was folded."""
        said = _said(record.event.type, "process") | self._process_attributes
        self._consumed.add(1, said)
        self._process.record(took_s, said)
        self._lag.record(max(0.0, lag_s), self._process_attributes)

    def decided(self, count: int, took_s: float) -> None:
        """Measure one question to the core."""
        self._decision.record(took_s, self._process_attributes)
        if count:
            self._owed.add(count, self._process_attributes)


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=_BOUNDS_S
    )


def _said(event_type: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.destination.template": template(event_type),
    }
