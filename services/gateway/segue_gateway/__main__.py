"""Run the gateway as a process: one for each host; no logic but its order of starting."""

import argparse
import importlib.metadata
import socket
import sys
import time
import uuid

import anyio
from segue.bus import Bus, BusError
from segue.envelope import encode
from segue.events.gateway import GatewayJoined
from segue.ids import derived, is_token, token
from segue.shell import command
from segue.shell.pump import Pump

from segue_gateway import says
from segue_gateway.core import Gateway, GiveWay

LEAVE_TIMEOUT_S = 2.0


class GaveWayError(BusError):
    """Another gateway has joined under this node's name."""


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled, then say that the gateway leaves."""
    session = uuid.uuid4().hex
    me = GatewayJoined(
        node=arguments.node,
        session=session,
        address=arguments.address,
        version=importlib.metadata.version("segue-gateway"),
    )
    core = Gateway(me)
    pump = Pump(core, bus, instance=arguments.node, leads=False, perform=_perform)
    try:
        await pump.run()
    finally:
        with anyio.move_on_after(LEAVE_TIMEOUT_S, shield=True):
            await _leave(bus, core, pump)


async def _perform(effect: GiveWay) -> None:
    raise GaveWayError(
        "another gateway has joined under this node's name "
        f"(session {effect.session}): give each its own with --node"
    )


async def _leave(bus: Bus, core: Gateway, pump: Pump) -> None:
    known = core.picture.gateways.get(core.me.node)
    if known is None or known.left or known.facts.session != core.me.session:
        return
    left = encode(
        says.left(core.me.node),
        id=derived("left", core.me.session),
        source=f"/segue/gateway/{core.me.node}",
        time=pump.machine.log_time(time.monotonic()),
    )
    await bus.append([left], core.fence(), timeout_s=LEAVE_TIMEOUT_S)


def _node(text: str) -> str:
    if not is_token(text):
        raise argparse.ArgumentTypeError(f"{text!r}: at most 63 of a-z, 0-9, - and _ are allowed")
    return text


def _flags() -> argparse.ArgumentParser:
    flags = command.parser("gateway", "Leads to the containers of services, on one host.")
    flags.add_argument("--node", type=_node, default=token(socket.gethostname()), metavar="NAME")
    flags.add_argument(
        "--address",
        default="",
        metavar="ADDRESS",
        help="where other nodes' gateways reach this one (default: nowhere but on this host)",
    )
    return flags


def main() -> None:
    """Run until stopped."""
    sys.exit(command.run("gateway", _flags(), serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
