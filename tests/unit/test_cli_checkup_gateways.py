"""What a doctor says of gateways, and what of it tells a person what to do."""

from segue.asks import Gateway
from segue.events.deploy import DeployRequested
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeLost
from segue.testing.stage import Stage
from segue_cli.checkup import Finding
from segue_cli.checkup_gateways import gateways
from segue_deployer.core import Deployer
from segue_gateway.firewall import closed
from segue_gateway.runtime import read_down
from segue_scheduler.core import Scheduler

LACKS = {"a": "it lacks CAP_NET_ADMIN: run the gateway as root"}


def stage(*led: str, published: bool = True, limits: tuple[str, ...] = ()) -> Stage:
    made = Stage(Deployer(), Scheduler())
    made.join("a", "b")
    for node in led:
        said = {"session": node, "address": "", "proxy": "HAProxy 2.6", "limits": [*limits]}
        made.say(GatewayJoined(node=node, names=not limits, **said))  # type: ignore[arg-type]  # four fields.
    ports = ["8080:80"] if published else []
    web = {"web": {"image": "web:1", "ports": ports}}
    made.ask(DeployRequested(app="shop", compose={"services": web}))
    return made


def judged(made: Stage, **facts: Gateway | str) -> list[Finding]:
    return list(gateways(made.cores[0].picture, facts, LACKS))


def test_a_node_without_one_is_told_of_where_something_is_to_be_served() -> None:
    here, there = judged(stage())
    assert (here.what, here.level) == ("gateway a", "warn")
    assert "such as those of shop/web" in here.seen
    assert here.do.startswith("it lacks CAP_NET_ADMIN: run the gateway as root; then ")
    assert there.do.startswith("run segue-gateway there as root")
    assert {one.level for one in judged(stage(published=False))} == {"ok"}


def test_a_lost_node_is_not_looked_for() -> None:
    made = stage("a")
    made.say(NodeLost(node="b", silent_s=3.0))
    [found] = judged(made, a=Gateway())
    assert found == Finding("gateway a", "ok", "HAProxy 2.6: names, addresses, walls and ports")


def test_what_is_amiss_comes_with_what_to_do() -> None:
    made = stage("a", "b", limits=("there is no `nft` on this host: install nftables",))
    taken = "names: nobody answers them on sg-1: port 53 of 172.18.0.1: address in use"
    busy = "p:any:8080 is not served: its port is somebody else's on this host"
    hint = "its firewall refuses by default (table ip filter, chain INPUT): nft insert rule …"
    told = Gateway([taken, busy], [hint], {"b": "Connection refused"})
    found = judged(made, a=told, b="nobody answers")
    assert [(one.what, one.level) for one in found] == [
        *[("gateway a", "warn")] * 5,
        ("gateway b", "fail"),
    ]
    assert all(one.do for one in found)
    assert found[0].do == "install nftables"
    assert "nft insert rule" in found[1].do
    assert "dnsmasq" in found[2].do
    assert "7443" in found[4].do


def test_a_firewall_that_refuses_by_default_is_found() -> None:
    said = """table ip filter {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy drop;
\t}
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table inet mine {
\tchain in {
\t\ttype filter hook input priority filter; policy accept;
\t}
}
"""
    assert list(closed(said)) == [("ip", "filter", "INPUT")]


def test_a_gateway_that_does_not_answer_is_told_with_how() -> None:
    said = """# pxname,svname,status,check_status,check_desc,
nodes,a,UP,L6OK,Layer6 check passed,
nodes,b,DOWN 1/2,L4CON,Layer4 connection problem,
nodes,c,DOWN,L6RSP,,"""
    assert read_down(said) == {"b": "Layer4 connection problem", "c": "L6RSP"}
    assert read_down("") == {}
