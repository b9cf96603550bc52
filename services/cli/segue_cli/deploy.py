"""Ask for an app to be as its Compose files say, and follow until it is so or will not be.

The deploy goes on whether anybody follows it or not. Contents of secrets and configs go to the
bus's file store before the request that names them.
"""

import sys
from contextlib import aclosing
from typing import Annotated, Any

import anyio
from cyclopts import Parameter
from segue.bus import Bus
from segue.events.deploy import DeployAccepted, DeployCompleted, DeployRejected, DeployRequested

from segue_cli.amounts import count, span
from segue_cli.asking import (
    Said,
    is_answer,
    patiently,
    records,
    refused,
    say,
    seconds,
    unanswered,
    unless_interrupted,
)
from segue_cli.compose import Loaded
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import CommandError, FailedError, TimedOutError
from segue_cli.files import loaded
from segue_cli.flags import (
    AppName,
    EnvFiles,
    Files,
    Lenient,
    MoreFiles,
    Profiles,
    Within,
)
from segue_cli.progress import Progress
from segue_cli.reading import sight
from segue_cli.screens import JsonLines, Lines, Live, Screen
from segue_cli.story import ended
from segue_cli.tables import AsJson

FILES = "files"  # The bucket of contents.
BLOCKING_SHOWN, LOG_LINES_SHOWN = 5, 8


async def deploy(
    *files: Files,
    more: MoreFiles = None,
    app: AppName = None,
    profiles: Profiles = None,
    env_files: EnvFiles = None,
    lenient: Lenient = False,
    wait: Annotated[
        bool, Parameter(negative="--no-wait", help="Wait until every slot is up (default).")
    ] = True,
    within: Within = "5m",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Deploy an app from Compose files and follow it."""
    timeout_s = seconds(within)
    found = loaded(
        [*files, *(more or [])],
        app=app,
        profiles=profiles,
        env_files=env_files,
        lenient=lenient,
        json_lines=as_json,
    )
    async with connected(bus) as there:
        await _upload(there, found)
        seen = await sight(there)
        progress = Progress(found.app, seen.picture)
        asked = DeployRequested(app=found.app, compose=found.document)
        said = await say(there, asked, after=seen.picture.state.sequence)
        progress.request = said.id
        with _screen(progress, as_json=as_json) as screen:
            await _follow(there, progress, said, screen, timeout_s, wait=wait)


def _screen(progress: Progress, *, as_json: bool) -> Screen:
    if as_json:
        return JsonLines(progress)
    return Live(progress) if sys.stdout.isatty() else Lines(progress)


async def _upload(bus: Bus, found: Loaded) -> None:
    if not found.files:
        return
    there = set(await bus.keys(FILES))
    for digest, content in found.files.items():
        if digest not in there:
            await bus.put(FILES, digest, content)


async def _follow(
    bus: Bus, progress: Progress, said: Said, screen: Screen, timeout_s: float, *, wait: bool
) -> None:
    goes_on = unless_interrupted("the deploy goes on", lambda: _how_far(progress))
    try:
        with goes_on, anyio.fail_after(timeout_s):
            await patiently(_until_ended(bus, progress, said, screen, wait=wait), screen.complain)
    except TimeoutError:
        raise _late(progress, timeout_s) from None
    error = _judged(progress, screen)
    if error is not None:
        raise error


async def _until_ended(
    bus: Bus, progress: Progress, said: Said, screen: Screen, *, wait: bool
) -> None:
    async with aclosing(records(bus, said.after)) as news:
        async for record in news:
            event = record.event
            answers = is_answer(record, said)
            if progress.take(record) and record.sequence > said.after:
                screen.show(record)
            accepted = isinstance(event, DeployAccepted) and answers
            if progress.end is not None or (accepted and not wait):
                return


def _how_far(progress: Progress) -> str:
    """Say what tells of a deploy that is not followed any longer."""
    app = progress.picture.apps.get(progress.app)
    if app is None or all(service.rollout is None for service in app.services.values()):
        return f"`segue ps {progress.app}` shows how far it is"
    shows = f"`segue rollout status {progress.app}` shows how far it is"
    return f"{shows}, `segue rollout abort {progress.app}` takes it back"


def _late(progress: Progress, timeout_s: float) -> CommandError:
    """Say what is still missing when there is no more time."""
    if not progress.revision:
        return unanswered(timeout_s)
    missing = [one for tally in progress.tallies() for one in tally.missing]
    lines = [f"{one.slot}: {one.why}" for one in missing[:BLOCKING_SHOWN]]
    if len(missing) > BLOCKING_SHOWN:
        lines.append(f"and {len(missing) - BLOCKING_SHOWN} more")
    what = "\n  ".join([f"not up within {span(timeout_s)}; the deploy goes on", *lines])
    thing = f"{progress.app}/{missing[0].slot}" if missing else progress.app
    return TimedOutError(what, f"`segue why {thing}` tells what it waits for")


def _judged(progress: Progress, screen: Screen) -> CommandError | None:
    """Give the error of a deploy that did not end well."""
    app, record = progress.app, progress.ended_by
    if record is None:
        screen.last(f"{app}: revision {progress.revision} is accepted")
        return None
    event: Any = record.event
    match progress.end:
        case "completed":
            assert isinstance(event, DeployCompleted), "that is what completes"
            words = f"{count(event.slots, 'slot')} in {span(event.took_s)}"
            if not progress.changes:
                words = f"{count(event.slots, 'slot')}, nothing had to change"
            screen.last(f"{app}: revision {event.revision} is up: {words}")
            return None
        case "rejected":
            assert isinstance(event, DeployRejected), "that is what rejects"
            return refused(event.problems)
        case "superseded":
            by = "a removal" if not hasattr(event, "revision") else f"revision {event.revision}"
            actor = f" by {record.actor}" if record.actor else ""
            text = f"{app}: revision {progress.revision} was superseded by {by}{actor}"
            return FailedError(text, _ps(app))
    end = f"was taken back to {event.to}" if progress.end == "reverted" else "failed"
    text = f"{app}: revision {event.revision} {end}: {event.reason.strip().rstrip(':')}"
    return FailedError("\n".join([text, *_blocking(progress, text)]), _why(progress))


def _ps(app: str) -> str:
    return f"`segue ps {app}` shows what runs"


def _why(progress: Progress) -> str:
    """Name the slot that failed, not one that only waits for it."""
    blocking = progress.blocking()
    if not blocking:
        return _ps(progress.app)
    slot = next((name for name, failure in blocking if failure), blocking[0][0])
    return f"`segue why {progress.app}/{slot}` tells how it came to this"


def _blocking(progress: Progress, told: str) -> list[str]:
    """Show how what keeps the deploy from being up has ended, unless `told`, and its last words."""
    lines = []
    for name, failure in progress.blocking()[:BLOCKING_SHOWN]:
        if failure is None:
            continue
        how = ended(failure.reason, failure.exit_code, failure.message)
        lines += [] if how in told else [f"  {name}: {how}"]
        logs = failure.logs[-LOG_LINES_SHOWN:]
        if logs:
            lines += [f"  {name} printed last:", *(f"    | {line}" for line in logs)]
    return lines
