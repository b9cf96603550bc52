"""What dies on three hosts costs those who ask nothing, or little: containers, gateways, hosts."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from segue.events.container import ContainerFailed
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.events.node import NodeLost
from segue.testing.crowd import comes_back
from segue.testing.hosts import Hosts
from segue.testing.load import Tally, ask, ask_past_gateway, under_load
from segue.testing.mesh import HTTP_PORT, Mesh, in_all_ways, meshed, web
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]
CLIENTS = 18  # A third by GET, a third by POST, a third over TCP connections.


@pytest.fixture
async def bed(tmp_path: Path, hosts: Hosts, servers: NatsCluster) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path, hosts, servers) as bed:
        await bed.deploy({"web": web(6)})
        await bed.led_to("web", *range(1, 7))
        assert bed.hosts_of("web") == {"host-1", "host-2", "host-3"}
        yield bed


def kill_one(bed: Mesh, number: int) -> None:
    """Kill one of a host's containers, as its engine is told to."""
    host = bed.hosts[number]
    host.engine.ask("POST", f"/containers/{bed.container(host, 'web')}/kill")


def only_what_was_under_way_is_lost(tally: Tally, deaths: int = 1) -> None:
    """No GET; of POSTs and TCP connections at most what each client had begun."""
    print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s; lost: {dict(tally.lost)}")
    assert tally.lost["GET"] == 0, tally.failed
    assert sum(tally.lost.values()) <= CLIENTS * 2 // 3 * deaths, tally.failed


async def test_a_container_that_is_killed_costs_no_request_on_whichever_host_it_was(
    bed: Mesh,
) -> None:
    places = in_all_ways(*bed.hosts)
    async with under_load(*places, clients=CLIENTS, pause_s=0.05, keep=True) as tally:
        await tally.more()
        for number in (1, 2, 3):
            head = await bed.head()
            await anyio.to_thread.run_sync(kill_one, bed, number)
            await bed.wait_event(ContainerFailed, after=head)
            await bed.wait_event(EndpointReady, after=head)
            await tally.more()
    only_what_was_under_way_is_lost(tally, deaths=3)


async def test_a_host_that_dies_costs_those_who_ask_others_no_request(bed: Mesh) -> None:
    places = in_all_ways(bed.hosts[1], bed.hosts[2])
    async with under_load(*places, clients=CLIENTS, pause_s=0.05, keep=True) as tally:
        await tally.more()
        head = await bed.head()
        bed.hosts[3].cut()
        await anyio.to_thread.run_sync(bed.hosts[3].kill)
        await bed.wait_event(NodeLost, after=head, node="host-3")
        await bed.wait_event(EndpointReady, after=head)
        await tally.more()
    await comes_back(bed, bed.hosts[3])
    only_what_was_under_way_is_lost(tally)


async def test_a_gateway_that_is_killed_with_its_proxy_costs_those_who_ask_others_no_request(
    bed: Mesh,
) -> None:
    places = in_all_ways(bed.hosts[1], bed.hosts[2])
    async with under_load(*places, clients=CLIENTS, pause_s=0.05, keep=True) as tally:
        await tally.more()
        head = await bed.head()
        bed.kill_gateway(bed.hosts[3])
        await tally.more(200)
        bed.start("gateway", "host-3")
        await bed.wait_event(GatewayJoined, after=head, node="host-3")
        await tally.more()
    only_what_was_under_way_is_lost(tally)
    assert (await ask(bed.hosts[3].address, HTTP_PORT))[0] == 200


async def test_without_a_bus_gateways_lead_on_over_their_restart_and_leave_the_dead_out(
    bed: Mesh,
) -> None:
    for server in bed.servers.servers:
        await anyio.to_thread.run_sync(server.kill)
    first = bed.hosts[1]
    bed.kill_gateway(first)
    bed.start("gateway", "host-1")
    with anyio.fail_after(60):
        while True:
            try:
                assert (await ask(first.address, HTTP_PORT))[0] == 200
                break
            except OSError:
                await anyio.sleep(0.05)
    places = [(bed.hosts[number].address, HTTP_PORT) for number in (1, 2)]
    async with under_load(*places, clients=8, pause_s=0.05, keep=True) as tally:
        await tally.more(200)
        assert len(tally.answers) == 6, "all of them, as before"
        await anyio.to_thread.run_sync(kill_one, bed, 1)
        await tally.more(200)
        await anyio.to_thread.run_sync(kill_one, bed, 2)
        await tally.more(200)
        print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s")
        assert tally.failed == []
        bed.kill_gateway(bed.hosts[3])
        await tally.more(200)
    print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s")
    assert tally.failed == []
    await anyio.to_thread.run_sync(bed.servers.restore)
    head = await bed.head()
    bed.start("gateway", "host-3")
    await bed.wait_event(GatewayJoined, after=head, node="host-3", within_s=120)


async def test_a_plain_mesh_leads_across_hosts_and_asks_for_no_certificate(
    tmp_path: Path, hosts: Hosts, servers: NatsCluster
) -> None:
    async with meshed(tmp_path, hosts, servers, "plain") as bed:
        asks = {"image": "busybox:test", "command": ["sleep", "1000"]}
        await bed.deploy({"web": web(1), "asks": {**asks, "deploy": {"mode": "global"}}})
        await bed.led_to("web", 1)
        for host in hosts:
            assert (await ask(host.address, HTTP_PORT))[0] == 200
            said = await bed.run_in(host, "asks", f"wget -q -O - http://web:{HTTP_PORT}/")
            assert said.startswith("v1 ")
        [name] = bed.hosts_of("web")
        [host] = [one for one in hosts if one.name == name]
        wanted = await bed.inbound("web", 1, HTTP_PORT)
        assert "200 OK" in await ask_past_gateway(host.address, 7443, wanted)
