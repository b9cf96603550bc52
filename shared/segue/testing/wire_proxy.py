"""A wire between a client and a real server that a test can cut, hold still or make lossy.

It forwards bytes and changes nothing by itself. What a test does to it happens to every connection
through it, from that moment on.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Change = Callable[[bytes], bytes]


class WireProxy:
    """Listens on a free loopback port and forwards to `port` there. Use it in `async with`."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.connections = 0
        self.to_client: Change = bytes
        self.to_server: Change = bytes
        self._server: asyncio.Server | None = None
        self.held = b""
        self._only_up = False
        self._flowing = {up: asyncio.Event() for up in (True, False)}
        self.release()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cut everything and listen no more."""
        assert self._server is not None, "it listens"
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def hold(self) -> None:
        """Let nothing through, and break nothing."""
        for flowing in self._flowing.values():
            flowing.clear()

    def hold_up(self) -> None:
        """Let nothing through to the server, and let neither end notice: the wire answers pings.

        What clients say meanwhile is in `held`.
        """
        self._only_up = True
        self._flowing[True].clear()

    def release(self) -> None:
        """Let everything through again, also what was held."""
        for flowing in self._flowing.values():
            flowing.set()
        self._only_up, self.held = False, b""

    async def _connected(self, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(client)
        try:
            far, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        self._writers.add(server)
        for reader, writer, other, up in (
            (near, server, client, True),
            (far, client, server, False),
        ):
            task = asyncio.create_task(self._forward(reader, writer, other, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        *,
        up: bool,
    ) -> None:
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(reader, pieces, back, up=up))
        with suppress(OSError):
            while data := await pieces.get():
                await self._flowing[up].wait()
                writer.write(self.to_server(data) if up else self.to_client(data))
                await writer.drain()
        listening.cancel()
        writer.transport.abort()

    async def _listen(
        self,
        reader: asyncio.StreamReader,
        pieces: asyncio.Queue[bytes],
        back: asyncio.StreamWriter,
        *,
        up: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._only_up and up:
                    self.held += data
                if self._only_up and data.endswith(b"PING\r\n"):
                    back.write(b"PONG\r\n")
                pieces.put_nowait(data)
                if not self._only_up:
                    await self._flowing[up].wait()  # Who is held still sees that nobody reads.
        pieces.put_nowait(b"")
