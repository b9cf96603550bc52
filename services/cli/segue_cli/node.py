"""Look at nodes and ask for what concerns one as a whole: labels, emptying, being forgotten.

The deployer decides; a request that is turned down changes nothing, and says why.
"""

import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated

import anyio
from cyclopts import Parameter
from segue.bus import Bus
from segue.events.node import (
    NodeDrainRequested,
    NodeLabelRequested,
    NodeRemovalRequested,
    NodeRequestRejected,
)

from segue_cli import listing
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
from segue_cli.connect import BusFlags, connected
from segue_cli.draining import Draining, JsonLines, Live, Screen
from segue_cli.errors import (
    FailedError,
    InvalidError,
    TimedOutError,
)
from segue_cli.flags import Within
from segue_cli.listing import At
from segue_cli.reading import sight
from segue_cli.requests import answered, show
from segue_cli.tables import AsJson

NAMED = 10
AFTER_DEADLINE_S = 120.0  # What is stopped at the deadline may take that long.
Node = Annotated[str, Parameter(help="Its name, as `segue node ls` shows it.")]


async def inspect(
    node: Node, /, *, at: At = None, as_json: AsJson = False, bus: BusFlags | None = None
) -> None:
    """Show all that is known of a node."""
    await listing.inspect(f"node:{node}", at=at, as_json=as_json, bus=bus)


async def label(
    node: Node,
    /,
    *labels: Annotated[str, Parameter(help="KEY=VALUE, any number of them.")],
    remove: Annotated[tuple[str, ...], Parameter(help="KEY to take away; may be repeated.")] = (),
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Set or take away labels, which placement constraints see.

    They outweigh those that the node's runner was started with, also when it joins again. What runs
    stays where it is.
    """
    event = NodeLabelRequested(node=node, set=_pairs(labels), remove=list(remove))
    if not labels and not remove:
        raise InvalidError("no label is named", f"write `segue node label {node} disk=ssd`")
    timeout_s = seconds(within)
    async with connected(bus) as there:
        record = await answered(there, await say(there, event), timeout_s)
        show(record, as_json=as_json)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals or key in pairs:
            raise InvalidError(
                f"{word!r} is not KEY=VALUE, or there twice", "--remove KEY takes one away"
            )
        pairs[key] = value
    return pairs


async def rm(
    *nodes: Annotated[str, Parameter(help="Names of nodes that are lost or have left.")],
    force: Annotated[
        bool,
        Parameter(help="Give up a silent node at once, with the data of slots that only it has."),
    ] = False,
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Forget nodes that will not come back. One that does may join again."""
    if not nodes:
        raise InvalidError("no node is named", "`segue node ls` lists those there are")
    timeout_s = seconds(within)
    async with connected(bus) as there:
        for node in nodes:
            said = await say(there, NodeRemovalRequested(node=node, force=force))
            show(await answered(there, said, timeout_s), as_json=as_json)


async def drain(
    node: Node,
    /,
    *,
    deadline: Annotated[
        str,
        Parameter(show_default=True, help="When what is left is stopped all the same."),
    ] = "10m",
    wait: Annotated[
        bool, Parameter(negative="--no-wait", help="Wait until the node is empty (default).")
    ] = True,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Empty a node and keep it so, until `segue node uncordon`.

    What is on it is moved, each container once its successor elsewhere is ready, and never below
    what a service's `min_available` says. At the deadline what is left is stopped all the same, but
    for slots whose data are on the node.
    """
    deadline_s = seconds(deadline)
    async with connected(bus) as there:
        seen = await sight(there)
        draining = Draining(node, seen.picture)
        asked = NodeDrainRequested(node=node, deadline_s=deadline_s)
        said = await say(there, asked, after=seen.picture.state.sequence)
        draining.request = said.id
        with _screen(draining, as_json=as_json) as screen:
            await _follow(there, draining, said, screen, deadline_s, wait=wait)


def _screen(draining: Draining, *, as_json: bool) -> Screen:
    if as_json:
        return JsonLines(draining)
    return Live(draining) if sys.stdout.isatty() else Screen(draining)


async def _follow(
    bus: Bus, draining: Draining, said: Said, screen: Screen, deadline_s: float, *, wait: bool
) -> None:
    node = draining.node
    timeout_s = deadline_s + AFTER_DEADLINE_S
    goes_on = unless_interrupted(
        "the node is emptied all the same", f"`segue node uncordon {node}` ends that"
    )
    try:
        with goes_on, anyio.fail_after(timeout_s):
            await patiently(_until_ended(bus, draining, said, screen, wait=wait), screen.complain)
    except TimeoutError:
        raise _late(draining, timeout_s) from None
    _judge(draining, screen)


async def _until_ended(
    bus: Bus, draining: Draining, said: Said, screen: Screen, *, wait: bool
) -> None:
    async with aclosing(records(bus, said.after)) as news:
        async for record in news:
            event = record.event
            if is_answer(record, said) and isinstance(event, NodeRequestRejected):
                raise refused(event.problems)
            screen.show(record, draining.take(record))
            if draining.end or (draining.begun and not wait):
                return


def _late(draining: Draining, timeout_s: float) -> Exception:
    if not draining.begun:
        return unanswered(timeout_s)
    lines = [f"{one.name}: {one.state} {one.why}".rstrip() for one in draining.left()[:NAMED]]
    what = f"{draining.node} is not empty within {span(timeout_s)}"
    return TimedOutError(
        "\n  ".join([what, *lines]), f"`segue node inspect {draining.node}` shows what is left"
    )


def _judge(draining: Draining, screen: Screen) -> None:
    """Say how it ended; a node that is not empty is a failure."""
    node, gone = draining.node, count(draining.gone, "container")
    match draining.end:
        case None:
            screen.last(f"{node}: is being emptied", "good")
        case "drained" if draining.left_there:
            there = ", ".join(draining.left_there[:NAMED])
            raise FailedError(
                f"{node} is not empty: the data of {there} are there; {gone} left it",
                "remove the app, or copy its data elsewhere first",
            )
        case "drained":
            screen.last(f"{node}: is empty, {gone} left it", "good")
        case ended:
            raise FailedError(f"{node} was {ended} before it was empty; {gone} left it")
