"""`x-ingress` through a real HAProxy to containers: hosts, paths, certificates from secrets."""

import asyncio
import contextlib
import hashlib
import os
import pathlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.events.node import NodeJoined
from segue.testing.cluster import Cluster, running
from segue.testing.engine import BUSYBOX, Engine
from segue_cli.authority import Pair, founded, issued

pytestmark = pytest.mark.engine
HTTP = 10_000 + os.getpid() % 3_000 * 2
HTTPS = HTTP + 1
WITHIN_S = 90.0
SERVE = """mkdir -p /w/cgi-bin /w/api
echo $NAME | tee /w/api/who > /w/who
printf '#!/bin/sh\\nprintf "\\\\r\\\\n"; env\\n' > /w/cgi-bin/tell
chmod +x /w/cgi-bin/tell
exec httpd -f -p 8080 -h /w"""


class Answer:
    """What came back, and who said so."""

    def __init__(self, said: bytes, shown: bytes = b"") -> None:
        head, _, body = said.partition(b"\r\n\r\n")
        lines = head.decode().splitlines()
        self.status = int(lines[0].split()[1]) if lines else 0
        self.headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        self.body, self.shown = body.decode(), shown

    @property
    def by(self) -> str:
        """The service that answered."""
        return self.body.split("\n", 1)[0]


class Visitor:
    """Somebody who trusts the authority alone."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.authority = founded("test")
        self.trusts = ssl.create_default_context(cadata=self.authority.certificate)
        self._folder = folder

    def pair(self, *hosts: str) -> Pair:
        """Make a certificate for hosts."""
        return issued(self.authority, hosts[0], hosts)

    async def line(
        self, host: str, *, tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection as to that host."""
        if not tls:
            return await asyncio.open_connection("127.0.0.1", HTTP)
        return await asyncio.open_connection(
            "127.0.0.1", HTTPS, ssl=self.trusts, server_hostname=host
        )

    async def ask(self, host: str, path: str, *, tls: bool = True, more: str = "") -> Answer:
        """Ask once, over a connection of its own."""
        reader, writer = await self.line(host, tls=tls)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n{more}\r\n".encode())
            said = await reader.read()
            return Answer(said, shown_by(writer))
        finally:
            writer.close()


def shown_by(writer: asyncio.StreamWriter) -> bytes:
    """Give the certificate of the other end."""
    about = writer.get_extra_info("ssl_object")
    return (about.getpeercert(binary_form=True) or b"") if about else b""


def service(name: str, *ingress: dict[str, Any]) -> dict[str, Any]:
    return {
        "image": BUSYBOX,
        "command": ["sh", "-c", SERVE],
        "environment": {"NAME": name},
        "stop_signal": "SIGKILL",
        "x-ingress": [{"port": 8080, **one} for one in ingress],
    }


SERVICES = {
    "web": service("web", {"host": "shop.example", "tls": "shop"}),
    "api": service("api", {"host": "shop.example", "path": "/api", "tls": "shop"}),
    "blog": service("blog", {"host": "blog.example", "tls": "blog"}),
    "open": service("open", {"host": "open.example"}),
}


async def deploy(cluster: Cluster, **pairs: Pair) -> None:
    """Deploy with these secrets; wait until the new ones are served."""
    secrets = {}
    for name, pair in pairs.items():
        content = (pair.certificate + pair.key).encode()
        mark = hashlib.sha256(content).hexdigest()
        await cluster.bus.put("files", mark, content)
        secrets[name] = {"x-digest": mark}
    after = await cluster.head()
    app = {"services": SERVICES, "secrets": secrets}
    await cluster.say(DeployRequested(app="shop", compose=app))
    await cluster.wait_event(DeployCompleted, after=after)


@pytest.fixture
async def segue(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as cluster:
        cluster.start_control()
        cluster.start_node("node-a", docker_engine)
        cluster.start_gateway("node-a", "--http-port", str(HTTP), "--https-port", str(HTTPS))
        await cluster.wait_event(NodeJoined, node="node-a")
        await cluster.wait_event(GatewayJoined, node="node-a")
        yield cluster


@pytest.fixture
def visitor(tmp_path: pathlib.Path) -> Visitor:
    return Visitor(tmp_path)


async def test_hosts_and_paths_lead_to_their_services_each_with_its_certificate(
    segue: Cluster, visitor: Visitor
) -> None:
    pairs = {"shop": visitor.pair("shop.example"), "blog": visitor.pair("blog.example")}
    await deploy(segue, **pairs)
    for name in SERVICES:
        await segue.wait_event(EndpointReady, service=name)

    assert (await visitor.ask("shop.example", "/who")).by == "web"
    assert (await visitor.ask("shop.example", "/api/who")).by == "api"
    assert (await visitor.ask("shop.example", "/apiary")).status == 404, "not what begins with it"
    assert (await visitor.ask("blog.example", "/who")).by == "blog", "known by its greeting"
    assert (await visitor.ask("open.example", "/who", tls=False)).by == "open"

    sent = await visitor.ask("shop.example", "/api/x?y=1", tls=False)
    assert (sent.status, sent.headers["location"]) == (302, "https://shop.example/api/x?y=1")

    nobodys = await visitor.ask("nobody.example", "/", tls=False)
    assert (nobodys.status, nobodys.body) == (404, "nothing is served here\n")
    with pytest.raises(ssl.SSLCertVerificationError):
        await visitor.ask("nobody.example", "/")

    tell = "/cgi-bin/tell"
    lie = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: gopher\r\n"
    told = (await visitor.ask("shop.example", tell, more=lie)).body
    assert "HTTP_X_FORWARDED_FOR=127.0.0.1\n" in told, "who asks, not what it says of itself"
    assert "HTTP_X_FORWARDED_PROTO=https\n" in told
    assert "203.0.113.9" not in told
    told = (await visitor.ask("open.example", tell, tls=False)).body
    assert "HTTP_X_FORWARDED_PROTO=http\n" in told


async def test_a_certificate_is_replaced_by_a_deploy_and_no_connection_is_lost(
    segue: Cluster, visitor: Visitor
) -> None:
    blog = visitor.pair("blog.example")
    first, second = visitor.pair("shop.example"), visitor.pair("shop.example")
    await deploy(segue, shop=first, blog=blog)
    await segue.wait_event(EndpointReady, service="web")
    assert (await visitor.ask("shop.example", "/who")).shown == ssl.PEM_cert_to_DER_cert(
        first.certificate
    )
    seen: set[bytes] = set()
    failed: list[str] = []
    over = anyio.Event()

    async def visit() -> None:
        while not over.is_set():
            try:
                said = await visitor.ask("shop.example", "/who")
            except OSError as error:
                failed.append(repr(error))
                continue
            seen.add(said.shown)
            if said.by != "web":
                failed.append(f"{said.status} {said.body}")

    reader, writer = await visitor.line("shop.example", tls=True)
    with contextlib.closing(writer):
        assert await held(reader, writer) == 200
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit)
            await deploy(segue, shop=second, blog=blog)
            with anyio.fail_after(WITHIN_S):
                while ssl.PEM_cert_to_DER_cert(second.certificate) not in seen:
                    await anyio.sleep(0.05)
            assert await held(reader, writer) == 200, "what was open before goes on"
            over.set()
    assert failed == []
    assert (await visitor.ask("blog.example", "/who")).by == "blog"


async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Ask over a connection that stays open."""
    writer.write(b"HEAD /nothing HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    with anyio.fail_after(WITHIN_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return 200 if head.split()[1] in (b"200", b"404") else int(head.split()[1])


async def test_what_is_no_certificate_is_told_of_and_the_others_are_served(
    segue: Cluster, visitor: Visitor
) -> None:
    wrong = Pair("this is", " no certificate")
    await deploy(segue, shop=wrong, blog=visitor.pair("blog.example"))
    await segue.wait_event(EndpointReady, service="blog")
    assert (await visitor.ask("blog.example", "/who")).by == "blog"
    log = segue["gateway", "node-a"].log
    with anyio.fail_after(WITHIN_S):
        while "ingress shop.example is served without TLS" not in log.read_text():
            await anyio.sleep(0.05)
