"""Servers that tell who they are, and clients that ask without a pause and count what fails.

For what stands between them: a request that is not answered in full, by whoever, has failed.
"""

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Literal, Self

import anyio

Way = Literal["GET", "POST", "TCP"]
Place = tuple[str, int] | tuple[str, int, Way]


class Server:
    """Answers each HTTP request with its name; echoes what follows the line `echo`.

    `/slow` takes 0.5 s, and all else `pause_s`; `status` is its answer's.
    `/drop` reads the request and closes without a word, the first time.
    `/headers` answers with the headers that it was sent.
    """

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name, self.address, self.port = name, address, port
        self.asked: Counter[str] = Counter()
        self.pause_s, self.status = 0.0, 200
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self.address, self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End with all connections."""
        await self.kill()

    async def kill(self) -> None:
        """Be gone at once, as a process that is killed."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for line in list(self._lines):
            line.transport.abort()
        await server.wait_closed()

    def refuse(self) -> None:
        """Listen no more; what it has begun to answer goes on, what waited to be taken is lost."""
        assert self._server is not None, "it listens"
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._lines.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.readline()
        if first == b"echo\n":
            while line := await reader.readline():
                writer.write(self.name.encode() + b" " + line)
                await writer.drain()
            return False
        if not first:
            return False
        method, path = first.decode().split()[:2]
        headers = await _headers(reader)
        self.asked[f"{method} {path}"] += 1
        if path == "/drop" and self.asked[f"{method} {path}"] == 1:
            return False
        if (pause_s := 0.5 if path == "/slow" else self.pause_s) > 0:
            await asyncio.sleep(pause_s)
        body = repr(headers).encode() if path == "/headers" else self.name.encode()
        head = f"HTTP/1.1 {self.status} Word\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """Read a request's headers, and skip its body."""
    found = await _head(reader)
    await reader.readexactly(int(found.get("content-length", 0)))
    return found


async def _head(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        key, _, value = line.decode().partition(":")
        found[key.strip().lower()] = value.strip()
    return found


async def ask(
    address: str,
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    source: str = "",
    host: str = "test",
) -> tuple[int, str]:
    """Ask once over a connection of its own; give status and body, or raise OSError."""
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(address, port, local_addr=local)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        said = await reader.read()
    finally:
        writer.close()
    status, _, rest = said.partition(b"\r\n")
    if not status:
        raise ConnectionResetError("no answer")
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2].decode()


async def ask_past_gateway(address: str, port: int, name: str, certificate: str = "") -> str:
    """Ask another node's mesh port for a container as a gateway does; raise OSError if refused.

    `certificate` is a file with what is shown of oneself.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate)
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"PROXY TCP4 192.0.2.1 192.0.2.1 1 1\r\n")
        await writer.drain()
        await writer.start_tls(context, server_hostname=name)
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return (await reader.readline()).decode()  # Here one hears of what is refused.
    finally:
        writer.close()


class Tally:
    """What came of a load's requests; `lost` counts what failed, by the way it was asked."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failed: list[str] = []
        self.lost: Counter[str] = Counter()
        self.slowest_s = 0.0

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return self.answers.total() + len(self.failed)

    async def more(self, by: int = 40) -> None:
        """Wait until so many more requests were answered or failed."""
        goal = self.asked + by
        with anyio.fail_after(60):
            while self.asked < goal:
                await anyio.sleep(0.01)


class Client:
    """Asks over one connection as long as the server keeps it, then over the next."""

    def __init__(self, address: str, port: int, way: Way = "GET") -> None:
        self._place, self._way = (address, port), way
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> tuple[int, str]:
        """Give status and body, or raise OSError; a kept connection that has ended is one too."""
        reader, writer = self._line or await asyncio.open_connection(*self._place)
        self._line = None
        try:
            words = f"{self._way} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
            writer.write(words.encode())
            status, body, stays = await _answer(reader)
        except BaseException:
            writer.close()
            raise
        if stays:
            self._line = reader, writer
        else:
            writer.close()
        return status, body

    def close(self) -> None:
        """End its connection."""
        if self._line is not None:
            self._line[1].close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """Read status and body, and whether the connection stays open; raise OSError."""
    try:
        status = (await reader.readuntil(b"\r\n")).split()
        headers = await _head(reader)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError(f"no answer, or half of one: {error.partial!r}") from error
    return int(status[1]), body.decode(), headers.get("connection", "").lower() != "close"


@contextlib.asynccontextmanager
async def under_load(
    *places: Place, clients: int = 4, pause_s: float = 0.0, keep: bool = False
) -> AsyncIterator[Tally]:
    """Ask while the context lasts, in turns at these places; every client ends what it has begun.

    A client pauses between two requests, and keeps its connection if it is to. One that asks by
    `TCP` opens a connection each time, and asks a second time over it.
    """
    tally, over = Tally(), asyncio.Event()

    async def client(number: int) -> None:
        address, port, *more = places[number % len(places)]
        place, way = (address, port), more[0] if more else "GET"
        kept = Client(*place, way)
        while not over.is_set():
            since = time.monotonic()
            try:
                if way == "TCP":
                    status, body = 200, await _talk(*place)
                else:
                    status, body = await (kept.ask() if keep else ask(*place, method=way))
                words = "" if status == 200 else f"{status} {body}"
            except OSError as error:
                words = repr(error)
            tally.slowest_s = max(tally.slowest_s, time.monotonic() - since)
            if words:
                tally.lost[way] += 1
                tally.failed.append(f"{way} at {since - begun:.2f} s, {place[0]}: {words}")
            else:
                tally.answers[body] += 1
            await asyncio.sleep(pause_s)
        kept.close()

    begun = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for number in range(clients):
            tasks.start_soon(client, number)
        yield tally
        over.set()


class Line:
    """One connection that stays open: what it says comes back with the name of who has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, words: str) -> str:
        """Give what came back; empty when the connection has ended."""
        self._writer.write(words.encode() + b"\n")
        return (await self._reader.readline()).decode().strip()

    def close(self) -> None:
        """End it."""
        self._writer.close()


async def _talk(address: str, port: int) -> str:
    """Say two words over a connection of its own; give who answered, or raise OSError."""
    async with line(address, port) as opened:
        for word in ("one", "two"):
            said = await opened.say(word)
            if not said.endswith(word):
                raise ConnectionResetError(f"no answer to {word}, or half of one: {said!r}")
        return said.removesuffix(f" {word}")


@contextlib.contextmanager
def _closing(line: Line) -> Iterator[Line]:
    try:
        yield line
    finally:
        line.close()


@contextlib.asynccontextmanager
async def line(address: str, port: int, *, upgraded: bool = False) -> AsyncIterator[Line]:
    """Open such a connection, `upgraded` from HTTP or by its first line."""
    reader, writer = await asyncio.open_connection(address, port)
    if upgraded:
        words = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        writer.write(words.encode())
        status = await reader.readline()
        assert b" 101 " in status, status
        await _head(reader)
    else:
        writer.write(b"echo\n")
    with _closing(Line(reader, writer)) as opened:
        yield opened
