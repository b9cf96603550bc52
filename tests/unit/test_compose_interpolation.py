"""Variables in values, by the table of the specification."""

import pytest
from segue_cli.compose.interpolation import Unfilled, interpolate, substitute
from segue_cli.compose.nodes import Mark, marked, plain
from segue_cli.compose.trouble import Trouble

VARIABLES = {"FOO": "foo", "EMPTY": "", "ONE": "1", "_u9": "under", "lower": "low"}


def filled(template: str) -> tuple[str, list[str]]:
    unset: list[str] = []
    return substitute(template, VARIABLES, unset.append), unset


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("$FOO", "foo"),
        ("${FOO}", "foo"),
        ("a-$FOO-b", "a-foo-b"),
        ("$FOO$ONE", "foo1"),
        ("${FOO}bar", "foobar"),
        ("$_u9 $lower", "under low"),
        ("$FOO.bar", "foo.bar"),
        ("${FOO:-other}", "foo"),
        ("${FOO-other}", "foo"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${GONE:-other}", "other"),
        ("${GONE-other}", "other"),
        ("${GONE:-}", ""),
        ("${FOO:+yes}", "yes"),
        ("${FOO+yes}", "yes"),
        ("${EMPTY:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${GONE:+yes}", ""),
        ("${GONE+yes}", ""),
        ("${FOO:?missing}", "foo"),
        ("${EMPTY?missing}", ""),
        ("${GONE:-${FOO}}", "foo"),
        ("${GONE:-$FOO}", "foo"),
        ("${GONE:-${ALSO:-deep}}", "deep"),
        ("${GONE:-a${FOO}b}c", "afoobc"),
        ("${FOO:+${ONE}}", "1"),
        ("${GONE:-http://x:80/?a=b-c}", "http://x:80/?a=b-c"),
        ('${GONE:-{"a": {}}}', '{"a": {}}'),
        ("$$FOO", "$FOO"),
        ("$${FOO}", "${FOO}"),
        ("$$$FOO", "$foo"),
        ("${GONE:-$$FOO}", "$FOO"),
        ("costs 5$", "costs 5$"),
        ("$5 $. $ $-", "$5 $. $ $-"),
        ("${FOO:-${", None),
    ],
)
def test_a_template_is_filled_in(template: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(Unfilled):
            filled(template)
    else:
        assert filled(template)[0] == value


@pytest.mark.parametrize(
    ("template", "what", "hint"),
    [
        ("${GONE:?name it}", "the variable GONE is empty or not set", "name it"),
        ("${EMPTY:?name it}", "the variable EMPTY is empty or not set", "name it"),
        ("${GONE?name it}", "the variable GONE is not set", "name it"),
        ("${GONE?see $FOO}", "the variable GONE is not set", "see foo"),
        ("${GONE:?}", "the variable GONE is empty or not set", ""),
    ],
)
def test_a_demanded_variable_that_is_not_set_is_a_problem(
    template: str, what: str, hint: str
) -> None:
    with pytest.raises(Unfilled) as refused:
        filled(template)
    assert (refused.value.what, refused.value.hint) == (what, hint)


@pytest.mark.parametrize(
    "template",
    ["${}", "${1x}", "${FOO/a/b}", "${FOO", "${FOO:bar}", "${ FOO}", "${FOO }", "${-x}", "${FOO:}"],
)
def test_other_features_of_shells_are_refused(template: str) -> None:
    with pytest.raises(Unfilled):
        filled(template)


def test_a_default_is_only_looked_at_where_it_is_needed() -> None:
    assert filled("${FOO:-${GONE:?never}}") == ("foo", [])


def test_a_variable_without_value_or_default_is_empty_and_told() -> None:
    assert filled("a${GONE}b$ALSO") == ("ab", ["GONE", "ALSO"])


def test_nesting_has_an_end() -> None:
    with pytest.raises(Unfilled, match="nested more than 32 deep"):
        filled("${GONE:-" * 40 + "x" + "}" * 40)


def test_values_are_filled_in_and_keys_are_not() -> None:
    trouble = Trouble()
    node = marked({"$FOO": ["${FOO}", {"a": "$GONE$GONE"}], "n": None}, Mark("f.yaml", 3, 4))
    assert plain(interpolate(node, VARIABLES, trouble)) == {"$FOO": ["foo", {"a": ""}], "n": None}
    assert [(one.problem.where, one.mark.line) for one in trouble.notes] == [("$FOO[1].a", 3)]


def test_a_problem_names_its_place() -> None:
    trouble = Trouble()
    interpolate(marked({"a": ["${FOO/x/y}"]}, Mark("f.yaml", 3, 4)), VARIABLES, trouble)
    (found,) = trouble.problems
    assert (found.problem.where, found.problem.what) == ("a[0]", "'${FOO/x/y}' is no variable")
