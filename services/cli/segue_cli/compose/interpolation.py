"""Variables in values: `$V`, `${V}`, `${V:-default}`, `${V:?error}`, `${V:+other}`; `$$` is `$`.

Values only, never keys; each document by itself, before it is merged with another.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

from segue_cli.compose.nodes import Mark, Node, children
from segue_cli.compose.trouble import Trouble

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATORS = (":-", "-", ":?", "?", ":+", "+")
_DEPTH_MAX = 32


class Unfilled(ValueError):  # noqa: N818 — an answer to the author, not a fault.
    """A template that is malformed, or lacks a variable it demands."""

    def __init__(self, what: str, hint: str = "", kind: str = "interpolation") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.kind = kind


Unset = Callable[[str], None]  # Is told the name of a variable that has no value.


def substitute(
    template: str, variables: Mapping[str, str | None], unset: Unset, depth: int = 0
) -> str:
    """Fill in a template."""
    if depth > _DEPTH_MAX:
        raise Unfilled(f"has variables nested more than {_DEPTH_MAX} deep")
    filled: list[str] = []
    at = 0
    while (dollar := template.find("$", at)) >= 0:
        filled.append(template[at:dollar])
        at = dollar + 1
        if template.startswith("$", at):
            filled.append("$")
            at += 1
        elif template.startswith("{", at):
            end = _closing(template, at)
            filled.append(_braced(template[at + 1 : end], variables, unset, depth))
            at = end + 1
        elif name := _NAME.match(template, at):
            filled.append(_value(name[0], variables, unset))
            at = name.end()
        else:
            filled.append("$")
    return "".join([*filled, template[at:]])


def _closing(template: str, opening: int) -> int:
    """Find the brace that closes the one at `opening`; a default may have pairs of its own."""
    depth = 0
    for at in range(opening, len(template)):
        depth += {"{": 1, "}": -1}.get(template[at], 0)
        if depth == 0:
            return at
    raise Unfilled(
        f"'{template[opening - 1 : opening + 40]}' is not closed",
        "close the brace, or write $$ for a dollar sign",
    )


def _value(name: str, variables: Mapping[str, str | None], unset: Unset) -> str:
    found = variables.get(name)
    if found is None:
        unset(name)
    return found or ""


def _braced(inner: str, variables: Mapping[str, str | None], unset: Unset, depth: int) -> str:
    found = _NAME.match(inner)
    name, rest = (found[0], inner[found.end() :]) if found else ("", inner)
    operator = next((mark for mark in _OPERATORS if rest.startswith(mark)), "")
    if not name or (rest and not operator):
        raise Unfilled(
            f"'${{{inner[:60]}}}' is no variable",
            "write ${NAME}, ${NAME:-default}, ${NAME:?error}, or $$ for a dollar sign",
        )
    if not rest:
        return _value(name, variables, unset)
    value = variables.get(name)
    other = rest.removeprefix(operator)
    present = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("+"):
        return substitute(other, variables, unset, depth + 1) if present else ""
    if present:
        return value or ""
    text = substitute(other, variables, unset, depth + 1)
    if operator.endswith("-"):
        return text
    state = "empty or not set" if operator.startswith(":") else "not set"
    raise Unfilled(f"the variable {name} is {state}", text, "variable")


def interpolate(node: Node, variables: Mapping[str, str | None], trouble: Trouble) -> Node:
    """Fill in every value of a document; each variable without a value is noted once."""
    noted: set[str] = set()

    def fill(node: Node, at: str) -> Node:
        if isinstance(node.value, dict | list):
            filled = [fill(child, place) for place, child in children(node, at)]
            if isinstance(node.value, list):
                return msgspec.structs.replace(node, value=filled)
            entries = dict(zip(node.value, filled, strict=True))
            return msgspec.structs.replace(node, value=entries)
        if node.value is None or "$" not in node.value:
            return node
        return msgspec.structs.replace(node, value=text(node.value, node.mark, at))

    def text(template: str, mark: Mark, at: str) -> str:
        def unset(name: str) -> None:
            if name not in noted:
                noted.add(name)
                hint = "set it, or give it a default with ${NAME:-default}"
                trouble.note(mark, at, f"the variable {name} is not set: it is empty", hint)

        try:
            return substitute(template, variables, unset)
        except Unfilled as error:
            trouble.wrong(mark, at, error.what, error.hint, error.kind)
            return template

    return fill(node, "")
