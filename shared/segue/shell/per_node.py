"""What those services have in common of which each node runs one.

The node's name, their folders, that a second one is refused, the word with which one leaves, and
that it is ready. It never decides what is done on the node.
"""

import argparse
import contextlib
import os
import pathlib
import socket
import time

import msgspec
import structlog

from segue.asks import Here
from segue.bus import Bus, BusError, BusTimeoutError, NobodyAnswersError
from segue.envelope import encode
from segue.events import Event
from segue.ids import derived, is_token, token
from segue.log import Fence
from segue.shell.pump import Pump

PING_TIMEOUT_S = 2.0
LEAVE_TIMEOUT_S = 2.0


class NameTakenError(BusError):
    """One is at work under this node's name already."""


def node_flag(flags: argparse.ArgumentParser) -> None:
    """Add the flag that names the node."""
    flags.add_argument("--node", type=_node, default=token(socket.gethostname()), metavar="NAME")


def _node(text: str) -> str:
    if not is_token(text):
        raise argparse.ArgumentTypeError(f"{text!r}: at most 63 of a-z, 0-9, - and _ are allowed")
    return text


def folder(of_root: str, variable: str, otherwise: str, below: str = "segue") -> str:
    """Give the folder that suits whoever runs this: root's, or `below` the one of a variable."""
    if os.geteuid() == 0:
        return of_root
    base = os.environ.get(variable) or otherwise
    return str(pathlib.Path(base).expanduser() / below)


async def refuse_second(bus: Bus, ping: str, what: str, node: str) -> None:
    """Raise NameTakenError where somebody answers to `ping`; `what` is at work on the node."""
    try:
        answer = await bus.ask(ping, timeout_s=PING_TIMEOUT_S)
    except NobodyAnswersError:
        return
    except BusTimeoutError:
        structlog.get_logger("segue").warning(f"an older {what} of this node hangs; it is replaced")
        return
    session = msgspec.json.decode(answer, type=Here).session
    raise NameTakenError(
        f"a {what} is at work on node {node} already (session {session[:8]}): "
        "stop it, or give this one another name with --node"
    )


def notify_ready() -> None:
    """Tell systemd, if it is there (sd_notify(3)), that what comes behind this may start."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(b"READY=1", address)


async def say_left(
    pump: Pump, event: Event, source: str, session: str, fence: Fence | None
) -> None:
    """Say once that this run of it has left."""
    left = encode(
        event,
        id=derived("left", session),
        source=source,
        time=pump.machine.log_time(time.monotonic()),
    )
    await pump.bus.append([left], fence, timeout_s=LEAVE_TIMEOUT_S)
