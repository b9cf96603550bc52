"""Say which virtual address a service has, and where the proxy listens on it. Pure.

A service has what it holds, else the address that its name's hash says, or the next free one.
"""

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Mapping

POOL = ipaddress.IPv4Network("10.213.0.0/16")
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
