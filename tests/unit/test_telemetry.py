"""Operators see one form of log lines, one trace for each story, and pay nothing for neither."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind
from segue import telemetry
from segue.envelope import Record, decode, encode
from segue.events import Event
from segue.events.container import ContainerAssigned, ContainerFailed, ContainerRequested
from segue.events.node import NodeCordoned, NodeCordonRequested
from segue.log import Message, Outcome, Stored
from segue.telemetry import export
from segue.telemetry.spans import IDS

SLOT: dict[str, Any] = {"app": "shop", "service": "web", "slot": 3}
FAILED = ContainerFailed(**SLOT, attempt=7, node="node-a", reason="oom")
REQUESTED = ContainerRequested(**SLOT, attempt=8, revision=1, digest="d")
ASSIGNED = ContainerAssigned(**SLOT, attempt=8, node="node-b", revision=1, digest="d")


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a process of its own, whose environment asks for nothing but what is said here."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SEGUE_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
    )


SPEAK = """
import logging, structlog
from segue import telemetry
telemetry.configure("deployer", "a1")
log = structlog.get_logger()
log.info("decided", owed=3, odd={(1, 2)}, text="\\ud800")
log.debug("detail")
logging.getLogger("nats").info("connected")
logging.getLogger("urllib3").warning("retrying %s", "once")
"""


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Log lines.


def test_a_log_line_is_json_where_no_terminal_is() -> None:
    ended = run(SPEAK)
    assert ended.stdout == ""
    said, library = lines(ended.stderr)
    assert (
        said.items()
        >= {
            "level": "info",
            "service": "deployer",
            "instance": "a1",
            "message": "decided",
            "owed": 3,
        }.items()
    )
    assert said["text"] == r"'\ud800'", "what JSON cannot say is said in its own way"
    assert (library["logger"], library["message"]) == ("urllib3", "retrying once")


def test_the_environment_chooses_form_and_level() -> None:
    shown = run(SPEAK, SEGUE_LOG="console,debug").stderr
    assert "\x1b" not in shown, "colours are for terminals"
    assert "detail" in shown
    assert "connected" in shown
    assert run(SPEAK, SEGUE_LOG="json,error").stderr == ""


def test_a_word_that_means_nothing_is_named_and_stops_nobody() -> None:
    first, second, _ = lines(run(SPEAK, SEGUE_LOG="loud").stderr)
    assert (first["level"], first["words"]) == ("warning", "loud")
    assert "debug" in first["known"]
    assert second["message"] == "decided"


def test_the_reason_of_a_process_end_is_a_log_line() -> None:
    ended = run(SPEAK + "raise SystemError('broken')")
    last = lines(ended.stderr)[-1]
    assert ended.returncode == 1
    assert (last["level"], last["message"]) == ("critical", "this process ends")
    assert "SystemError: broken" in last["exception"]


def test_a_readable_traceback_shows_no_variables() -> None:
    code = SPEAK + "\ndef work():\n    password = 'hunter' + '2'\n    1 / 0\nwork()"
    shown = run(code, SEGUE_LOG="console").stderr
    assert "ZeroDivisionError" in shown
    assert "hunter2" not in shown


# Traces.


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Record this process's spans."""
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(id_generator=IDS)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.record_with(tracers, None, service="deployer")
    yield exporter
    telemetry.record_with(None, None, service="")


def told(
    event: Event, cause: Record | None = None, traceparent: str = ""
) -> tuple[Message, Record]:
    """Say an event, as another process would, and read it."""
    message = encode(
        event,
        id=f"id-of-{event.type}",
        source="/segue/test/1",
        time=1_782_000_000.0,
        cause=cause.as_cause() if cause else None,
    )
    headers = {"traceparent": traceparent} if traceparent else message.headers
    return message, decode(Stored(5, 1.0, message.subject, message.data, headers))


def context(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_a_causal_chain_is_one_trace_though_each_process_knows_only_its_own_part(
    spans: InMemorySpanExporter,
) -> None:
    failed, failure = told(FAILED)
    requested, request = told(REQUESTED, failure)
    assigned, assignment = told(ASSIGNED, request)
    for message in (failed, requested, assigned):  # As three processes would, in any order.
        telemetry.published([message], took_s=0.002)
    first, second, third = spans.get_finished_spans()
    assert [context(span) for span in (first, second, third)] == [
        record.traceparent for record in (failure, request, assignment)
    ]
    assert first.parent is None
    assert second.parent is not None
    assert third.parent is not None
    assert first.context is not None
    assert second.context is not None
    assert second.parent.span_id == first.context.span_id
    assert third.parent.span_id == second.context.span_id
    assert len({span.context.trace_id for span in (first, second, third) if span.context}) == 1
    assert [link.context.span_id for link in third.links] == [second.context.span_id]
    assert third.kind is SpanKind.PRODUCER
    assert third.name == "publish container.assigned.{app}.{service}.{slot}.{node}"
    assert third.end_time is not None
    assert third.start_time is not None
    assert third.end_time - third.start_time == 2_000_000


def test_processing_an_event_is_a_span_below_it(spans: InMemorySpanExporter) -> None:
    message, failure = told(FAILED)
    telemetry.published([message])
    telemetry.processed(failure, took_s=0.001)
    above, below = spans.get_finished_spans()
    assert above.context is not None
    assert below.parent is not None
    assert (below.kind, below.parent.span_id) == (SpanKind.CONSUMER, above.context.span_id)
    assert below.attributes is not None
    assert below.attributes["messaging.destination.name"] == message.subject
    assert below.attributes["messaging.message.conversation_id"] == failure.correlation
    assert below.attributes["segue.node"] == "node-a"


def test_what_an_outsider_asks_gets_its_span_from_the_doorkeeper(
    spans: InMemorySpanExporter,
) -> None:
    asked = Stored(5, 1.0, "node.cordon_requested.a", b"", {})
    request = decode(asked)
    answer, _ = told(NodeCordoned(node="a"), request)
    telemetry.processed(request)
    telemetry.published([answer])
    root, child = spans.get_finished_spans()
    assert root.parent is None
    assert root.context is not None
    assert child.parent is not None
    assert child.parent.span_id == root.context.span_id
    assert child.context is not None
    assert child.context.trace_id == root.context.trace_id


def test_the_trace_of_whoever_asked_goes_on(spans: InMemorySpanExporter) -> None:
    theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    request = decode(Stored(5, 1.0, "node.cordon_requested.a", b"", {"traceparent": theirs}))
    answer, _ = told(NodeCordoned(node="a"), request)
    telemetry.processed(request)
    telemetry.published([answer])
    root, child = spans.get_finished_spans()
    assert root.parent is not None
    assert child.parent is not None
    assert root.context is not None
    assert child.context is not None
    assert f"{root.parent.span_id:016x}" == "b7ad6b7169203331"
    assert child.parent.span_id == root.context.span_id
    assert f"{child.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


def test_a_trace_that_its_beginner_does_not_sample_is_not_recorded(
    spans: InMemorySpanExporter,
) -> None:
    theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    telemetry.processed(told(NodeCordonRequested(node="a"))[1])
    request = decode(Stored(5, 1.0, "node.cordon_requested.a", b"", {"traceparent": theirs}))
    telemetry.processed(request)
    telemetry.published([told(NodeCordoned(node="a"), request)[0]])
    assert len(spans.get_finished_spans()) == 1


def test_traces_may_be_kept_apart_and_only_linked(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_TRACE_LINKS_ONLY", "1")
    tracers = TracerProvider(id_generator=IDS)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    telemetry.record_with(tracers, None, service="deployer")
    message, failure = told(FAILED)
    telemetry.published([message])
    telemetry.processed(failure)
    event, processing = spans.get_finished_spans()
    assert processing.parent is None
    assert event.context is not None
    assert [link.context.span_id for link in processing.links] == [event.context.span_id]


def test_every_process_keeps_the_same_share_of_the_traces() -> None:
    asked = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    one, other = export.sampler(asked), export.sampler(asked)
    kept = 0
    for number in range(1000):
        trace = number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128
        decisions = {s.should_sample(None, trace, "x").decision for s in (one, other)}
        assert len(decisions) == 1
        kept += decisions == {Decision.RECORD_AND_SAMPLE}
    assert 400 < kept < 600


# Measurements.


def test_what_a_service_does_is_measured() -> None:
    reader = InMemoryMetricReader()
    telemetry.record_with(None, MeterProvider([reader]), service="scheduler")
    try:
        message, record = told(FAILED)
        telemetry.published([message, message], took_s=0.003)
        telemetry.processed(record, took_s=0.0002, lag_s=0.004)
        telemetry.decided(2, took_s=0.0001)
        telemetry.not_stored(Outcome("refused"))
        data = reader.get_metrics_data()
    finally:
        telemetry.record_with(None, None, service="")
    assert data is not None
    points: dict[str, Any] = {
        metric.name: next(iter(metric.data.data_points))
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {
        name: getattr(p, "value", None) or getattr(p, "sum", 0) for name, p in points.items()
    } == {
        "messaging.client.sent.messages": 2,
        "messaging.client.consumed.messages": 1,
        "messaging.client.operation.duration": 0.003,
        "messaging.process.duration": 0.0002,
        "segue.event.lag": 0.004,
        "segue.decision.duration": 0.0001,
        "segue.decisions": 2,
        "segue.publish.refused": 1,
    }
    assert points["segue.publish.refused"].attributes == {"segue.outcome": "refused"}


# What the environment asks for.


IMPORTED = """
import sys
from segue import telemetry
telemetry.configure("scheduler", "a")
telemetry.decided(1, took_s=0.1)
print(sum(name.startswith("opentelemetry") for name in sys.modules))
"""


def test_nobody_pays_for_what_nobody_asked_for() -> None:
    assert run(IMPORTED).stdout.strip() == "0"


def test_a_console_shows_spans_where_the_environment_asks() -> None:
    code = """
from segue import telemetry
from segue.envelope import encode
from segue.events.node import NodeLeft
telemetry.configure("node_runner", "node-a")
message = encode(NodeLeft(node="node-a"), id="a", source="/segue/x", time=0.0)
telemetry.published([message])
print(message.headers["traceparent"])
"""
    ended = run(code, OTEL_TRACES_EXPORTER="console")
    assert ended.stderr == ""
    span, end = json.JSONDecoder().raw_decode(ended.stdout)
    trace = f"00-{span['context']['trace_id'][2:]}-{span['context']['span_id'][2:]}-01"
    assert ended.stdout[end:].strip() == trace
    resource = span["resource"]["attributes"]
    assert resource["service.name"] == "segue-node-runner"
    assert resource["service.instance.id"] == "node-a"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "pigeon"}, "OTEL_TRACES_EXPORTER is pigeon, which is not here"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "install segue-core[otlp]"),
        (
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": "some"},
            "OTEL_TRACES_SAMPLER is 'some'",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_and_stops_nobody(
    asked: dict[str, str], words: str
) -> None:
    ended = run(IMPORTED, **asked)
    assert ended.returncode == 0
    (line,) = lines(ended.stderr)
    assert line["message"] == "not exporting"
    assert words in line["why"]


def test_the_standards_own_switch_turns_everything_off() -> None:
    ended = run(IMPORTED, OTEL_TRACES_EXPORTER="pigeon", OTEL_SDK_DISABLED="true")
    assert ended.stderr == ""
