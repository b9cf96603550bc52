"""Real proxies as hosts: what dies there costs no more than it must; a container hears who asks."""

import asyncio
import contextlib
import pathlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import msgspec
import pytest
from segue.testing.load import Server, ask
from segue.testing.network import Network
from segue.testing.proxies import (
    BOUND,
    MESH_PORT,
    PORT,
    VIP,
    Proxies,
    address,
    asks,
    at,
    has,
    health,
)
from segue_gateway.table import (
    Endpoint,
    Inbound,
    Neighbour,
    Port,
    Route,
    Table,
    inbound_name,
)


@pytest.fixture
async def hosts(tmp_path: pathlib.Path) -> AsyncIterator[Proxies]:
    hosts = Proxies(tmp_path)
    yield hosts
    for one in hosts.made:
        await one.stop()


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
    hosts: Proxies, words: str
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


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a connection with the asker's address, as PROXY v2 has it before all else."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readexactly(16)
        more = await reader.readexactly(int.from_bytes(head[14:16], "big"))
        is_told = head[:13] == b"\r\n\r\n\0\r\nQUIT\n\x21"
        writer.write(socket.inet_ntoa(more[:4]).encode() if is_told else b"nobody")
    writer.close()


async def test_who_asks_is_told_to_a_container_that_wants_it_on_any_host(hosts: Proxies) -> None:
    """The first is on this host, the other on another; a third has died there, and is led past."""
    a, b = hosts.proxy("a"), hosts.proxy("b")

    def made(slot: int, node: str, asker: str) -> Endpoint:
        is_local = node == asker
        return Endpoint(
            slot=slot,
            attempt=1,
            node=node,
            address=address(slot) if is_local else at(node),
            port=0 if is_local else MESH_PORT,
            local=is_local,
            proxied=[PORT],
        )

    def table(node: str, *slots: tuple[int, str]) -> Table:
        [route] = asks().routes
        found = [made(slot, where, node) for slot, where in slots]
        alone = {} if node == "a" else {"vip": "", "sources": []}
        inbound = [
            msgspec.structs.replace(one, proxied=True)
            for one in has(*(slot for slot, where in slots if where == "b")).inbound
        ]
        return Table(
            node=node,
            routes=[msgspec.structs.replace(route, ports=[Port(PORT)], endpoints=found, **alone)],
            inbound=inbound if node == "b" else [],
            neighbours=asks().neighbours if node == "a" else [],
            mesh_port=MESH_PORT,
        )

    async def says() -> str:
        reader, writer = await asyncio.open_connection(VIP, BOUND, local_addr=("127.9.9.7", 0))
        writer.write(b"hello")
        said = (await reader.read()).decode()
        writer.close()
        return said

    async with (
        await asyncio.start_server(tell, address(1), PORT),
        await asyncio.start_server(tell, address(2), PORT),
    ):
        for slots in ([(1, "a")], [(2, "b")], [(2, "b"), (3, "b")], [(1, "a"), (2, "b")]):
            await b.apply(table("b", *slots))
            await a.apply(table("a"))
            await a.apply(table("a", *slots))  # Told at run time.
            await health(a, ",L6OK,")
            assert {await says() for _ in range(6)} == {"127.9.9.7"}
        assert a.reloads == 0


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
    hosts: Proxies, network: Network
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
