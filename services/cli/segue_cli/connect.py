"""How every command reaches the bus: the flags they share, and who speaks.

Which bus, in this order: the flags, `NATS_URL` or a `nats` context, the bus of a `segue up` that
runs on this host, the default. A command never waits for a bus that is away.
"""

import getpass
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
from cyclopts import Group, Parameter
from segue import telemetry
from segue.bus import Bus, Settings, connect, settings
from segue.ids import token

from segue_cli.datadir import data_dir
from segue_cli.errors import debugging

_BUS = Group("Bus", sort_key=90)


@Parameter(name="*")
@dataclass(frozen=True)
class BusFlags:
    """Which bus to use."""

    nats: Annotated[
        str | None,
        Parameter(
            ("--nats", "--server"),
            group=_BUS,
            help="URL of the bus (else NATS_URL, a nats context, the `segue up` of this host).",
        ),
    ] = None
    context: Annotated[
        str | None, Parameter(group=_BUS, help="A context of the nats command line.")
    ] = None
    data: Annotated[
        Path | None,
        Parameter(
            "--data-dir",
            group=_BUS,
            help="The bus of the `segue up` on this directory (else SEGUE_DATA, the user's own).",
        ),
    ] = None


def chosen(flags: BusFlags, env: Mapping[str, str] = os.environ) -> Settings:
    """Say which bus is meant."""
    given = None if flags.context is None else dict(env) | {"NATS_CONTEXT": flags.context}
    if given is not None and flags.nats is None:
        given.pop("NATS_URL", None)  # A context that is named outright is meant.
    if flags.nats is None and (flags.data is not None or not configured(given or env)):
        local = data_dir(flags.data, env).running_bus()
        if local is not None:
            return settings(env, url=local)
    return settings(given or env, url=flags.nats)


def configured(env: Mapping[str, str]) -> bool:
    """Tell whether the user has chosen a bus by a variable or with `nats context select`."""
    if env.get("NATS_URL") or env.get("NATS_CONTEXT"):
        return True
    home = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".config")
    return (Path(home) / "nats" / "context.txt").exists()


@asynccontextmanager
async def connected(flags: BusFlags | None = None) -> AsyncIterator[Bus]:
    """Connect for one command; raises `BusUnreachableError` within seconds."""
    quiet()
    bus = await connect(chosen(flags or BusFlags()), name=f"cli.{host()}", wait=False)
    async with bus:
        yield bus


def quiet() -> None:
    """Keep the log lines of the bus module off the screen: commands say what matters themselves."""
    if debugging():
        telemetry.configure("cli")
    else:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(50),
            logger_factory=structlog.ReturnLoggerFactory(),
        )


def host() -> str:
    """Name this host as a token."""
    return token(socket.gethostname())


def actor() -> str:
    """Name who asks, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    name = f"{user}@{socket.gethostname()}"
    return "".join(character for character in name if character.isprintable())[:256]


def source() -> str:
    """Name what speaks. A request of a newer command line must stop no service: not `/segue/`."""
    return f"/cli/{host()}"
