"""Spans from event to event: one trace for each causal chain, joined without any shared state.

    request ─→ process (doorkeeper) ─→ publish ─→ publish ─→ publish
                                          └→ process  └→ process

A span's ids are those in the envelope, which are derived from the correlation's and the event's
ids, so every process knows the ids of its parents, whoever recorded them. The span of publishing
an event is the event's own; a request that anyone may make has no publisher who records it, so the
span in which its first follower processes it is its own. Each span has its parent as a link too;
`SEGUE_TRACE_LINKS_ONLY` leaves the links alone.
"""

import threading
import time

import msgspec
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from segue.envelope import Record, traceparent_of
from segue.events import REGISTRY
from segue.events.ring import ANYONE, RING
from segue.log import Message
from segue.telemetry.names import template


class Ids(IdGenerator):
    """Gives a span the ids that its envelope has; random ones to any other."""

    def __init__(self) -> None:
        self._chosen = threading.local()
        self._random = RandomIdGenerator()

    def choose(self, context: SpanContext | None) -> None:
        """Set the ids of the next span that this thread starts."""
        self._chosen.context = context

    def generate_trace_id(self) -> int:
        """Give the chosen trace id, or a random one."""
        chosen: SpanContext | None = getattr(self._chosen, "context", None)
        return chosen.trace_id if chosen else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Give the chosen span id once, or a random one."""
        chosen: SpanContext | None = getattr(self._chosen, "context", None)
        self._chosen.context = None
        return chosen.span_id if chosen else self._random.generate_span_id()


IDS = Ids()  # Of this process; a span takes its ids only if its tracer's provider has these.


class Causes(msgspec.Struct):
    """What a span needs to know of a structured message."""

    correlationid: str
    causationid: str = ""


_causes = msgspec.json.Decoder(Causes).decode


class Spans:
    """Records what a service publishes and processes, after it happened."""

    def __init__(self, tracers: TracerProvider, service: str, *, links_only: bool) -> None:
        self._tracer = tracers.get_tracer("segue")
        self._service, self._links_only = service, links_only

    def published(self, message: Message, took_s: float) -> None:
        """Record the span of a message that the log has stored."""
        causes = _causes(message.data)
        own = context_of(message.headers.get("traceparent", ""))
        parent = None
        if causes.causationid:
            cause = context_of(traceparent_of(causes.correlationid, causes.causationid))
            parent = _in_trace(cause, own)
        event_type = ".".join(message.subject.split(".")[:2])
        attributes = _attributes(event_type, message.subject, message.id, causes.correlationid)
        attributes |= {"messaging.operation.name": "publish", "messaging.operation.type": "send"}
        name = f"publish {template(event_type)}"
        self._record(
            name, SpanKind.PRODUCER, own=own, parent=parent, attributes=attributes, took_s=took_s
        )

    def processed(self, record: Record, took_s: float) -> None:
        """Record that this service has folded an event."""
        event = type(record.event)
        own = _in_trace(
            context_of(traceparent_of(record.correlation, record.id)),
            context_of(record.traceparent),
        )
        attributes = _attributes(event.type, record.event.subject, record.id, record.correlation)
        attributes |= {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": self._service,
            "segue.sequence": record.sequence,
        }
        name = f"process {template(event.type)}"
        if ANYONE in RING[event].authors and RING[event].followers[:1] == (self._service,):
            asked = context_of(record.traceparent)  # By whoever asked, if they trace.
            parent = asked if asked.is_valid and asked.span_id != own.span_id else None
            self._record(
                name,
                SpanKind.CONSUMER,
                own=own,
                parent=parent,
                attributes=attributes,
                took_s=took_s,
            )
        else:
            self._record(
                name, SpanKind.CONSUMER, own=None, parent=own, attributes=attributes, took_s=took_s
            )

    def _record(
        self,
        name: str,
        kind: SpanKind,
        *,
        own: SpanContext | None,
        parent: SpanContext | None,
        attributes: dict[str, AttributeValue],
        took_s: float,
    ) -> None:
        now_ns = time.time_ns()
        above = None if self._links_only else parent
        IDS.choose(own)
        try:
            span = self._tracer.start_span(
                name,
                set_span_in_context(NonRecordingSpan(above or INVALID_SPAN_CONTEXT)),
                kind,
                attributes,
                [Link(parent)] if parent else [],
                now_ns - int(took_s * 1e9),
            )
        finally:
            IDS.choose(None)
        span.end(now_ns)


def context_of(traceparent: str) -> SpanContext:
    """Read a W3C trace context; what is none becomes an invalid one."""
    parts = traceparent.split("-")
    if len(parts) != 4:
        return INVALID_SPAN_CONTEXT
    _, trace, span, flags = parts
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )


def _in_trace(context: SpanContext, other: SpanContext) -> SpanContext:
    """Give the same span in the other's trace: a program that asked may have brought its own."""
    if not other.is_valid:
        return context
    return SpanContext(
        other.trace_id, context.span_id, is_remote=True, trace_flags=other.trace_flags
    )


def _attributes(
    event_type: str, subject: str, message_id: str, correlation: str
) -> dict[str, AttributeValue]:
    event = REGISTRY.get(event_type)
    tokens = subject.split(".")[2:]
    return {
        "messaging.system": "nats",
        "messaging.destination.name": subject,
        "messaging.destination.template": template(event_type),
        "messaging.message.id": message_id,
        "messaging.message.conversation_id": correlation,
        **{f"segue.{k}": v for k, v in zip(event.scope if event else (), tokens, strict=False)},
    }
