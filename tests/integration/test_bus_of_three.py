"""What a writer meets on three real servers, each on a host of its own, while they elect."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from segue.bus import connect
from segue.bus.stream import Plan
from segue.log import Message
from segue.testing.hosts import Hosts
from segue.testing.nats_cluster import NatsCluster

pytestmark = pytest.mark.engine


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsCluster]:
    with Hosts(3, tmp_path / "hosts") as hosts, NatsCluster(hosts, tmp_path / "bus") as servers:
        yield servers


async def test_no_try_to_write_takes_longer_than_it_may_while_a_leader_is_elected(
    servers: NatsCluster,
) -> None:
    async with await connect(servers.settings, name="test") as bus:
        await bus.set_up(Plan(bytes_max=10**8))
        servers.leader().kill()
        took = []
        kind = ""
        while kind != "stored":
            begun = time.monotonic()
            kind = (await bus.append([Message("load.x", "1", b"")], timeout_s=0.5)).kind
            took.append(time.monotonic() - begun)
        assert len(took) > 1, "there was an election"
        assert max(took) < 3.0
        assert [message.sequence async for message in bus.read()] == [1]
