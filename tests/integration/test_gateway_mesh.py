"""Two real proxies as two hosts: what leads from one to the other, and whom it refuses."""

import os
import pathlib
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import msgspec
import pytest
from segue.testing.load import Server, ask, ask_past_gateway, under_load
from segue.testing.network import Network
from segue_cli.authority import Pair, founded, issued
from segue_gateway import runtime
from segue_gateway.certificates import Certificates
from segue_gateway.proxy import Proxy
from segue_gateway.render import NODES, Setting
from segue_gateway.table import (
    Endpoint,
    Inbound,
    Neighbour,
    Port,
    Route,
    Table,
    inbound_name,
)
from segue_gateway.vips import bind_ports

# Of each process its own, also of one that was killed and has left a proxy behind.
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
VIP, MESH, PORT, MESH_PORT = f"{NET}.1", f"{NET}.2", 18_080, 17_443
BOUND = bind_ports([PORT])[PORT]


def address(number: int) -> str:
    return f"{NET}.{10 + number}"


def at(node: str) -> str:
    """Where a node's mesh listens."""
    return MESH if node == "b" else f"{NET}.{ord(node) - 92}"


class Hosts:
    """Node a asks, node b has the containers."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.authority = folder, founded("test")
        self.made: list[Proxy] = []

    def proxy(
        self,
        node: str,
        named: str = "",
        by: Pair | None = None,
        *,
        plain: bool = False,
        binary: str = "haproxy",
        mesh_address: str = "",
    ) -> Proxy:
        """Make a node's proxy, with a certificate for `named`, signed by `by`."""
        home = self.folder / node
        home.mkdir()
        shown = issued(
            by or self.authority, named or node, [f"*.{named or node}.node.segue.internal"]
        )
        (home / "node.pem").write_text(shown.certificate + shown.key)
        (home / "ca.pem").write_text(self.authority.certificate)
        setting = Setting(
            folder=str(home),
            certificate=str(home / "node.pem"),
            authority="" if plain else str(home / "ca.pem"),
            mesh_address=mesh_address or at(node),
        )
        self.made.append(Proxy(binary, setting, Certificates(home / "c", nothing)))
        return self.made[-1]


async def nothing(_: str) -> bytes | None:
    return None


@pytest.fixture
async def hosts(tmp_path: pathlib.Path) -> AsyncIterator[Hosts]:
    hosts = Hosts(tmp_path)
    yield hosts
    for one in hosts.made:
        await one.stop()


def asks(*numbers: int, http: bool = True, draining: int = 0) -> Table:
    there = [
        Endpoint(
            slot=n,
            attempt=1,
            node="b",
            address=MESH,
            port=MESH_PORT,
            local=False,
            draining=n == draining,
        )
        for n in numbers
    ]
    route = Route(
        app="shop",
        service="web",
        vip=VIP,
        sources=["127.0.0.0/8"],
        ports=[Port(number=PORT, http=http)],
        endpoints=there,
    )
    near = [Neighbour(node="b", address=MESH, port=MESH_PORT)]
    return Table(node="a", routes=[route], neighbours=near, mesh_port=MESH_PORT)


def has(*numbers: int) -> Table:
    return Table(
        node="b",
        mesh_port=MESH_PORT,
        inbound=[
            Inbound(
                name=inbound_name("shop", "web", f"{n}-1", PORT, "b"),
                address=address(n),
                port=PORT,
                app="shop",
                service="web",
            )
            for n in numbers
        ],
    )


def spread(node: str, *, http: bool) -> Table:
    """Give a node's table of two containers: the first is on b, the other on c."""
    where = {1: "b", 2: "c"}
    endpoints = [
        Endpoint(
            slot=n,
            attempt=1,
            node=on,
            address=address(n) if on == node else at(on),
            port=0 if on == node else MESH_PORT,
            local=on == node,
        )
        for n, on in where.items()
    ]
    route = Route(
        app="shop",
        service="web",
        vip=VIP if node == "a" else "",
        sources=["127.0.0.0/8"] if node == "a" else [],
        ports=[Port(number=PORT, http=http)],
        endpoints=endpoints,
    )
    inbound = [
        Inbound(
            name=inbound_name("shop", "web", f"{n}-1", PORT, on),
            address=address(n),
            port=PORT,
            app="shop",
            service="web",
        )
        for n, on in where.items()
        if on == node
    ]
    near = [Neighbour(node=one, address=at(one), port=MESH_PORT) for one in "bc" if one != node]
    return Table(node=node, routes=[route], inbound=inbound, neighbours=near, mesh_port=MESH_PORT)


@pytest.mark.parametrize("words", ["http", "tcp"])
async def test_what_is_sent_to_a_dead_container_of_another_host_goes_to_one_that_lives(
    hosts: Hosts, words: str
) -> None:
    """Nobody has told either gateway that it died; not even what changes something is lost."""
    http = words == "http"
    for node in "abc":
        await hosts.proxy(node).apply(spread(node, http=http))
    a, b, _ = hosts.made
    for proxy, near in ((a, "b"), (a, "c"), (b, "c")):
        await health(proxy, ",L6OK,", near)
    async with Server("s2", address(2), PORT) as there:
        for _ in range(20):
            assert await ask(VIP, BOUND, method="POST") == (200, "s2")
        assert there.asked == {"POST /": 20}
    if http:
        assert (await ask(VIP, BOUND, method="POST"))[0] in {502, 503}
    else:
        with pytest.raises(OSError, match="no answer"):
            await ask(VIP, BOUND, method="POST")


@pytest.fixture
def network() -> Iterator[Network]:
    """Give a network with a host that can vanish."""
    network = Network(1)
    try:
        network.build()
        yield network
    finally:
        network.remove()
        network.release()


@pytest.mark.hosts
async def test_a_question_that_waits_at_a_host_that_vanishes_is_soon_asked_elsewhere(
    hosts: Hosts, network: Network
) -> None:
    """Nobody tells this gateway: it looks after its neighbours itself."""
    far = network.address(1)
    ear = network.inside(1, lambda: socket.create_server((far, PORT)))  # It never answers.
    enter = hosts.folder / "haproxy"
    enter.write_text(
        f'#!/bin/sh\nexec nsenter --net=/run/netns/{network.namespace(1)} haproxy "$@"\n'
    )
    enter.chmod(0o755)
    b = hosts.proxy("b", binary=str(enter), mesh_address=far)
    [inbound] = has(1).inbound
    await b.apply(
        Table(
            node="b",
            mesh_port=MESH_PORT,
            inbound=[msgspec.structs.replace(inbound, address=far)],
        )
    )
    there = msgspec.structs.replace(asks(1).routes[0].endpoints[0], address=far)
    here = Endpoint(slot=2, attempt=1, node="a", address=address(2), local=True)
    route = msgspec.structs.replace(asks().routes[0], endpoints=[there, here])
    near = [Neighbour(node="b", address=far, port=MESH_PORT)]
    a = hosts.proxy("a")
    said: list[tuple[int, str]] = []

    async def waits() -> None:
        said.append(await ask(VIP, BOUND))

    async with Server("s2", address(2), PORT), anyio.create_task_group() as tasks:
        await a.apply(Table(node="a", routes=[route], neighbours=near, mesh_port=MESH_PORT))
        await health(a, ",L6OK,")
        tasks.start_soon(a.run)
        tasks.start_soon(waits)
        tasks.start_soon(waits)
        line, _ = await anyio.to_thread.run_sync(ear.accept)
        await anyio.to_thread.run_sync(line.recv, 1)
        network.cut(1)
        since = time.monotonic()
        with anyio.fail_after(120):
            while len(said) < 2:
                await anyio.sleep(0.01)
        took_s = time.monotonic() - since
        tasks.cancel_scope.cancel()
    ear.close()
    line.close()
    print(f"{took_s:.1f} s")
    assert said == [(200, "s2")] * 2
    assert took_s < 20, "8 s, and time for a busy machine"


async def health(proxy: Proxy, wanted: str, near: str = "b") -> None:
    """Wait until a neighbour's health is as wanted."""
    with anyio.fail_after(30):
        while True:
            [said] = await runtime.ask_worker(proxy._worker_socket, [f"show stat {NODES} 4 -1"])
            lines = said.splitlines()
            if any(line.startswith(f"{NODES},{near},") and wanted in line for line in lines):
                return
            await anyio.sleep(0.05)


async def greetings(proxy: Proxy) -> int:
    [said] = await runtime.ask_worker(proxy._worker_socket, ["show info"])
    found = re.search(r"CumSslConns: (\d+)", said)
    assert found
    return int(found[1])


@pytest.mark.parametrize("words", ["http", "tcp"])
async def test_a_container_that_comes_to_another_host_is_led_to_without_a_reload(
    hosts: Hosts, words: str
) -> None:
    a, b = hosts.proxy("a"), hosts.proxy("b")
    http = words == "http"
    await b.apply(has(1))
    await a.apply(asks(1, http=http))
    await health(a, ",L6OK,")
    async with Server("s1", address(1), PORT), Server("s2", address(2), PORT):
        async with under_load((VIP, BOUND), clients=2) as tally:
            await b.apply(has(1, 2))
            await a.apply(asks(1, 2, http=http))
            with anyio.fail_after(60):
                while len(tally.answers) < 2:
                    await anyio.sleep(0.01)
            await a.apply(asks(1, 2, http=http, draining=1))
            with anyio.fail_after(60):
                while (await a.in_flight()).get(("shop/web", "1-1")):
                    await anyio.sleep(0.01)
            await a.apply(asks(2, http=http))
            await b.apply(has(2))
            await anyio.sleep(0.2)
        assert (a.reloads, b.reloads) == (0, 0)
        assert tally.failed == []


async def test_the_askers_address_reaches_the_container_and_connections_are_used_again(
    hosts: Hosts,
) -> None:
    a, b = hosts.proxy("a"), hosts.proxy("b")
    await b.apply(has(1))
    await a.apply(asks())
    await a.apply(asks(1))  # Told at run time: what is in a file has other defaults.
    await health(a, ",L6OK,")
    async with Server("s1", address(1), PORT):
        before = await greetings(b)
        for number in range(60):
            status, body = await ask(VIP, BOUND, "/headers", source=f"127.9.9.{number + 1}")
            assert status == 200
            assert f"'x-forwarded-for': '127.9.9.{number + 1}'" in body
        checks = 15  # Of the neighbour's health, meanwhile.
        assert await greetings(b) - before < 10 + checks, "60 requests, a few greetings"


async def test_a_server_told_at_run_time_is_as_well_as_its_nodes_gateway(hosts: Hosts) -> None:
    """It has no check of its own: what is added at run time would not greet by TLS for one."""
    a, b = hosts.proxy("a"), hosts.proxy("b")
    await b.apply(has(1))
    await a.apply(asks())
    await health(a, ",L6OK,")
    await a.apply(asks(1))
    assert (a.reloads, await a.unreached()) == (0, {})
    async with Server("s1", address(1), PORT):
        assert await ask(VIP, BOUND) == (200, "s1")
        await b.stop()
        with anyio.fail_after(30):
            while True:
                [said] = await runtime.ask_worker(a._worker_socket, ["show stat -1 4 -1"])
                if "1-1" in runtime.read_down(said):
                    break
                await anyio.sleep(0.05)
    assert list(await a.unreached()) == ["b"]


async def test_a_certificate_for_another_node_is_not_believed(hosts: Hosts) -> None:
    a, b = hosts.proxy("a"), hosts.proxy("b", named="c")
    await b.apply(has(1))
    await a.apply(asks(1))
    await health(a, ",L6RSP,")
    assert (await ask(VIP, BOUND))[0] == 503


async def test_who_has_no_certificate_of_the_authority_gets_nowhere(hosts: Hosts) -> None:
    b = hosts.proxy("b")
    await b.apply(has(1))
    for name, by in (("friend", hosts.authority), ("stranger", founded("stranger"))):
        pair = issued(by, "a", ["*.a.node.segue.internal"])
        (hosts.folder / f"{name}.pem").write_text(pair.certificate + pair.key)
    wanted = inbound_name("shop", "web", "1-1", PORT, "b")

    async def says(shown: str) -> str:
        certificate = str(hosts.folder / f"{shown}.pem") if shown else ""
        return await ask_past_gateway(MESH, MESH_PORT, wanted, certificate)

    async with Server("s1", address(1), PORT):
        assert "200 OK" in await says("friend")
        with pytest.raises(OSError, match="alert"):
            await says("stranger")
        with pytest.raises(OSError, match="alert"):
            await says("")


async def test_a_server_cannot_be_told_of_a_certificate_that_no_file_has_loaded(
    hosts: Hosts,
) -> None:
    """So the backend of neighbours loads them also where there are none yet."""
    a = hosts.proxy("a")
    await a.apply(Table(node="a", mesh_port=MESH_PORT, routes=asks().routes))
    home = pathlib.Path(a.setting.folder)
    (home / "other.pem").write_bytes((home / "node.pem").read_bytes())
    add = f"add server shop.web:{PORT}/x {MESH}:1 ssl verify none crt {home}"
    unknown, known = await runtime.ask_worker(
        a._worker_socket, [f"{add}/other.pem", f"{add}/node.pem"]
    )
    assert "registered" not in unknown
    assert "registered" in known


async def test_a_plain_mesh_asks_nobodys_certificate(hosts: Hosts) -> None:
    strange = founded("other")
    a = hosts.proxy("a", plain=True)
    b = hosts.proxy("b", named="x", by=strange, plain=True)
    await b.apply(has(1))
    await a.apply(asks(1))
    await health(a, ",L6OK,")
    async with Server("s1", address(1), PORT):
        assert await ask(VIP, BOUND) == (200, "s1")
