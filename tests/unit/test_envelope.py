"""What Segue writes others can read, what others write Segue reads, and nothing breaks a reader."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import event_schema
import jsonschema
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from segue.envelope import (
    CONTENT_TYPE,
    ERRORS,
    MAX_BYTES,
    Cause,
    Envelope,
    Record,
    UnknownTypeError,
    decode,
    encode,
    traceparent_of,
)
from segue.events import REGISTRY, Event
from segue.events.container import ContainerFailed, ContainerStarted
from segue.events.deploy import DeployRequested
from segue.events.event import EventRejected
from segue.events.node import NodeCordonRequested, NodeJoined
from segue.events.scale import ScaleRequested
from segue.log import Message, Stored

CLOUDEVENTS = Path(__file__).parents[1] / "golden" / "cloudevents" / "cloudevents.json"
FUZZ = Path(__file__).parents[1] / "fuzz"
NOON = 1_782_043_200.25
FAILED = ContainerFailed(
    app="shop", service="web", slot=3, attempt=7, node="node-a", reason="oom", logs=["ünïcode"]
)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def said(event: Event, cause: Cause | None = None, actor: str = "") -> Message:
    return encode(event, id="0190e7f4", source="/segue/test/1", time=NOON, cause=cause, actor=actor)


def stored(message: Message) -> Stored:
    return Stored(9, 12.5, message.subject, message.data, message.headers)


def foreign(subject: str, body: Any = b"", /, **headers: str) -> Record:
    """Read what another program published."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return decode(Stored(9, 12.5, subject, data, names))


def structured(**attributes: Any) -> dict[str, Any]:
    """Give a CloudEvent as another program would write it."""
    whole = {
        "specversion": "1.0",
        "id": "a1",
        "source": "/ci",
        "type": DeployRequested.type,
        "data": {"app": "shop", "compose": {"services": {}}},
    }
    return {name: value for name, value in (whole | attributes).items() if value is not ...}


# What Segue says.


def test_what_is_said_is_read_back_with_all_that_was_said() -> None:
    cause = Cause("0190aaaa", "0190bbbb", TRACE)
    record = decode(stored(said(FAILED, cause, actor="ann@example.org")))
    assert record == Record(
        sequence=9,
        time=12.5,
        event=FAILED,
        id="0190e7f4",
        source="/segue/test/1",
        correlation="0190bbbb",
        cause="0190aaaa",
        actor="ann@example.org",
        traceparent=record.traceparent,
    )
    assert record.as_cause() == Cause("0190e7f4", "0190bbbb", record.traceparent)


def test_an_event_that_nothing_caused_begins_a_story() -> None:
    record = decode(stored(said(FAILED)))
    assert (record.correlation, record.cause) == (record.id, "")


def test_a_story_is_one_trace_with_a_span_for_each_event() -> None:
    first = decode(stored(said(FAILED)))
    second = decode(stored(said(FAILED, first.as_cause())))
    assert first.traceparent == traceparent_of(first.correlation, first.id)
    assert second.traceparent.split("-")[1] == first.traceparent.split("-")[1]


def test_the_trace_of_a_program_that_asked_goes_on() -> None:
    asked = foreign("node.cordon_requested.a", traceparent=TRACE)
    answer = decode(stored(said(FAILED, asked.as_cause())))
    assert answer.traceparent.split("-")[1] == TRACE.split("-")[1]
    assert answer.traceparent.endswith("-00"), "whoever asked wants no samples"


@pytest.mark.parametrize(
    "odd",
    [
        "nonsense",
        "00-x-y-01",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nNats-Rollup: all",
    ],
)
def test_a_trace_context_that_is_none_goes_no_further(odd: str) -> None:
    record = foreign(
        "node.cordon_requested.a",
        structured(type=NodeCordonRequested.type, data={"node": "a"}, traceparent=odd),
    )
    assert record.traceparent == ""
    assert said(FAILED, Cause("a", "b", odd)).headers["traceparent"] == traceparent_of(
        "b", "0190e7f4"
    )


def test_others_find_a_cloudevent() -> None:
    rules = json.loads(CLOUDEVENTS.read_text(encoding="utf-8"))
    message = said(FAILED, Cause("a", "b"), actor="ann")
    said_out = json.loads(message.data)
    jsonschema.validate(said_out, rules, jsonschema.Draft7Validator)
    jsonschema.validate(said_out, event_schema.envelope_schema(), jsonschema.Draft202012Validator)
    # CloudEvents 1.0.2, "Attribute naming convention" and "Type system: String".
    assert all(name.isalnum() and name == name.lower() for name in said_out if name != "data")
    assert message.headers["Content-Type"] == CONTENT_TYPE
    assert said_out["time"] == "2026-06-21T12:00:00.250Z"


def test_an_event_without_a_scope_has_no_subject_attribute() -> None:
    event = EventRejected(sequence=4, on="load.high", reason="not JSON")
    assert "subject" not in json.loads(said(event).data)
    assert decode(stored(said(event))).event == event


@pytest.mark.parametrize(
    "unreadable",
    [
        msgspec.structs.replace(FAILED, node="node.a"),
        msgspec.structs.replace(FAILED, node="*"),
        msgspec.structs.replace(FAILED, app=""),
        msgspec.structs.replace(FAILED, ran_s=float("nan")),
        msgspec.structs.replace(FAILED, ran_s=float("inf")),
        msgspec.structs.replace(FAILED, reason="bored"),
        msgspec.structs.replace(FAILED, message="\ud800"),
    ],
)
def test_what_nobody_could_read_is_not_said(unreadable: ContainerFailed) -> None:
    with pytest.raises(ERRORS):
        said(unreadable)


def test_traces_are_the_same_in_every_process_for_ever() -> None:
    code = "from segue.envelope import traceparent_of; print(traceparent_of('a', 'b'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == traceparent_of("a", "b")
    assert traceparent_of("a", "b") == "00-7853b05eaf88affcf31a4a0f351967b7-80a302b1c66aec9d-01"


# What others say.


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8", ""]
)
def test_a_structured_event_is_known_by_its_header_or_by_its_content(kind: str) -> None:
    record = foreign("deploy.requested.shop", structured(), Content_Type=kind)
    assert (record.id, record.source, record.correlation) == ("a1", "/ci", "a1")


def test_unknown_attributes_and_fields_are_passed_over() -> None:
    data = {"app": "shop", "compose": {}, "colour": "red"}
    record = foreign("deploy.requested.shop", structured(partitionkey="x", data=data))
    assert record.event == DeployRequested(app="shop", compose={})


def test_an_attribute_that_is_null_is_not_there() -> None:
    nothing = dict.fromkeys(("subject", "time", "dataschema", "traceparent", "actor"))
    record = foreign("deploy.requested.shop", structured(**nothing, correlationid=None))
    assert (record.correlation, record.actor, record.traceparent) == ("a1", "", "")


def test_binary_mode_is_read_whatever_the_case_of_its_headers() -> None:
    record = foreign(
        "deploy.requested.shop",
        {"app": "shop", "compose": {}},
        CE_SpecVersion="1.0",
        ce_id="Euro%20%e2%82%AC%20%F0%9F%98%80",
        Ce_Source="/ci",
        ce_type="deploy.requested",
        ce_actor='"Ann \\"the\\" boss"',
        ce_datacontenttype="application/json; charset=utf-8",
    )
    assert record.id == "Euro \N{EURO SIGN} \N{GRINNING FACE}"
    assert record.actor == 'Ann "the" boss'


def test_a_binary_events_body_is_its_data() -> None:
    record = foreign(
        "event.rejected",
        {"sequence": 1, "on": "a", "reason": "b"},
        ce_specversion="1.0",
        ce_id="1",
        ce_source="/x",
        ce_type="event.rejected",
    )
    assert isinstance(record.event, EventRejected)
    with pytest.raises(msgspec.ValidationError, match="missing required field `sequence`"):
        foreign(
            "event.rejected",
            ce_specversion="1.0",
            ce_id="1",
            ce_source="/x",
            ce_type="event.rejected",
        )


def test_percent_encoding_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        foreign("event.rejected", ce_specversion="1.0", ce_id="%C0%A0", ce_source="/x", ce_type="x")


def test_a_bare_compose_file_is_a_request() -> None:
    compose = {"services": {"web": {"image": "web:1"}}}
    for body in (compose, {"compose": compose}, {"compose": compose, "app": "shop"}):
        record = foreign("deploy.requested.shop", body)
        assert record.event == DeployRequested(app="shop", compose=compose)
        assert record.source == "/foreign"


def test_a_bare_compose_file_may_hold_the_word_that_marks_a_cloudevent() -> None:
    compose = {"services": {"web": {"image": "web:1", "labels": {"specversion": "1.0"}}}}
    assert foreign("deploy.requested.shop", compose).event == DeployRequested(
        app="shop", compose=compose
    )


def test_a_bare_request_takes_its_id_from_its_header_or_its_place() -> None:
    assert foreign("node.cordon_requested.a", Nats_Msg_Id="mine").id == "mine"
    assert foreign("node.cordon_requested.a").id == foreign("node.cordon_requested.a").id


def test_a_bare_body_need_not_say_what_its_subject_says() -> None:
    assert foreign("scale.requested.shop.web", {"replicas": 3}).event == ScaleRequested(
        app="shop", service="web", replicas=3
    )


def test_a_bare_body_is_no_decision() -> None:
    """`container.requested` is the deployer's word, though it ends like a request."""
    with pytest.raises(msgspec.ValidationError, match="not a CloudEvent; a bare body is read on"):
        foreign("container.requested.shop.web.3", {"attempt": 1, "revision": 1, "digest": "x"})


# What is refused, and how it is said.


@pytest.mark.parametrize(
    ("subject", "body", "words"),
    [
        ("deploy.requested.shop", structured(specversion="0.3"), "specversion is '0.3', not '1.0'"),
        ("deploy.requested.shop", structured(id=""), "id is empty"),
        ("deploy.requested.shop", structured(source=...), "missing required field `source`"),
        ("deploy.requested.shop", structured(id="x" * 257), "id is 'xxx"),
        ("deploy.requested.shop", structured(actor="\x1b[2J"), "actor is '\\x1b[2J'; at most 256"),
        (
            "deploy.requested.shop",
            structured(type="deploy.wished"),
            "no event called deploy.wished",
        ),
        ("deploy.requested.shop", structured(datacontenttype="text/xml"), "only JSON is read"),
        ("deploy.requested.shop", structured(data=...), "missing required field `app`"),
        ("deploy.requested.shop", structured(data=None), "Expected `object`, got `null`"),
        ("deploy.requested.blog", structured(), "the content says deploy.requested.shop"),
        ("deploy.requested", structured(), "the content says deploy.requested.shop"),
        ("deploy.requested.shop.web", structured(), "the content says deploy.requested.shop"),
        ("deploy.requested.shop", structured(data={"app": "a.b", "compose": {}}), "app is 'a.b'"),
        ("deploy.requested.shop", [1], "the body is list, not an object"),
        ("deploy.requested.a.b", {"services": {}}, "the content says deploy.requested.a"),
        ("weather.requested.a", {}, "there is no event called weather.requested"),
        ("deploy.requested.shop", b"{", "Input data was truncated"),
        ("deploy.requested.shop", b'{"a": NaN}', "JSON is malformed"),
        ("deploy.requested.shop", b"\xff", "JSON is malformed"),
        ("node.lost.a", b"hello", "JSON is malformed"),
        ("deploy.requested.shop", b" " * (MAX_BYTES + 1), "1000001 bytes; at most 1000000"),
    ],
)
def test_a_refusal_says_what_is_wrong(subject: str, body: Any, words: str) -> None:
    with pytest.raises(ERRORS) as refused:
        foreign(subject, body)
    assert words in str(refused.value)


def test_a_newer_segues_event_is_told_from_a_strangers() -> None:
    newer = structured(type="container.cloned", source="/segue/deployer/1", data={})
    for body, ours in ((newer, True), (newer | {"source": "/ci"}, False)):
        with pytest.raises(UnknownTypeError) as unknown:
            foreign("container.cloned.shop", body)
        assert unknown.value.ours is ours


def test_a_newer_version_of_an_event_is_told_from_this_one() -> None:
    newer = json.loads(said(FAILED).data) | {"dataschema": "urn:segue:container.failed:2"}
    with pytest.raises(
        UnknownTypeError, match=r"container\.failed has version 2, not 1"
    ) as unknown:
        foreign(FAILED.subject, newer)
    assert unknown.value.ours
    assert foreign(FAILED.subject, newer | {"dataschema": "urn:example:9"}).event == FAILED


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000])
@pytest.mark.parametrize("head", [b"", b'{"specversion":"1.0","data":', b'{"compose":'])
def test_deep_nesting_costs_one_message(deep: bytes, head: bytes) -> None:
    for kind in (CONTENT_TYPE, ""):
        with pytest.raises(ERRORS):
            foreign("deploy.requested.shop", head + deep, Content_Type=kind)


# Properties.


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
ANY_TEXT = st.text(st.characters(), max_size=20)  # Lone surrogates too.
ATTRIBUTES = [field.name for field in msgspec.structs.fields(Envelope)]
ENVELOPES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(ATTRIBUTES, JSON) | {"type": st.sampled_from(sorted(REGISTRY))}
)
BODIES = st.binary(max_size=200) | (JSON | ENVELOPES).map(lambda body: json.dumps(body).encode())
SUBJECTS = st.text(max_size=20) | st.builds(
    "{}.{}".format, st.sampled_from(sorted(REGISTRY)), st.text("abc019-_.*>", max_size=9)
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Nats-Msg-Id", "traceparent"])
    | st.sampled_from(ATTRIBUTES).map("ce-{}".format),
    st.sampled_from([CONTENT_TYPE, "1.0", '"', "%", "%ff", "%22"]) | ANY_TEXT,
    max_size=5,
)


@given(SUBJECTS | ANY_TEXT, BODIES, HEADERS)
@example("node.cordon_requested.\ud800", b"", {})
@example("node.cordon_requested.a", b"", {"Nats-Msg-Id": "\ud800"})
@example("container.restart_requested.a.b." + "9" * 5000, b"", {})
@example("deploy.requested.a", b'{"services": {"a": ' + b"9" * 5000 + b"}}", {})
def test_whatever_comes_is_read_or_refused(
    subject: str, data: bytes, headers: dict[str, str]
) -> None:
    try:
        record = decode(Stored(1, 1.0, subject, data, headers))
    except ERRORS:
        return
    assert record.event.subject == subject
    answer = encode(FAILED, id="a", source="/b", time=0.0, cause=record.as_cause())
    assert decode(stored(answer)).cause == record.id


@pytest.mark.parametrize("path", sorted(FUZZ.glob("corpus/*")), ids=lambda path: path.name)
def test_what_the_fuzzer_once_tried_does_no_harm(path: Path) -> None:
    runpy.run_path(str(FUZZ / "fuzz_envelope.py"))["read"](path.read_bytes())


TOKENS = st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        ContainerStarted,
        app=TOKENS, service=TOKENS, node=TOKENS, slot=st.integers(), attempt=st.integers(),
        engine_id=st.text(), image=st.text(), took_s=FINITE,
    )
    | st.builds(
        NodeJoined,
        node=TOKENS, session=st.text(), cpu_millicores=st.integers(), memory_bytes=st.integers(),
        labels=st.dictionaries(st.text(), st.text()), images=st.lists(st.text()),
    )
)  # fmt: skip
def test_whatever_can_be_said_comes_back_the_same(event: Event) -> None:
    assert decode(stored(said(event))).event == event
