"""Run one service as a process: read flags and environment, connect, serve, stop on a signal.

It waits for a bus that is away and never dies of it; it ends with 0 when asked to stop, and with 1
and one clear line when it must not go on: with 69 where it never will on this host as it is.
"""

import argparse
import importlib.metadata
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.abc
import structlog

from segue import telemetry
from segue.bus import Bus, BusError, connect, settings
from segue.ids import token
from segue.shell.errors import LogReplacedError, OutdatedError, UnableError
from segue.shell.patience import patiently

Serve = Callable[[Bus, argparse.Namespace], Awaitable[None]]
UNABLE = 69  # The exit code (EX_UNAVAILABLE of sysexits.h) that asks for no other try.
# What is done before there is a bus, and what it starts, until the process ends.
Before = Callable[[argparse.Namespace, anyio.abc.TaskGroup], Awaitable[None]]


def parser(service: str, about: str) -> argparse.ArgumentParser:
    """Make the flags that every service has."""
    made = argparse.ArgumentParser(prog=f"segue-{service.replace('_', '-')}", description=about)
    made.add_argument("--nats", metavar="URL", help="the bus (else NATS_URL, or a nats context)")
    made.add_argument("--context", metavar="NAME", help="a context of the nats command line")
    made.add_argument(
        "--instance",
        default=os.environ.get("SEGUE_INSTANCE") or token(socket.gethostname()),
        help="the name of this copy of the service (default: the host's name)",
    )
    version = importlib.metadata.version("segue-core")
    made.add_argument("--version", action="version", version=f"%(prog)s {version}")
    return made


def run(
    service: str,
    flags: argparse.ArgumentParser,
    serve: Serve,
    argv: Sequence[str],
    before: Before | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; give the exit code. `before` needs no bus."""
    arguments = flags.parse_args(argv)
    telemetry.configure(service, arguments.instance)
    stopped: list[str] = []
    code = 1
    try:
        anyio.run(_run, service, arguments, serve, before)
    except* UnableError as group:
        stopped, code = _words(group), UNABLE
    except* (BusError, OutdatedError, LogReplacedError) as group:
        stopped += _words(group)
    if stopped:
        structlog.get_logger("segue").error("stops", why="; ".join(stopped))
    return code if stopped else 0


def _words(error: BaseException) -> list[str]:
    """Give what the leaves of a group say: task groups nest what went wrong."""
    if isinstance(error, BaseExceptionGroup):
        return [words for inner in error.exceptions for words in _words(inner)]
    return [str(error)]


async def _run(
    service: str, arguments: argparse.Namespace, serve: Serve, before: Before | None = None
) -> None:
    log = structlog.get_logger("segue")
    context = {"NATS_CONTEXT": arguments.context} if arguments.context else {}
    chosen = settings({**os.environ, **context}, url=arguments.nats)
    log.info("starts", service=service, instance=arguments.instance, bus=chosen.shown_url)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        if before is not None:
            await before(arguments, tasks)
        bus = await connect(chosen, name=f"{service}.{arguments.instance}")
        try:
            await patiently(bus, bus.set_up)
            await serve(bus, arguments)
        finally:
            with anyio.CancelScope(shield=True):
                await bus.close()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
