"""A real HAProxy holds what is asked of a service without containers, and nothing of it is lost."""

import asyncio
import os
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from segue.testing.load import Server, ask
from segue.testing.ports import free_port
from segue_gateway.certificates import Certificates
from segue_gateway.proxy import Proxy
from segue_gateway.render import Setting
from segue_gateway.table import Endpoint, Ingress, Port, Published, Route, Table
from segue_gateway.vips import bind_ports

# Of each process its own, also of one that was killed and has left a proxy behind.
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
VIP, BEHIND, HTTP, TCP = f"{NET}.6", f"{NET}.16", 18_080, 18_081
BOUND = bind_ports([HTTP, TCP])
PUBLISHED, WEB, SECURE = free_port(), free_port(), free_port()
LINE = b"x" * 999 + b"\n"
Make = Callable[[], Proxy]


async def nothing(_: str) -> bytes | None:
    return None


@pytest.fixture
async def make(tmp_path: pathlib.Path) -> AsyncIterator[Make]:
    made: list[Proxy] = []

    def one() -> Proxy:
        setting = Setting(folder=str(tmp_path / "run"), http_port=WEB, https_port=SECURE)
        made.append(Proxy("haproxy", setting, Certificates(tmp_path / "certificates", nothing)))
        return made[-1]

    yield one
    for proxy in made:
        await proxy.stop()


def table(*slots: int, draining: bool = False, more: int = 0) -> Table:
    """Lead to these slots; `more` routes beside make it another topology."""
    ports = [Port(number=HTTP, http=True), Port(number=TCP)]
    at = [
        Endpoint(slot=n, attempt=1, node="a", address=BEHIND, local=True, draining=draining)
        for n in slots
    ]
    of: dict[str, Any] = {"app": "shop", "service": "web"}
    web = Route(**of, vip=VIP, sources=["127.0.0.0/8"], ports=ports, endpoints=at, held=True)
    others = [Route(app="shop", service=f"other-{n}", ports=[Port(number=1)]) for n in range(more)]
    return Table(
        node="a",
        routes=[web, *others],
        published=[Published(published=PUBLISHED, target=HTTP, http=True, **of)],
        ingress=[Ingress(host="shop.test", path="/", target=HTTP, **of)],
    )


async def upload(size: int) -> str:
    """Send so many bytes by HTTP; give what the server has counted."""
    reader, writer = await asyncio.open_connection(VIP, BOUND[HTTP])
    writer.write(f"POST /count HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n".encode())
    writer.write(b"x" * size)
    said = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return said.decode().split()[1]


async def half_closed(words: bytes) -> bytes:
    """Say all that there is to say by TCP, and end one's own half; give the answer."""
    reader, writer = await asyncio.open_connection(VIP, BOUND[TCP])
    writer.write(b"echo\n" + words)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


class Askers:
    """Who asks in every way there is, at once; what came of it."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}

    async def run(self) -> None:
        ways = {
            "by address": ask(VIP, BOUND[HTTP]),
            "by port": ask("127.0.0.1", PUBLISHED),
            "by host name": ask("127.0.0.1", WEB, host="shop.test"),
            "with a body": upload(300_000),
            "half closed": half_closed(b"hello\n"),
            "at length": half_closed(LINE * 200),
        }

        async def one(name: str) -> None:
            self.answers[name] = await ways[name]

        async with anyio.create_task_group() as tasks:
            for name in ways:
                tasks.start_soon(one, name)

    def are_right(self) -> None:
        assert self.answers == {
            "by address": (200, "s"),
            "by port": (200, "s"),
            "by host name": (200, "s"),
            "with a body": "200",
            "half closed": b"s hello\n",
            "at length": (b"s " + LINE) * 200,
        }


async def waits(proxy: Proxy, count: int) -> None:
    with anyio.fail_after(30):
        while (await proxy.waiting()).get("shop/web", 0) != count:
            await anyio.sleep(0.02)


async def test_whatever_is_asked_waits_for_the_first_container(make: Make) -> None:
    proxy, askers = make(), Askers()
    await proxy.apply(table())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(askers.run)
        await waits(proxy, 6)
        async with Server("s", BEHIND, HTTP), Server("s", BEHIND, TCP):
            await proxy.apply(table(1))
            with anyio.fail_after(30):
                while len(askers.answers) < 6:
                    await anyio.sleep(0.02)
    askers.are_right()
    assert proxy.reloads == 0


async def test_it_waits_past_reloads_and_past_the_gateway(make: Make) -> None:
    proxy, askers = make(), Askers()
    await proxy.apply(table())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(askers.run)
        await waits(proxy, 6)
        await proxy.apply(table(more=1))
        after = make()  # The first one was killed; who is started next takes its proxy over.
        async with Server("s", BEHIND, HTTP), Server("s", BEHIND, TCP):
            await after.apply(table(1, more=2))
            with anyio.fail_after(30):
                while len(askers.answers) < 6:
                    await anyio.sleep(0.02)
    askers.are_right()


async def test_what_comes_while_the_last_container_is_drained_waits_for_the_next(
    make: Make,
) -> None:
    proxy = make()
    async with Server("s", BEHIND, HTTP):
        await proxy.apply(table(1))
        assert await ask(VIP, BOUND[HTTP]) == (200, "s")
        await proxy.apply(table(1, draining=True))
        async with anyio.create_task_group() as tasks:
            answers: list[tuple[int, str]] = []

            async def one() -> None:
                answers.append(await ask(VIP, BOUND[HTTP]))

            tasks.start_soon(one)
            await waits(proxy, 1)
            assert (await proxy.in_flight())["shop/web", "1-1"] == 0
            await proxy.apply(table())
            await proxy.apply(table(2))
        assert answers == [(200, "s")]
