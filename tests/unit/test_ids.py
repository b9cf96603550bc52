"""Identities are chosen before the first try and are the same for every repeat."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.ids import derived, is_token, token, uuid7


@pytest.mark.parametrize("text", ["a", "web", "node-a", "a_b", "0", "-", "x" * 63])
def test_these_can_stand_between_two_dots(text: str) -> None:
    assert is_token(text)


@pytest.mark.parametrize(
    "text", ["", "A", "a.b", "a b", "*", ">", "ä", "x" * 64, "a\n", "\u0430", "٣", "a/b"]
)
def test_these_cannot(text: str) -> None:
    assert not is_token(text)


@given(st.text())
def test_any_name_has_a_nearest_token(name: str) -> None:
    assert is_token(token(name))
    assert token(token(name)) == token(name)


def test_the_nearest_token_of_a_host_name_reads_like_it() -> None:
    assert token("Node-A.example.org") == "node-a_example_org"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_is_one_and_holds_its_time(unix_ms: int, chance: bytes) -> None:
    made = uuid.UUID(uuid7(unix_ms, chance))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == unix_ms


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10))
def test_a_later_uuid7_sorts_after_an_earlier_one(unix_ms: int, chance: bytes) -> None:
    assert uuid7(unix_ms, chance) < uuid7(unix_ms + 1, bytes(10))


@given(st.lists(st.text() | st.integers(), max_size=4))
def test_equal_parts_make_an_equal_id(parts: list[object]) -> None:
    made = uuid.UUID(derived(*parts))
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    assert derived(*parts) == str(made)


def test_parts_do_not_run_into_each_other() -> None:
    assert derived("ab", "c") != derived("a", "bc")
    assert derived("a") != derived("a", "")


def test_a_derived_id_is_the_same_in_every_process_for_ever() -> None:
    assert derived("decision", "cause", "node.lost.a") == "25caaed3-c01c-8f3c-978d-0feccb5c2b6a"
