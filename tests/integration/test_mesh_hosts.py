"""Services on three hosts are reached from each of them, and nothing else of a host is."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from segue.testing.hosts import Host, Hosts
from segue.testing.load import ask, ask_past_gateway, line
from segue.testing.mesh import HTTP_PORT, SITE, TCP_PORT, Mesh, meshed, on, web
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]
SLEEPER = {"image": "busybox:test", "command": ["sleep", "1000"]}

NOT_ON_3 = {
    "replicas": 2,
    "placement": {"constraints": ["node.id != host-3"], "max_replicas_per_node": 1},
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def bed(
    tmp_path_factory: pytest.TempPathFactory,
    hosts: Hosts,
    servers: NatsCluster,
) -> AsyncIterator[Mesh]:
    """`web` on host 1, `pair` on hosts 1 and 2, and somebody on each host who asks."""
    async with meshed(tmp_path_factory.mktemp("mesh"), hosts, servers) as bed:
        bed.lead_out()
        only: dict[str, Any] = {"ports": [], "x-ingress": [], "expose": [HTTP_PORT]}
        await bed.deploy(
            {
                "web": web(1, deploy=on(hosts[1])),
                "pair": web(2, **only, deploy={"endpoint_mode": "dnsrr", **NOT_ON_3}),
                "asks": {**SLEEPER, "deploy": {"mode": "global"}},
            }
        )
        await bed.deploy({"web": web(1, **only, deploy=on(hosts[1]))}, app="blog")
        await bed.led_to("web", 1)
        await bed.led_to("pair", 1, 2)
        await bed.led_to("web", 1, app="blog")
        yield bed


async def test_a_published_port_of_any_host_leads_to_the_one_that_has_the_service(
    bed: Mesh,
) -> None:
    for host in bed.hosts:
        status, body = await ask(host.address, HTTP_PORT)
        assert (status, body.split()[0]) == (200, "v1")
        async with line(host.address, TCP_PORT) as held:
            assert (await held.say("word")).endswith(" word")
        async with line(host.address, HTTP_PORT, upgraded=True) as held:
            assert (await held.say("word")).endswith(" word")


async def test_a_host_name_leads_there_on_any_host(bed: Mesh) -> None:
    for host in bed.hosts:
        assert (await ask(host.address, 80, host=SITE))[0] == 200
        assert (await ask(host.address, 80, host="other.test"))[0] == 404


async def test_containers_reach_a_service_of_their_app_on_another_host_by_name(bed: Mesh) -> None:
    for host in bed.hosts:
        for name in ("web", "web.shop", "web.shop.segue.internal"):
            said = await bed.run_in(host, "asks", f"wget -q -O - http://{name}:{HTTP_PORT}/")
            assert said.startswith("v1 "), f"{name} from {host.name}"
        said = await bed.run_in(host, "asks", f"echo echo | nc web {TCP_PORT}")
        assert said == ""
        said = await bed.run_in(host, "asks", f"wget -O - http://web.blog:{HTTP_PORT}/ 2>&1")
        assert "bad address" in said, "another app's is unknown"


async def test_a_round_robin_name_leads_to_the_containers_here_or_else_to_those_elsewhere(
    bed: Mesh,
) -> None:
    for host in bed.hosts:
        asked = (
            f"nslookup pair; for i in 1 2 3 4; do wget -q -O - http://pair:{HTTP_PORT}/; echo; done"
        )
        said = (await bed.run_in(host, "asks", asked)).splitlines()
        addresses = [one for one in said if one.startswith("Address: ")]
        answers = {one for one in said if one.startswith("v1 ")}
        is_virtual = ["10.213." in one for one in addresses]
        assert (is_virtual, len(answers)) == (([True], 2) if host.number == 3 else ([False], 1)), (
            f"{host.name}: {said}"
        )


EARS = """
import asyncio, sys
async def serve(reader, writer):
    writer.write(b"heard"); writer.close()
async def main():
    for port in (2375, 9999):
        await asyncio.start_server(serve, "0.0.0.0", port)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_from_inside_no_host_s_bus_engine_or_proxy_is_reached(bed: Mesh) -> None:
    ears = [host.run("ears", ["python3", "-c", EARS]) for host in bed.hosts]
    guarded = (4222, 6222, 7443, 2375)  # The bus, its routes, the mesh, an engine.
    tries = [(host, port) for host in bed.hosts for port in (*guarded, 9999)]
    try:
        for host, port in tries:
            await reached(host, port)
        for host in bed.hosts:
            asked = " ".join(
                f"(sleep 2 | timeout 9 nc {other.address} {port} 2>&1 | grep -q heard && "
                f"echo {other.address} {port}) &"
                for other, port in tries
            )
            said = (await bed.run_in(host, "asks", f"{asked} wait")).splitlines()
            others = [one for one in bed.hosts if one is not host]
            assert sorted(said) == [f"{one.address} 9999" for one in others], "an open port"
    finally:
        for host, ear in zip(bed.hosts, ears, strict=True):
            ear.kill()
            host.units.remove(ear)


async def reached(host: Host, port: int) -> None:
    with anyio.fail_after(60):
        while True:
            with contextlib.suppress(OSError):
                async with await anyio.connect_tcp(host.address, port):
                    return
            await anyio.sleep(0.05)


async def test_no_socket_of_the_host_is_in_a_container(bed: Mesh) -> None:
    assert (
        await bed.run_in(bed.hosts[1], "asks", "find / -type s; cat /proc/net/unix | tail -n +2")
        == ""
    )


async def test_the_mesh_leads_nobody_without_a_certificate_of_the_authority(bed: Mesh) -> None:
    host, name = bed.hosts[1], await bed.inbound("web", 1, HTTP_PORT)
    own = str(host.folder / "gateway/node.pem")
    assert "200 OK" in await ask_past_gateway(host.address, 7443, name, own)
    with pytest.raises(OSError, match="alert"):
        await ask_past_gateway(host.address, 7443, name)
