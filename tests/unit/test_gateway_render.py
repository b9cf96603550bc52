"""One table gives one text, and HAProxy takes it. `SEGUE_REWRITE=1` writes the golden text anew."""

import os
import pathlib
import subprocess

import msgspec
from segue.testing import certificates
from segue_gateway.render import Setting, Text, render
from segue_gateway.table import (
    Endpoint,
    Inbound,
    Ingress,
    Neighbour,
    Port,
    Published,
    Route,
    Table,
    inbound_name,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "gateway" / "haproxy.cfg"


def here(number: int, *, draining: bool = False) -> Endpoint:
    address = f"172.18.0.{number}"
    return Endpoint(
        slot=number, attempt=1, node="a", address=address, local=True, draining=draining
    )


def there(number: int) -> Endpoint:
    return Endpoint(slot=number, attempt=1, node="b", address="192.0.2.2", port=7443, local=False)


def table(*endpoints: Endpoint) -> Table:
    web = Route(
        app="shop",
        service="web",
        vip="10.213.0.10",
        sources=["172.18.0.0/16"],
        ports=[Port(number=80, http=True), Port(number=9000)],
        endpoints=list(endpoints),
    )
    return Table(
        node="a",
        routes=[web],
        published=[Published(published=9000, app="shop", service="web", target=9000)],
        ingress=[
            Ingress(host="*", path="/", app="shop", service="web", target=80),
            Ingress(host="shop.example", path="/api", app="shop", service="web", target=80),
            Ingress(host="shop.example", path="/", app="shop", service="web", target=80, tls="d1"),
        ],
        inbound=[Inbound(name="web.a.node.segue.internal", address="172.18.0.2", port=80)],
        neighbours=[Neighbour(node="b", address="192.0.2.2")],
    )


def rendered(*endpoints: Endpoint, folder: str = "/run/segue/gateway", **more: object) -> Text:
    setting = Setting(folder=folder, certificate=f"{folder}/node.pem", authority=f"{folder}/ca.pem")
    return render(table(*endpoints), setting, {"d1": f"{folder}/shop.pem"}, **more)  # type: ignore[arg-type] # Its own.


def test_the_text_is_what_was_read_and_found_good() -> None:
    text = rendered(here(1), there(2), here(3, draining=True)).whole
    if os.environ.get("SEGUE_REWRITE"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_haproxy_takes_it(tmp_path: pathlib.Path) -> None:
    certificates.make(tmp_path, ["192.0.2.1"])
    pair = (tmp_path / "server.pem").read_text() + (tmp_path / "server.key").read_text()
    for name in ("node", "shop"):
        (tmp_path / f"{name}.pem").write_text(pair)
    text = rendered(here(1), there(2), folder=str(tmp_path))
    (tmp_path / "haproxy.cfg").write_text(text.whole)
    (tmp_path / "inbound.map").write_text(text.inbound_map)
    command = ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "WARNING" not in said.stderr


def test_where_there_may_be_no_container_what_is_asked_waits_and_elsewhere_nothing_does() -> None:
    setting = Setting(folder="/run", hold="/run/hold.pem")
    plain = table(here(1))
    assert "hold:" not in render(plain, setting).whole
    routes = [msgspec.structs.replace(plain.routes[0], held=True)]
    asked = msgspec.structs.replace(plain, routes=routes)
    assert "hold:" not in render(asked, Setting(folder="/run")).whole, "there is no certificate"
    text = render(asked, setting)
    condition = "{ nbsrv(shop.web:80) eq 0 }"
    for way in ("", "{ path /api } ", "{ path_beg /api/ } "):
        assert f"{way}{condition}" in text.topology
    assert text.topology.count("use_backend hold:shop.web:80 if") == 5
    assert text.topology.count("use_backend hold:shop.web:9000 if") == 2
    assert text.backends.keys() == {
        *(f"{kind}shop.web:{port}" for kind in ("", "hold:") for port in (80, 9000))
    }
    none = msgspec.structs.replace(asked, routes=[msgspec.structs.replace(routes[0], endpoints=[])])
    assert text.is_topology_of(render(none, setting)), "to have none takes no reload"


def test_what_comes_and_goes_takes_no_reload() -> None:
    before = rendered(here(1))
    assert rendered(here(1), there(2)).is_topology_of(before)
    assert rendered(here(1, draining=True)).is_topology_of(before)
    assert not rendered(here(1), shut=["web:80"]).is_topology_of(before)


def test_without_certificates_nothing_leads_to_other_nodes() -> None:
    text = render(table(here(1), there(2)), Setting(folder="/run"))
    assert list(text.servers["shop.web:80"]) == ["1-1"]
    assert "mesh" not in text.whole
    assert text.inbound == {}, "no file has a map of them, so none can be told"
    assert ":443" not in text.whole, "there is no certificate for it"


def test_a_name_between_gateways_is_short_enough_and_nobody_elses() -> None:
    long = inbound_name("a" * 63, "b_" * 31, "1000-100000", 65_535, "node-1")
    label, _, rest = long.partition(".")
    assert len(label) <= 63
    assert rest == "node-1.node.segue.internal"
    assert inbound_name("a-b", "c", "1-1", 80, "n") != inbound_name("a", "b-c", "1-1", 80, "n")
