"""Run Segue on this host with one command, in the foreground or detached, and stop it again.

One `segue up` holds a data directory at a time. Stopping stops the control plane, never a
container; started again, it takes over what runs.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.abc
from cyclopts import Group, Parameter
from segue.ids import is_token, token

from segue_cli import logfile
from segue_cli.amounts import span
from segue_cli.asking import seconds
from segue_cli.connect import configured
from segue_cli.datadir import DataDir, data_dir
from segue_cli.errors import FAILED, CommandError, FailedError, InvalidError, TimedOutError
from segue_cli.host import UNABLE, Host, Wanted, Watcher, already_running, may_kill
from segue_cli.status import Lines, Moving, Told
from segue_cli.tables import note

_NODE = Group("Node", sort_key=50)
_BUS = Group("Its bus", sort_key=60)
Data = Annotated[
    Path | None,
    Parameter(
        ("--data", "--data-dir"),
        help="Where everything is kept (default: SEGUE_DATA, ~/.local/share/segue).",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class NodeFlags:
    """The node that runs on this host."""

    node: Annotated[
        str | None, Parameter(group=_NODE, help="This node's name (default: the host's).")
    ] = None
    no_node: Annotated[
        bool, Parameter("--no-node", group=_NODE, help="Run no containers on this host.")
    ] = False
    label: Annotated[
        tuple[str, ...],
        Parameter(group=_NODE, help="KEY=VALUE that placement constraints see; repeatable."),
    ] = ()
    no_gateway: Annotated[
        bool,
        Parameter(
            "--no-gateway", group=_NODE, help="Serve no published ports, names and addresses here."
        ),
    ] = False
    docker: Annotated[
        str | None, Parameter(group=_NODE, help="URL of the Docker engine (else DOCKER_HOST).")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class OwnBusFlags:
    """The bus that is started, or the one that is used instead."""

    port: Annotated[
        int | None, Parameter(group=_BUS, help="Port of the bus that is started here.")
    ] = None
    nats: Annotated[
        str | None,
        Parameter(
            ("--nats", "--server"), group=_BUS, help="Use this bus, start none (else NATS_URL)."
        ),
    ] = None
    context: Annotated[
        str | None, Parameter(group=_BUS, help="Use the bus of this nats context, start none.")
    ] = None


async def up(
    *,
    detach: Annotated[
        bool, Parameter(("--detach", "-d"), help="Return once it is ready; it goes on.")
    ] = False,
    data: Data = None,
    within: Annotated[
        str, Parameter("--timeout", show_default=True, help="With --detach: how long to wait.")
    ] = "60s",
    node: NodeFlags | None = None,
    bus: OwnBusFlags | None = None,
    tell: Annotated[int | None, Parameter("--tell", show=False)] = None,
) -> None:
    """Run everything on this host: bus, services, node."""
    wanted = _wanted(data_dir(data), node or NodeFlags(), bus or OwnBusFlags())
    if tell is None and wanted.embeds and configured(os.environ):
        print("note: a nats context is selected, which other commands use", file=sys.stderr)
        print(f"      unless you give them --data-dir {wanted.place.path}", file=sys.stderr)
    if tell is None and wanted.node and not may_kill():
        note(UNABLE, always=True)
    if detach and tell is None:
        await _detached(wanted.place, seconds(within))
        return
    await _run(wanted, _watcher(tell))
    if tell is None:
        print("stopped; containers go on running")


def _wanted(place: DataDir, node: NodeFlags, bus: OwnBusFlags) -> Wanted:
    if bus.port is not None and not 0 < bus.port < 65_536:
        raise InvalidError(f"{bus.port} is no port")
    outright = bool(bus.nats or bus.context)
    return Wanted(
        place=place,
        node=None if node.no_node else _node(node.node),
        node_arguments=_node_arguments(node.label, node.docker),
        nats=bus.nats if outright else os.environ.get("NATS_URL") or None,
        context=bus.context if outright else os.environ.get("NATS_CONTEXT") or None,
        port=bus.port,
        gateway=not node.no_gateway,
    )


def _node(name: str | None) -> str:
    if name is not None and not is_token(name):
        raise InvalidError(f"{name!r} is no node name", "at most 63 of a-z, 0-9, - and _")
    return name or token(socket.gethostname())


def _node_arguments(labels: Sequence[str], docker: str | None) -> tuple[str, ...]:
    arguments: list[str] = []
    for label in labels:
        if "=" not in label[1:]:
            raise InvalidError(f"{label!r} is not KEY=VALUE")
        arguments += ["--label", label]
    engine = docker or os.environ.get("DOCKER_HOST")
    return (*arguments, "--docker", engine) if engine else tuple(arguments)


def _watcher(tell: int | None) -> Watcher:
    if tell is not None:
        return Told(tell)
    return Moving() if sys.stdout.isatty() else Lines()


async def _run(wanted: Wanted, watcher: Watcher) -> None:
    """Run until told to stop."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        await Host(wanted, watcher).run()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return


# Detached.


async def _detached(place: DataDir, timeout_s: float) -> None:
    """Start the same command in a session of its own and wait until it says that it is ready."""
    place.make()
    if place.holder() is not None:
        raise already_running(place)
    log = place.log("up")
    began_at = logfile.size(log)
    ours, theirs = os.pipe()
    try:
        process = _spawn(log, theirs)
    finally:
        os.close(theirs)
    try:
        with anyio.fail_after(timeout_s):
            said = await _hear(ours)
    except TimeoutError:
        raise TimedOutError(
            f"not ready within {span(timeout_s)}; it goes on trying as process {process.pid}",
            f"its log: {log}; `segue down` stops it",
        ) from None
    except anyio.get_cancelled_exc_class():
        process.terminate()
        raise
    finally:
        os.close(ours)
    if said is None:
        raise _died(process, logfile.tail(log, 20, after=began_at), log)
    print(f"ready in {span(said['ready_s'])}: bus at {said['url']}, process {process.pid}")
    print(f"logs: {place.logs}; `segue down{_data_flag()}` stops it, containers go on")


def _data_flag() -> str:
    for flag in ("--data", "--data-dir"):
        if flag in sys.argv:
            return f" --data {sys.argv[sys.argv.index(flag) + 1]}"
    return ""


def _spawn(log: Path, theirs: int) -> subprocess.Popen[bytes]:
    arguments = [word for word in sys.argv[1:] if word not in ("--detach", "-d")]
    descriptor = logfile.open_for(log)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "segue_cli", *arguments, "--tell", str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=(theirs,),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


async def _hear(descriptor: int) -> dict[str, Any] | None:
    """Wait for the word that it is ready; None when it ended without."""
    heard = b""
    while True:
        await anyio.wait_readable(descriptor)
        piece = os.read(descriptor, 65_536)
        if not piece:
            return None
        heard += piece
        *lines, heard = heard.split(b"\n")
        for line in lines:
            said: dict[str, Any] = json.loads(line)
            if "ready_s" in said:
                return said
            print(said["missing"], file=sys.stderr, flush=True)


def _died(process: subprocess.Popen[bytes], words: Sequence[str], log: Path) -> CommandError:
    """Make its error ours: it was said as any command says it, into its log."""
    said = [number for number, line in enumerate(words) if line.startswith("segue: ")]
    lines = list(words[said[-1] if said else 0 :])
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    text = "\n".join(line for line in lines if not line.startswith("hint: "))
    error = FailedError(
        text.removeprefix("segue: ") or "it ended without a word", "; ".join(hints) or f"log: {log}"
    )
    error.code = process.wait() or FAILED
    return error
