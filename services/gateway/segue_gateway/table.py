"""What a host's gateway is to do, as data: the core decides it, the adapters make it so.

Each adapter (proxy, addresses, names, walls) has `async apply(table) -> list[str]`: it makes the
host as the whole table says, whatever was before, and tells what it could not do, a sentence each.
A table is a pure function of the log: of two gateways at one sequence only what is theirs alone
(bridges, virtual addresses, what is local) differs. It is kept on disk and outlives the bus.
"""

import hashlib
import ipaddress

import msgspec
from segue.bridges import DOMAIN


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the table; equal content is equal."""


class Endpoint(Row, frozen=True):
    """A container that a service is reached at."""

    slot: int
    attempt: int
    node: str
    address: str  # Of the container itself if `local`, else where its node's gateway is reached.
    local: bool
    port: int = 0  # Of its node's gateway; unused if `local`: every port of the service is there.
    addresses: dict[str, str] = {}  # If `local`: its address on each of this host's networks.
    proxied: list[int] = []  # Ports at which it is told who asks, by PROXY v2.
    draining: bool = False  # What flows there goes on; nothing new does.

    @property
    def name(self) -> str:
        """Its name among its service's endpoints."""
        return f"{self.slot}-{self.attempt}"


class Port(Row, frozen=True):
    """A port that a service listens on, and by which words."""

    number: int
    http: bool = False


class Route(Row, frozen=True):
    """A service, where it is reached on this host and by whom, and what it leads to."""

    app: str
    service: str
    vip: str = ""  # Its virtual address on this host; empty: none of its app is on this host …
    sources: list[str] = []  # … whose bridges these are: nobody else may use the address.
    networks: dict[str, list[str]] = {}  # By the engine's name: what else it is called there.
    ports: list[Port] = []  # Without any it has no virtual address: names lead to containers here.
    endpoints: list[Endpoint] = []
    held: bool = False  # It may have no container, and what is asked then waits for one.
    round_robin: bool = False  # `endpoint_mode: dnsrr`: names lead to the containers on this host.

    @property
    def waits(self) -> bool:
        """Whether what is asked of it now waits."""
        return self.held and all(one.draining for one in self.endpoints)

    @property
    def name(self) -> str:
        """Its name among all routes."""
        return f"{self.app}/{self.service}"


class Bridge(Row, frozen=True):
    """An app's network on this host, known once a container is on it."""

    app: str
    network: str  # The engine's name.
    subnet: str  # "172.18.0.0/16"
    gateway: str  # The host's address on it.
    internal: bool = False  # Its containers reach nothing but each other and the host's address.


class Published(Row, frozen=True):
    """A port of every host that leads to a service."""

    published: int
    app: str
    service: str
    target: int
    http: bool = False
    host_ip: str = ""  # Empty: all of the host's addresses.


class Ingress(Row, frozen=True):
    """A host name and path of the web's own ports that lead to a service."""

    host: str  # "*" for any.
    path: str
    app: str
    service: str
    target: int
    tls: str = ""  # The file store's digest of certificate and key as PEM; empty: no TLS.


class Inbound(Row, frozen=True):
    """What other nodes' gateways ask this one for, and the container that it leads to."""

    name: str  # As `inbound_name` says.
    address: str
    port: int
    app: str = ""
    service: str = ""
    proxied: bool = False  # It is told who asks.


class Neighbour(Row, frozen=True):
    """Another node's gateway."""

    node: str
    address: str
    port: int = 7443


class Table(Row, frozen=True):
    """Everything that one gateway does."""

    node: str
    cluster: str = ""
    sequence: int = 0  # Of the log: what this table is made from.
    mesh_port: int = 7443
    bridges: list[Bridge] = []
    routes: list[Route] = []
    published: list[Published] = []
    ingress: list[Ingress] = []
    inbound: list[Inbound] = []
    neighbours: list[Neighbour] = []
    apart: list[Neighbour] = []  # Those that cannot be led through: their mesh is another.


def inbound_name(app: str, service: str, endpoint: str, port: int, node: str) -> str:
    """Name a container's port between gateways; a certificate holds `*.<node>.node.…`.

    A label of a name has 63 characters, an app and a service have as many each; so both are cut,
    and what they were is told by a digest.
    """
    marks = hash_of(f"{app}/{service}")
    words = "-".join(part[:12].replace("_", "-").strip("-") for part in (app, service))
    return f"{words}-{endpoint}-{port}-{marks}.{node}.node.{DOMAIN}"


def hash_of(text: str) -> str:
    """Give ten hexadecimal digits that tell this text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def subnet(address: str, prefix: int) -> str:
    """Give the network that an address is in."""
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
