"""Print rows: a quiet table on a terminal, JSON lines for every program that reads along.

Colours follow NO_COLOR and FORCE_COLOR; a table is only for eyes, its layout promises nothing.
What JSON holds does not depend on where it goes. Nothing here knows what the rows mean.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

R = TypeVar("R", bound=msgspec.Struct)

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON lines.")]

STYLES = {
    "plain": "",
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "dim": "bright_black",
    "head": "bright_black",
    "name": "bold",
    "who": "cyan",
}


class Column(msgspec.Struct, Generic[R]):
    """A column: its title and what it shows of a row, as text or as text with a style."""

    title: str
    show: Callable[[R], str | tuple[str, str]]
    right: bool = False
    folds: bool = False  # Its text may take several lines where the terminal is narrow.


def for_eyes(*, as_json: bool) -> bool:
    """Tell whether a person reads along."""
    return not as_json and sys.stdout.isatty()


def console() -> Console:
    """Give the terminal."""
    return Console(highlight=False, soft_wrap=False, emoji=False, markup=False)


def styled(text: str, style: str) -> Text:
    """Give text in one of our styles."""
    return Text(text, STYLES.get(style, style))


def table(rows: Iterable[R], columns: Sequence[Column[R]]) -> Table:
    """Lay rows out; a column that would be empty is left away."""
    cells = [[_cell(column, row) for column in columns] for row in rows]
    kept = [i for i, _ in enumerate(columns) if any(line[i].plain for line in cells)]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=STYLES["head"])
    for i in kept:
        column = columns[i]
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for line in cells:
        made.add_row(*(line[i] for i in kept))
    return made


def _cell(column: Column[R], row: R) -> Text:
    shown = column.show(row)
    return styled(*shown) if isinstance(shown, tuple) else Text(shown)


def print_rows(
    rows: Sequence[R], columns: Sequence[Column[R]], *, as_json: bool, nothing: str
) -> None:
    """Print a table or JSON lines. `nothing` is what a person reads when there are no rows."""
    if not for_eyes(as_json=as_json):
        print_json(rows)
    elif rows:
        console().print(table(rows, columns))
    else:
        console().print(styled(nothing, "dim"))


def print_json(rows: Iterable[object]) -> None:
    """Print one JSON value a line."""
    for row in rows:
        print(msgspec.json.encode(row).decode())
    sys.stdout.flush()


def note(text: str, *, always: bool = False) -> None:
    """Tell a person at a terminal something beside the answer; `always`: whoever reads it."""
    if always or sys.stderr.isatty():
        Console(stderr=True, highlight=False, markup=False).print(styled(text, "dim"))
