"""The walls' rules are worded from the table; what they do is shown by `test_walls`."""

import re
from typing import Any

from segue_gateway.table import Bridge, Ingress, Neighbour, Port, Published, Route, Table
from segue_gateway.vips import bind_ports
from segue_gateway.walls import Openings, render

SHOP = Bridge(app="shop", network="shop_default", subnet="172.18.0.0/16", gateway="172.18.0.1")
BLOG = Bridge(app="blog", network="blog_default", subnet="172.19.0.0/16", gateway="172.19.0.1")
BY_ADDRESS = {"172.18.0.1": "sg-shop", "172.19.0.1": "sg-blog", "192.0.2.1": "eth0"}


def rules(openings: Openings | None = None, **table: Any) -> str:
    whole: dict[str, Any] = {"node": "a", "bridges": [SHOP, BLOG]} | table
    return render(Table(**whole), BY_ADDRESS, openings or Openings())


def elements(text: str, name: str) -> list[str]:
    found = re.search(rf"\b{name} {{ type [^;]*; elements = {{ (.*?) }} }}", text)
    return found.group(1).split(", ") if found else []


def web(**fields: Any) -> Route:
    whole: dict[str, Any] = {"vip": "10.213.0.1", "sources": [SHOP.subnet], "ports": [Port(80)]}
    return Route(app="shop", service="web", **whole | fields)


def test_a_virtual_address_is_open_to_the_bridges_of_its_own_app() -> None:
    text = rules(routes=[web(), web(vip="10.213.0.2", sources=[])])
    assert elements(text, "own") == ['"sg-shop" . 10.213.0.1']


def test_its_ports_lead_to_where_the_proxy_listens() -> None:
    text = rules(routes=[web(ports=[Port(80), Port(443)])])
    places = bind_ports([80, 443])
    assert elements(text, "bound") == [
        f"10.213.0.1 . {port} : 10.213.0.1 . {places[port]}" for port in (80, 443)
    ]


def test_a_bridge_that_is_not_on_this_host_opens_nothing() -> None:
    text = rules(routes=[web(sources=["172.30.0.0/16"])])
    assert elements(text, "own") == []


def test_published_ports_are_open_on_the_addresses_where_they_are_published() -> None:
    published = [
        Published(published=8080, app="shop", service="web", target=80),
        Published(published=8443, app="shop", service="web", target=443, host_ip="192.0.2.1"),
    ]
    text = rules(published=published)
    assert elements(text, "published") == ["8080"]
    assert elements(text, "published_at") == ["192.0.2.1 . 8443"]


def test_the_webs_own_ports_are_open_where_they_are_served() -> None:
    served = [Ingress(host="*", path="/", app="shop", service="web", target=80)]
    assert elements(rules(ingress=served), "published") == ["443", "80"]
    assert elements(rules(Openings(web=(8080, 8443)), ingress=served), "published") == [
        "8080",
        "8443",
    ]


def test_ports_of_other_nodes_are_guarded_and_what_the_operator_opens_is_open() -> None:
    there = [Neighbour(node="b", address="192.0.2.2"), Neighbour(node="c", address="c.example")]
    apart = [Neighbour(node="d", address="192.0.2.4")]
    text = rules(Openings(opened=(5432,)), neighbours=there, apart=apart, mesh_port=7001)
    assert elements(text, "nodes") == ["192.0.2.2", "192.0.2.4"]
    assert {"4222", "2375", "7001"} <= set(elements(text, "guarded"))
    assert elements(text, "opened") == ["5432"]


def test_nothing_to_open_is_worded_as_nothing() -> None:
    assert "elements = {  }" not in rules()
