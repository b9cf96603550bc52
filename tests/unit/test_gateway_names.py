"""What containers ask by name is answered from the table, whatever the bytes are."""

from typing import Any

import pytest
from dnslib import CLASS, EDNS0, OPCODE, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st
from segue.bridges import bridge_name
from segue_gateway.names import TTL_S, UDP_MOST, Said, View, answer, failed, views
from segue_gateway.table import Bridge, Endpoint, Port, Route, Table

SHOP = View({"shop": {"web": ["10.213.0.1"], "db.old": ["10.213.0.2"], "idle": []}}, settled=True)


def ask(name: str, kind: str = "A", view: View = SHOP, **how: Any) -> Said:
    return answer(DNSRecord.question(name, kind).pack(), view, **{"udp": True} | how)


def told(said: Said) -> tuple[str, list[str]]:
    assert said.verdict == "answer"
    reply = DNSRecord.parse(said.content)
    return str(RCODE[reply.header.rcode]), [str(one.rdata) for one in reply.rr]


@pytest.mark.parametrize(
    "name", ["web", "web.shop", "web.shop.segue.internal", "WEB.Shop.SEGUE.internal", "web."]
)
def test_a_service_has_its_short_and_its_full_name_in_any_case(name: str) -> None:
    assert told(ask(name)) == ("NOERROR", ["10.213.0.1"])


def test_an_answer_repeats_the_question_as_it_was_written_and_may_be_kept_for_two_seconds() -> None:
    reply = DNSRecord.parse(ask("wEb").content)
    assert str(reply.q.qname) == "wEb."
    assert reply.rr[0].ttl == TTL_S == 2
    assert reply.header.aa, "old engines do not believe a `no` without authority"
    assert reply.header.ra


def test_an_alias_may_have_dots() -> None:
    assert (
        told(ask("db.old"))
        == told(ask("db.old.shop.segue.internal"))
        == ("NOERROR", ["10.213.0.2"])
    )


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "MX", "SRV"])
def test_what_a_service_does_not_have_is_no_error_and_empty(kind: str) -> None:
    said = ask("web", kind)
    assert told(said) == ("NOERROR", [])
    assert DNSRecord.parse(said.content).auth[0].rdata.times[-1] == TTL_S


def test_a_service_that_is_reached_nowhere_exists() -> None:
    assert told(ask("idle")) == ("NOERROR", [])
    assert told(ask("shop.segue.internal")) == told(ask("segue.internal")) == ("NOERROR", [])


@pytest.mark.parametrize("name", ["nope.shop.segue.internal", "web.blog.segue.internal"])
def test_other_names_in_our_domain_do_not_exist_nor_do_those_of_other_apps(name: str) -> None:
    assert told(ask(name)) == ("NXDOMAIN", [])


@pytest.mark.parametrize("name", ["example.org", "nope", "nope.shop", "web.blog", "internal"])
def test_names_of_others_are_for_the_hosts_resolvers(name: str) -> None:
    assert ask(name).verdict == "forward"


def test_an_address_leads_back_to_its_service() -> None:
    assert told(ask("1.0.213.10.in-addr.arpa", "PTR")) == ("NOERROR", ["web.shop.segue.internal."])
    assert told(ask("1.0.213.10.in-addr.arpa", "A")) == ("NOERROR", [])
    assert ask("8.8.8.8.in-addr.arpa", "PTR").verdict == "forward"


def test_services_of_two_apps_on_one_bridge_share_a_short_name() -> None:
    both = View({"a": {"web": ["10.213.0.1"]}, "b": {"web": ["10.213.0.2"]}}, settled=True)
    assert told(ask("web", view=both)) == ("NOERROR", ["10.213.0.1", "10.213.0.2"])
    assert told(ask("web.b", view=both)) == ("NOERROR", ["10.213.0.2"])


# Before the host does what the table says of a bridge.


def test_who_asks_too_early_waits_and_at_last_hears_that_it_failed() -> None:
    for name in ("web", "web.shop.segue.internal"):
        assert ask(name, view=View()).verdict == "wait"
    assert told(ask("web.shop.segue.internal", view=View(), waited=True)) == ("SERVFAIL", [])
    assert ask("web", view=View(), waited=True).verdict == "forward"
    assert ask("example.org", view=View()).verdict == "forward"


def test_an_address_that_is_known_early_is_given_when_waiting_was_in_vain() -> None:
    early = View(SHOP.hosts)
    assert ask("web", view=early).verdict == "wait"
    assert told(ask("web", view=early, waited=True)) == ("NOERROR", ["10.213.0.1"])


# What the protocol asks for.

MANY = View({"shop": {"web": [f"10.213.1.{n}" for n in range(200)]}}, settled=True)


def test_what_does_not_fit_into_a_datagram_is_told_by_tcp() -> None:
    short = DNSRecord.parse(ask("web", view=MANY).content)
    assert short.header.tc
    assert not short.rr
    whole = DNSRecord.parse(ask("web", view=MANY, udp=False).content)
    assert not whole.header.tc
    assert len(whole.rr) == 200


def test_who_takes_larger_datagrams_gets_them_up_to_a_limit() -> None:
    view = View({"shop": {"web": [f"10.213.1.{n}" for n in range(60)]}}, settled=True)
    asked = DNSRecord.question("web")
    assert DNSRecord.parse(answer(asked.pack(), view, udp=True).content).header.tc
    asked.add_ar(EDNS0(udp_len=4096))
    reply = answer(asked.pack(), view, udp=True).content
    assert 512 < len(reply) <= UDP_MOST
    assert DNSRecord.parse(reply).ar[0].rtype == QTYPE.OPT
    assert DNSRecord.parse(answer(asked.pack(), MANY, udp=True).content).header.tc


def test_requests_of_other_kinds_are_refused_each_by_its_code() -> None:
    def code(request: DNSRecord) -> str:
        return told(answer(request.pack(), SHOP, udp=True))[0]

    assert code(DNSRecord.question("web", "AXFR")) == "REFUSED"
    assert code(DNSRecord(q=DNSQuestion("web", QTYPE.A, CLASS.CH))) == "REFUSED"
    assert code(DNSRecord(DNSHeader(opcode=OPCODE.UPDATE), q=DNSQuestion("web"))) == "NOTIMP"
    assert code(DNSRecord(questions=[DNSQuestion("web"), DNSQuestion("db")])) == "FORMERR"
    assert code(DNSRecord()) == "FORMERR"


def test_a_reply_is_never_replied_to() -> None:
    assert answer(DNSRecord.question("web").reply().pack(), SHOP, udp=True) == Said("drop")


def test_who_could_not_be_helped_hears_it_for_the_question_asked() -> None:
    reply = DNSRecord.parse(failed(DNSRecord.question("example.org", "AAAA").pack()))
    assert RCODE[reply.header.rcode] == "SERVFAIL"
    assert (str(reply.q.qname), reply.q.qtype) == ("example.org.", QTYPE.AAAA)


QUESTION = DNSRecord.question("web").pack()


@given(
    st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda tail: QUESTION[:12] + tail))
)
def test_any_bytes_have_an_answer_with_their_id_or_none(request: bytes) -> None:
    said = answer(request, SHOP, udp=True)
    if said.verdict == "answer":
        reply = DNSRecord.parse(said.content)
        assert reply.header.id == int.from_bytes(request[:2], "big")
        assert reply.header.qr
    if said.verdict == "forward":
        assert DNSRecord.parse(failed(request)).header.rcode == RCODE.SERVFAIL


@given(st.lists(st.tuples(st.integers(0, len(QUESTION) - 1), st.integers(0, 255)), max_size=4))
def test_a_question_with_wrong_bytes_is_survived(changes: list[tuple[int, int]]) -> None:
    request = bytearray(QUESTION)
    for place, byte in changes:
        request[place] = byte
    answer(bytes(request), SHOP, udp=True)
    failed(bytes(request))


def test_a_name_that_points_at_itself_is_malformed() -> None:
    looped = QUESTION[:12] + b"\xc0\x0c\x00\x01\x00\x01"
    assert told(answer(looped, SHOP, udp=True))[0] == "FORMERR"


# From the table.


def endpoint(slot: int, address: str = "", *, draining: bool = False) -> Endpoint:
    return Endpoint(
        slot=slot,
        attempt=1,
        node="a" if address else "b",
        address=address or "192.0.2.2",
        local=bool(address),
        addresses={"shop_default": address} if address else {},
        draining=draining,
    )


def route(service: str, **fields: Any) -> Route:
    given_fields: dict[str, Any] = {"networks": {"shop_default": []}} | fields
    return Route(app="shop", service=service, **given_fields)


BRIDGE = Bridge(app="shop", network="shop_default", subnet="172.18.0.0/16", gateway="172.18.0.1")
NAME = bridge_name("c", "a", "shop_default")


def seen(*routes: Route, bridges: list[Bridge] | None = None) -> dict[str, View]:
    return views(
        Table(
            cluster="c",
            node="a",
            bridges=[BRIDGE] if bridges is None else bridges,
            routes=list(routes),
        )
    )


def test_a_bridge_is_known_by_its_name_before_anything_is_on_it() -> None:
    early = seen(route("web", vip="10.213.0.1"), bridges=[])
    assert early == {NAME: View({"shop": {"web": ["10.213.0.1"]}})}
    later = seen(route("web", vip="10.213.0.1"))
    assert (
        later[NAME] == later["172.18.0.1"] == View({"shop": {"web": ["10.213.0.1"]}}, settled=True)
    )


def test_aliases_lead_where_the_service_does() -> None:
    web = route(
        "web", vip="10.213.0.1", networks={"shop_default": ["www", "web"], "shop_db": ["Front"]}
    )
    hosts = seen(web)["172.18.0.1"].hosts["shop"]
    assert hosts == {"web": ["10.213.0.1"], "www": ["10.213.0.1"], "front": ["10.213.0.1"]}


def test_a_service_without_ports_leads_to_its_containers_on_this_host() -> None:
    job = route("job", endpoints=[endpoint(1, "172.18.0.5"), endpoint(2)])
    assert seen(job)[NAME].hosts["shop"]["job"] == ["172.18.0.5"]


def test_round_robin_leads_to_the_containers_on_this_host_or_else_to_the_virtual_address() -> None:
    here = [endpoint(1, "172.18.0.5"), endpoint(2, "172.18.0.6", draining=True), endpoint(3)]
    web = route("web", vip="10.213.0.1", ports=[Port(80)], round_robin=True, endpoints=here)
    assert seen(web)[NAME].hosts["shop"]["web"] == ["172.18.0.5"]
    away = route(
        "web", vip="10.213.0.1", ports=[Port(80)], round_robin=True, endpoints=[endpoint(3)]
    )
    assert seen(away)[NAME].hosts["shop"]["web"] == ["10.213.0.1"]


def test_a_bridge_that_several_apps_are_on_knows_the_names_of_all() -> None:
    shared = [
        Bridge(app=app, network="lan", subnet="172.20.0.0/16", gateway="172.20.0.1")
        for app in ("shop", "blog")
    ]
    blog = Route(app="blog", service="web", vip="10.213.0.9", networks={"lan": []})
    found = seen(route("web", vip="10.213.0.1", networks={"lan": []}), blog, bridges=shared)
    assert found["172.20.0.1"].hosts == {
        "shop": {"web": ["10.213.0.1"]},
        "blog": {"web": ["10.213.0.9"]},
    }
