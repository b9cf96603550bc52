"""Tell, before the gateway joins, what it will not be able to do on this host, and what would help.

One sentence for each: they stand in `gateway.joined`, in the log and in what `segue doctor` prints.
It looks and changes nothing. Where anything is amiss there are no virtual addresses on the host:
names then lead, as the engine itself has it, to the containers on the same host.
"""

import ipaddress
import pathlib
import shutil
import socket
import struct

from segue_gateway import interfaces
from segue_gateway.commands import CommandError, run

_NET_BIND_SERVICE, _NET_ADMIN = 10, 12  # Bits of a capability set (capabilities(7)).
_LOWEST_PORT = pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_STATUS = pathlib.Path("/proc/self/status")
_HELP = "run the gateway as root, or give it CAP_NET_ADMIN and CAP_NET_BIND_SERVICE"
_CLAIM = "\0segue/gateway"  # An abstract socket: one on a host, and gone with whoever has it.


async def check(pool: ipaddress.IPv4Network) -> list[str]:
    """Give all that is in the way of virtual addresses, names and walls; nothing is: []."""
    found = missing(_capabilities(), _lowest_port())
    found += [
        f"there is no `{program}` on this host: install {package}"
        for program, package in (("ip", "iproute2"), ("nft", "nftables"))
        if shutil.which(program) is None
    ]
    if found:
        return found
    try:
        found += overlaps(pool, await interfaces.look())
        await run("nft", "list", "tables")
    except CommandError as error:
        found.append(f"{error}: {_HELP}")
    return found


def claim() -> tuple[socket.socket | None, list[str]]:
    """Take the host's addresses and walls for this process; tell who has them already."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(_CLAIM)
        held.listen()
    except OSError:
        held.close()
        words = f"another gateway has this host's addresses and walls{_holder()}"
        return None, [f"{words}: run one on each host, and let others only publish ports"]
    return held, []


def _holder() -> str:
    credentials = struct.Struct("3i")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(0.0)
        try:
            asking.connect(_CLAIM)
            said = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
        except OSError:
            return ""
    return f", process {credentials.unpack(said)[0]}"


def missing(capabilities: int, lowest_port: int) -> list[str]:
    """Tell which rights the process lacks, of those that `capabilities` has bit by bit."""
    lacks = [] if capabilities >> _NET_ADMIN & 1 else ["CAP_NET_ADMIN"]
    if not capabilities >> _NET_BIND_SERVICE & 1 and lowest_port > 53:
        lacks.append("CAP_NET_BIND_SERVICE")
    return [f"it lacks {' and '.join(lacks)}: {_HELP}"] if lacks else []


def overlaps(pool: ipaddress.IPv4Network, found: list[interfaces.Interface]) -> list[str]:
    """Tell which of the host's networks the virtual addresses would hide."""
    return [
        f"the virtual addresses {pool} are also {one.name}'s ({one.address}/{one.prefix}): "
        "choose others with --pool"
        for one in found
        if one.name != "lo"
        and ipaddress.IPv4Network(f"{one.address}/{one.prefix}", strict=False).overlaps(pool)
    ]


def _capabilities() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _lowest_port() -> int:
    try:
        return int(_LOWEST_PORT.read_text())
    except (OSError, ValueError):
        return 1024
