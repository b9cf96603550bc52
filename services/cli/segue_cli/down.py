"""Stop what `segue up` started on this host; with `--containers`, remove every app before.

The control plane is stopped by its own supervisor, in order. It never ends a process that does not
hold the data directory's lock.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Annotated

import anyio
import msgspec
from cyclopts import Parameter
from segue import asks
from segue.bus import Bus, BusError
from segue.events.deploy import RemovalRequested
from segue.picture import App

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
CLEARED_WITHIN_S = 10.0


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
        await _wait_for_runners(bus)


async def _wait_for_runners(bus: Bus) -> None:
    """Wait until runners have removed what removed apps shared; say what is left in the end."""
    picture = (await sight(bus)).picture
    gone = {name: app for name, app in picture.apps.items() if app.phase == "removed"}
    give_up_at = anyio.current_time() + CLEARED_WITHIN_S
    for node in sorted(name for name, node in picture.nodes.items() if node.phase == "up"):
        while left := await _left(bus, node, gone):
            if anyio.current_time() > give_up_at:
                print(
                    f"left on {node}: {left}; its runner removes it when it runs", file=sys.stderr
                )
                break
            await anyio.sleep(0.05)


async def _left(bus: Bus, node: str, gone: Mapping[str, App]) -> str:
    try:
        answer = await bus.ask(asks.subject(node, "kept"), timeout_s=CLEARED_WITHIN_S)
    except BusError as error:
        return f"perhaps networks ({error})"
    kept = msgspec.json.decode(answer, type=asks.Kept)
    networks = [f"networks of {app}" for app in kept.networks_of if app in gone]
    volumes = [app for app in kept.volumes_of if app in gone and gone[app].with_volumes]
    return ", ".join([*networks, *(f"volumes of {app}" for app in volumes)])


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
