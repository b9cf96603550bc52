"""Ask for a change and print the answer: scale, remove, cordon, uncordon, or any event at all.

The doorkeeper decides; a request that is turned down changes nothing, and says why.
"""

import difflib
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
from cyclopts import Parameter
from segue.bus import Bus
from segue.envelope import Record
from segue.events import REGISTRY, Event
from segue.events.deploy import Problem, RemovalCompleted, RemovalRequested
from segue.events.node import NodeCordonRequested, NodeUncordonRequested
from segue.events.ring import ANYONE, RING
from segue.events.scale import ScaleAccepted, ScaleRequested

from segue_cli.amounts import span
from segue_cli.asking import (
    Said,
    answer,
    json_line,
    patiently,
    records,
    refused,
    say,
    seconds,
    unless_interrupted,
)
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError, TimedOutError
from segue_cli.flags import Within
from segue_cli.reading import app_filters
from segue_cli.story import about, tell
from segue_cli.tables import AsJson


async def scale(
    *services: Annotated[str, Parameter(help="APP/SERVICE=N, any number of them.")],
    for_time: Annotated[
        str | None,
        Parameter("--for", help="Where they follow the load: so long they do not, such as 1h."),
    ] = None,
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Change how many slots services have.

    One that follows its load stays so until the next deploy, or `segue autoscale resume`.
    """
    for_s = seconds(for_time) if for_time is not None else 0.0
    asked = [_scale(word, for_s) for word in services]
    if not asked:
        raise InvalidError("nothing to scale", "write `segue scale shop/web=5`")
    await _ask(asked, within, as_json=as_json, flags=bus)


def _scale(word: str, for_s: float = 0.0) -> ScaleRequested:
    name, _, number = word.partition("=")
    app, _, service = name.partition("/")
    if not (app and service and number.isdecimal()):
        raise InvalidError(f"{word!r} is not APP/SERVICE=N", "write `segue scale shop/web=5`")
    return ScaleRequested(app=app, service=service, replicas=int(number), for_s=for_s)


async def cordon(
    *nodes: Annotated[str, Parameter(help="Names of nodes, as `segue nodes` shows them.")],
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Let no new containers go to a node. What runs there goes on running."""
    asked = [NodeCordonRequested(node=node) for node in _some(nodes)]
    await _ask(asked, within, as_json=as_json, flags=bus)


async def uncordon(
    *nodes: Annotated[str, Parameter(help="Names of nodes, as `segue nodes` shows them.")],
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Let a node be used again."""
    asked = [NodeUncordonRequested(node=node) for node in _some(nodes)]
    await _ask(asked, within, as_json=as_json, flags=bus)


def _some(nodes: Sequence[str]) -> Sequence[str]:
    if not nodes:
        raise InvalidError("no node is named", "`segue nodes` lists those there are")
    return nodes


async def remove(
    app: Annotated[str, Parameter(help="Its name, as `segue ls` shows it.")],
    /,
    *,
    volumes: Annotated[
        bool, Parameter(help="Delete its volumes too, with all that is in them.")
    ] = False,
    wait: Annotated[
        bool,
        Parameter(negative="--no-wait", help="Wait until its last container is gone (default)."),
    ] = True,
    within: Within = "2m",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Remove an app: stop all its containers."""
    timeout_s = seconds(within)
    async with connected(bus) as there:
        said = await say(there, RemovalRequested(app=app, volumes=volumes))
        record = await answered(there, said, timeout_s)
        show(record, as_json=as_json)
        if wait:
            show(await removed(there, app, record.sequence, timeout_s), as_json=as_json)


async def removed(bus: Bus, app: str, after: int, timeout_s: float) -> Record:
    """Wait until an app's last container is gone."""
    left = f"`segue ps {app}` shows what is left"
    try:
        with unless_interrupted("the removal goes on", left), anyio.fail_after(timeout_s):
            async with aclosing(records(bus, after, app_filters(app))) as news:
                async for record in news:
                    if isinstance(record.event, RemovalCompleted):
                        return record
    except TimeoutError:
        raise TimedOutError(
            f"{app} is not gone within {span(timeout_s)}; its removal goes on", left
        ) from None
    raise AssertionError("a log has no end")


async def emit(
    kind: Annotated[str, Parameter(name="TYPE", help="Its type, such as scale.requested.")],
    /,
    *,
    data: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="Its content as JSON, @FILE to read it from there, - for stdin.",
        ),
    ] = "{}",
    by: Annotated[str, Parameter("--actor", help="Whose word it is (default: user@host).")] = "",
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Publish an event, as any program may. Of a request, the answer is printed."""
    event = _event(kind, data)
    if event.type in requests():
        await _ask([event], within, as_json=as_json, flags=bus, by=by)
        return
    async with connected(bus) as there:
        said = await say(there, event, by=by)
    if as_json:
        said_as = {"sequence": str(said.sequence), "type": event.type, "id": said.id}
        print(json.dumps(said_as))
    else:
        print(f"published as {said.sequence}: {event.subject}")


def _event(kind: str, data: str) -> Event:
    """Make the event, or say precisely what is wrong with it."""
    known = REGISTRY.get(kind)
    if known is None:
        near = difflib.get_close_matches(kind, REGISTRY, n=1)
        hint = f"did you mean {near[0]}?" if near else "requests: " + ", ".join(requests())
        raise InvalidError(f"there is no event called {kind}", hint)
    text = _read(data)
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the data is not JSON: {error}") from error
    fields = {field.name: field for field in msgspec.structs.fields(known)}
    odd = sorted(set(body) - set(fields)) if isinstance(body, dict) else []
    if odd:
        near = difflib.get_close_matches(odd[0], fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(fields)}"
        raise InvalidError(f"{kind} has no field called {odd[0]}", hint)
    try:
        return msgspec.convert(body, known)
    except msgspec.ValidationError as error:
        needed = [name for name, field in fields.items() if field.required]
        hint = f"it needs: {', '.join(needed)}" if needed else ""
        raise InvalidError(f"the data of {kind} is wrong: {error}", hint) from error


def requests() -> list[str]:
    """Name the events that anyone may say and that are answered."""
    anyones = [event.type for event, place in RING.items() if ANYONE in place.authors]
    return [name for name in anyones if name.endswith("requested")]


def _read(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidError(f"{data[1:]} cannot be read: {error.strerror}") from error


# What they share.


async def _ask(
    asked: Sequence[Event], within: str, *, as_json: bool, flags: BusFlags | None, by: str = ""
) -> None:
    timeout_s = seconds(within)
    async with connected(flags) as bus:
        for event in asked:
            show(await answered(bus, await say(bus, event, by=by), timeout_s), as_json=as_json)


async def answered(bus: Bus, said: Said, timeout_s: float) -> Record:
    """Wait for the answer; a refusal is raised."""

    def complain() -> None:
        print("no answer yet; is a deployer running? (`segue doctor`)", file=sys.stderr)

    asked = "the request is in the log and counts"
    with unless_interrupted(asked, "`segue events --since 10m` shows what came of it"):
        record: Record = await patiently(answer(bus, said, timeout_s), complain)
    problems: list[Problem] | None = getattr(record.event, "problems", None)
    if problems is None:
        return record
    raise refused(problems)


def show(record: Record, *, as_json: bool) -> None:
    """Print an event that answers."""
    if as_json:
        print(json_line(record), flush=True)
        return
    event = record.event
    text = tell(record).point
    if isinstance(event, ScaleAccepted) and event.replicas == event.previous:
        text = f"has {event.replicas} already"
    print(f"{about(event)}: {text}", flush=True)
