"""Print a story of events for a tired reader: when, how long after, who, what; then how it is now.

A slot that failed many times is told by its first attempt and its last ones; what lies between is
counted. Everything printed is what events and the picture say.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from segue.envelope import Record
from segue.events.container import ContainerFailed, ContainerRequested
from segue.picture import App, Picture

from segue_cli import rows
from segue_cli.amounts import count, span
from segue_cli.columns import slot_columns, slot_note
from segue_cli.history import Branch
from segue_cli.moment import clock, day
from segue_cli.reading import Sight
from segue_cli.story import about, tell, where, who
from segue_cli.tables import STYLES, styled, table
from segue_cli.things import AppName, NodeName, ServiceName, SlotName, Thing

ATTEMPTS_FIRST, ATTEMPTS_LAST = 1, 3
RECORDS_MOST = 120
LINES_MOST = 5
RECENT_S = 300.0
TREE_MOST = 200


class Omitted(msgspec.Struct, frozen=True):
    """A part of a story that is not told in full."""

    words: str


def print_story(
    console: Console,
    story: Sequence[Record],
    what: Thing,
    made_room: Collection[int] = (),
    *,
    everything: bool = False,
) -> None:
    """Print what happened, oldest first; `made_room`: which events let a slot be placed."""
    told = story if everything else shortened(story, what)
    lines_most = None if everything else LINES_MOST
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style=STYLES["dim"], no_wrap=True)
    grid.add_column(style=STYLES["dim"], no_wrap=True, justify="right")
    grid.add_column(no_wrap=True)
    grid.add_column(style=STYLES["who"], no_wrap=True)
    grid.add_column(overflow="fold")
    today, before = "", 0.0
    for one in told:
        if isinstance(one, Omitted):
            grid.add_row("", "", "", "", styled(one.words, "dim"))
            continue
        if day(one.time) != today:
            today = day(one.time)
            grid.add_row(styled(today, "dim"))
        elif _begins(one, what):
            grid.add_row("")
        gap = f"+{span(one.time - before)}" if before and one.time - before > 0.0005 else ""
        before = one.time
        words = _words(one, what, lines_most)
        if one.sequence in made_room:
            words = Text("made room: ").append_text(words)
        grid.add_row(clock(one.time), gap, _mark(one), who(one), words)
    console.print(grid)


def _is(record: Record, what: Thing) -> bool:
    """Tell whether an event is about the very thing that was asked for."""
    match what:
        case AppName(app=app):
            return about(record.event) == app
        case ServiceName(app=app, service=service):
            return about(record.event) == f"{app}/{service}"
        case SlotName(app=app, service=service, slot=slot):
            return about(record.event) == f"{app}/{service}.{slot}"
        case NodeName(node=node):
            return about(record.event) == node
    return False


def _begins(record: Record, what: Thing) -> bool:
    """Tell whether an event opens an attempt of the slot that was asked for."""
    requested = isinstance(record.event, ContainerRequested)
    return requested and isinstance(what, SlotName) and _is(record, what)


def _mark(record: Record) -> Text:
    tone = tell(record).tone
    return styled("·" if tone == "plain" else "●", "dim" if tone == "plain" else tone)


def _words(record: Record, what: Thing, lines_most: int | None) -> Text:
    told, event = tell(record), record.event
    asked_for = _is(record, what)
    text = Text()
    if not asked_for and about(event) != who(record):
        text.append(f"{about(event)} ", STYLES["name"])
    text.append(told.point, STYLES["bad"] if told.tone == "bad" else "")
    node = where(event)
    if node and node != who(record) and node not in told.point:
        text.append(f" on {node}")
    if asked_for or told.tone == "bad" or not isinstance(what, SlotName):
        for detail in _cut(told.details, lines_most):
            text.append(f"\n  {detail}", "" if detail.startswith("|") else STYLES["dim"])
    return text


def _cut(details: Sequence[str], lines_most: int | None) -> Sequence[str]:
    """Leave out all but the last of what a container printed."""
    printed = [detail for detail in details if detail.startswith("|")]
    if lines_most is None or len(printed) <= lines_most:
        return details
    said = [detail for detail in details if not detail.startswith("|")]
    more = count(len(printed) - lines_most, "line")
    return [*said, f"… {more} more (--all tells them)", *printed[-lines_most:]]


def shortened(story: Sequence[Record], what: Thing) -> Sequence[Record | Omitted]:
    """Leave out the middle of what repeats itself."""
    begins = [at for at, record in enumerate(story) if _begins(record, what)]
    if len(begins) > ATTEMPTS_FIRST + ATTEMPTS_LAST + 1:
        start, end = begins[ATTEMPTS_FIRST], begins[-ATTEMPTS_LAST]
        left_out = len(begins) - ATTEMPTS_FIRST - ATTEMPTS_LAST
        words = f"… {count(left_out, 'attempt')} more: {_ends(story[start:end])}"
    elif len(story) > RECORDS_MOST:
        start, end = RECORDS_MOST // 3, len(story) - RECORDS_MOST * 2 // 3
        words = f"… {count(end - start, 'event')} more"
    else:
        return story
    omitted = Omitted(f"{words} (--all tells them)")
    return [*story[:start], omitted, *story[end:]]


def _ends(records: Sequence[Record]) -> str:
    """Count how containers ended, the most frequent first."""
    ends = Counter(_end(record) for record in records if isinstance(record.event, ContainerFailed))
    return ", ".join(f"{number} x {words}" for words, number in ends.most_common(3)) or "no failure"


def _end(record: Record) -> str:
    event = record.event
    assert isinstance(event, ContainerFailed), "only failures are counted"
    return event.reason if event.exit_code is None else f"{event.reason} with {event.exit_code}"


def print_tree(console: Console, root: Branch, *, everything: bool = False) -> None:
    """Print what an event led to."""
    most = None if everything else TREE_MOST
    shown = 0
    trees: list[Tree] = []
    last = root.record.time
    for depth, record in root.walk():
        last = max(last, record.time)
        shown += 1
        if most is not None and shown > most:
            continue
        made = Tree(_leaf(record, root.record), guide_style=STYLES["dim"])
        if depth:
            trees[depth - 1].children.append(made)
        trees[depth:] = [made]
    console.print(trees[0])
    if most is not None and shown > most:
        console.print(styled(f"… {shown - most} more (--all shows them)", "dim"))
    led = "It has led to nothing." if shown == 1 else ""
    summed = f"{count(shown - 1, 'event')} within {span(last - root.record.time)}."
    console.print(styled(led or summed, "dim"))


def _leaf(record: Record, root: Record) -> Text:
    told = tell(record)
    after = clock(record.time) if record is root else f"+{span(record.time - root.time)}"
    text = Text().append(f"{after} ", STYLES["dim"]).append_text(_mark(record))
    text.append(f" {about(record.event)}", STYLES["name"]).append(f" {told.point}")
    return text.append(f"  {who(record)}", STYLES["dim"])


# How it is now.


def print_now(console: Console, what: Thing, seen: Sight) -> None:
    """Print how the thing is at this moment, and whether anything is wrong with it."""
    picture = seen.picture
    match what:
        case SlotName(app=app, service=service, slot=slot) if what.attempt is None:
            console.print()
            for row in rows.slots(picture, app, service):
                if row.slot == slot:
                    console.print(_slot_now(row, picture, seen.time))
        case NodeName(node=node):
            console.print()
            console.print(_node_now(picture, node, seen.time))
        case AppName(app=app):
            console.print()
            _app_now(console, picture.apps[app], None, seen)
        case ServiceName(app=app, service=service):
            console.print()
            _app_now(console, picture.apps[app], service, seen)


def _now(state: str, words: Sequence[str]) -> Text:
    text = Text("now  ").append(state, STYLES[rows.TONES.get(state, "plain")])
    return text.append("".join(f", {word}" for word in words if word))


def _slot_now(row: rows.SlotRow, picture: Picture, now: float) -> Text:
    since_s = now - row.since.timestamp() if row.since else 0.0
    place = f"on {row.node}" if row.node else "without a node"
    restarts = count(row.restarts, "restart") if row.restarts else ""
    note = slot_note(row, now) or _unsettled(row, picture, now)
    well = row.state in ("running", "finished") and row.health in ("", "healthy") and not note
    since = f"for {span(since_s)}" if row.since else ""
    words = [place, since, row.health, restarts, note, "nothing is wrong" if well else ""]
    return _now(row.state, words)


def _unsettled(row: rows.SlotRow, picture: Picture, now: float) -> str:
    """Say what speaks against trusting a container that runs."""
    service = picture.service(row.app, row.service)
    slot = picture.slot(row.app, row.service, row.slot)
    if service is not None and service.flapping_since:
        return "its service is flapping"
    recent = sum(now - time < RECENT_S for time in slot.ended_at) if slot is not None else 0
    return f"it ended {recent} times within {span(RECENT_S)}" if recent > 1 else ""


def _node_now(picture: Picture, name: str, now: float) -> Text:
    row = next(row for row in rows.nodes(picture) if row.node == name)
    since = f"for {span(now - row.since.timestamp())}" if row.since else ""
    held = count(row.containers, "container")
    well = row.state == "up" and not row.note
    return _now(row.state, [since, held, row.note, "nothing is wrong" if well else ""])


def _app_now(console: Console, app: App, service: str | None, seen: Sight) -> None:
    found = [row for row in rows.services(seen.picture, app.name) if service in (None, row.service)]
    if not found:
        console.print(_now(app.phase, ["nothing of it is wanted"]))
        return
    up, wanted = sum(row.up for row in found), sum(row.wanted for row in found)
    states = [row.state for row in found]
    worst = max(states, key=_badness)
    well = _badness(worst) == 0
    note = next((row.note for row in found if row.state == worst), "")
    words = [f"{up} of {wanted} slots up", note, "nothing is wrong" if well else ""]
    console.print(_now(worst, words))
    troubled = [row for row in rows.slots(seen.picture, app.name, service) if _troubled(row)]
    if troubled:
        console.print(table(troubled, slot_columns(seen.time)))


def _badness(state: str) -> int:
    order: dict[rows.Tone, int] = {"good": 0, "dim": 0, "plain": 0, "warn": 1, "bad": 2}
    return order[rows.TONES.get(state, "plain")]


def _troubled(row: rows.SlotRow) -> bool:
    return bool(_badness(row.state) or _badness(row.health) or row.note)
