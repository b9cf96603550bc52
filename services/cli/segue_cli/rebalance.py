"""Have containers moved to where they are clearly better off, or see which would be.

The scheduler plans and the deployer moves, one container of a service at a time; what is shown is
the plan. With `--dry-run` it is what the scheduler would plan now, and nothing happens.
"""

from typing import Annotated

import msgspec
from cyclopts import Parameter
from segue.bus import Bus
from segue.events.rebalance import Move, RebalancePlanned, RebalanceRequested

from segue_cli.amounts import count
from segue_cli.asking import json_line, say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FailedError
from segue_cli.flags import Within
from segue_cli.rehearsal import decisions, question
from segue_cli.requests import answered
from segue_cli.tables import AsJson, Column, console, for_eyes, print_json, table

COLUMNS: tuple[Column[Move], ...] = (
    Column("SLOT", lambda move: (move.name, "name")),
    Column("FROM", lambda move: move.source),
    Column("TO", lambda move: move.target),
    Column("GAIN", lambda move: f"{move.gain:g}", right=True),
)


async def rebalance(
    *,
    dry_run: Annotated[
        bool, Parameter("--dry-run", help="Show what would be moved, without doing it.")
    ] = False,
    within: Within = "10s",
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Move containers to nodes where they are clearly better off."""
    timeout_s = seconds(within)
    async with connected(bus) as there:
        if dry_run:
            planned = await would_plan(there, timeout_s)
            line = msgspec.json.encode(planned).decode()
        else:
            record = await answered(there, await say(there, RebalanceRequested()), timeout_s)
            assert isinstance(record.event, RebalancePlanned), "nothing else answers it"
            planned, line = record.event, json_line(record)
    if as_json:
        print(line, flush=True)
    else:
        show(planned, dry_run=dry_run)


async def would_plan(bus: Bus, timeout_s: float) -> RebalancePlanned:
    """Ask the scheduler what it would plan now."""
    asked = question([RebalanceRequested()])
    for event in decisions(await bus.ask("rpc.scheduler.what_if", asked, timeout_s=timeout_s)):
        if isinstance(event, RebalancePlanned):
            return event
    raise FailedError(
        "the scheduler's answer holds no plan", "are services and command line of one version?"
    )


def show(planned: RebalancePlanned, *, dry_run: bool) -> None:
    """Print a plan as a table and a sentence, or the reason why there is none."""
    if not planned.moves:
        print(f"Nothing to move: {planned.reason}.", flush=True)
        return
    if for_eyes(as_json=False):
        console().print(table(planned.moves, COLUMNS))
    else:
        print_json(planned.moves)
        return
    verb = "would be moved" if dry_run else "are moved, one of a service at a time"
    print(f"{count(len(planned.moves), 'container')} {verb}.", flush=True)
