"""Files of variables, by the syntax that the specification gives for `.env` and `env_file`."""

import pytest
from segue_cli.compose import dotenv
from segue_cli.compose.trouble import Trouble

OUTSIDE = {"HOST": "outside", "OTHER": "other"}


def read(text: str, *, raw: bool = False) -> dict[str, str | None]:
    trouble = Trouble()
    if raw:
        found = dotenv.read_raw(text, ".env", trouble)
    else:
        found = dotenv.read(text, ".env", OUTSIDE, trouble)
    assert trouble.problems == []
    return {key: entry.value for key, entry in found.items()}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("VAR=VAL", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("VAR='VAL'", "VAL"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR='$OTHER'", "$OTHER"),
        ("VAR='${OTHER}'", "${OTHER}"),
        ("VAR=$OTHER", "other"),
        ('VAR="a ${OTHER:-x} b"', "a other b"),
        ("VAR=${GONE:-x}", "x"),
        ("VAR=$$OTHER", "$OTHER"),
        (r'VAR="\$OTHER"', "$OTHER"),
        (r"VAR='Let\'s go!'", "Let's go!"),
        (r'VAR="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'VAR="some\tvalue"', "some\tvalue"),
        (r"VAR='some\tvalue'", r"some\tvalue"),
        (r"VAR=some\tvalue", r"some\tvalue"),
        (r'VAR="a\\b\n"', "a\\b\n"),
        (r'VAR="a\qb"', r"a\qb"),
        ("VAR=", ""),
        ("VAR= ", ""),
        ("VAR=#comment", ""),
        ("VAR", None),
        ("export VAR=x", "x"),
        ("export VAR", None),
        ("VAR = x y ", "x y"),
        ("VAR=a=b", "a=b"),
        ('VAR="two\nlines"', "two\nlines"),
        ("VAR='two\n# lines'", "two\n# lines"),
        ("# a comment\n\nVAR=x", "x"),
        ("\ufeffVAR=x", "x"),
        ("VAR=x\r\n", "x"),
        ("VAR=日本", "日本"),
    ],
)
def test_a_line_is_read(line: str, value: str | None) -> None:
    assert read(line) == {"VAR": value}


def test_a_later_line_wins_and_may_use_an_earlier_one() -> None:
    assert read("A=1\nB=$A-2\nA=3\n") == {"A": "3", "B": "1-2"}


def test_what_is_set_outside_comes_before_the_file() -> None:
    assert read("HOST=inside\nURL=http://$HOST\n") == {"HOST": "inside", "URL": "http://outside"}


def test_a_raw_file_is_taken_as_it_stands() -> None:
    text = "# comment\n\nA=\"quoted\" # kept\nB='$HOST'\nC= spaced \nD\n"
    assert read(text, raw=True) == {
        "A": '"quoted" # kept',
        "B": "'$HOST'",
        "C": " spaced ",
        "D": None,
    }


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("A=1\n=x\n", 2, "'=x' is no KEY=VALUE"),
        ("A=1\nnot a line\n", 2, "'not a line' is no KEY=VALUE"),
        ("A='x", 1, "the quote in 'x is not closed"),
        ('A="x" y\n', 1, "there is text after the value"),
        ("A=${X\n", 1, "'${X' is not closed"),
        ("A=${X:?needed}\n", 1, "the variable X is empty or not set"),
        ("A: 1\n", 1, "'A: 1' is no KEY=VALUE"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem_and_reading_goes_on(
    text: str, line: int, what: str
) -> None:
    trouble = Trouble()
    found = dotenv.read(f"{text}\nLAST=1", ".env", {}, trouble)
    assert [(one.mark.line, one.problem.what) for one in trouble.problems] == [(line, what)]
    assert "LAST" in found or "'" in text


def test_an_entry_knows_its_line() -> None:
    found = dotenv.read("A=1\n\n  B=2\n", "x.env", {}, Trouble())
    assert found["B"].mark == ("x.env", 3, 3)
