"""Give services their virtual addresses on this host, and have these on the loopback interface.

Which address is a service's is a pure question: what it holds, else its name's hash and the next
free ones. What is ours on `lo` bears a label; an address without it is somebody else's and is never
touched. What is there already, from before a restart or a crash, is taken over as it is.
"""

import hashlib
import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from segue_gateway.commands import CommandError, run
from segue_gateway.table import Table

POOL = ipaddress.IPv4Network("10.213.0.0/16")
LABEL = "lo:segue"
_BOUND_FROM, _BOUND_COUNT = 28_000, 4_000  # Below those that the kernel lends to connections.


def allocate(
    wanted: Iterable[str],
    held: Mapping[str, str],
    pool: ipaddress.IPv4Network = POOL,
    taken: Collection[str] = (),
) -> dict[str, str]:
    """Give each name in `wanted` an address of the pool, but none of `taken`.

    A name keeps what it holds. Another's is where its hash says, or the next free one. A name for
    which nothing is left has none.
    """
    names, given = sorted(set(wanted)), dict[str, str]()
    used = set(taken)
    for name in names:
        address = held.get(name, "")
        if address and address not in used and ipaddress.IPv4Address(address) in pool:
            given[name] = address
            used.add(address)
    usable = pool.num_addresses - 2  # Neither the network's own nor its broadcast address.
    for name in names:
        if name in given:
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        for step in range(usable):
            address = str(pool[1 + (start + step) % usable])
            if address not in used:
                given[name] = address
                used.add(address)
                break
    return given


def bind_ports(numbers: Iterable[int]) -> dict[int, int]:
    """Tell where the proxy listens, on a service's address, for each of the service's ports.

    Not on the ports themselves: a program of the host that listens on all addresses, such as the
    engine's own proxy or somebody's web server, would keep the proxy from them, or be kept. The
    walls lead each port to its place.
    """
    places: dict[int, int] = {}
    for number in sorted(set(numbers)):
        place = number % _BOUND_COUNT
        while _BOUND_FROM + place in places.values():
            place = (place + 1) % _BOUND_COUNT
        places[number] = _BOUND_FROM + place
    return places


class Addresses:
    """The virtual addresses on this host's `lo`; `label` marks them as ours."""

    def __init__(self, label: str = LABEL) -> None:
        self._label = label

    async def apply(self, table: Table) -> list[str]:
        """Have just the table's addresses; tell what could not be done."""
        wanted = {route.vip for route in table.routes if route.vip}
        try:
            there = _on_loopback(await run("ip", "-json", "-4", "addr", "show", "dev", "lo"))
            lines = _changes(wanted, there, self._label)
            if lines:
                await run("ip", "-force", "-batch", "-", given=lines)
        except CommandError as error:
            return [f"addresses: services have no virtual addresses: {error}"]
        return []


def _on_loopback(shown: bytes) -> dict[str, str]:
    """Read the addresses on `lo`, each with its label."""
    links: list[dict[str, Any]] = json.loads(shown or b"[]")
    return {
        one["local"]: one.get("label", "")
        for link in links
        for one in link.get("addr_info", [])
        if "local" in one
    }


def _changes(wanted: Collection[str], there: Mapping[str, str], label: str) -> str:
    """Word what is to be done; an address that somebody else has put there serves as well."""
    missing: Sequence[str] = sorted(set(wanted) - set(there))
    stale = sorted(one for one, by in there.items() if by == label and one not in wanted)
    return "".join(
        [
            *(f"address del {one}/32 dev lo\n" for one in stale),
            *(f"address add {one}/32 dev lo label {label}\n" for one in missing),
        ]
    )
