"""A slot that moves within its node, on a real engine: the older works on until it is retired."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec
import pytest
from segue import asks
from segue.events.container import ContainerFailed, ContainerStarted, ContainerStopped
from segue.events.node import NodeJoined
from segue.spec import NetworkRef, NetworkSpec
from segue.testing.engine import Engine as RealEngine
from segue.testing.one_node import NODE, OneNode, one_node
from segue_node_runner import streams
from segue_node_runner.effects import Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError

pytestmark = pytest.mark.engine
SERVE = "echo -n hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: RealEngine) -> AsyncIterator[OneNode]:
    async with one_node(tmp_path, docker_engine) as running:
        yield running


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


def moving(order: Callable[..., Start], moves: int, **more: Any) -> Start:
    return msgspec.structs.replace(order(**more), moves=moves)


async def test_the_newer_gets_the_slots_name_and_the_older_is_reached_as_before(
    node_engine: Engine, order: Callable[..., Start], cluster: str
) -> None:
    network = {"networks": {"default": NetworkSpec(name=f"{cluster}_default")}}

    def server(attempt: int, moves: int, alias: str) -> Start:
        networks = {"default": NetworkRef(aliases=[alias])}
        command = ["sh", "-c", SERVE]
        more = {"app": network, "networks": networks, "attempt": attempt, "command": command}
        return moving(order, moves, **more)

    async def reached(alias: str) -> bool:
        fetch = f"for i in $(seq 50); do wget -qO- http://{alias}:8080 && exit; sleep 0.1; done"
        program = ["sh", "-c", f"{fetch}; exit 1"]
        async with streams.execution(node_engine.calls, "shop.client.1", program) as running:
            async for _ in running.output:
                pass
            return await running.ended() == 0

    client = order(service="client", app=network, networks={"default": NetworkRef()})
    await node_engine.start(client, nothing)
    first = await node_engine.start(server(1, 0, "one"), nothing)
    second = await node_engine.start(server(2, 1, "two"), nothing)
    assert second.found.name == "shop.web.1"
    older = await node_engine.find(first.found.engine_id)
    assert older is not None
    assert older.runs
    assert (older.name, older.pid) == (
        f"shop.web.1.1.{older.engine_id[:12]}",
        first.found.pid,
    )
    assert older.addresses == first.found.addresses
    assert await reached("one")
    assert await reached("two")
    await node_engine.stop(first.found.engine_id, 1)
    await node_engine.remove(first.found.engine_id)
    assert await reached("two")


async def test_only_the_one_that_is_moved_may_run_on(
    node_engine: Engine, order: Callable[..., Start]
) -> None:
    await node_engine.start(order(attempt=2), nothing)
    with pytest.raises(EngineError, match=r"attempt 2 of shop.web.1 still runs here"):
        await node_engine.start(moving(order, 1, attempt=3), nothing)
    again = await node_engine.start(moving(order, 2, attempt=3), nothing)
    with pytest.raises(EngineError, match="has attempt 3 here; 2 is over"):
        await node_engine.start(order(attempt=2), nothing)
    adopted = await node_engine.start(moving(order, 2, attempt=3), nothing)
    assert (adopted.adopted, adopted.found.engine_id) == (True, again.found.engine_id)


async def test_a_killed_runner_finds_both_and_ends_the_older_when_told(host: OneNode) -> None:
    await host.deploy(["sh", "-c", "echo attempt $SEGUE_ATTEMPT; exec sleep 1000"])
    first = (await host.up()).event
    second = (await host.up(attempt=2, moves=1)).event
    joined = (await host.restart()).event
    assert isinstance(joined, NodeJoined)
    assert [(held.attempt, held.running) for held in joined.inventory] == [(1, True), (2, True)]
    await anyio.sleep(1.0)  # Whatever the new runner would do, it would have begun by now.
    pids = {
        one["Labels"]["segue.attempt"]: host.engine.ask("GET", f"/containers/{one['Id']}/json")
        for one in host.engine.containers()
        if one["Labels"]["segue.app"] == "shop" and one["Id"] in (first.engine_id, second.engine_id)
    }
    assert {name: body["State"]["Pid"] for name, body in pids.items()} == {
        "1": first.pid,
        "2": second.pid,
    }
    await host.retire()
    await host.cluster.wait_event(ContainerStopped, attempt=1)
    name = host.engine.ask("GET", "/containers/shop.web.1/json")
    assert (name["Id"], name["State"]["Pid"]) == (second.engine_id, second.pid)
    told = [record.event for record in await host.cluster.records()]
    assert [e.attempt for e in told if isinstance(e, ContainerStarted)] == [1, 2]
    assert not [e for e in told if isinstance(e, ContainerFailed)]


async def test_a_newer_one_that_dies_is_tried_again_beside_the_older(host: OneNode) -> None:
    await host.deploy()
    first = (await host.up()).event
    await host.deploy(["sh", "-c", "exit 3"])
    await host.assign(attempt=2, moves=1)
    assert (await host.cluster.wait_event(ContainerFailed, attempt=2)).event.exit_code == 3
    await host.deploy(["sh", "-c", "echo third; exec sleep 1000"])
    await host.up(attempt=3, moves=1)
    older = host.engine.ask("GET", f"/containers/{first.engine_id}/json")
    assert (older["State"]["Running"], older["State"]["Pid"]) == (True, first.pid)
    for attempt, text in ((None, b"third\n"), (1, b"")):
        asked = asks.LogsAsked(app="shop", service="web", slot=1, attempt=attempt)
        found = b""
        subject = asks.subject(NODE, "logs")
        async for said in host.cluster.bus.ask_stream(subject, msgspec.json.encode(asked)):
            found += asks.read_piece(said)[1]
        assert found == text


async def test_an_older_one_whose_successor_was_given_up_makes_way_for_the_next(
    host: OneNode,
) -> None:
    """It has lost the slot's name to what is gone, and is found by its labels all the same."""
    await host.deploy()
    first = (await host.up()).event
    await host.up(attempt=2, moves=1)
    await host.retire(attempt=2)
    await host.cluster.wait_event(ContainerStopped, attempt=2)
    asked = asks.Which(app="shop", service="web", slot=1)
    body = await host.cluster.bus.ask(asks.subject(NODE, "inspect"), msgspec.json.encode(asked))
    assert msgspec.json.decode(body)["Id"] == first.engine_id
    await host.up(attempt=3)
    stopped = await host.cluster.wait_event(ContainerStopped, attempt=1)
    started = await host.cluster.wait_event(ContainerStarted, attempt=3)
    assert stopped.sequence < started.sequence, "one after the other: nothing was to run on"
