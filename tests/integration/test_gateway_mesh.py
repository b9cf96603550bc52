"""Two real proxies as two hosts: what leads from one to the other, and whom it refuses."""

import pathlib
import re
from collections.abc import AsyncIterator

import anyio
import pytest
from segue.testing.load import Server, ask, ask_past_gateway, under_load
from segue.testing.proxies import (
    BOUND,
    MESH,
    MESH_PORT,
    PORT,
    VIP,
    Proxies,
    address,
    asks,
    has,
    health,
)
from segue_cli.authority import founded, issued
from segue_gateway import runtime
from segue_gateway.proxy import Proxy
from segue_gateway.table import Table, inbound_name


@pytest.fixture
async def hosts(tmp_path: pathlib.Path) -> AsyncIterator[Proxies]:
    hosts = Proxies(tmp_path)
    yield hosts
    for one in hosts.made:
        await one.stop()


async def greetings(proxy: Proxy) -> int:
    [said] = await runtime.ask_worker(proxy._worker_socket, ["show info"])
    found = re.search(r"CumSslConns: (\d+)", said)
    assert found
    return int(found[1])


@pytest.mark.parametrize("words", ["http", "tcp"])
async def test_a_container_that_comes_to_another_host_is_led_to_without_a_reload(
    hosts: Proxies, words: str
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
    hosts: Proxies,
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


async def test_a_server_told_at_run_time_is_as_well_as_its_nodes_gateway(hosts: Proxies) -> None:
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


async def test_a_certificate_for_another_node_is_not_believed(hosts: Proxies) -> None:
    a, b = hosts.proxy("a"), hosts.proxy("b", named="c")
    await b.apply(has(1))
    await a.apply(asks(1))
    await health(a, ",L6RSP,")
    assert (await ask(VIP, BOUND))[0] == 503


async def test_who_has_no_certificate_of_the_authority_gets_nowhere(hosts: Proxies) -> None:
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
        assert " 200 " in await says("friend")
        with pytest.raises(OSError, match="alert"):
            await says("stranger")
        with pytest.raises(OSError, match="alert"):
            await says("")


async def test_a_server_cannot_be_told_of_a_certificate_that_no_file_has_loaded(
    hosts: Proxies,
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


async def test_a_plain_mesh_asks_nobodys_certificate(hosts: Proxies) -> None:
    strange = founded("other")
    a = hosts.proxy("a", plain=True)
    b = hosts.proxy("b", named="x", by=strange, plain=True)
    await b.apply(has(1))
    await a.apply(asks(1))
    await health(a, ",L6OK,")
    async with Server("s1", address(1), PORT):
        assert await ask(VIP, BOUND) == (200, "s1")
