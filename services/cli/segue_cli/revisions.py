"""Show an app's revisions, how each ended, and go back to one of them.

A revision is never changed: going back makes the next one, which restores an older one.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from segue.envelope import Record
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployReverted,
    RemovalAccepted,
)
from segue.events.rollout import RollbackRequested
from segue.picture import Picture
from segue.spec import AppSpec

from segue_cli.amounts import age, span
from segue_cli.asking import say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.flags import Within
from segue_cli.listing import must_be_there
from segue_cli.moment import stamp
from segue_cli.reading import filters_of, gather, sight
from segue_cli.requests import answered, show
from segue_cli.tables import AsJson, Column, print_rows

_KINDS = (DeployAccepted, DeployCompleted, DeployFailed, DeployReverted, RemovalAccepted)


class Row(msgspec.Struct, kw_only=True):
    """A revision of an app."""

    revision: int
    state: str = "under way"
    since: dt.datetime | None = None  # None: the log does not reach back to it.
    actor: str = ""
    images: dict[str, str] = {}  # By service: those that differ from the revision before.
    note: str = ""
    restorable: bool = False  # It came up, and what it was is still kept.


def rows(picture: Picture, app: str, records: Iterable[Record]) -> list[Row]:
    """Give the app's revisions, oldest first, from what the log and the picture have of them."""
    found: dict[int, Row] = {}
    before: dict[str, str] = {}
    for record in records:
        event = record.event
        if isinstance(event, DeployAccepted):
            images = _images(event.spec)
            row = Row(revision=event.revision, since=stamp(record.time), actor=record.actor)
            row.images = {name: one for name, one in images.items() if before.get(name) != one}
            row.note = f"restores revision {event.restores}" if event.restores else ""
            for other in found.values():
                other.state = "superseded" if other.state == "under way" else other.state
            found[event.revision], before = row, images
        elif isinstance(event, RemovalAccepted):
            for other in found.values():
                other.state = "removed" if other.state == "under way" else other.state
        elif isinstance(event, DeployCompleted | DeployFailed | DeployReverted):
            _end(found.get(event.revision), event)
    known = picture.apps.get(app)
    for revision in known.completed if known is not None else ():
        row = found.setdefault(revision, Row(revision=revision, state="came up"))
        row.restorable = True
    return [found[revision] for revision in sorted(found)]


def _images(spec: AppSpec) -> dict[str, str]:
    return {name: service.image for name, service in spec.services.items()}


def _end(row: Row | None, event: DeployCompleted | DeployFailed | DeployReverted) -> None:
    if row is None:
        return  # The log does not reach back to when it was accepted.
    match event:
        case DeployCompleted():
            row.state = "came up"
            row.note = "; ".join(filter(None, [row.note, f"in {span(event.took_s)}"]))
        case DeployFailed():
            row.state, row.note = "failed", event.reason
        case DeployReverted():
            row.state, row.note = "taken back", f"to revision {event.to}: {event.reason}"


_TONES = {"failed": "bad", "taken back": "bad", "under way": "warn", "came up": "good"}


def columns(now: float) -> Sequence[Column[Row]]:
    """Show revisions as they are at that time."""
    return (
        Column("REVISION", lambda row: (str(row.revision), "name"), right=True),
        Column("STATE", lambda row: (row.state, _TONES.get(row.state, "plain"))),
        Column(
            "AGE", lambda row: age(now - row.since.timestamp()) if row.since else "", right=True
        ),
        Column("BY", lambda row: (row.actor, "who")),
        Column("NEW", lambda row: ", ".join(f"{k} {v}" for k, v in row.images.items()), folds=True),
        Column("", lambda row: (row.note, "dim"), folds=True),
        Column("BACK", lambda row: "can be restored" if row.restorable else ""),
    )


async def history(
    app: Annotated[str, Parameter(help="Its name, as `segue ls` shows it.")],
    /,
    *,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show an app's revisions: what each changed, how it ended, whether it can be restored."""
    async with connected(bus) as there:
        seen = await sight(there)
        must_be_there([seen.picture], app, "")
        head = await there.head()
        filters = filters_of(kinds=_KINDS, app=app)
        read = await gather(there, head.first, head.last, filters)
    records = [read.records[sequence] for sequence in sorted(read.records)]
    found = rows(seen.picture, app, records)
    nothing = "No revision was accepted."
    print_rows(found, columns(seen.time), as_json=as_json, nothing=nothing)


async def rollback(
    app: Annotated[str, Parameter(help="Its name, as `segue ls` shows it.")],
    revision: Annotated[
        int, Parameter(help="As `segue history` shows it; without it the last that came up before.")
    ] = 0,
    /,
    *,
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Have an app be again as an earlier revision had it."""
    timeout_s = seconds(within)
    async with connected(bus) as there:
        said = await say(there, RollbackRequested(app=app, revision=revision))
        show(await answered(there, said, timeout_s), as_json=as_json)
