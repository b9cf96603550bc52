"""What apps' containers reach and do not reach on a walled host, tried from inside."""

import itertools
from collections.abc import Iterator

import anyio
import pytest
from msgspec.structs import replace
from segue.testing.bridged import CLUSTER, NODE, Bridged, bridged
from segue_gateway.addresses import Addresses
from segue_gateway.table import Bridge, Neighbour, Port, Published, Route, Table
from segue_gateway.vips import bind_ports
from segue_gateway.walls import Openings, Walls

pytestmark = pytest.mark.engine
SHOP_VIP, BLOG_VIP = "10.213.0.10", "10.213.0.11"
AT = bind_ports([80])[80]


def table(host: Bridged) -> Table:
    bridges = [
        Bridge(app=app, network=f"{app}_default", subnet=found["Subnet"], gateway=found["Gateway"])
        for app in ("shop", "blog")
        for found in [host.inspect(f"{app}_default")]
    ]
    there = [Neighbour(node="b", address=host.outside_address)]
    routes = [
        Route(
            app=bridge.app,
            service="web",
            vip=vip,
            sources=[bridge.subnet],
            ports=[Port(80)],
        )
        for bridge, vip in zip(bridges, (SHOP_VIP, BLOG_VIP), strict=True)
    ]
    published = [Published(published=8080, app="shop", service="web", target=80)]
    return Table(
        cluster=CLUSTER,
        node=NODE,
        bridges=bridges,
        routes=routes,
        published=published,
        neighbours=there,
    )


def walled(host: Bridged) -> None:
    assert host.portal.call(Addresses().apply, table(host)) == []
    assert host.portal.call(Walls(Openings(opened=(5432,))).apply, table(host)) == []


@pytest.fixture(scope="module", params=["nft", "legacy", "none"])
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bridged]:
    """A host beside whose walls the engine has rules of its own, of either kind, or none."""
    with bridged(tmp_path_factory.mktemp("path"), request.param) as host:
        for network in ("shop_default", "blog_default"):
            host.bridge(network)
        walled(host)
        host.listen(SHOP_VIP, AT, "shop")
        host.listen(BLOG_VIP, AT, "blog")
        for port in (22, 2375, 4222, 5432, 7443, 8080):
            host.listen("0.0.0.0", port, f"host {port}")
        for port in (4222, 7443, 9000):
            host.listen("0.0.0.0", port, f"outside {port}", outside=True)
        yield host


@pytest.fixture(scope="module")
def shop(host: Bridged) -> str:
    return host.container("shop_default")


@pytest.fixture(scope="module")
def blog(host: Bridged) -> str:
    """A container that answers at port 7000 of its own address, and at port 80 of the host's."""
    serve = "while :; do nc -l -p 7000 -e sh -c 'read word; echo blog itself'; done"
    bound = {"7000/tcp": [{"HostPort": "80"}]}
    return host.container("blog_default", serve, PortBindings=bound)


def test_an_app_reaches_its_own_virtual_addresses_and_no_others(
    host: Bridged, shop: str, blog: str
) -> None:
    assert host.talk(shop, SHOP_VIP, 80) == "shop"
    assert host.talk(blog, BLOG_VIP, 80) == "blog", "though it has port 80 of the host as well"
    assert host.talk(shop, BLOG_VIP, 80) == host.talk(blog, SHOP_VIP, 80) == ""
    assert host.talk(shop, BLOG_VIP, AT) == ""
    assert "=0" in host.run_in(shop, f"ping -c 1 -W 2 {SHOP_VIP}")
    assert "=1" in host.run_in(shop, f"ping -c 1 -W 2 {BLOG_VIP}")


def test_an_app_reaches_nothing_of_the_host_but_what_is_published_or_opened(
    host: Bridged, shop: str
) -> None:
    places = [host.address, host.gateways["shop_default"], host.gateways["blog_default"]]
    closed, opened = (22, 2375, 4222, 7443), (8080, 5432)
    asked = [(where, port) for where in places for port in closed + opened]
    answered = dict.fromkeys(asked, "") | {
        (where, port): f"host {port}" for where in places for port in opened
    }
    assert host.talks(shop, asked) == answered


def test_who_is_refused_hears_it(host: Bridged, shop: str) -> None:
    said = host.run_in(shop, f"timeout 9 nc -w 20 {host.address} 22")
    assert "Connection refused" in said
    assert "=1" in said, "143 would be a time that ran out"


def test_an_app_does_not_reach_the_containers_of_another(
    host: Bridged, shop: str, blog: str
) -> None:
    assert host.talk(shop, host.address_of(blog), 7000) == ""
    mate = host.container("blog_default")
    assert host.talk(mate, host.address_of(blog), 7000) == "blog itself"


def test_an_app_reaches_the_world_but_not_the_cluster_on_other_nodes(
    host: Bridged, shop: str
) -> None:
    # Without the engine's own rules nothing leads back to a container from outside.
    host.shell(
        f"ip route replace {host.inspect('shop_default')['Subnet']} via {host.address}",
        outside=True,
    )
    host.shell("sysctl -qw net.ipv4.ip_forward=1")
    assert host.talk(shop, host.outside_address, 9000) == "outside 9000"
    assert host.talk(shop, host.outside_address, 4222) == ""
    assert host.talk(shop, host.outside_address, 7443) == ""


def test_the_outside_reaches_what_is_published_and_no_virtual_address(
    host: Bridged, blog: str
) -> None:
    host.shell(f"ip route replace 10.213.0.0/16 via {host.address}", outside=True)
    assert host.talk_from_outside(host.address, 8080) == "host 8080"
    assert host.talk_from_outside(host.address, 80) == "blog itself"
    assert host.talk_from_outside(SHOP_VIP, 80) == host.talk_from_outside(SHOP_VIP, AT) == ""
    assert host.talk_from_outside(host.address, 22) == "host 22", "which is not the walls' business"


def test_what_flows_goes_on_while_the_walls_are_replaced(host: Bridged, shop: str) -> None:
    host.listen(SHOP_VIP, AT + 1, "lasting+")
    lasting = table(host)
    ports = [*lasting.routes[0].ports, Port(81)]
    assert bind_ports([80, 81]) == {80: AT, 81: AT + 1}
    routes = [replace(lasting.routes[0], ports=ports), lasting.routes[1]]
    lasting = replace(lasting, routes=routes)
    assert host.portal.call(Walls().apply, lasting) == []
    line = f"(for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done) | timeout 9 nc {SHOP_VIP} 81"
    asked = host.portal.start_task_soon(_replaced_again_and_again, lasting)
    said = host.run_in(shop, line)
    asked.cancel()
    assert said.count("lasting+") == 6
    walled(host)


async def _replaced_again_and_again(lasting: Table) -> None:
    for number in itertools.count(9_000):
        assert await Walls(Openings(opened=(number,))).apply(lasting) == []
        await anyio.sleep(0.05)


def test_walls_that_somebody_took_down_are_put_up_again(host: Bridged, shop: str) -> None:
    walls = Walls()
    assert host.portal.call(walls.apply, table(host)) == []
    before = host.shell("nft --stateless list table inet segue")
    host.shell("nft flush table inet segue")
    assert host.talk(shop, host.address, 22) == "host 22"
    assert host.portal.call(walls.apply, table(host)) == []
    assert host.talk(shop, host.address, 22) == ""
    assert host.shell("nft --stateless list table inet segue") == before
    walled(host)


def test_a_network_is_walled_before_any_table_knows_it(host: Bridged) -> None:
    host.bridge("new_default")
    stranger = host.container("new_default")
    assert host.talk(stranger, host.address, 4222) == host.talk(stranger, SHOP_VIP, 80) == ""
