"""Stop what `segue up` started on this host; with `--containers`, remove every app before.

The control plane is stopped by its own supervisor, in order. It never ends a process that does not
hold the data directory's lock.
"""

import contextlib
import os
import signal
import sys
from typing import Annotated

import anyio
from cyclopts import Parameter
from segue.events.deploy import RemovalRequested

from segue_cli import processes
from segue_cli.amounts import span
from segue_cli.asking import say, seconds
from segue_cli.connect import BusFlags, connected
from segue_cli.datadir import DataDir, data_dir
from segue_cli.errors import FailedError, TimedOutError
from segue_cli.reading import sight
from segue_cli.requests import answered, removed, show
from segue_cli.up import Data

STOPPED_WITHIN_S = 20.0


async def down(
    *,
    containers: Annotated[
        bool, Parameter(help="Remove every app first, and wait until its containers are gone.")
    ] = False,
    data: Data = None,
    within: Annotated[
        str, Parameter("--timeout", show_default=True, help="How long to wait for the containers.")
    ] = "2m",
) -> None:
    """Stop what `segue up` started; containers go on."""
    timeout_s = seconds(within)
    place = data_dir(data)
    pid = place.holder()
    if pid is None:
        print(f"nothing runs on {place.path}", file=sys.stderr)
        return
    if containers:
        await _remove_all(place, timeout_s)
    await _stop(place, pid)
    print("stopped" if containers else "stopped; containers go on running")


async def _remove_all(place: DataDir, timeout_s: float) -> None:
    async with connected(BusFlags(data=place.path)) as bus:
        apps = (await sight(bus)).picture.apps.values()
        there = [app.name for app in apps if app.phase != "removed"]
        since = {}
        for name in there:
            said = await say(bus, RemovalRequested(app=name))
            since[name] = (await answered(bus, said, timeout_s)).sequence
        give_up_at = anyio.current_time() + timeout_s
        for name, after in since.items():
            left_s = max(0.0, give_up_at - anyio.current_time())
            show(await removed(bus, name, after, left_s), as_json=False)


async def _stop(place: DataDir, pid: int) -> None:
    process = processes.named("up", pid)
    if not process.alive:
        raise FailedError(
            f"{place.lock} is held, but not by a process that can be seen from here",
            f"`fuser {place.lock}` tells by whom",
        )
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not await processes.gone(process, STOPPED_WITHIN_S):
        raise TimedOutError(
            f"process {pid} has not stopped within {span(STOPPED_WITHIN_S)}",
            f"`kill -9 {pid}` ends it; its services end with it, containers go on",
        )
