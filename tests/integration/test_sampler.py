"""What a node says its containers use is what the engine says, and costs little."""

import pathlib
import time

import anyio
import msgspec
import pytest
from segue.samples import CONTAINER_SAMPLES, NodeSample
from segue.testing.engine import Engine
from segue.testing.one_node import NODE, one_node
from segue_node_runner.cgroups import Cgroups

pytestmark = pytest.mark.engine
BUSY = ["sh", "-c", "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; sleep 1000"]


async def test_the_kernels_files_say_what_the_engine_says(
    tmp_path: pathlib.Path, docker_engine: Engine
) -> None:
    async with one_node(tmp_path, docker_engine) as node:
        await node.deploy(BUSY)
        started = await node.up()
        engine_id, pid = started.event.engine_id, started.event.pid  # type: ignore[attr-defined]  # By the wait.
        cgroups = Cgroups()
        before = cgroups.usage(engine_id, pid)
        stats = docker_engine.ask("GET", f"/containers/{engine_id}/stats", stream="false")
        after = cgroups.usage(engine_id, pid)
        assert before is not None
        assert after is not None
        said_s = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        assert 0 < before.cpu_s <= said_s <= after.cpu_s
        assert after.memory_bytes == pytest.approx(stats["memory_stats"]["usage"], abs=4 << 20)
        begun = time.process_time()
        for _ in range(100):
            cgroups.usage(engine_id, pid)
        print(f"{(time.process_time() - begun) * 10_000:.0f} us of CPU for a container")


async def test_a_node_says_over_and_over_what_its_containers_use(
    tmp_path: pathlib.Path, docker_engine: Engine
) -> None:
    async with one_node(tmp_path, docker_engine) as node:
        heard: list[NodeSample] = []
        await node.deploy(BUSY)
        await node.up()
        with anyio.fail_after(20):
            async for subject, data in node.cluster.bus.listen(CONTAINER_SAMPLES):
                assert subject == f"sample.containers.{NODE}"
                heard.append(msgspec.json.decode(data, type=NodeSample))
                if len(heard) == 2:
                    break
        first, second = heard
        assert second.at_s > first.at_s
        (one,) = second.containers
        assert (one.app, one.service, one.slot, one.attempt) == ("shop", "web", 1, 1)
        assert one.cpu_s >= first.containers[0].cpu_s > 0
