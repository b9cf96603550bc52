"""Whoever asks a service on another host does not notice that it moves, is replaced or dies."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from segue.events.deploy import DeployRequested, DeployReverted
from segue.events.node import (
    NodeDrained,
    NodeDrainRequested,
    NodeUncordoned,
    NodeUncordonRequested,
)
from segue.testing.hosts import Hosts
from segue.testing.load import line, under_load
from segue.testing.mesh import HTTP_PORT, TCP_PORT, Mesh, in_all_ways, meshed, on, web
from segue.testing.nats_cluster import NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]
ASKS = f"""
until wget -q -O /tmp/body http://web:{HTTP_PORT}/; do sleep 0.05; done
while :; do
  wget -q -O /tmp/body http://web:{HTTP_PORT}/ || echo -n failed > /tmp/body
  cat /tmp/body >> /tmp/said
  echo >> /tmp/said
  sleep 0.02
done
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def bed(
    tmp_path_factory: pytest.TempPathFactory, hosts: Hosts, servers: NatsCluster
) -> AsyncIterator[Mesh]:
    async with meshed(tmp_path_factory.mktemp("mesh"), hosts, servers) as bed:
        yield bed


async def test_a_service_that_is_moved_to_another_host_is_reached_by_name_all_the_while(
    bed: Mesh,
) -> None:
    asks = {"image": "busybox:test", "command": ["sh", "-c", ASKS], "stop_signal": "SIGKILL"}
    elsewhere = {"placement": {"constraints": ["node.id != host-1"]}}
    services = {
        "web": web(3, deploy={"replicas": 3, **elsewhere}),
        "asks": {**asks, "deploy": on(bed.hosts[1])},
    }
    await bed.deploy(services)
    await bed.led_to("web", 1, 2, 3)
    assert bed.hosts_of("web") == {"host-2", "host-3"}
    places = in_all_ways(bed.hosts[1], bed.hosts[3])
    async with under_load(*places, clients=12, pause_s=0.05, keep=True) as tally:
        await tally.more()
        head = await bed.head()
        await bed.say(NodeDrainRequested(node="host-2"))
        await bed.wait_event(NodeDrained, after=head, node="host-2")
        assert bed.hosts_of("web") == {"host-3"}
        await tally.more()
    await bed.say(NodeUncordonRequested(node="host-2"))
    await bed.wait_event(NodeUncordoned, after=head)
    answers = (await bed.run_in(bed.hosts[1], "asks", "cat /tmp/said")).splitlines()
    print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s; {len(answers)} by name")
    assert tally.failed == []
    assert "failed" not in answers
    assert set(answers) == set(tally.answers)


async def test_ten_replicas_are_replaced_under_load_and_no_request_or_line_is_cut(
    bed: Mesh,
) -> None:
    more: dict[str, Any] = {
        "x-segue": {"probe": {"readiness": {"tcp": HTTP_PORT}}, "drain": "120s"}
    }
    deploy = {"replicas": 10, "update_config": {"monitor": "1s", "parallelism": 4}}
    await bed.deploy({"web": web(10, version="old", deploy=deploy, **more)})
    await bed.led_to("web", *range(1, 11))
    assert bed.hosts_of("web") == {"host-1", "host-2", "host-3"}
    places = in_all_ways(*bed.hosts)
    at = bed.hosts[1].address
    async with (
        under_load(*places, clients=18, pause_s=0.05, keep=True) as tally,
        line(at, TCP_PORT) as tcp,
        line(at, HTTP_PORT, upgraded=True) as socket,
        anyio.create_task_group() as tasks,
    ):
        said = 0

        async def talk() -> None:
            nonlocal said
            while True:
                for held in (tcp, socket):
                    assert (await held.say(f"word {said}")).endswith(f"word {said}")
                    said += 1
                await anyio.sleep(0.1)

        tasks.start_soon(talk)
        await tally.more()
        head = await bed.head()
        await bed.deploy({"web": web(10, version="v2", deploy=deploy, **more)})
        await bed.led_to("web", *range(1, 11), after=head)
        await tally.more()
        tasks.cancel_scope.cancel()
    print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s; {said} words")
    assert tally.failed == []
    assert {words.split()[0] for words in tally.answers} == {"old", "v2"}
    assert len(tally.answers) == 20


async def test_a_canary_that_never_answers_its_probe_is_taken_back_and_nobody_notices(
    bed: Mesh,
) -> None:
    await bed.deploy({"web": web(3)})
    await bed.led_to("web", 1, 2, 3)
    places = in_all_ways(*bed.hosts)
    async with under_load(*places, clients=18, pause_s=0.05, keep=True) as tally:
        await tally.more()
        head = await bed.head()
        ours = {
            "probe": {"readiness": {"tcp": 9}},  # Nothing listens there.
            "rollout": {"strategy": "canary", "canary": 1, "deadline": "3s"},
        }
        services = {"web": web(3, version="v2", **{"x-segue": ours})}
        await bed.say(DeployRequested(app="shop", compose={"services": services}))
        await bed.wait_event(DeployReverted, after=head, app="shop")
        await tally.more()
    print(f"{tally.asked} requests, the slowest {tally.slowest_s:.2f} s")
    assert tally.failed == []
    assert {words.split()[0] for words in tally.answers} == {"v1"}
