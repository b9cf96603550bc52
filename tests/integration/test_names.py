"""Real containers find services by name at their bridge, and all else beyond it."""

import socket
import threading
import time
from collections.abc import Iterator

import anyio
import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from segue.testing.bridged import CLUSTER, NODE, Bridged, bridged, in_background
from segue_gateway.addresses import Addresses
from segue_gateway.resolvers import Resolvers
from segue_gateway.responder import Names
from segue_gateway.table import Bridge, Endpoint, Port, Route, Table
from segue_gateway.vips import bind_ports
from segue_gateway.walls import Walls

IP_FREEBIND = 15
pytestmark = pytest.mark.engine
VIP, ELSEWHERE = "10.213.0.10", "203.0.113.7"
HTTP = "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello"


def bridge_of(host: Bridged, network: str) -> Bridge:
    found = host.inspect(network)
    app = network.split("_", maxsplit=1)[0]
    return Bridge(app=app, network=network, subnet=found["Subnet"], gateway=found["Gateway"])


def table(host: Bridged, *networks: str) -> Table:
    """Make a table in which `shop` has a service `web`, and each network its app."""
    bridges = [bridge_of(host, network) for network in networks]
    sources = [one.subnet for one in bridges if one.app == "shop"]
    many = [
        Endpoint(
            slot=n, attempt=1, node=NODE, address="", local=True, addresses={"shop_default": at}
        )
        for n in range(60)
        for at in [f"192.0.2.{n}"]
    ]
    routes = [
        Route(
            app="shop",
            service="web",
            vip=VIP,
            sources=sources,
            networks={"shop_default": ["www"], "shop_back": []},
            ports=[Port(80)],
        ),
        Route(app="shop", service="many", networks={"shop_default": []}, endpoints=many),
        Route(app="blog", service="db", networks={"blog_default": []}),
    ]
    return Table(cluster=CLUSTER, node=NODE, bridges=bridges, routes=routes)


class Beyond:
    """A resolver outside; it answers every question alike, and notes it."""

    def __init__(self, host: Bridged) -> None:
        self.asked: list[tuple[str, str]] = []
        where = (host.outside_address, 53)
        inside = host.network.inside
        self._udp = inside(2, lambda: socket.socket(type=socket.SOCK_DGRAM))
        self._udp.bind(where)
        self._tcp = inside(2, lambda: socket.create_server(where))
        threading.Thread(target=self._by_udp, daemon=True).start()
        threading.Thread(target=self._by_tcp, daemon=True).start()

    def _reply(self, request: bytes, way: str) -> bytes:
        asked = DNSRecord.parse(request)
        self.asked.append((str(asked.q.qname), way))
        reply = asked.reply()
        if asked.q.qtype == QTYPE.A:
            reply.add_answer(RR(asked.q.qname, QTYPE.A, rdata=A(ELSEWHERE), ttl=1))
        return bytes(reply.pack())

    def _by_udp(self) -> None:
        while True:
            request, asker = self._udp.recvfrom(4096)
            self._udp.sendto(self._reply(request, "udp"), asker)

    def _by_tcp(self) -> None:
        while True:
            line = self._tcp.accept()[0]
            size = int.from_bytes(line.recv(2), "big")
            reply = self._reply(line.recv(size), "tcp")
            line.sendall(len(reply).to_bytes(2, "big") + reply)
            line.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridged]:
    with bridged(tmp_path_factory.mktemp("path")) as host:
        for network in ("shop_default", "blog_default"):
            host.bridge(network)
        yield host


@pytest.fixture(scope="module")
def beyond(host: Bridged) -> Beyond:
    return Beyond(host)


@pytest.fixture(scope="module")
def names(
    host: Bridged, beyond: Beyond, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Names]:
    """A responder whose host's resolvers are: itself, one that is not there, and one that is."""
    file = tmp_path_factory.mktemp("etc") / "resolv.conf"
    itself = host.gateways["shop_default"]
    lines = ["search example.org", *(f"nameserver {one}" for one in (itself, "127.0.0.9"))]
    file.write_text("\n".join([*lines, f"nameserver {host.outside_address}", ""]))
    names = Names(Resolvers(file))
    with in_background(host.portal, names.run):
        whole = table(host, "shop_default", "blog_default")
        assert host.portal.call(Addresses().apply, whole) == []
        assert host.portal.call(Walls().apply, whole) == []
        wait_until(lambda: listens(host, host.gateways["shop_default"]))
        assert host.portal.call(names.apply, whole) == []
        yield names


@pytest.fixture(scope="module")
def shop(host: Bridged, names: Names) -> str:
    return host.container("shop_default")


def wait_until(true: object, limit_s: float = 20.0) -> None:
    assert callable(true)
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def listens(host: Bridged, address: str) -> bool:
    return f"{address}:53 " in host.shell("ss -Hltn")


def ask(host: Bridged, address: str, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord:
    """Ask from the host itself, which the walls let through."""
    request = DNSRecord.question(name, kind)
    said = host.network.inside(1, lambda: request.send(address, 53, tcp=tcp, timeout=8))
    return DNSRecord.parse(said)


def addresses(reply: DNSRecord) -> list[str]:
    return [str(one.rdata) for one in reply.rr]


def test_a_container_finds_a_service_by_each_of_its_names(host: Bridged, shop: str) -> None:
    for name in ("web", "web.shop", "web.shop.segue.internal", "www", "WEB"):
        said = host.run_in(shop, f"nslookup {name}")
        assert f"Address: {VIP}" in said
        assert "=0" in said
    back = host.run_in(shop, f"nslookup {VIP}")
    assert "web.shop.segue.internal" in back


def test_a_container_talks_to_a_service_by_its_name(host: Bridged, shop: str) -> None:
    host.listen(VIP, bind_ports([80])[80], HTTP)
    assert host.run_in(shop, "wget -q -O - http://web/").startswith("hello")


def test_other_apps_names_do_not_exist_here(host: Bridged, shop: str) -> None:
    gateway = host.gateways["shop_default"]
    assert RCODE[ask(host, gateway, "db.blog.segue.internal").header.rcode] == "NXDOMAIN"
    assert "=1" in host.run_in(shop, "nslookup db.blog.segue.internal")
    blog = ask(host, host.gateways["blog_default"], "db.blog.segue.internal")
    assert RCODE[blog.header.rcode] == "NOERROR"


def test_many_who_ask_at_once_are_all_answered(host: Bridged, shop: str) -> None:
    gateway, many = host.gateways["shop_default"], 200

    def flood() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(20)
            for number in range(many):
                question = DNSRecord.question("web.shop.segue.internal")
                question.header.id = number
                line.sendto(question.pack(), (gateway, 53))
            return len({DNSRecord.parse(line.recv(512)).header.id for _ in range(many)})

    assert host.network.inside(1, flood) == many


def test_names_of_the_world_are_asked_of_the_hosts_resolvers_and_never_of_ourselves(
    host: Bridged, shop: str, beyond: Beyond
) -> None:
    assert f"Address: {ELSEWHERE}" in host.run_in(shop, "nslookup example.net")
    assert ("example.net.", "udp") in beyond.asked
    tcp = ask(host, host.gateways["shop_default"], "example.com", tcp=True)
    assert addresses(tcp) == [ELSEWHERE]
    assert ("example.com.", "tcp") in beyond.asked


def test_a_long_answer_comes_by_tcp(host: Bridged, shop: str) -> None:
    gateway = host.gateways["shop_default"]
    assert ask(host, gateway, "many").header.tc
    assert len(addresses(ask(host, gateway, "many", tcp=True))) == 60


def test_bytes_that_are_no_question_silence_nobody(host: Bridged, names: Names) -> None:
    gateway = host.gateways["shop_default"]

    def spoil() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            for junk in (b"", b"x", b"\0" * 11, b"\xff" * 512):
                udp.sendto(junk, (gateway, 53))
        for junk in (b"\xff", b"\xff\xffshort", b"\0\3abc"):
            with socket.create_connection((gateway, 53)) as tcp:
                tcp.sendall(junk)

    host.network.inside(1, spoil)
    assert (
        addresses(ask(host, gateway, "web"))
        == addresses(ask(host, gateway, "web", tcp=True))
        == [VIP]
    )


def test_who_asks_before_the_table_knows_its_bridge_waits_for_it(
    host: Bridged, names: Names
) -> None:
    gateway = host.bridge("shop_back", Internal=True)
    wait_until(lambda: listens(host, gateway))
    early = host.portal.start_task_soon(_asked, gateway)
    time.sleep(0.3)
    assert not early.done()
    whole = table(host, "shop_default", "blog_default", "shop_back")
    assert host.portal.call(names.apply, whole) == []
    assert addresses(DNSRecord.parse(early.result(20))) == [VIP]
    inner = host.container("shop_back")
    assert f"Address: {VIP}" in host.run_in(inner, "nslookup web"), "an internal network"


async def _asked(gateway: str) -> bytes:
    async with await anyio.create_connected_udp_socket(gateway, 53) as udp:
        await udp.send(DNSRecord.question("web").pack())
        return await udp.receive()


def test_bridges_come_and_go(host: Bridged, names: Names) -> None:
    gateway = host.bridge("gone_default")
    wait_until(lambda: listens(host, gateway))
    host.engine.ask("DELETE", "/networks/gone_default")
    wait_until(lambda: not listens(host, gateway))
    again = host.bridge("gone_default")
    wait_until(lambda: listens(host, again))


def test_an_address_whose_port_is_taken_is_told_and_had_once_it_is_free(
    host: Bridged, names: Names
) -> None:
    gateway = "198.51.100.200"
    taken = host.network.inside(1, lambda: socket.socket(type=socket.SOCK_DGRAM))
    taken.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # Before there is such an address.
    taken.bind((gateway, 53))
    host.shell(f"ip link add sg-taken type bridge && ip addr add {gateway}/32 dev sg-taken")
    whole = table(host, "shop_default", "blog_default", "shop_back")
    wait_until(lambda: host.portal.call(names.apply, whole))
    [words] = host.portal.call(names.apply, whole)
    assert words.startswith(f"names: nobody answers them on sg-taken: port 53 of {gateway}: ")
    taken.close()
    wait_until(lambda: listens(host, gateway))
    assert host.portal.call(names.apply, whole) == []
