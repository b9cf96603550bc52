"""Keep an app's containers to what is theirs on this host, by one nftables table of our own.

From the bridges of apps (known by the mark that their names begin with, from their first moment):

    to this host   names at the bridge's own address, the virtual addresses of the app itself,
                   published ports, and what the operator opens; all else is refused
    across it      not into another bridge, not to other nodes' bus, engine and gateway ports

Virtual addresses are closed to everybody else, also from outside. Refused, not dropped: whoever
tries hears it at once. It also leads each port of a virtual address to where the proxy listens,
before the engine's own rules could lead it elsewhere.

The table is replaced as a whole in one transaction, and stays when the gateway ends, since the
containers stay. Nobody else's rules are read or touched: what they drop stays dropped.
"""

import contextlib
import ipaddress
from collections.abc import Iterable, Mapping

import msgspec
from segue.bridges import MARK

from segue_gateway import interfaces
from segue_gateway.commands import CommandError, run
from segue_gateway.table import Table
from segue_gateway.vips import POOL, bind_ports

BUS_PORTS = (4222, 6222, 8222)
ENGINE_PORTS = (2375, 2376)


class Openings(msgspec.Struct, frozen=True):
    """What holds besides the table: `guarded` is closed on other nodes, `opened` is open here."""

    pool: ipaddress.IPv4Network = POOL
    guarded: tuple[int, ...] = BUS_PORTS + ENGINE_PORTS
    opened: tuple[int, ...] = ()
    web: tuple[int, ...] = (80, 443)  # Where host names and paths are served, if there are any.


class Walls:
    """The table `inet segue` of this host."""

    def __init__(self, openings: Openings | None = None) -> None:
        self._openings = openings or Openings()
        self._text = self._listed = ""  # What was applied last, and how it then looked.

    async def apply(self, table: Table) -> list[str]:
        """Have the walls that the table wants; tell what could not be done."""
        try:
            by_address = {one.address: one.name for one in await interfaces.look()}
            text = render(table, by_address, self._openings)
            if text != self._text or await _list() != self._listed:
                await run("nft", "-f", "-", given=text)
                self._text, self._listed = text, await _list()
        except CommandError as error:
            return [f"walls: apps are not kept apart: {error}"]
        return []

    async def clear(self) -> None:
        """Take the table away."""
        with contextlib.suppress(CommandError):  # Somebody else has done so.
            await run("nft", "delete", "table", "inet", "segue")


async def _list() -> str:
    """Show the table as it stands, without its counters; nothing when there is none."""
    try:
        return (await run("nft", "--stateless", "list", "table", "inet", "segue")).decode()
    except CommandError:
        return ""


def render(table: Table, by_address: Mapping[str, str], openings: Openings) -> str:
    """Word the whole table; `by_address` gives the interface that has an address."""
    names = {one.subnet: by_address.get(one.gateway, "") for one in table.bridges}
    own, bound = list[str](), list[str]()
    for route in table.routes:
        if not route.vip:
            continue
        theirs = {names.get(source, "") for source in route.sources} - {""}
        own += [f'"{name}" . {route.vip}' for name in sorted(theirs)]
        places = bind_ports(port.number for port in route.ports)
        bound += [f"{route.vip} . {one} : {route.vip} . {at}" for one, at in places.items()]
    nodes = {one.address for one in [*table.neighbours, *table.apart]}
    closed = sorted({*openings.guarded, table.mesh_port})
    anywhere, somewhere = _published(table, openings)
    return _RULES.format(
        mark=MARK,
        pool=openings.pool,
        bound=_elements(bound),
        own=_elements(own),
        published=_elements(anywhere),
        published_at=_elements(somewhere),
        opened=_elements(map(str, sorted(openings.opened))),
        nodes=_elements(sorted(filter(_is_ipv4, nodes))),
        guarded=_elements(map(str, closed)),
    )


def _published(table: Table, openings: Openings) -> tuple[list[str], list[str]]:
    """Give the ports that are open on all of the host's addresses, and those on one of them."""
    anywhere = {str(one.published) for one in table.published if not one.host_ip}
    if table.ingress:
        anywhere |= set(map(str, openings.web))
    somewhere = {
        f"{one.host_ip} . {one.published}" for one in table.published if _is_ipv4(one.host_ip)
    }
    return sorted(anywhere), sorted(somewhere)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _elements(all_of_them: Iterable[str]) -> str:
    words = ", ".join(all_of_them)
    return f"elements = {{ {words} }}" if words else ""


_RULES = """\
add table inet segue
delete table inet segue
table inet segue {{
    map bound {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; {bound} }}
    set own {{ type ifname . ipv4_addr; {own} }}
    set published {{ type inet_service; {published} }}
    set published_at {{ type ipv4_addr . inet_service; {published_at} }}
    set opened {{ type inet_service; {opened} }}
    set nodes {{ type ipv4_addr; {nodes} }}
    set guarded {{ type inet_service; {guarded} }}

    chain refuse {{
        meta l4proto tcp reject with tcp reset
        reject with icmpx admin-prohibited
    }}
    chain to_proxy {{
        type nat hook prerouting priority dstnat - 10; policy accept;
        dnat ip to ip daddr . tcp dport map @bound
    }}
    chain to_host {{
        type filter hook input priority filter - 10; policy accept;
        iifname "lo" accept
        ct state established,related accept
        iifname . ip daddr @own meta l4proto {{ tcp, icmp }} accept
        ip daddr {pool} goto refuse
        iifname != "{mark}*" accept
        fib daddr . iif type local meta l4proto {{ tcp, udp }} th dport 53 accept
        tcp dport @published accept
        ip daddr . tcp dport @published_at accept
        meta l4proto {{ tcp, udp }} th dport @opened accept
        goto refuse
    }}
    chain across {{
        type filter hook forward priority filter - 10; policy accept;
        iifname != "{mark}*" accept
        ct state established,related accept
        oifname "{mark}*" fib daddr . iif oif missing goto refuse
        ip daddr {pool} goto refuse
        ip daddr @nodes tcp dport @guarded goto refuse
    }}
}}
"""
