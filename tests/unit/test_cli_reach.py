"""Where a service is reached, as `ls`, `ps`, `nodes` and `inspect` show it."""

import io
from typing import Any

import pytest
from rich.console import Console
from segue.events.deploy import DeployRequested
from segue.events.gateway import GatewayJoined
from segue.picture import Picture
from segue.testing.stage import Stage
from segue_cli import rows
from segue_cli.inspection import sections
from segue_cli.reading import Sight
from segue_cli.things import NodeName, ServiceName, Thing
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler


def stage(**services: dict[str, Any]) -> Stage:
    made = Stage(Deployer(), Scheduler())
    made.join("node-a", "node-b")
    compose = {"services": {name: {"image": f"{name}:1"} | s for name, s in services.items()}}
    made.ask(DeployRequested(app="shop", compose=compose))
    return made


def picture(made: Stage) -> Picture:
    return made.cores[0].picture


def inspected(made: Stage, what: Thing, addresses: dict[str, list[str]] | None = None) -> str:
    screen = Console(file=io.StringIO(), width=120, color_system=None)
    for section in sections(what, Sight(picture(made), made.now), None, addresses):
        screen.print(section)
    return " ".join(screen.file.getvalue().split())  # type: ignore[attr-defined]  # it is a StringIO.


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ({"target": 80, "published": 8080}, "*:8080->80"),
        ({"target": 80, "published": 8080, "host_ip": "10.0.0.1"}, "10.0.0.1:8080->80"),
        ({"target": 53, "protocol": "udp", "mode": "host"}, "node:any->53/udp"),
        ({"target": 80, "mode": "host"}, "node:any->80"),
        ({"target": 80, "published": 8080, "mode": "host"}, "node:8080->80"),
    ],
)
def test_an_endpoint_is_written_as_it_is_published(port: dict[str, Any], words: str) -> None:
    made = with_gateway(web={"ports": [port]})
    (row,) = rows.services(picture(made))
    assert row.endpoints == [words]


INGRESS = [{"host": "shop.example", "path": "/api", "port": 80}]


def with_gateway(**services: dict[str, Any]) -> Stage:
    made = stage(**services)
    made.say(GatewayJoined(node="node-a", session="g", address="", proxy="HAProxy 2.6", names=True))
    return made


def test_what_nobody_serves_is_listed_with_the_reason() -> None:
    made = stage(
        web={"ports": ["8080:80", {"target": 81, "published": 8081, "mode": "host"}]},
        api={"x-ingress": INGRESS},
    )
    first = {"services": {"late": {"image": "late:1", "ports": ["8080:80"]}}}
    made.ask(DeployRequested(app="blog", compose=first))
    found = {row.service: row.endpoints for row in rows.services(picture(made))}
    assert found == {
        "api": ["http://shop.example/api (not served: no gateway runs)"],
        "late": ["*:8080->80 (not served: no gateway runs)"],
        "web": ["*:8080->80 (not served: no gateway runs)", "node:8081->81"],
    }
    made.say(GatewayJoined(node="node-a", session="g", address="", names=True))
    found = {row.service: row.endpoints for row in rows.services(picture(made))}
    assert found == {
        "api": ["http://shop.example/api"],
        "late": ["*:8080->80"],
        "web": ["*:8080->80 (not served: blog/late has the port)", "node:8081->81"],
    }


def test_a_service_tells_its_virtual_address_with_its_ports_and_where_it_differs() -> None:
    made = with_gateway(web={"ports": ["8080:80"], "expose": ["9000"]})
    found = {"10.213.0.1": ["node-a", "node-b"], "10.213.0.2": ["node-c"]}
    told = inspected(made, ServiceName("shop", "web"), found)
    assert "virtual address 10.213.0.1, ports 80, 9000, on node-a, node-b" in told
    assert "10.213.0.2, ports 80, 9000, on node-c" in told
    assert "virtual address" not in inspected(made, ServiceName("shop", "web"))


def test_a_service_tells_its_names_and_a_node_its_gateway() -> None:
    made = with_gateway(web={"ports": ["8080:80"]})
    told = inspected(made, ServiceName("shop", "web"))
    assert "reached at *:8080->80" in told
    assert "in the app as web, web.shop, web.shop.segue.internal at 80" in told
    led, bare = (inspected(made, NodeName(name)) for name in ("node-a", "node-b"))
    assert "gateway names, addresses, walls and ports, by HAProxy 2.6" in led
    assert "gateway none: published ports, host names and service names are not served" in bare
    found = {row.node: row.gateway for row in rows.nodes(picture(made))}
    assert found == {"node-a": "HAProxy 2.6", "node-b": "none"}


def test_a_container_that_no_gateway_leads_to_yet_says_so() -> None:
    made = with_gateway(web={"ports": ["8080:80"]})
    notes = {row.node: row.note for row in rows.slots(picture(made))}
    assert set(notes.values()) <= {"", "no gateway leads to it yet"}
    [row] = rows.slots(picture(made))
    if row.node == "node-a":
        assert row.note == "no gateway leads to it yet"
