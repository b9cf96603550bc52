"""Answer what apps' containers ask by name: which address a service has here.

A question comes from a bridge, a bridge belongs to apps, and only their services have names there:

    web, web.shop, web.shop.segue.internal   a service of the app that asks, or one of its aliases
    10.0.213.10.in-addr.arpa                 the same, backwards
    anything else                            is for the host's own resolvers

Pure: bytes in, bytes out; nothing here listens or asks. Whatever bytes come, nothing is raised.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from dnslib import (
    CLASS,
    EDNS0,
    OPCODE,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    A,
    DNSError,
    DNSHeader,
    DNSRecord,
)
from segue.bridges import DOMAIN, bridge_name

from segue_gateway.table import Route, Table

TTL_S = 2
UDP_MOST = 1_232  # What passes everywhere unfragmented.
_UDP_LEAST = 512
_TCP_MOST = 65_535
_HEADER = 12
_ZONE = DOMAIN.split(".")
_ANY_CLASS = 255

Verdict = Literal["answer", "forward", "wait", "drop"]


class View(msgspec.Struct, frozen=True):
    """What one bridge may know: the names of its apps' services.

    `hosts` is by app and name; no address there means that the service exists and is not reached
    from here. `settled`: the host does what the table says of this bridge; before that it is too
    early to tell who asks and what exists.
    """

    hosts: Mapping[str, Mapping[str, Sequence[str]]] = {}
    settled: bool = False


class Said(msgspec.Struct, frozen=True):
    """What becomes of a question.

    `answer` with these bytes, `forward` it to the host's resolvers, `wait` and ask here again once
    more is known, or `drop` it.
    """

    verdict: Verdict
    content: bytes = b""


def views(table: Table) -> dict[str, View]:
    """Give what each bridge may know, by its interface's name and by the host's address on it.

    A bridge is known by name before any container is on it, if the node's runner has made it.
    """
    apps: dict[str, dict[str, None]] = {}
    network_of: dict[str, str] = {}
    of_app: dict[str, list[Route]] = {}
    for route in table.routes:
        of_app.setdefault(route.app, []).append(route)
        for network in route.networks:
            bridge = bridge_name(table.cluster, table.node, network)
            apps.setdefault(bridge, {})[route.app] = None
            network_of[bridge] = network
    settled = set[str]()
    for one in table.bridges:
        for key in (bridge_name(table.cluster, table.node, one.network), one.gateway):
            apps.setdefault(key, {})[one.app] = None
            network_of[key] = one.network
            settled.add(key)
    return {
        key: View(
            {app: _hosts(of_app.get(app, []), network_of[key]) for app in theirs}, key in settled
        )
        for key, theirs in apps.items()
    }


def _hosts(routes: Sequence[Route], network: str) -> dict[str, list[str]]:
    """Give the addresses behind each name of one app's services, for who asks on this network."""
    hosts: dict[str, list[str]] = {}
    for route in routes:
        leads_to = _leads_to(route, network)
        for name in _names(route):
            hosts.setdefault(name, []).extend(leads_to)
    return hosts


def _names(route: Route) -> list[str]:
    aliases = {alias.lower() for names in route.networks.values() for alias in names}
    return [route.service.lower(), *sorted(aliases - {route.service.lower()})]


def _leads_to(route: Route, network: str) -> list[str]:
    """Give the addresses behind a service: its own, or its containers' on the asker's network."""
    here = [
        address
        for one in route.endpoints
        if one.local and not one.draining and (address := one.addresses.get(network))
    ]
    if route.vip and not (route.round_robin and here):
        return [route.vip]
    return here


def answer(request: bytes, view: View, *, udp: bool, waited: bool = False) -> Said:
    """Say what becomes of a request; who has `waited` long enough is told what is known now."""
    try:
        return _answer(DNSRecord.parse(request), view, udp=udp, waited=waited)
    except (DNSError, ValueError, IndexError):
        return _malformed(request)


def failed(request: bytes) -> bytes:
    """Answer a request for which nobody could be asked."""
    try:
        asked = DNSRecord.parse(request)
        return _packed(_reply(asked, RCODE.SERVFAIL), _TCP_MOST)
    except (DNSError, ValueError, IndexError):
        return _malformed(request).content


def _answer(asked: DNSRecord, view: View, *, udp: bool, waited: bool) -> Said:
    most = _size(asked) if udp else _TCP_MOST
    if asked.header.qr:
        return Said("drop")  # Two that answer each other's answers would never end.
    if (refusal := _refusal(asked)) is not None:
        return Said("answer", _packed(_reply(asked, refusal), most))
    words = _words(asked)
    if words[-2:] == ["in-addr", "arpa"]:
        return _backwards(asked, words, view, most)
    found = _found(words, view)
    if not (view.settled or waited) and (found is not None or len(words) == 1):
        return Said("wait")
    if found is None:
        return Said("forward")
    exists, addresses = found
    outcome = RCODE.NOERROR if exists else RCODE.NXDOMAIN
    if not view.settled and not addresses:
        outcome = RCODE.SERVFAIL
    reply = _reply(asked, outcome)
    if asked.q.qtype in (QTYPE.A, QTYPE.ANY):
        for address in dict.fromkeys(addresses):
            reply.add_answer(RR(asked.q.qname, QTYPE.A, rdata=A(address), ttl=TTL_S))
    if not reply.rr:
        reply.add_auth(_start_of_authority())
    return Said("answer", _packed(reply, most))


def _refusal(asked: DNSRecord) -> int | None:
    """Tell with which code a request is refused whatever it asks for; None: it is not."""
    if asked.header.opcode != OPCODE.QUERY:
        return int(RCODE.NOTIMP)
    if len(asked.questions) != 1:
        return int(RCODE.FORMERR)
    if asked.q.qclass not in (CLASS.IN, _ANY_CLASS) or asked.q.qtype in (QTYPE.AXFR, QTYPE.IXFR):
        return int(RCODE.REFUSED)
    return None


def _words(asked: DNSRecord) -> list[str]:
    """Give the asked name's labels in lower case; bytes that are no text match nothing."""
    return [label.decode("latin-1").lower() for label in asked.q.qname.label]


def _found(words: list[str], view: View) -> tuple[bool, Sequence[str]] | None:
    """Tell whether the name exists, and its addresses; None: it is not ours to tell."""
    if words[-2:] == _ZONE:
        inner = words[:-2]
        if not inner or inner in ([app] for app in view.hosts):
            return True, ()
        hosts = view.hosts.get(inner[-1], {})
        name = ".".join(inner[:-1])
        return name in hosts, hosts.get(name, ())
    bare = ".".join(words)
    theirs = [hosts[bare] for hosts in view.hosts.values() if bare in hosts]
    if not theirs and len(words) > 1:
        name = ".".join(words[:-1])
        theirs = [
            hosts[name] for app, hosts in view.hosts.items() if app == words[-1] and name in hosts
        ]
    if not theirs:
        return None
    return True, [address for one in theirs for address in one]


def _backwards(asked: DNSRecord, words: list[str], view: View, most: int) -> Said:
    """Name the service that has an address."""
    address = ".".join(reversed(words[:-2]))
    names = [
        f"{name}.{app}.{DOMAIN}"
        for app, hosts in view.hosts.items()
        for name, addresses in hosts.items()
        if address in addresses
    ]
    if not names:
        return Said("forward")
    reply = _reply(asked, RCODE.NOERROR)
    if asked.q.qtype in (QTYPE.PTR, QTYPE.ANY):
        reply.add_answer(RR(asked.q.qname, QTYPE.PTR, rdata=PTR(names[0]), ttl=TTL_S))
    else:
        reply.add_auth(_start_of_authority())
    return Said("answer", _packed(reply, most))


def _start_of_authority() -> RR:
    """Say for how long the lack of an answer may be remembered."""
    times = (1, 60, 60, 60, TTL_S)  # Serial, refresh, retry, expiry, and what counts: the minimum.
    return RR(
        DOMAIN, QTYPE.SOA, rdata=SOA(f"gateway.{DOMAIN}", f"nobody.{DOMAIN}", times), ttl=TTL_S
    )


def _reply(asked: DNSRecord, rcode: int) -> DNSRecord:
    """Begin a reply to a request, with authority: some resolvers doubt a `no` without it."""
    header = DNSHeader(
        id=asked.header.id,
        qr=1,
        aa=1,
        ra=1,
        rd=asked.header.rd,
        opcode=asked.header.opcode,
        rcode=rcode,
    )
    reply = DNSRecord(header, questions=asked.questions[:1])
    if any(one.rtype == QTYPE.OPT for one in asked.ar):
        reply.add_ar(EDNS0(udp_len=UDP_MOST))
    return reply


def _size(asked: DNSRecord) -> int:
    """Tell how large a datagram the asker takes."""
    offered = [one.rclass for one in asked.ar if one.rtype == QTYPE.OPT]
    return max(_UDP_LEAST, min(offered[0], UDP_MOST)) if offered else _UDP_LEAST


def _packed(reply: DNSRecord, most: int) -> bytes:
    """Make the bytes; what does not fit is left out whole, and the asker told to come by TCP."""
    content: bytes = reply.pack()
    if len(content) <= most:
        return content
    reply.header.tc, reply.rr, reply.auth = 1, [], []
    shortened: bytes = reply.pack()
    return shortened


def _malformed(request: bytes) -> Said:
    """Answer what cannot be read by its id alone, unless it is too short to have one or a reply."""
    if len(request) < _HEADER or request[2] & 0x80:
        return Said("drop")
    header = DNSHeader(id=int.from_bytes(request[:2], "big"), qr=1, ra=1, rcode=RCODE.FORMERR)
    content: bytes = DNSRecord(header).pack()
    return Said("answer", content)
