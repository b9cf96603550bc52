"""The wire protocol, cut into pieces anywhere and fed with anything."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.bus.protocol import (
    Parser,
    ProtocolError,
    covers,
    is_filter,
    is_subject,
    read_headers,
    read_status,
    write_headers,
)

Message = tuple[int, bytes, bytes, bytes, bytes]


class Receiver:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def deliver(self, *message: Any) -> None:
        self.told.append(message)

    async def _process_ping(self) -> None:
        self.told.append("ping")

    async def _process_pong(self) -> None:
        self.told.append("pong")

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(info)

    async def _process_err(self, err_msg: str) -> None:
        self.told.append(err_msg)


def told(*pieces: bytes) -> list[Any]:
    """What a receiver is told of these pieces."""
    receiver = Receiver()
    parser = Parser(receiver)

    async def feed() -> None:
        for piece in pieces:
            await parser.parse(piece)

    asyncio.run(feed())
    return receiver.told


def wire(message: Message) -> bytes:
    sid, subject, reply, headers, data = message
    words = [b"HMSG" if headers else b"MSG", subject, b"%d" % sid]
    words += [reply] if reply else []
    words += [b"%d" % len(headers)] if headers else []
    words += [b"%d" % (len(headers) + len(data))]
    return b" ".join(words) + b"\r\n" + headers + data + b"\r\n"


tokens = st.binary(min_size=1, max_size=8).filter(lambda b: not set(b) & set(b" \t\r\n"))
messages = st.tuples(
    st.integers(0, 10**6),
    tokens,
    st.one_of(st.just(b""), tokens),
    st.one_of(st.just(b""), st.binary(max_size=20)),
    st.binary(max_size=40),
)


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 30), max_size=30))
def test_messages_arrive_whole_however_they_were_cut(many: list[Message], cuts: list[int]) -> None:
    stream = b"PING\r\n".join(wire(message) for message in many)
    pieces = []
    for cut in cuts:
        pieces.append(stream[:cut])
        stream = stream[cut:]
    expected: list[Any] = []
    for message in many:
        expected += [message] if not expected else ["ping", message]
    assert told(*pieces, stream) == expected


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        told(data, b"\r\n")


def test_control_lines_are_told_apart() -> None:
    lines = b'PONG\r\n+OK\r\n-ERR \'Stale Connection\'\r\nINFO {"version":"2.15.1"}\r\n'
    assert told(lines) == ["pong", "Stale Connection", {"version": "2.15.1"}]


@pytest.mark.parametrize(
    "line",
    [
        b"HELLO\r\n",
        b"MSG a 1\r\n",
        b"MSG a x 1\r\nx\r\n",
        b"MSG a 1 -1\r\n",
        b"MSG a 1 1\r\nxyz",
        b"HMSG a 1 5 4\r\nabcde\r\n",
        b"INFO not json\r\n",
        b"x" * (1 << 21),
    ],
)
def test_what_breaks_the_framing_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        told(line)


values = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=20)


@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,10}", fullmatch=True), values))
def test_headers_are_read_as_they_were_written(headers: dict[str, str]) -> None:
    assert read_headers(write_headers(headers)) == headers


@given(st.text())
def test_no_value_can_add_a_header(value: str) -> None:
    assert set(read_headers(write_headers({"A": value, "B": "b"}))) == {"A", "B"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\r\nNats-Rollup"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a header"):
        write_headers({name: "x"})


@given(st.binary(max_size=60))
def test_anything_can_be_read_as_headers(raw: bytes) -> None:
    read_headers(raw)
    read_status(raw)


def test_the_servers_word_is_read() -> None:
    assert read_status(b"NATS/1.0 503\r\n\r\n") == (503, "")
    assert read_status(b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n") == (100, "Idle Heartbeat")
    assert read_status(b"NATS/1.0\r\nA: 503\r\n\r\n") == (0, "")


@pytest.mark.parametrize("text", ["a", "a.b", "$JS.API.INFO", "_INBOX.x.1", "a=.b-c"])
def test_a_subject_is_one(text: str) -> None:
    assert is_subject(text)
    assert is_filter(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "ä", "a\r\nPUB x 0\r\n", "a\n"]
)
def test_what_is_no_subject_is_none(text: str) -> None:
    assert not is_subject(text)
    assert not is_filter(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (">", True),
        ("*", True),
        ("a.>", True),
        ("a.*.b", True),
        ("*.*", True),
        ("a.b*", False),
        (">.a", False),
        ("a>", False),
        ("a.>.b", False),
        ("a.**", False),
    ],
)
def test_a_filter_is_one(text: str, *, good: bool) -> None:
    assert not is_subject(text)
    assert is_filter(text) is good


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        (">", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "a.>", True),
        ("a.*", "a.>", False),
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.b", "a.*", False),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("*.>", "a.b", True),
    ],
)
def test_a_filter_covers_another(wide: str, narrow: str, *, does: bool) -> None:
    assert covers(wide, narrow) is does
