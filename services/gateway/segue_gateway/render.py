"""Word a table as HAProxy's configuration. Pure: one table and one setting give one text.

What changes seldom (listeners, hosts, certificates, neighbours) is the topology: it takes a reload.
What changes often (which containers there are) is also in the text, so that a reload brings it, but
is told to the running proxy line by line; both ways use the same words, spelt out in full, since a
server that is added at run time takes nothing from its backend's defaults.

    frontend s:shop.web:80     a service's own address, for the bridges of its app
    frontend p:any:8080, web     published ports, host names and paths
    backend shop.web:80        a service's port: its containers here, and other nodes' gateways
    backend hold:shop.web:80   what waits for its first container (`segue_gateway.hold`)
    frontend mesh              what other nodes' gateways ask for, by the name in the TLS greeting
    backend nodes              a server for each other gateway: their health is looked after here
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from segue.bridges import DOMAIN

from segue_gateway import hold
from segue_gateway.table import (
    Endpoint,
    Ingress,
    Neighbour,
    Port,
    Published,
    Route,
    Table,
    hash_of,
    inbound_name,
)
from segue_gateway.vips import bind_ports

NOBODY_ID = 65_534
NODES, NOWHERE = "nodes", "nowhere"
_NOWHERE = f"""backend {NOWHERE} from http
  http-request return status 404 content-type text/plain string "nothing is served here\\n"
"""
# A constant in place of the asker's address, where a header tells it already: between gateways only
# connections of equal addresses are used again, and one made anew costs a TLS greeting.
_NO_ASKER = "192.0.2.1"
_AGAIN = "192.0.2.2"  # What was led here for a container that had died; it is led so once.


# An end that has vanished without a word is noticed within half a minute, by either end. (`tcp-ut`
# would notice sooner, and cannot be told of a server at run time; `proxy` looks after nodes.)
_KEEPALIVE = "\n".join(
    f"  option {end}tcpka\n  {end}tcpka-idle 10s\n  {end}tcpka-intvl 5s\n  {end}tcpka-cnt 3"
    for end in ("cli", "srv")
)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What this host's proxy is told besides the table; paths are absolute."""

    folder: str
    certificate: str = ""  # A file with this node's certificate and key; empty: there is no mesh.
    authority: str = ""  # A file with the authority's certificate; empty: nobody's is asked.
    mesh_address: str = ""  # Where the mesh listens; empty: on all addresses.
    http_port: int = 80
    https_port: int = 443
    hold: str = ""  # A file with a certificate for itself; empty: nothing is held.
    as_nobody: bool = False  # Its workers give up root's rights.


class Text(msgspec.Struct, frozen=True):
    """A configuration in its parts."""

    topology: str
    backends: dict[str, str]
    servers: dict[str, dict[str, str]]  # By backend and name: their words.
    draining: dict[str, set[str]]  # By backend: names of those that get nothing new.
    inbound: dict[str, str]  # By name between gateways: "172.18.0.2:80:as-is:shop.web:80".

    @property
    def whole(self) -> str:
        """The file as HAProxy reads it; what is drained is left to the workers that know it."""
        parts = [self.topology]
        for name, words in self.backends.items():
            servers = self.servers.get(name, {})
            lines = [f"  server {one} {of}\n" for one, of in servers.items()]
            parts.append(words + "".join(lines))
        return "\n".join(parts)

    @property
    def inbound_map(self) -> str:
        """The file that the mesh looks names up in."""
        return "".join(f"{name} {at}\n" for name, at in self.inbound.items())

    def is_topology_of(self, other: "Text") -> bool:
        """Tell whether going from the one to the other takes no reload."""
        return (self.topology, self.backends) == (other.topology, other.backends)


def render(
    table: Table,
    setting: Setting,
    certificates: Mapping[str, str] | None = None,
    shut: Iterable[str] = (),
) -> Text:
    """Word the table. `certificates` gives the files of those that are at hand, by digest.

    `shut` names the listeners that are to be left out: their ports are somebody else's.
    """
    out, files = frozenset(shut), certificates or {}
    topology = [_globals(setting)]
    backends: dict[str, str] = {}
    servers: dict[str, dict[str, str]] = {}
    draining: dict[str, set[str]] = {}
    held = _held(table, setting)
    for route in table.routes:
        places = bind_ports(port.number for port in route.ports)
        for port in route.ports:
            name = backend_name(route, port.number)
            if route.vip and f"s:{name}" not in out:
                topology.append(_own(route, port, places[port.number], held))
            backends[name] = _backend(name, http=port.http)
            servers[name], draining[name] = _servers(table, route, port, setting)
            if name in held:
                backends[hold.hold_name(name)] = hold.backend(name, setting.folder, http=port.http)
                topology.append(hold.again(name, setting.folder, setting.hold, http=port.http))
    topology += [
        _published(one, held)
        for one in table.published
        if _leads_to(one) in backends and published_name(one) not in out
    ]
    rules = [one for one in table.ingress if _leads_to(one) in backends]
    topology += list(_web(rules, setting, files, out, held))
    if setting.certificate:
        topology.append(_mesh(table, setting))
        backends[NODES] = _nodes(table.neighbours, setting)
    asked = table.inbound if setting.certificate else []  # Else no file has their map.
    inbound = {
        one.name: f"{one.address}:{one.port}:{_told(proxied=one.proxied)}:"
        f"{one.app}.{one.service}:{one.port}"
        for one in asked
    }
    return Text("\n".join(topology), backends, servers, draining, inbound)


def _held(table: Table, setting: Setting) -> set[str]:
    """Give the backends for which requests wait."""
    routes = [one for one in table.routes if one.held and setting.hold]
    return {backend_name(one, port.number) for one in routes for port in one.ports}


def backend_name(route: Route, port: int) -> str:
    """Name the backend of a service's port."""
    return f"{route.app}.{route.service}:{port}"


def _leads_to(one: Published | Ingress) -> str:
    return f"{one.app}.{one.service}:{one.target}"


def published_name(one: Published) -> str:
    """Name the listener of a published port."""
    return f"p:{one.host_ip or 'any'}:{one.published}"


def web_name(port: int) -> str:
    """Name the listener of one of the web's own ports."""
    return f"web:{port}"


def _globals(setting: Setting) -> str:
    nobody = f"  uid {NOBODY_ID}\n  gid {NOBODY_ID}\n" if setting.as_nobody else ""
    return f"""global
  stats socket {setting.folder}/worker.sock mode 600 level admin expose-fd listeners
  hard-stop-after 10m
  fd-hard-limit 50000
  tune.ssl.default-dh-param 2048
{nobody}
defaults tcp
  mode tcp
  balance roundrobin
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 2s
{_KEEPALIVE}
  retries 3
  option redispatch 1

defaults http
  mode http
  balance roundrobin
  timeout connect 2s
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout client 5m
  timeout server 5m
  timeout tunnel 1h
  timeout check 2s
  option idle-close-on-response
{_KEEPALIVE}
  retries 5
  option redispatch 1
"""


def _own(route: Route, port: Port, bound: int, held: set[str]) -> str:
    """A service's own address: only the bridges of its app may use it."""
    name = backend_name(route, port.number)
    allowed = " ".join(route.sources) or "255.255.255.255"
    forwarded = "  http-request set-header X-Forwarded-For %[src]\n" if port.http else ""
    return f"""frontend s:{name} from {_mode(http=port.http)}
  bind {route.vip}:{bound}
  tcp-request connection reject unless {{ src {allowed} }}
{forwarded}{hold.waits(name, held)}  default_backend {name}
"""


def _published(one: Published, held: set[str]) -> str:
    forwarded = "  http-request set-header X-Forwarded-For %[src]\n" if one.http else ""
    name = _leads_to(one)
    return f"""frontend {published_name(one)} from {_mode(http=one.http)}
  bind {one.host_ip or "*"}:{one.published}
{forwarded}{hold.waits(name, held)}  default_backend {name}
"""


def _mode(*, http: bool) -> str:
    return "http" if http else "tcp"


def _web(
    rules: list[Ingress],
    setting: Setting,
    files: Mapping[str, str],
    shut: frozenset[str],
    held: set[str],
) -> Iterator[str]:
    """Host names and paths: the longer path counts before the shorter, a name before any."""
    ordered = sorted(rules, key=lambda one: (one.host == "*", -len(one.path), one.host, one.path))
    certificates = sorted({files[one.tls] for one in rules if one.tls in files})
    plain = web_name(setting.http_port) not in shut
    secure = web_name(setting.https_port) not in shut and bool(certificates)
    if not rules or not (plain or secure):
        return
    lines = ["frontend web from http"]
    if plain:
        lines.append(f"  bind *:{setting.http_port}")
    if secure:
        certs = " ".join(f"crt {one}" for one in certificates)
        lines.append(f"  bind *:{setting.https_port} ssl {certs} alpn h2,http/1.1")
    lines += [
        "  http-request set-header X-Forwarded-For %[src]",
        "  http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "  http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
    ]
    for host in sorted({one.host for one in rules if one.tls in files and secure}):
        lines.append(f"  http-request redirect scheme https if !{{ ssl_fc }} {_is_host(host)}")
    for one in ordered:
        path = one.path.rstrip("/")
        words = [_is_host(one.host)]
        either = [f"{{ path {path} }}", f"{{ path_beg {path}/ }}"] if path else [""]
        name = _leads_to(one)
        for condition in (" ".join(filter(None, [*words, how])) for how in either):
            lines += [hold.rule(name, condition)] if name in held else []
            lines.append(f"  use_backend {name} if {condition}".rstrip())
    lines.append(f"  default_backend {NOWHERE}")
    yield "\n".join(line.removesuffix(" if") for line in lines) + f"\n\n{_NOWHERE}"


def _is_host(host: str) -> str:
    return "" if host == "*" else f"{{ req.hdr(host),field(1,:) -i {host} }}"


def _backend(name: str, *, http: bool) -> str:
    if not http:
        return f"backend {name} from tcp\n"
    return f"""backend {name} from http
  http-reuse always
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless METH_GET or {{ method HEAD OPTIONS }}
  http-request set-src ipv4({_NO_ASKER})
  http-request set-src-port int(0)
  http-request set-dst ipv4({_NO_ASKER}) unless {{ fe_name again }}
  http-request set-dst ipv4({_AGAIN}) if {{ fe_name again }}
  http-request set-dst-port int(0)
"""


def _servers(
    table: Table, route: Route, port: Port, setting: Setting
) -> tuple[dict[str, str], set[str]]:
    there: dict[str, str] = {}
    draining: set[str] = set()
    reachable = {one.node for one in table.neighbours} if setting.certificate else set()
    for one in route.endpoints:
        if not one.local and one.node not in reachable:
            continue
        if one.draining:
            draining.add(one.name)
            continue
        if one.local:
            there[one.name] = _here(one, port)
        else:
            there[one.name] = _elsewhere(route, one, port, setting)
    return there, draining


def _here(one: Endpoint, port: Port) -> str:
    pool = "pool-max-conn 64 pool-purge-delay 30s " if port.http else ""
    told = "send-proxy-v2 " if port.number in one.proxied and not port.http else ""
    return (
        f"{one.address}:{port.number} {pool}{told}check inter 2s fastinter 200ms downinter 500ms "
        "rise 1 fall 2 observe layer4 error-limit 1 on-error mark-down"
    )


def _elsewhere(route: Route, one: Endpoint, port: Port, setting: Setting) -> str:
    name = inbound_name(route.app, route.service, one.name, port.number, one.node)
    pool = " pool-max-conn 64 pool-purge-delay 30s" if port.http else ""
    return (
        f"{one.address}:{one.port} {_tls(setting)} sni str({name}) send-proxy-v2{pool} "
        f"track {NODES}/{one.node}"
    )


def _tls(setting: Setting) -> str:
    """What one gateway shows another and asks of it; the name that it asks is the certificate's."""
    asked = f"ca-file {setting.authority} verify required" if setting.authority else "verify none"
    return f"ssl crt {setting.certificate} {asked}"


def _nodes(neighbours: Iterable[Neighbour], setting: Setting) -> str:
    """Look after the other gateways once each, however many containers they lead to.

    A server that is added at run time can only use certificates that some server of the file has
    loaded: the first line sees to that where there are no neighbours yet.
    """
    lines = [
        f"backend {NODES} from tcp",
        f"  server loads-certificates 127.0.0.1:9 {_tls(setting)} disabled",
    ]
    lines += [
        f"  server {one.node} {one.address}:{one.port} {_tls(setting)} check check-ssl "
        f"check-sni check.{one.node}.node.{DOMAIN} check-send-proxy "
        "inter 1s fastinter 200ms downinter 500ms rise 1 fall 2"
        for one in neighbours
    ]
    return "\n".join(lines) + "\n"


def _mesh(table: Table, setting: Setting) -> str:
    """Lead to what is asked for; what has died since is asked once more, elsewhere.

    That way leads by `else` over this proxy itself, to any other of the service's containers; what
    came by it from another node (it is marked) does not take it again, or it might go round. Of two
    servers the next is tried at once, of a single one after a second.
    """
    at = f"{setting.mesh_address or '*'}:{table.mesh_port}"
    asked = f" ca-file {setting.authority} verify required" if setting.authority else ""
    file = f"{setting.folder}/inbound.map"
    again = f"abns@segue-{hash_of(setting.folder)}"
    return f"""frontend mesh from tcp
  bind {at} accept-proxy ssl crt {setting.certificate}{asked}
  tcp-request inspect-delay 5s
  tcp-request content set-var(sess.at) ssl_fc_sni,map_str({file})
  tcp-request content reject unless {{ var(sess.at) -m found }}
  tcp-request content set-var(sess.last) bool(true) if {{ dst {_AGAIN} }}
  tcp-request content set-dst var(sess.at),field(1,:)
  tcp-request content set-dst-port var(sess.at),field(2,:)
  use_backend last-%[var(sess.at),field(3,:)] if {{ var(sess.last) -m bool }}
  use_backend mesh-%[var(sess.at),field(3,:)]

{_there(again, "as-is")}
{_there(again, "told")}
frontend again from tcp
  bind {again} accept-proxy
  tcp-request inspect-delay 5s
  tcp-request content set-var(sess.to) fc_pp_authority,map_str({file}),field(4,:,0)
  tcp-request content reject unless {{ var(sess.to) -m found }}
  tcp-request content set-dst ipv4({_AGAIN})
  use_backend %[var(sess.to)]
"""


def _there(again: str, told: str) -> str:
    """What leads to a container of this host, which may be told who asks."""
    words = " send-proxy-v2" if told == _told(proxied=True) else ""
    return f"""backend mesh-{told} from tcp
  retries 1
  use-server there if TRUE
  server there 0.0.0.0:0 weight 0{words}
  server else {again} send-proxy-v2 proxy-v2-options authority
  server or-else {again} send-proxy-v2 proxy-v2-options authority

backend last-{told} from tcp
  retries 0
  server there 0.0.0.0:0{words}
"""


def _told(*, proxied: bool) -> str:
    return "told" if proxied else "as-is"
