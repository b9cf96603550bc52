"""The format of a recording: what is written is read again, and whatever is wrong is named."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.log import Stored
from segue.picture import Picture
from segue.recording import Recording, RecordingError, fingerprint, read, written

STORED = [
    Stored(3, 1000.25, "node.lost.a", b'{"a": "\xc3\xa4"}', {"Nats-Msg-Id": "x"}),
    Stored(5, 1000.123456789, "node.lost.b", b"\xff\xfe\x00"),
    Stored(6, 1001.0, "node.lost.c", b""),
]
WHOLE = Recording("c-1", 2, 7, STORED, snapshot=b"\x00\x01", partial=True, picture="ab")


def lines_of(recording: Recording = WHOLE) -> list[bytes]:
    return list(written(recording))


def changed(line: bytes, **fields: Any) -> bytes:
    """Change fields of a line; None takes one away."""
    found = json.loads(line) | fields
    return json.dumps({k: v for k, v in found.items() if v is not None}).encode()


def test_what_is_written_is_read_again() -> None:
    assert read(lines_of()) == WHOLE
    assert read([*lines_of(), b"\n"]) == WHOLE, "an editor adds an empty line"


def test_text_is_written_as_text_and_other_bytes_in_base64() -> None:
    _, text, binary, empty = map(json.loads, lines_of())
    assert text["data"] == '{"a": "ä"}'
    assert binary["base64"] == "//4A"
    assert "data" not in binary
    assert empty["data"] == ""


@given(st.lists(st.tuples(st.binary(), st.text(), st.floats(0, 1e10)), max_size=5))
def test_whatever_a_log_holds_comes_back(messages: list[tuple[bytes, str, float]]) -> None:
    stored = [
        Stored(number, time, "x.y", data, {"h": header})
        for number, (data, header, time) in enumerate(messages, 1)
    ]
    recording = Recording("c", 1, len(stored), stored)
    assert read(written(recording)) == recording


@pytest.mark.parametrize(
    "line", [b"", b"# A heading", b"[1]", b'{"sequence": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_another_file_is_told_from_a_recording(line: bytes) -> None:
    with pytest.raises(RecordingError, match="line 1: this is no recording; `segue export`"):
        read([line])


def test_a_newer_format_is_not_guessed_at() -> None:
    head, *rest = lines_of()
    with pytest.raises(RecordingError, match="has version 2, and this Segue reads 1"):
        read([changed(head, segue_recording=2, more="fields"), *rest])


def test_a_file_that_was_cut_is_noticed() -> None:
    with pytest.raises(RecordingError, match="2 messages are there and the first line promises 3"):
        read(lines_of()[:-1])
    broken = lines_of()
    broken[-1] = broken[-1][:30]
    with pytest.raises(RecordingError, match="line 4: no message of a recording"):
        read(broken)


def test_lines_out_of_order_doubled_or_beyond_the_bounds_are_noticed() -> None:
    head, a, b, c = lines_of()
    for wrong in ([a, c, b], [a, a, b], [a, b, changed(c, sequence=8)], [changed(a, sequence=1)]):
        with pytest.raises(RecordingError, match=r"line \d: sequence \d stands where"):
            read([head, *wrong])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sequence": "3"}, "Expected `int`"),
        ({"time": None}, "missing required field `time`"),
        ({"answer": 42}, "unknown field `answer`"),
        ({"data": None}, "one of data and base64"),
        ({"base64": "AAAA"}, "one of data and base64"),
        ({"data": None, "base64": "A A"}, "the base64 is damaged"),
    ],
)
def test_a_damaged_message_is_named_by_its_line(fields: dict[str, Any], said: str) -> None:
    head, a, *rest = lines_of()
    with pytest.raises(RecordingError, match=f"^line 2: .*{said}"):
        read([head, changed(a, **fields), *rest])


def test_a_damaged_first_line_is_named() -> None:
    head, *rest = lines_of()
    with pytest.raises(RecordingError, match=r"line 1: .*missing required field `cluster`"):
        read([changed(head, cluster=None), *rest])
    with pytest.raises(RecordingError, match="line 1: the base64 is damaged"):
        read([changed(head, snapshot="?"), *rest])


def test_a_fingerprint_tells_pictures_apart_and_not_their_order() -> None:
    one, other = Picture(), Picture()
    assert fingerprint(one) == fingerprint(other)
    one.state.answered = {"a": None, "b": None}
    other.state.answered = {"b": None, "a": None}
    assert fingerprint(one) == fingerprint(other)
    other.state = msgspec.structs.replace(other.state, sequence=1)
    assert fingerprint(one) != fingerprint(other)
