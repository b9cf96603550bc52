"""See how far rollouts are, and have a say in them: pause, resume, promote, abort.

The deployer decides; a request that is turned down changes nothing, and says why.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter
from segue.events.rollout import (
    RolloutAbortRequested,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutRequestEvent,
    RolloutResumeRequested,
)
from segue.picture import App, Picture, Service
from segue.picture.state import Rollout
from segue.wants import wanted_slots

from segue_cli.amounts import age
from segue_cli.asking import say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError
from segue_cli.flags import Within
from segue_cli.listing import must_be_there
from segue_cli.moment import stamp
from segue_cli.reading import sight
from segue_cli.requests import answered, show
from segue_cli.story import ended
from segue_cli.story_rollouts import numbers
from segue_cli.tables import AsJson, Column, print_rows

Which = Annotated[str, Parameter(name="APP[/SERVICE]", help="All services that roll out if none.")]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How far a service's rollout is."""

    service: str
    previous: int
    revision: int
    strategy: str
    state: str
    done: int  # Slots that have been advanced …
    of: int  # … of those there are.
    ready: int  # Of those that have been advanced: how many were ready at least once.
    since: dt.datetime | None
    note: str = ""


def rows(picture: Picture, app: str | None = None, service: str | None = None) -> Iterator[Row]:
    """Give the rollouts that are under way, by app and service."""
    for name, found in sorted(picture.apps.items()):
        for one in found.services.values():
            named = app in (None, name) and service in (None, one.name)
            if named and one.rollout is not None:
                yield _row(picture, found, one, one.rollout)


def _row(picture: Picture, app: App, service: Service, rollout: Rollout) -> Row:
    wanted = wanted_slots(picture, app, service)
    advanced = [number for number in rollout.advanced if number in wanted]
    return Row(
        service=f"{app.name}/{service.name}",
        previous=rollout.old.revision,
        revision=app.revision,
        strategy=rollout.strategy,
        state=_state(rollout),
        done=len(advanced),
        of=len(wanted),
        ready=sum(number in rollout.seen for number in advanced),
        since=stamp(rollout.begun_at),
        note=_note(service, rollout),
    )


def _state(rollout: Rollout) -> str:
    if rollout.verdict is not None:
        return rollout.verdict.kind
    if rollout.paused:
        return "paused"
    if rollout.back:
        return "going back"
    return "waiting" if rollout.held else "going on"


def _note(service: Service, rollout: Rollout) -> str:
    words = []
    if rollout.verdict is not None:
        words.append(rollout.verdict.reason)
    elif rollout.held:
        words.append(rollout.held)
    if (last := rollout.failure) is not None and not words:
        how = ended(last.reason, last.exit_code, last.message)
        words.append(f"{service.name}.{last.slot} failed: {how}")
    if rollout.skipped:
        words.append(f"not waited for: {numbers(service.name, list(rollout.skipped))}")
    return "; ".join(words)


_TONES = {"failed": "bad", "stalled": "bad", "paused": "warn", "waiting": "warn"}


def columns(now: float) -> Sequence[Column[Row]]:
    """Show rollouts as they are at that time."""
    return (
        Column("SERVICE", lambda row: (row.service, "name")),
        Column("FROM", lambda row: str(row.previous), right=True),
        Column("TO", lambda row: str(row.revision), right=True),
        Column("HOW", lambda row: row.strategy),
        Column("STATE", lambda row: (row.state, _TONES.get(row.state, "plain"))),
        Column("BEGUN", lambda row: f"{row.done}/{row.of}", right=True),
        Column("READY", lambda row: f"{row.ready}/{row.of}", right=True),
        Column("AGE", lambda row: _age(row, now), right=True),
        Column("", lambda row: (row.note, "dim"), folds=True),
    )


def _age(row: Row, now: float) -> str:
    return age(now - row.since.timestamp()) if row.since is not None else ""


async def status(
    which: Annotated[
        str | None, Parameter(name="APP[/SERVICE]", help="All apps if none is named.")
    ] = None,
    /,
    *,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show the rollouts that are under way, how far they are and what they wait for."""
    async with connected(bus) as there:
        seen = await sight(there)
    app, _, service = (which or "").partition("/")
    must_be_there([seen.picture], app, service)
    found = list(rows(seen.picture, app or None, service or None))
    nothing = "No rollout is under way."
    print_rows(found, columns(seen.time), as_json=as_json, nothing=nothing)


async def pause(
    which: Which, /, *, within: Within = "10s", as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Take no further step; what has been begun goes on."""
    await _ask(RolloutPauseRequested, which, within, as_json=as_json, flags=bus)


async def resume(
    which: Which, /, *, within: Within = "10s", as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Go on with what is paused, or was held by a failure."""
    await _ask(RolloutResumeRequested, which, within, as_json=as_json, flags=bus)


async def promote(
    which: Which, /, *, within: Within = "10s", as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Find the new version good: what waits for that word goes on."""
    await _ask(RolloutPromoteRequested, which, within, as_json=as_json, flags=bus)


async def abort(
    which: Which, /, *, within: Within = "10s", as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Take the app back to the last revision that came up."""
    await _ask(RolloutAbortRequested, which, within, as_json=as_json, flags=bus)


async def _ask(
    kind: type[RolloutRequestEvent],
    which: str,
    within: str,
    *,
    as_json: bool,
    flags: BusFlags | None,
) -> None:
    app, slash, service = which.partition("/")
    if not app or bool(slash) != bool(service):
        raise InvalidError(f"{which!r} is not APP or APP/SERVICE", "`segue rollout status` lists")
    timeout_s = seconds(within)
    async with connected(flags) as bus:
        said = await say(bus, kind(app=app, service=service))
        show(await answered(bus, said, timeout_s), as_json=as_json)
