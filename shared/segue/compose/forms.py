"""The shapes that values of a Compose file come in, each read into its one canonical form.

A form takes a place and a value, reports what does not fit, and gives the canonical value, or
`ABSENT` where there is none. The canonical value reads back as itself.
"""

import difflib
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any, Final

from segue.compose import values
from segue.compose.findings import ABSENT, Form, Place, Row, Table
from segue.compose.values import Invalid

ITEMS_MAX: Final = 10_000  # Of ports, mounts and the like, ranges written out, in a document.
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,255}")


def scalar(parse: Callable[[Any], Any]) -> Form:
    """Make a form of a reader of one value, which is never empty."""

    def form(place: Place, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return place.wrong("is empty", "give it a value, or leave it out")
        try:
            return parse(value)
        except Invalid as error:
            return place.invalid(error)

    return form


def any_text(place: Place, value: Any) -> Any:
    """Read text that may be empty."""
    try:
        return values.as_text(value)
    except Invalid as error:
        return place.invalid(error)


def text(place: Place, value: Any) -> Any:
    """Read text; empty text asks for nothing."""
    read = any_text(place, value)
    return ABSENT if read == "" else read


flag = scalar(values.as_flag)
size = scalar(values.as_size)
duration = scalar(lambda value: values.duration_text(values.as_duration(value)))
decimal = scalar(lambda value: values.decimal_text(values.as_decimal(value)))
mode = scalar(values.as_mode)
port = scalar(values.as_port)
address = scalar(values.as_address)


def anything(_place: Place, value: Any) -> Any:
    """Take a value as it is."""
    return value


def left_out(_place: Place, _value: Any) -> Any:
    """Leave out what only serves someone's own machine."""
    return ABSENT


def whole(least: int = -values.LARGEST, most: int = values.LARGEST) -> Form:
    """Make a form of whole numbers between two bounds."""
    return scalar(lambda value: values.as_whole(value, least, most))


def matching(pattern: str, what: str) -> Form:
    """Make a form of text that a pattern allows."""
    allowed = re.compile(pattern)

    def parse(value: Any) -> str:
        found = values.as_text(value)
        if not allowed.fullmatch(found):
            raise Invalid(f"{values.shown(value)} is not {what}")
        return found

    return scalar(parse)


def choice(*known: str, refused: dict[str, str] | None = None) -> Form:
    """Make a form of a few words; `refused` are words of Compose that Segue has advice on."""

    def form(place: Place, value: Any) -> Any:
        found = text(place, value)
        if found in known or found is ABSENT:
            return found
        for word, advice in (refused or {}).items():
            if found == word or (word.endswith(":") and found.startswith(word)):
                return place.wrong(f"'{found}' is not supported", advice, "unsupported")
        return place.wrong(f"{values.shown(found)} is not known", f"use {either(known)}")

    return form


def either(words: Iterable[str]) -> str:
    """List words for a message: `a, b or c`."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def each(form: Form, *, alone: bool = False) -> Form:
    """Make a form of lists; `alone` allows one value without a list around it."""

    def read(place: Place, value: Any) -> Any:
        if alone and not isinstance(value, list | dict):
            value = [value]
        if not isinstance(value, list):
            return no_list(place, value)
        found = [form(place.item(index), item) for index, item in enumerate(value)]
        return list(dict.fromkeys(item for item in found if item is not ABSENT)) or ABSENT

    return read


def no_list(place: Place, value: Any) -> Any:
    """Refuse what should have been a list."""
    one = isinstance(value, str) and '"' not in value and len(value) < 60
    hint = f'write ["{value}"]' if one else ""
    return place.wrong(f"must be a list, is {values.kind(value)}", hint)


texts = each(text)
text_or_texts = each(text, alone=True)


def pairs(place: Place, value: Any) -> Any:
    """Read a mapping, or a list of `KEY=VALUE`, as a mapping to text; no value is empty text."""
    found = optional_pairs(place, value)
    return found if found is ABSENT else {k: "" if v is None else v for k, v in found.items()}


def optional_pairs(place: Place, value: Any) -> Any:
    """Read a mapping, or a list of `KEY=VALUE`, as a mapping to text or None."""
    read: dict[str, Any] = {}
    for at, key, found in _entries(place, value):
        if not key:
            at.wrong("has no name before the '='")
        elif found is None:
            read[key] = None
        elif (spelt := any_text(at, found)) is not ABSENT:
            read[key] = spelt
            if isinstance(value, list):
                place.findings.origins[f"{place.at}.{key}"] = at.at
    return dict(sorted(read.items())) or ABSENT


def _entries(place: Place, value: Any) -> Iterable[tuple[Place, str, Any]]:
    if isinstance(value, dict):
        for key, found in value.items():
            yield place.key(str(key), name=True), str(key), found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            at = place.item(index)
            line = any_text(at, item)
            if line is not ABSENT:
                key, equals, found = line.partition("=")
                yield at, key.strip(), found if equals else None
    else:
        place.wrong(f"must be a mapping or a list of KEY=VALUE, is {values.kind(value)}")


def command(place: Place, value: Any) -> Any:
    """Read a command line as a list; text is split as a shell splits it, and runs in none."""
    if isinstance(value, list):
        words = [any_text(place.item(index), item) for index, item in enumerate(value)]
        return [word for word in words if word is not ABSENT]
    line = any_text(place, value)
    try:
        return line if line is ABSENT else shlex.split(line)
    except ValueError as error:
        return place.wrong(f"cannot be split into words: {error}".lower(), "give it as a list")


def section(place: Place, value: Any) -> Any:
    """Read a mapping with known keys, in the table's order; null is an empty one."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return place.wrong(f"must be a mapping, is {values.kind(value)}")
    rows = place.table[place.path]
    read: dict[str, Any] = {}
    for key, given in value.items():
        at = place.key(str(key))
        row = rows.get(str(key))
        if row:
            found = _attribute(at, row, given)
            if found is not ABSENT:
                read[str(key)] = found
        elif str(key).startswith("x-"):
            read[str(key)] = given
        else:
            _unknown(at, str(key), rows)
    return ordered(place.path, read, place.table)


def ordered(path: str, mapping: dict[str, Any], table: Table) -> dict[str, Any]:
    """Put a mapping's keys into the table's order, what the table does not know at the end."""
    ranks = {key: rank for rank, key in enumerate(table[path])}
    return dict(sorted(mapping.items(), key=lambda item: (ranks.get(item[0], len(ranks)), item[0])))


def _attribute(place: Place, row: Row, value: Any) -> Any:
    if value is None:
        return ABSENT
    if row.stand == "refuse":
        if _asks(row, value):
            place.wrong("not supported", row.says, "unsupported")
        return ABSENT
    if row.stand == "client":
        if _asks(row, value):
            place.wrong("needs the command line, which resolves it", row.says, "client")
        return ABSENT
    found = row.form(place._replace(path=row.path), value)
    noted = found is not ABSENT or row.form is left_out
    if row.stand == "note" and noted and _asks(row, value):
        place.note(row.says)
    return found


def _asks(row: Row, value: Any) -> bool:
    """Tell whether a value asks for anything; `false` and `"false"` are one."""
    if row.neutral is not None and str(value).lower() == str(row.neutral).lower():
        return False
    return value not in ("", [], {}, None) and str(value).lower() != "false"


def _unknown(place: Place, key: str, rows: Iterable[str]) -> None:
    if place.findings.full:
        return
    near = difflib.get_close_matches(key[:80], rows, n=1, cutoff=0.6)
    guess = f", did you mean '{near[0]}'?" if near else ""
    place.wrong(f"unknown key{guess}", kind="unknown")


def named(*, check: Callable[[Place, str], bool] | None = None) -> Form:
    """Make a form of mappings from names that the author chose to sections."""

    def form(place: Place, value: Any) -> Any:
        if not isinstance(value, dict):
            return place.wrong(f"must be a mapping, is {values.kind(value)}")
        read: dict[str, Any] = {}
        for key, given in sorted(value.items(), key=lambda item: str(item[0])):
            at = place.key(str(key), name=True)
            if not _NAME.fullmatch(str(key)):
                at.wrong("is no name", "use letters, digits, '.', '_' and '-'")
                continue
            if check is not None and not check(at, str(key)):
                continue
            if (found := section(at, given)) is not ABSENT:
                read[str(key)] = found
        return read or ABSENT

    return form


def named_or_list(default: dict[str, Any]) -> Form:
    """Make a form of mappings from names to sections, or a list of the names alone."""
    full = named()

    def form(place: Place, value: Any) -> Any:
        if isinstance(value, list):
            plain: dict[str, Any] = {}
            for index, item in enumerate(value):
                name = text(place.item(index), item)
                if name is not ABSENT:
                    plain[name] = dict(default)
                    place.findings.origins[f"{place.at}.{name}"] = f"{place.at}[{index}]"
            value = plain
        elif not isinstance(value, dict):
            return no_list(place, value)
        found = full(place, value)
        if found is ABSENT:
            return ABSENT
        return {key: default | entry for key, entry in found.items()}

    return form


def items(
    short: Callable[[Place, Any], list[dict[str, Any]]] | None,
    finish: Callable[[Place, dict[str, Any]], Any],
) -> Form:
    """Make a form of lists of sections.

    `short` reads one item in short syntax as one or more in long syntax; `finish` completes and
    judges one that has been read.
    """

    def form(place: Place, value: Any) -> Any:
        if not isinstance(value, list):
            return no_list(place, value)
        kept: dict[str, Any] = {}
        for index, item in enumerate(value):
            at = place.item(index)
            if not isinstance(item, dict) and short is None:
                at.wrong(f"must be a mapping, is {values.kind(item)}")
                continue
            try:
                long = [item] if isinstance(item, dict) or short is None else short(at, item)
            except Invalid as error:
                at.invalid(error)
                continue
            place.findings.items += len(long)
            if place.findings.items > ITEMS_MAX:
                return place.wrong(f"the document has more than {ITEMS_MAX} ports, mounts, …")
            for entry in long:
                before = len(place.findings.problems)
                found = section(at, entry)
                if len(place.findings.problems) > before:
                    continue  # What is missing may be what was misspelt.
                found = finish(at, found)
                if found is not ABSENT:
                    found = ordered(at.path, found, at.table)
                    place.findings.origins.setdefault(f"{place.at}[{len(kept)}]", at.at)
                    kept.setdefault(repr(found), found)
        return list(kept.values()) or ABSENT

    return form
