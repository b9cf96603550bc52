"""The command `segue exec`: run a program in a slot's container, as if it ran here.

Its node's runner starts it and passes on what it writes; the runner in turn asks this command for
the input, so that both ways are held back by whoever is slow. The program's exit code is ours.
"""

import secrets
import sys
from typing import Annotated

import anyio
from cyclopts import Parameter
from segue import asks
from segue.bus import Bus
from segue.picture import Picture

from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FailedError, InvalidError, NotFoundError, innermost
from segue_cli.listing import see
from segue_cli.logs import Place, ask_node, found
from segue_cli.output import Printer
from segue_cli.rows import condition
from segue_cli.terminal import Person
from segue_cli.things import SlotName, thing


async def execute(
    name: Annotated[str, Parameter(name="SLOT", help="Such as shop/web.3.")],
    /,
    *cmd: Annotated[str, Parameter(name="CMD", allow_leading_hyphen=True, help="What to run.")],
    interactive: Annotated[
        bool, Parameter(("--interactive", "-i"), help="Give it this command's input, to its end.")
    ] = False,
    terminal: Annotated[
        bool, Parameter(("--tty", "-t"), help="Give it a terminal; with -i, this one.")
    ] = False,
    bus: BusFlags | None = None,
) -> int:
    """Run a command in a container. Its exit code is the command's."""
    if not cmd:
        raise InvalidError("nothing to run", f"write `segue exec {name} -- COMMAND…`")
    here = sys.stdin is not None and sys.stdin.isatty()
    if interactive and terminal and not here:
        raise InvalidError("the input is no terminal", "leave out -t: -i alone passes it on")
    async with connected(bus) as connection:
        place = await _place(connection, name)
        asked = asks.ExecAsked(
            app=place.name.app,
            service=place.name.service,
            slot=place.name.slot,
            cmd=list(cmd),
            terminal=terminal,
            interactive=interactive,
            token=secrets.token_hex(12) if interactive or (terminal and here) else "",
        )
        with Person(interactive=interactive, terminal=terminal and here) as person:
            code = await _run(connection, place.node, asked, person)
    if code is None:
        raise FailedError(f"{place.node} did not tell how the command ended")
    return code


async def _run(bus: Bus, node: str, asked: asks.ExecAsked, person: Person) -> int | None:
    output = Printer([], alone=True, as_json=False).output("")
    code: int | None = None
    try:
        async with anyio.create_task_group() as tasks:
            if asked.token:
                subject = asks.subject(node, f"input.{asked.token}")
                await tasks.start(bus.serve_stream, subject, person.given)
                tasks.start_soon(person.give)
            code = await ask_node(bus, node, "exec", asked, output)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise innermost(group) from group
    return code


async def _place(bus: Bus, name: str) -> Place:
    """Find where a slot's container runs."""
    seen = await see(bus, None)
    what = thing(name, seen.picture)
    if not isinstance(what, SlotName):
        raise InvalidError(f"{name} is no slot", "`segue ps` lists the slots")
    places = found(what, seen.picture)
    if not places:
        raise NotFoundError(f"{name} has no container", f"`segue why {name}` tells why")
    check_runs(what, seen.picture)
    return places[0]


def check_runs(name: SlotName, picture: Picture) -> None:
    """Raise if nothing can be run in a slot because its container does not run."""
    slot = picture.slot(name.app, name.service, name.slot)
    container = slot.container if slot is not None else None
    if container is not None and (container.ended or container.phase == "requested"):
        state, _ = condition(picture, container)
        raise FailedError(f"{name} does not run: it is {state}", f"`segue why {name}` tells why")
