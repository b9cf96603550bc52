"""Virtual addresses are stable, one for each service, and within what was given."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from segue_gateway.interfaces import Interface
from segue_gateway.limits import missing, overlaps
from segue_gateway.vips import POOL, allocate, bind_ports

SMALL = ipaddress.IPv4Network("10.9.0.0/28")
names = st.sets(st.text(alphabet="abc/", min_size=1, max_size=4), max_size=14)


def test_an_address_follows_from_the_name_whoever_asks_and_whatever_else_there_is() -> None:
    alone = allocate(["shop/web"], {})
    assert allocate(["shop/db", "shop/web"], {})["shop/web"] == alone["shop/web"]
    assert ipaddress.IPv4Address(alone["shop/web"]) in POOL


@given(names)
def test_each_name_has_an_address_of_its_own_that_a_host_can_have(wanted: set[str]) -> None:
    found = allocate(wanted, {}, SMALL)
    assert found.keys() == wanted
    assert len(set(found.values())) == len(wanted)
    assert not set(found.values()) & {str(SMALL[0]), str(SMALL[-1])}


@given(names, names)
def test_who_holds_an_address_keeps_it_whoever_comes_and_goes(
    first: set[str], then: set[str]
) -> None:
    held = allocate(first, {}, SMALL)
    later = allocate(then, held, SMALL)
    assert all(later[name] == held[name] for name in first & then)
    assert len(set(later.values())) == len(then)


def test_an_address_of_another_pool_or_of_two_or_taken_is_given_up() -> None:
    held = {"a": "10.9.0.1", "b": "10.9.0.1", "c": "10.8.0.1", "d": "10.9.0.2"}
    found = allocate(held, held, SMALL, taken={"10.9.0.2"})
    assert found["a"] == "10.9.0.1"
    assert len(set(found.values())) == 4
    assert "10.9.0.2" not in found.values()
    assert all(ipaddress.IPv4Address(one) in SMALL for one in found.values())


def test_a_pool_that_is_used_up_gives_nothing_more() -> None:
    found = allocate([str(n) for n in range(20)], {}, SMALL)
    assert len(found) == len(set(found.values())) == 14


@given(st.sets(st.integers(1, 65_535), max_size=30))
def test_each_port_is_bound_at_a_place_of_its_own_that_the_kernel_lends_to_nobody(
    ports: set[int],
) -> None:
    places = bind_ports(ports)
    assert places.keys() == ports
    assert len(set(places.values())) == len(ports)
    assert all(28_000 <= place < 32_000 for place in places.values())


def test_a_ports_place_is_the_same_when_others_come() -> None:
    assert bind_ports([80])[80] == bind_ports([22, 80, 443, 8080])[80]
    assert len(set(bind_ports([80, 4_080, 8_080]).values())) == 3


# What a host does not allow.


def test_the_rights_that_are_missing_are_named() -> None:
    root = (1 << 41) - 1
    assert missing(root, 1024) == []
    assert missing(1 << 12, 53) == [], "where anybody may have port 53"
    assert "CAP_NET_ADMIN:" in missing(1 << 10, 1024)[0]
    assert "CAP_NET_ADMIN and CAP_NET_BIND_SERVICE:" in missing(0, 1024)[0]


def test_a_network_of_the_host_that_the_pool_would_hide_is_named() -> None:
    ours = Interface("lo", "10.213.0.1", 32)
    assert overlaps(POOL, [ours, Interface("eth0", "192.0.2.7", 24)]) == []
    [words] = overlaps(POOL, [Interface("eth0", "10.213.4.7", 24)])
    assert "eth0's (10.213.4.7/24)" in words
    assert overlaps(POOL, [Interface("tun0", "10.1.2.3", 8)])
