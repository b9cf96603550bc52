"""The commands that list what there is: apps, slots, nodes, and one thing in full.

Each shows the picture folded from the log, of now or of any moment that the log still holds; at a
past moment ages count to that moment. Only what a gateway alone knows is asked of it: a service's
virtual addresses.
"""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from segue.bus import Bus
from segue.log import Head
from segue.picture import Picture

from segue_cli import rows
from segue_cli.asking import gateway_facts
from segue_cli.columns import node_columns, service_columns, slot_columns
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import InvalidError, NotFoundError
from segue_cli.inspection import document, sections
from segue_cli.moment import FORMS, Moment, MomentError, clock, day, moment
from segue_cli.reading import Sight, locate, sight
from segue_cli.story_capacity import shortage
from segue_cli.tables import AsJson, console, for_eyes, note, print_json, print_rows
from segue_cli.things import EventName, ServiceName, Thing, nearest, thing

At = Annotated[
    str | None,
    Parameter(name="--at", help=f"Show how it was then: {FORMS}."),
]


async def ls(*, at: At = None, as_json: AsJson = False, bus: BusFlags | None = None) -> None:
    """List apps and services."""
    async with connected(bus) as connection:
        seen = await see(connection, at)
    found = list(rows.services(seen.picture))
    print_rows(found, service_columns(seen.time), as_json=as_json, nothing="No app is deployed.")
    for one in seen.picture.state.capacity.shortages if seen.picture.state.capacity else ():
        note(f"no room: {shortage(one)}")


async def ps(
    app: Annotated[str | None, Parameter(help="An app, or APP/SERVICE; else all apps.")] = None,
    /,
    *,
    at: At = None,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """List slots and the containers that fill them."""
    async with connected(bus) as connection:
        seen = await see(connection, at)
    name, _, service = (app or "").partition("/")
    must_be_there([seen.picture], name, service)
    found = rows.slots(seen.picture, name or None, service or None)
    print_rows(found, slot_columns(seen.time), as_json=as_json, nothing="No container is wanted.")


async def nodes(*, at: At = None, as_json: AsJson = False, bus: BusFlags | None = None) -> None:
    """List nodes."""
    async with connected(bus) as connection:
        seen = await see(connection, at)
    found = list(rows.nodes(seen.picture))
    print_rows(found, node_columns(seen.time), as_json=as_json, nothing="No node has joined.")


async def inspect(
    name: Annotated[
        str, Parameter(name="THING", help="An app, shop/web, shop/web.3, a node, or an event.")
    ],
    /,
    *,
    at: At = None,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Show all that is known of one thing."""
    async with connected(bus) as connection:
        seen = await see(connection, at)
        what = thing(name, seen.picture)
        head = await connection.head()
        event = await locate(connection, head, what) if isinstance(what, EventName) else None
        if at is None and for_eyes(as_json=as_json):
            addresses = await _addresses(connection, what, seen.picture)
        else:
            addresses = {}
    if not for_eyes(as_json=as_json):
        print_json([document(what, seen.picture, event)])
        return
    screen = console()
    for number, section in enumerate(sections(what, seen, event, addresses)):
        if number:
            screen.print()
        screen.print(section)


async def _addresses(bus: Bus, what: Thing, picture: Picture) -> dict[str, list[str]]:
    """Give a service's virtual addresses, each with the nodes that have it."""
    found: dict[str, list[str]] = {}
    if isinstance(what, ServiceName):
        nodes = [node for node in sorted(picture.gateways) if picture.gateway(node) is not None]
        answers = await gateway_facts(bus, nodes)
        for node in nodes:
            answer = answers[node]
            held = {} if isinstance(answer, str) else answer.addresses
            if address := held.get(f"{what.app}/{what.service}"):
                found.setdefault(address, []).append(node)
    return found


async def see(bus: Bus, at: str | None) -> Sight:
    """Give the picture of now, or at what the user wrote; what is doubtful about it is told."""
    head = await bus.head()
    seen = await sight(bus, None if at is None else when(at, head), head)
    if at is not None:
        note(f"as of {day(seen.time)} {clock(seen.time)}, sequence {seen.picture.state.sequence}")
    if seen.partial:
        begins = f"the log begins at {head.first}, and no snapshot is from before"
        note(f"incomplete: {begins}", always=True)
    if seen.unread:
        mean = "message means" if seen.unread == 1 else "messages mean"
        note(f"{seen.unread} {mean} nothing to this version: `segue events --type event.rejected`")
    return seen


def when(text: str, head: Head) -> Moment:
    """Read a moment of the log that lies within it."""
    try:
        found = moment(text, head.time)
    except MomentError as error:
        raise InvalidError(str(error)) from None
    if found.sequence is not None and found.sequence > head.last:
        raise NotFoundError(f"the log has not come to {found.sequence}", f"it ends at {head.last}")
    if found.time is not None and found.time > head.time:
        raise InvalidError(f"{text} is not over yet", f"the log's clock shows {clock(head.time)}")
    return found


def must_be_there(pictures: Sequence[Picture], app: str, service: str = "") -> None:
    """Raise `NotFoundError` unless one of the pictures has the app, and the service if named."""
    apps = {
        name: found.services
        for picture in pictures
        for name, found in picture.apps.items()
        if found.phase != "removed"
    }
    if app and app not in apps:
        raise NotFoundError(f"there is no app called {app}", nearest(app, apps))
    if service and service not in apps[app]:
        raise NotFoundError(f"{app} has no service called {service}", nearest(service, apps[app]))
