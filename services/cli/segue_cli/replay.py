"""The command `segue replay`: what of a recording would be decided otherwise now.

It needs no bus and changes nothing. It shows what differs and never says which of the two is right.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text
from segue.differences import Comparison, Difference
from segue.events import REGISTRY

from segue_cli.amounts import count
from segue_cli.deciders import compare, compare_with
from segue_cli.errors import FAILED, Silent
from segue_cli.moment import clock
from segue_cli.story import about
from segue_cli.tables import STYLES, AsJson, console, for_eyes, note, print_json, styled

LIMITS = (
    "A replay is open-loop: what was recorded goes on as recorded, and what other decisions would "
    "have led to is not in it. Left out: the health monitor, for beats are not recorded, and what "
    "nodes did."
)
_File = Annotated[Path, Parameter(help="What `segue export` wrote.")]
_With = Annotated[
    Path | None,
    Parameter(
        name="--with",
        help="A folder with changed packages segue_deployer or segue_scheduler (default: the "
        "installed ones).",
    ),
]


def replay(file: _File, /, *, folder: _With = None, as_json: AsJson = False) -> None:
    """Compare recorded decisions with what services decide now.

    Ends with 0 if every recorded decision is owed now too and nothing else is, with 1 if not. A
    replay is open-loop: what was recorded goes on as recorded, and what other decisions would have
    led to is not in it. The health monitor is left out: the beats that it hears are not recorded.
    """
    found = compare(file) if folder is None else compare_with(file, folder)
    if for_eyes(as_json=as_json):
        _show(found)
    else:
        print_json(found.differences)
        note(_summary(found))
    if found.partial:
        note("The log had lost its beginning: some of it may differ for that alone.", always=True)
    if not found.equal:
        raise Silent(FAILED)


def _show(found: Comparison) -> None:
    screen = console()
    if found.differences:
        screen.print(_table(found))
    screen.print(styled(_summary(found), "bad" if found.differences else "good"))
    screen.print(styled(LIMITS, "dim"))


def _summary(found: Comparison) -> str:
    decided = sum(found.decided.values())
    replayed = f"{count(found.messages, 'message')} with {count(decided, 'decision')}"
    if found.equal:
        return f"Equal: {replayed}, and all are decided now as they were then."
    return f"{count(len(found.differences), 'decision')} of {replayed} differ."


def _table(found: Comparison) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=STYLES["dim"], no_wrap=True)
    grid.add_column(style=STYLES["dim"], no_wrap=True, justify="right")
    grid.add_column(style=STYLES["who"], no_wrap=True)
    grid.add_column(overflow="fold")
    for one in found.differences:
        grid.add_row(clock(one.time), str(one.sequence), one.service, _told(one))
    return grid


def _told(one: Difference) -> Text:
    said = one.recorded or one.now
    assert said is not None, "a difference has a decision"
    event = msgspec.convert(said.data, REGISTRY[said.type]) if said.type in REGISTRY else None
    text = Text(said.type).append(f" {about(event)}" if event else "", STYLES["name"])
    return text.append(f"\n  {one.words}")
