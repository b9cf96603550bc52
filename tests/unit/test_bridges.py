"""Bridges' names are what both sides compute, and what Linux takes."""

import itertools

from segue.bridges import DOMAIN, MARK, bridge_name, search_domain


def test_a_bridges_name_follows_from_node_and_network_and_fits_into_linux() -> None:
    names = {bridge_name(*of) for of in itertools.product("cd", "ab", ("shop_web", "shop_db"))}
    assert len(names) == 8
    assert bridge_name("c", "a", "shop_web") in names
    assert all(name.startswith(MARK) and len(name) <= 15 for name in names)


def test_the_search_domain_is_of_the_gateways_domain() -> None:
    assert search_domain("shop") == f"shop.{DOMAIN}"
