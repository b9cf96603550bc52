"""Servers that tell who they are, and clients that ask without a pause and count what fails.

For what stands between them: a request that is not answered in full, by whoever, has failed.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

import anyio


class Server:
    """Answers each HTTP request with its name; echoes what follows the line `echo`.

    `/slow` takes 0.5 s. `/drop` reads the request and closes without a word, the first time.
    `/headers` answers with the headers that it was sent.
    """

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name, self.address, self.port = name, address, port
        self.asked: Counter[str] = Counter()
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
        if path == "/slow":
            await asyncio.sleep(0.5)
        body = repr(headers).encode() if path == "/headers" else self.name.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        key, _, value = line.decode().partition(":")
        found[key.strip().lower()] = value.strip()
    await reader.readexactly(int(found.get("content-length", 0)))
    return found


async def ask(
    address: str, port: int, path: str = "/", *, method: str = "GET", source: str = ""
) -> tuple[int, str]:
    """Ask once over a connection of its own; give status and body, or raise OSError."""
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(address, port, local_addr=local)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        said = await reader.read()
    finally:
        writer.close()
    status, _, rest = said.partition(b"\r\n")
    if not status:
        raise ConnectionResetError("no answer")
    return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2].decode()


class Tally:
    """What came of a load's requests."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failed: list[str] = []

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return self.answers.total() + len(self.failed)


@contextlib.asynccontextmanager
async def under_load(address: str, port: int, *, clients: int = 4) -> AsyncIterator[Tally]:
    """Ask without a pause while the context lasts; every client ends what it has begun."""
    tally, over = Tally(), asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            try:
                status, body = await ask(address, port)
            except OSError as error:
                tally.failed.append(repr(error))
                continue
            if status == 200:
                tally.answers[body] += 1
            else:
                tally.failed.append(f"{status} {body}")

    async with anyio.create_task_group() as tasks:
        for _ in range(clients):
            tasks.start_soon(client)
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


@contextlib.contextmanager
def _closing(line: Line) -> Iterator[Line]:
    try:
        yield line
    finally:
        line.close()


@contextlib.asynccontextmanager
async def line(address: str, port: int) -> AsyncIterator[Line]:
    """Open such a connection."""
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"echo\n")
    with _closing(Line(reader, writer)) as opened:
        yield opened
