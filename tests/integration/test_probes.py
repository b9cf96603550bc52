"""Probes against real listeners: what passes, what does not, and in which words."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import asyncio
import contextlib
import pathlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Literal

import anyio
import pytest
from segue.events.container import ContainerHealthy, ContainerStarted, ContainerUnhealthy
from segue.spec import NetworkRef, NetworkSpec, Probe
from segue.testing.engine import Engine
from segue.testing.nats_server import NatsServer
from segue.testing.one_node import OneNode, one_node
from segue_node_runner import dial

HERE = "127.0.0.1"
Kind = Literal["http", "tcp", "nats"]


@contextlib.asynccontextmanager
async def answering(answer: bytes | None, *, closes: bool = True) -> AsyncIterator[int]:
    """Listen, and give everyone the same answer; None: none ever."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
                asked.append(await reader.read(1024) if not closes else b"")
            writer.close()

    server = await asyncio.start_server(serve, HERE, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def asks(kind: Kind, port: int, **more: Any) -> str:
    said = await dial.trouble(HERE, Probe(kind=kind, port=port, **{"timeout_s": 5.0} | more))
    return said.partition(": ")[2]


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("http", b"HTTP/1.1 200 OK\r\n\r\n", ""),
        ("http", b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", ""),
        (
            "http",
            b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\n database",
            "503 Service Unavailable: no database",
        ),
        ("http", b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
        ("http", b"SSH-2.0-x\r\n", "no HTTP answer: SSH-2.0-x"),
        ("http", b"HTTP/1.1 \xff\r\n", "no HTTP answer: HTTP/1.1 \ufffd"),
        ("http", b"x" * 100_000, f"no HTTP answer: {'x' * 200}"),
        ("http", b"", "it said nothing"),
        ("tcp", b"", ""),
        ("nats", b'INFO {"server_id":"x"}\r\n', ""),
        ("nats", b'INFO {"ldm":true}\r\n', "the server is going down (lame duck mode)"),
        ("nats", b"HTTP/1.1 400 Bad\r\n", "no NATS greeting: HTTP/1.1 400 Bad"),
        ("nats", b"", "it said nothing"),
    ],
)
async def test_an_answer_passes_or_says_in_words_why_not(
    kind: Kind, answer: bytes, words: str
) -> None:
    async with answering(answer, closes=kind != "http") as port:
        assert await asks(kind, port) == words


async def test_who_does_not_answer_is_waited_for_and_no_longer() -> None:
    async with answering(None) as port:
        assert await asks("http", port, timeout_s=0.1) == "no answer within 0.1 s"


async def test_where_nobody_listens_and_where_nothing_is() -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
    assert await asks("tcp", port) == "nothing listens there"
    assert "no address" in await dial.trouble("", Probe(kind="tcp", port=1))


async def test_a_real_server_of_nats_greets(nats: NatsServer) -> None:
    assert await asks("nats", nats.port) == ""


# On a real engine.


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[OneNode]:
    async with one_node(tmp_path, docker_engine) as running:
        yield running


@pytest.mark.engine
async def test_readiness_and_liveness_are_in_the_log_as_they_change(host: OneNode) -> None:
    ask: dict[str, Any] = {
        "kind": "http",
        "port": 8080,
        "every_s": 0.2,
        "timeout_s": 10.0,
        "failures": 2,
    }
    serve = "mkdir /tmp/w; cd /tmp/w; touch live; exec httpd -f -p 8080 -h /tmp/w"
    await host.deploy(
        ["sh", "-c", serve],
        app={"networks": {"default": NetworkSpec(name=host.cluster.folder.name[-40:])}},
        network_mode=None,
        networks={"default": NetworkRef()},
        readiness=Probe(path="/ready", **ask),
        liveness=Probe(path="/live", **ask),
    )
    await host.up()
    first = await host.cluster.wait_event(ContainerUnhealthy)
    assert (first.event.probe, "/ready: 404 Not Found" in first.event.output) == ("readiness", True)
    await run(host, "touch", "/tmp/w/ready")
    healthy = await host.cluster.wait_event(ContainerHealthy, after=first.sequence)
    await run(host, "rm", "/tmp/w/ready", "/tmp/w/live")
    dead = await host.cluster.wait_event(
        ContainerUnhealthy, after=healthy.sequence, probe="liveness"
    )
    assert "/live: 404 Not Found" in dead.event.output
    before = await host.cluster.head()
    await host.restart()
    await run(host, "touch", "/tmp/w/ready", "/tmp/w/live")
    await host.cluster.wait_event(ContainerHealthy, after=before)
    told = [record.event for record in await host.cluster.records()]
    assert len([one for one in told if isinstance(one, ContainerStarted)]) == 1


async def run(host: OneNode, *command: str) -> None:
    """Run a program inside the container, and wait for its end."""
    made = host.engine.ask("POST", "/containers/shop.web.1/exec", {"Cmd": list(command)})
    host.engine.ask("POST", f"/exec/{made['Id']}/start", {"Detach": False})
    while host.engine.ask("GET", f"/exec/{made['Id']}/json")["Running"]:
        await anyio.sleep(0.02)
