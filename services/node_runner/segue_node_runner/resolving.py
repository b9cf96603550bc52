"""Have a container ask the gateway of its host for names, where one answers them.

It is asked at the host's address on each of the container's own networks. A service that names
resolvers of its own keeps to them, and to the names that the engine itself knows.
"""

import pathlib
from typing import Any

import msgspec

from segue_node_runner.commons import Commons
from segue_node_runner.effects import Start

RESOLVERS = pathlib.Path("/etc/resolv.conf")
_MOST = 3  # As many as the C library asks.


async def settled(order: Start, commons: Commons, host: pathlib.Path = RESOLVERS) -> Start:
    """Fill in whom the ordered container asks; its networks are there."""
    own: dict[str, Any] = order.runs.container.get("HostConfig") or {}
    if not order.names or order.runs.network_mode is not None or own.get("Dns"):
        return order
    return msgspec.structs.replace(
        order, resolvers=(await commons.gateways(order))[:_MOST], searches=searches(host)
    )


def searches(file: pathlib.Path) -> list[str]:
    """Give the domains in which the host looks for short names: the engine would give these too."""
    try:
        lines = [line.split() for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    named = [line[1:] for line in lines if line[:1] in (["search"], ["domain"])]
    return [one for one in named[-1] if one != "."] if named else []
