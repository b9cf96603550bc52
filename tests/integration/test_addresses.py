"""Virtual addresses stand on a real host's `lo`, beside those of others, over restarts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio.from_thread
import pytest
from anyio.from_thread import BlockingPortal
from segue.testing.network import Network
from segue_gateway import limits
from segue_gateway.addresses import LABEL, Addresses
from segue_gateway.table import Route, Table

HOST = 1


class Loopback:
    def __init__(self, network: Network, portal: BlockingPortal) -> None:
        self.network, self.portal = network, portal

    def ip(self, *words: str) -> Any:
        command = ["ip", "-n", self.network.namespace(HOST), "-json", *words]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        return json.loads(said or b"null")

    def addresses(self) -> set[str]:
        [lo] = self.ip("-4", "addr", "show", "dev", "lo")
        return {one["local"] for one in lo["addr_info"] if one["scope"] == "global"}

    def apply(self, *addresses: str) -> list[str]:
        routes = [Route(app="shop", service=f"s{n}", vip=one) for n, one in enumerate(addresses)]
        said: list[str] = self.portal.call(Addresses().apply, Table(node="a", routes=routes))
        return said


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    network = Network(1)
    try:
        network.build()
        entered = anyio.from_thread.start_blocking_portal()
        portal = network.inside(HOST, entered.__enter__)
        yield Loopback(network, portal)
        entered.__exit__(None, None, None)
    finally:
        network.remove()
        network.release()


def test_just_the_tables_addresses_stand_and_each_gateway_takes_over_those_of_the_one_before(
    loopback: Loopback,
) -> None:
    assert loopback.apply("10.213.0.1", "10.213.0.2", "") == []
    assert loopback.addresses() == {"10.213.0.1", "10.213.0.2"}
    assert loopback.apply("10.213.0.2", "10.213.0.3") == []
    assert loopback.addresses() == {"10.213.0.2", "10.213.0.3"}
    assert loopback.apply() == []
    assert loopback.addresses() == set()


def test_addresses_of_others_are_never_touched(loopback: Loopback) -> None:
    loopback.ip("addr", "add", "10.213.0.7/32", "dev", "lo")
    loopback.ip("addr", "add", "10.213.0.8/32", "dev", "lo", "label", "lo:theirs")
    loopback.ip("addr", "add", "10.213.0.9/32", "dev", "lo", "label", LABEL)
    assert loopback.apply("10.213.0.7") == []
    assert loopback.addresses() == {"10.213.0.7", "10.213.0.8"}
    assert loopback.apply() == []
    assert loopback.addresses() == {"10.213.0.7", "10.213.0.8"}


def test_what_somebody_took_away_is_put_back(loopback: Loopback) -> None:
    assert loopback.apply("10.213.0.1", "10.213.0.2") == []
    loopback.ip("addr", "del", "10.213.0.1/32", "dev", "lo")
    assert loopback.apply("10.213.0.1", "10.213.0.2") == []
    assert loopback.addresses() == {"10.213.0.1", "10.213.0.2"}


def test_many_come_and_go_at_once(loopback: Loopback) -> None:
    many = [f"10.213.{n // 250}.{n % 250 + 1}" for n in range(1_000)]
    assert loopback.apply(*many) == []
    assert loopback.addresses() == set(many)
    assert loopback.apply(*many[::2]) == []
    assert loopback.addresses() == set(many[::2])


POWERLESS = """
import json, os, anyio
from segue_gateway import limits
from segue_gateway.addresses import Addresses
from segue_gateway.vips import POOL
from segue_gateway.table import Route, Table
from segue_gateway.walls import Walls

async def tell():
    table = Table(node="a", routes=[Route(app="shop", service="web", vip="10.213.0.1")])
    await limits.check(POOL)
    os.setgid(65534)
    os.setuid(65534)
    found = [await limits.check(POOL), await Addresses().apply(table), await Walls().apply(table)]
    print(json.dumps(found))

anyio.run(tell)
"""


def test_without_the_right_to_it_a_gateway_says_what_it_cannot_do(loopback: Loopback) -> None:
    enter = ["nsenter", f"--net=/run/netns/{loopback.network.namespace(HOST)}", "--"]
    command = [*enter, sys.executable, "-c", POWERLESS]
    said = subprocess.run(command, capture_output=True, check=False, text=True)
    assert said.returncode == 0, said.stderr
    [limits], [addresses], [walls] = json.loads(said.stdout)
    assert limits.startswith("it lacks CAP_NET_ADMIN and CAP_NET_BIND_SERVICE: run the gateway as")
    assert addresses.startswith("addresses: services have no virtual addresses: `ip` says: ")
    assert walls.startswith("walls: apps are not kept apart: `nft` says: ")
    assert loopback.addresses() == set()


def test_a_second_gateway_on_a_host_leaves_addresses_and_walls_to_the_first(
    loopback: Loopback,
) -> None:
    held, said = loopback.network.inside(HOST, limits.claim)
    assert (held is not None, said) == (True, [])
    assert held is not None
    with held:
        second, [words] = loopback.network.inside(HOST, limits.claim)
        assert second is None
        assert (
            f"another gateway has this host's addresses and walls, process {os.getpid()}" in words
        )
    third, said = loopback.network.inside(HOST, limits.claim)
    assert third is not None, "it is free again once its holder is gone"
    third.close()
