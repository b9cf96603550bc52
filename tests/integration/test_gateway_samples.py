"""What a real HAProxy counts of real requests is what a gateway says, and what replicas follow."""

import os
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.gateway import EndpointReady
from segue.events.leader import LeaderElected
from segue.events.load import LoadHigh
from segue.events.scale import ScaleDecided
from segue.samples import GATEWAY_SAMPLES, GatewaySample, ServiceTraffic
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.load import Server, ask, line, under_load
from segue.testing.ports import free_port
from segue.testing.puppet_node import PuppetNode
from segue_gateway.certificates import Certificates
from segue_gateway.proxy import Proxy
from segue_gateway.render import Setting
from segue_gateway.table import Endpoint, Port, Route, Table
from segue_gateway.traffic import Meter
from segue_gateway.vips import bind_ports

# Of each process its own, also of one that was killed and has left a proxy behind.
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
VIP, BEHIND, HTTP, TCP = f"{NET}.5", f"{NET}.15", 18_080, 18_081
PUBLISHED = free_port()
WEB: dict[str, Any] = {"app": "shop", "service": "web"}


class Counter:
    """A proxy before two servers, and what it tells of them from one call to the next."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy, self.meter = proxy, Meter()

    async def look(self) -> ServiceTraffic:
        services, workers = await self.proxy.traffic()
        [found] = self.meter.measured(workers, services, time.monotonic())
        return found

    async def asked(self, count: int) -> None:
        async with under_load((VIP, bind_ports([HTTP, TCP])[HTTP]), clients=8) as tally:
            await tally.more(count)


async def nothing(_: str) -> bytes | None:
    return None


def table(*more: Route) -> Table:
    at = Endpoint(slot=1, attempt=1, node="a", address=BEHIND, local=True)
    ports = [Port(number=HTTP, http=True), Port(number=TCP)]
    web = Route(**WEB, vip=VIP, sources=["127.0.0.0/8"], ports=ports, endpoints=[at])
    return Table(node="a", routes=[web, *more])


@pytest.fixture
async def counter(tmp_path: pathlib.Path) -> AsyncIterator[Counter]:
    setting = Setting(folder=str(tmp_path / "run"))
    proxy = Proxy("haproxy", setting, Certificates(tmp_path / "certificates", nothing))
    try:
        yield Counter(proxy)
    finally:
        await proxy.stop()


async def test_requests_errors_and_latency_are_those_that_were_asked(counter: Counter) -> None:
    async with Server("s", BEHIND, HTTP) as server:
        await counter.proxy.apply(table())
        await counter.look()
        begun = time.monotonic()
        await counter.asked(120)
        found = await counter.look()
        asked = server.asked.total()
        assert found.rps * (time.monotonic() - begun) == pytest.approx(asked, rel=0.5)
        assert found.errors == 0.0
        assert asked - 8 <= found.timed <= asked, "of the last ones it may not know the end yet"
        quick_s = found.latency_s
        server.pause_s, server.status = 0.3, 503
        await counter.asked(200)
        found = await counter.look()
        assert found.errors == found.rps > 0.0
        assert found.latency_s > 0.28, "the mean of what was asked since, not of all"
        server.pause_s, server.status = 0.0, 200
        await counter.asked(200)
        found = await counter.look()
        assert found.latency_s < 0.1 + 2 * quick_s


async def test_connections_are_in_flight_in_old_workers_too(counter: Counter) -> None:
    at = bind_ports([HTTP, TCP])[TCP]
    async with Server("s", BEHIND, TCP):
        await counter.proxy.apply(table())
        async with line(VIP, at) as first:
            assert await first.say("one") == "s one"
            await counter.look()
            other = Route(app="shop", service="other", ports=[Port(number=1)])
            await counter.proxy.apply(table(other))
            assert counter.proxy.reloads == 1
            async with line(VIP, at) as second:
                assert await second.say("two") == "s two"
                services, workers = await counter.proxy.traffic()
                web, _ = counter.meter.measured(workers, services, time.monotonic())
                assert (web.inflight, len(workers)) == (2, 2)
                assert web.rps > 0.0


COMPOSE: dict[str, Any] = {
    "services": {
        "web": {
            "image": "web:1",
            "ports": [{"target": HTTP, "published": str(PUBLISHED), "app_protocol": "http"}],
            "x-autoscale": {"max": 4, "target": {"rps": 20, "inflight": 1_000}},
        }
    }
}


async def led(cluster: Cluster, tasks: anyio.abc.TaskGroup) -> None:
    """Start everything but an engine, and have the gateway lead to the first container."""
    cluster.start_control()
    await tasks.start(PuppetNode(cluster.bus, "node-a", places={1: BEHIND}).run)
    cluster.start_gateway("node-a")
    for service in CONTROL:
        await cluster.wait_event(LeaderElected, service=service)
    await cluster.say(DeployRequested(app="shop", compose=COMPOSE))
    await cluster.wait_event(DeployCompleted, app="shop")
    await cluster.wait_event(EndpointReady, **WEB, slot=1)


async def test_real_requests_become_replicas(tmp_path: pathlib.Path) -> None:
    async with (
        running(tmp_path) as cluster,
        Server("s", BEHIND, HTTP),
        anyio.create_task_group() as tasks,
    ):
        await led(cluster, tasks)
        assert (await ask("127.0.0.1", PUBLISHED))[0] == 200
        async with under_load(("127.0.0.1", PUBLISHED), clients=8):
            heard = await sampled(cluster)
            high = await cluster.wait_event(LoadHigh, **WEB, metric="rps")
            decided = await cluster.wait_event(ScaleDecided, **WEB)
        assert decided.cause_key == high.key
        [rps] = [one for one in decided.event.inputs if one.metric == "rps"]  # type: ignore[attr-defined]  # By the wait.
        assert rps.value > 22.0
        assert heard.rps > 0.0
        tasks.cancel_scope.cancel()


async def sampled(cluster: Cluster) -> ServiceTraffic:
    """Give the first sample that tells of requests."""
    decode = msgspec.json.Decoder(GatewaySample).decode
    with anyio.fail_after(60):
        async for subject, data in cluster.bus.listen(GATEWAY_SAMPLES):
            assert subject == "sample.gateways.node-a"
            [found] = decode(data).services
            if found.rps:
                return found
    raise AssertionError("nothing was said")
