"""What a node runner answers over a real bus, and what it asks of it: files for containers."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest
from segue import asks
from segue.bus import AnswerError, NobodyAnswersError
from segue.events.container import (
    ContainerFailed,
    ContainerStopped,
)
from segue.events.node import NodeJoined
from segue.spec import (
    FileRef,
    FileSpec,
)
from segue.testing.engine import Engine
from segue.testing.one_node import NODE, OneNode, one_node

pytestmark = pytest.mark.engine


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[OneNode]:
    async with one_node(tmp_path, docker_engine) as running:
        yield running


async def answer(host: OneNode, question: str, asked: asks.Which) -> dict[str, bytes]:
    """Ask a stream and add up its pieces by part."""

    found: dict[str, bytes] = {}
    subject = asks.subject(NODE, question)
    async for said in host.cluster.bus.ask_stream(subject, msgspec.json.encode(asked)):
        part, data = asks.read_piece(said)
        found[part] = found.get(part, b"") + data
    return found


async def test_logs_of_each_attempt_can_be_read_over_the_bus(host: OneNode) -> None:
    await host.deploy(["sh", "-c", "echo attempt $SEGUE_ATTEMPT; exit 1"])
    for attempt in (1, 2):
        await host.assign(attempt)
        await host.cluster.wait_event(ContainerFailed, attempt=attempt)
    slot: dict[str, Any] = {"app": "shop", "service": "web", "slot": 1}
    newest = asks.LogsAsked(**slot, follow=True)
    assert await answer(host, "logs", newest) == {"stdout": b"attempt 2\n"}
    older = asks.LogsAsked(**slot, attempt=1)
    assert await answer(host, "logs", older) == {"stdout": b"attempt 1\n"}
    with pytest.raises(AnswerError, match=r"has no container shop/web\.1, attempt 7"):
        await answer(host, "logs", asks.LogsAsked(**slot, attempt=7))


async def test_a_program_inside_asks_for_its_input_over_the_bus(host: OneNode) -> None:
    await host.deploy()
    await host.up()
    bus = host.cluster.bus
    which: dict[str, Any] = {"app": "shop", "service": "web", "slot": 1, "interactive": True}

    async def given(_: bytes) -> AsyncIterator[bytes]:
        yield asks.piece("stdin", b"hel")
        yield asks.piece("stdin", b"lo\n")

    async def torn(_: bytes) -> AsyncIterator[bytes]:
        yield asks.piece("stdin", b"hello\n")
        yield b"?"

    async with anyio.create_task_group() as tasks:
        for token, answers in (("t0", given), ("t1", torn)):
            await tasks.start(bus.serve_stream, asks.subject(NODE, f"input.{token}"), answers)
        asked = asks.ExecAsked(**which, cmd=["tr", "a-z", "A-Z"], token="t0")
        assert await answer(host, "exec", asked) == {"stdout": b"HELLO\n", "exit": b"0"}
        for token, why in (("t1", "a piece of an answer"), ("t2", "nobody serves")):
            asked = asks.ExecAsked(**which, cmd=["cat"], token=token)
            with pytest.raises(AnswerError, match=f"the input broke off: {why}"):
                await answer(host, "exec", asked)
        tasks.cancel_scope.cancel()


async def test_a_node_answers_for_itself_and_for_its_containers(host: OneNode) -> None:

    bus = host.cluster.bus
    here = msgspec.json.decode(await bus.ask(asks.subject(NODE, "ping")), type=asks.Here)
    joined = (await host.cluster.wait_event(NodeJoined)).event
    assert (here.node, here.session) == (NODE, joined.session)
    facts = json.loads(await bus.ask(asks.subject(NODE, "facts")))
    assert facts["cpu_millicores"] == joined.cpu_millicores
    await host.deploy()
    await host.up()
    which = msgspec.json.encode(asks.Which(app="shop", service="web", slot=1))
    seen = json.loads(await bus.ask(asks.subject(NODE, "inspect"), which))
    assert seen["Name"] == "/shop.web.1"
    with pytest.raises(AnswerError, match="cannot be read"):
        await bus.ask(asks.subject(NODE, "inspect"), b"{}")
    with pytest.raises(NobodyAnswersError):
        await bus.ask(asks.subject("node-z", "ping"))


async def test_a_secret_reaches_its_container_and_nobody_else(host: OneNode) -> None:
    await host.cluster.bus.put("files", "aa11", b"hunter2")
    app = {"secrets": {"password": FileSpec(name="password", digest="aa11")}}
    secret = FileRef(source="password", target="/run/secrets/password")
    await host.deploy(app=app, secrets=[secret])
    await host.up()
    asked = asks.ExecAsked(app="shop", service="web", slot=1, cmd=["cat", "/run/secrets/password"])
    assert await answer(host, "exec", asked) == {"stdout": b"hunter2", "exit": b"0"}
    told = [record.event for record in await host.cluster.records()]
    assert "hunter2" not in str(told) + json.dumps(
        host.engine.ask("GET", "/containers/shop.web.1/json")
    )
    await host.retire()
    await host.cluster.wait_event(ContainerStopped)
    assert not [path for path in (host.cluster.folder / "run").rglob("*") if path.is_file()]


async def test_a_secret_that_the_bus_lacks_fails_the_start(host: OneNode) -> None:
    app = {"secrets": {"password": FileSpec(name="password", digest="bb22")}}
    secret = FileRef(source="password", target="/run/secrets/password")
    await host.deploy(app=app, secrets=[secret])
    await host.assign()
    failed = (await host.cluster.wait_event(ContainerFailed)).event
    assert "the bus has no file bb22" in failed.message
