"""YAML as Compose means it: 1.2, scalars as text, nothing twice, nothing without bound."""

from typing import Any

import pytest
from segue_cli.compose import yaml12
from segue_cli.compose.nodes import Mark, Node, marks, plain
from segue_cli.compose.trouble import Trouble


def parsed(text: str) -> tuple[list[Node] | None, list[str]]:
    trouble = Trouble()
    documents = yaml12.parse(text, "f.yaml", trouble)
    said = [f"{one.mark.line}:{one.mark.column} {one.problem.what}" for one in trouble.problems]
    return documents, said


def value(text: str) -> Any:
    documents, problems = parsed(text)
    assert problems == []
    assert documents is not None
    assert len(documents) == 1
    return plain(documents[0])


def problems(text: str) -> list[str]:
    return parsed(text)[1]


@pytest.mark.parametrize(
    "scalar",
    [
        "22:22",
        "0644",
        "0o644",
        "012",
        "yes",
        "no",
        "on",
        "off",
        "true",
        "1e3",
        "1_000",
        "0x1F",
        "2001-12-14",
        "190:20:30",
        ".inf",
        "1.10",
        "y",
        "=",
        "<<",
    ],
)
def test_a_plain_scalar_stays_as_it_was_written(scalar: str) -> None:
    assert value(f"a: {scalar}") == {"a": scalar}


@pytest.mark.parametrize("scalar", ["", "~", "null", "Null", "NULL"])
def test_only_null_is_null(scalar: str) -> None:
    assert value(f"a: {scalar}") == {"a": None}


@pytest.mark.parametrize("scalar", ["'null'", '"~"', "''", "!!str null"])
def test_quoted_null_is_text(scalar: str) -> None:
    assert isinstance(value(f"a: {scalar}")["a"], str)


def test_a_key_that_looks_like_something_else_is_text() -> None:
    assert value("{1: a, yes: b, 22:22: c}") == {"1": "a", "yes": "b", "22:22": "c"}


def test_merge_keys_give_way_to_what_is_written_and_the_first_mapping_wins() -> None:
    text = """
    one: &one {a: 1, b: 1}
    two: &two {b: 2, c: 2}
    both: {<<: [*one, *two], c: 3}
    alone:
      <<: *one
      d: 4
    """
    found = value(text)
    assert found["both"] == {"a": "1", "b": "1", "c": "3"}
    assert found["alone"] == {"a": "1", "b": "1", "d": "4"}


def test_a_quoted_merge_key_is_an_ordinary_one() -> None:
    assert value('{"<<": x}') == {"<<": "x"}


def test_a_merge_key_takes_mappings_only() -> None:
    assert problems("a: {<<: 5}") == ["1:5 a merge key takes mappings"]


def test_a_duplicate_key_is_a_problem_that_names_the_first() -> None:
    assert problems("a:\n  b: 1\n  c: 2\n  b: 3\n") == [
        "4:3 the key 'b' stands here twice, first on line 2"
    ]


def test_a_key_must_be_text() -> None:
    assert problems("? [a]\n: b") == ["1:3 a key must be text"]
    assert problems("~: b") == ["1:1 a key must be text"]


def test_tags_of_compose_are_kept_and_others_refused() -> None:
    documents, said = parsed("a: !reset null\nb: !override [x]\nc: !secret y\nd: !!int 5")
    assert documents is not None
    assert documents[0].entries()["a"].tag == "reset"
    assert documents[0].entries()["b"].tag == "override"
    assert said == ["3:4 the tag '!secret' is not known"]
    assert plain(documents[0])["d"] == "5"


def test_every_place_has_its_mark() -> None:
    documents, _ = parsed("a:\n  b: [x,\n    {c: d}]\n")
    assert documents is not None
    assert marks(documents[0]) == {
        "": Mark("f.yaml", 1, 1),
        "a": Mark("f.yaml", 1, 1),
        "a.b": Mark("f.yaml", 2, 3),
        "a.b[0]": Mark("f.yaml", 2, 7),
        "a.b[1]": Mark("f.yaml", 3, 5),
        "a.b[1].c": Mark("f.yaml", 3, 6),
    }


def test_what_an_alias_brings_in_is_found_at_its_anchor() -> None:
    documents, _ = parsed("a: &x {b: 1}\nc: *x\n")
    assert documents is not None
    found = marks(documents[0])
    assert (found["c"].line, found["c.b"].line) == (2, 1)


def test_several_documents_are_read_and_anchors_end_with_their_document() -> None:
    documents, said = parsed("a: 1\n---\nb: 2\n")
    assert documents is not None
    assert [plain(document) for document in documents] == [{"a": "1"}, {"b": "2"}]
    assert said == []
    assert problems("a: &x 1\n---\nb: *x\n") == [
        "3:4 the alias '*x' names no anchor of this document"
    ]


def test_a_billion_laughs_end_early() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for level in range(1, 10):
        again = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{again}]")
    documents, said = parsed("\n".join(lines))
    assert documents is None
    assert len(said) == 1
    assert "has more than 100000 values once its aliases are written out" in said[0]


def test_a_billion_laughs_by_merge_keys_end_early() -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(100)) + "}"]
    for level in range(1, 10):
        inner = ", ".join(f"m{n}: {{<<: *a{level - 1}}}" for n in range(10))
        lines.append(f"a{level}: &a{level} {{{inner}}}")
    assert "has more than 100000 values" in problems("\n".join(lines))[0]


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    assert problems("a: &a [*a]") == ["1:8 the alias '*a' stands inside what it names"]


@pytest.mark.parametrize("depth", [65, 5_000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    assert "nested more than 64 deep" in problems("[" * depth + "]" * depth)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "2:1 did not find expected node content"),
        ("a: b: c", "1:5 mapping values are not allowed in this context"),
        ("a:\n\tb: 1", "2:1 has a character that cannot begin a value: is it a tab, '@' or '`'?"),
        ("a: @b", "1:4 has a character that cannot begin a value: is it a tab, '@' or '`'?"),
        ("a: 1\n b: 2", "2:3 mapping values are not allowed in this context"),
        ("a: \x01", "1:1 has a character that YAML forbids: 1"),
    ],
)
def test_broken_yaml_says_where(text: str, said: str) -> None:
    assert parsed(text) == (None, [said])


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    assert value("\ufeffa: 1\r\nb: 2\r\n") == {"a": "1", "b": "2"}
