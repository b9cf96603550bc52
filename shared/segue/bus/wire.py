"""The wire to the bus: nats-py's client with its holes closed, by subclassing.

Kept of nats-py: TLS, credentials, the pool of servers, pings and the reconnect itself. Replaced:
dialling, reading and writing. The laws:

- Whatever arrives costs at most its own message; what breaks the framing costs one reconnect.
- It reconnects for ever, slower and slower up to a second, with jitter; to a server on its own
  host first, so that the loss of another host is no loss of the bus.
- What was said before a cut is not said after it.
- Writing never blocks reading or pinging; `barrier` waits behind everything said before it.
"""

import asyncio
import random
import re
import socket
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import structlog
from nats import errors
from nats.aio.client import PING_PROTO, Client
from nats.aio.transport import TcpTransport

from segue.bus.errors import (
    BusError,
    BusRefusedError,
    BusTimeoutError,
    BusTooOldError,
    BusUnreachableError,
)
from segue.bus.protocol import Parser, is_subject, write_headers
from segue.bus.settings import Settings

OLDEST_SERVER = (2, 12)  # Atomic batches.
RETRY_FIRST_S, RETRY_MOST_S = 0.05, 1.0
UNSENT_BYTES_MAX = 1 << 20

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


class _Socket(TcpTransport):
    """Lets go at once: one that is frozen, or failed to agree on TLS, would be waited for long."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nats-py's.

    def close(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    def __bool__(self) -> bool:
        return True  # Else nats-py takes one of its own before it has dialled.

    async def wait_closed(self) -> None:
        await asyncio.sleep(0)  # The loop closes it in its next turn.


class Wire(Client):
    """Bytes to and from one of the servers; what they mean is for `Connection`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.times_up = 0
        self.why_away = ""
        self._ps: Any = Parser(self)
        self._failures = 0
        self._here: dict[str, bool] = {}  # Whether a server's name is one of this host's.

    @abstractmethod
    def deliver(self, sid: int, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        """Take a message at once; never raises."""

    @abstractmethod
    def _keep_trying(self) -> None:
        """Learn that no server could be reached; raise to give up."""

    # Connecting.

    async def _select_next_server(self) -> None:
        """Dial the next server: the pool once around at once, then ever slower, with jitter."""
        while True:
            pool = self._server_pool
            if not self._failures:
                await self._own_host_first()
            if self._failures >= len(pool):
                self._keep_trying()
                exponent = min(self._failures - len(pool), 10)
                delay_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2**exponent)
                await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 — jitter.
            server = pool.pop(0)
            pool.append(server)
            self._hang_up()
            self._transport = None if "ws" in server.uri.scheme else _Socket()
            self.why_away = ""
            try:
                await self._connect_to_server(server)
            except Exception as error:  # noqa: BLE001 — whatever it was, the next try may do.
                self._failures += 1
                await self._note_error(error)
            else:
                self._current_server = server
                return

    async def _own_host_first(self) -> None:
        """Put a server on this very host before all others: its wire cannot be cut from us."""
        for server in self._server_pool:
            host = server.uri.hostname or ""
            if host not in self._here:
                self._here[host] = await _is_here(host)
        self._server_pool.sort(key=lambda server: not self._here[server.uri.hostname or ""])

    async def _process_connect_init(self) -> None:
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and not task.done():
                task.cancel()  # An attempt that failed half-way leaves its own behind.
        try:
            await super()._process_connect_init()
        except (OSError, errors.Error) as error:
            self._failures += 1
            if isinstance(error, ConnectionError) and self._server_info.get("auth_required"):
                # Its word on them can be overtaken by its hanging up.
                raise errors.Error("the server hung up on these credentials") from error
            raise
        except Exception as error:
            if isinstance(error, BusError) and not self.times_up:
                raise
            self._failures += 1
            raise errors.Error(str(error)) from error
        if not self.is_connected:
            self._failures += 1
            raise errors.Error("the server did not answer")
        self._failures = 0

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002 — nats-py's signature.
        if initial_connection:
            version = str(info.get("version", ""))
            found = re.match(r"(\d+)\.(\d+)", version)
            if not found or (int(found[1]), int(found[2])) < OLDEST_SERVER:
                raise BusTooOldError(
                    f"the server at {self.settings.shown_url} is nats-server {version or '?'}; "
                    "Segue needs 2.12 or newer, which can write several events as one"
                )
        await super()._process_info(info, initial_connection)

    async def _attempt_reconnect(self) -> None:
        self._forget("the connection was cut")
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception as error:
                # No mistake may end the reconnecting.
                log.exception("reconnecting failed in a new way", error=str(error))
                await asyncio.sleep(RETRY_MOST_S)
            else:
                return

    def _forget(self, why: str) -> None:  # noqa: ARG002 — for those who wait for answers.
        """Drop what was not sent: it would be old by the time it could be."""
        self._pending.clear()
        self._pending_data_size = 0
        while self._flush_queue is not None and not self._flush_queue.empty():
            sent = self._flush_queue.get_nowait()
            if not sent.done():
                sent.set_result(None)
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():
                pong.set_result(False)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py's.

    async def _note_error(self, error: Exception) -> None:
        """Take nats-py's errors: trouble of a connection that is told of when it is lost."""
        if not self.why_away or not isinstance(error, OSError):  # The first has most to say.
            self.why_away = str(error) or type(error).__name__
        log.debug("trouble with the bus", error=self.why_away)

    # Reading.

    async def _read_loop(self) -> None:
        try:
            transport = cast("Any", self._transport)
            while self.is_connected and not transport.at_eof():
                await self._ps.parse(await transport.read(1 << 16))
            await self._process_op_err(errors.UnexpectedEOF())
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 — without a new connection it would be a zombie.
            await self._process_op_err(error)

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            self.why_away = self.why_away or str(e) or type(e).__name__
            await super()._process_op_err(e)

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs:
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(True)

    # Writing.

    def send(
        self,
        subject: str,
        data: bytes = b"",
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say it, or raise `BusUnreachableError`, or `BusRefusedError` for what cannot be said."""
        if not is_subject(subject):
            raise BusRefusedError(f"{subject!r} is not a subject that can be published to")
        if not self.is_connected:
            raise BusUnreachableError("there is no connection to the bus")
        head = write_headers(headers) if headers else b""
        total = len(head) + len(data)
        if total > self._max_payload:
            raise BusRefusedError(
                f"a message of {total} bytes on {subject}; the bus takes {self._max_payload}"
            )
        if head:
            line = f"HPUB {subject} {reply} {len(head)} {total}\r\n"
        else:
            line = f"PUB {subject} {reply} {total}\r\n"
        self._queue(b"".join((line.encode(), head, data, b"\r\n")))

    async def drained(self) -> None:
        """Wait while more is unsent than the bus can take just now."""
        while self._pending_data_size > UNSENT_BYTES_MAX and self.is_connected:
            sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._wake_flusher(sent)
            await sent

    def _queue(self, line: bytes) -> None:
        if self.is_closed and self.times_up:
            return
        self._pending.append(line)
        self._pending_data_size += len(line)
        self._wake_flusher()

    def _wake_flusher(self, sent: asyncio.Future[Any] | None = None) -> None:
        if self._flush_queue is not None and (sent or self._flush_queue.empty()):
            self._flush_queue.put_nowait(sent or asyncio.get_running_loop().create_future())

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 — as above.
        self._queue(cmd)

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 — as above.
        self._wake_flusher()

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        self._queue(PING_PROTO)

    async def _flusher(self) -> None:
        queue = cast("asyncio.Queue[asyncio.Future[Any]]", self._flush_queue)
        transport = cast("Any", self._transport)
        while True:
            kicked = await queue.get()
            try:
                lines, self._pending = self._pending, []
                self._pending_data_size = 0
                transport.write(b"".join(lines))
                await transport.drain()
            except Exception as error:  # noqa: BLE001 — as in the read loop.
                await self._process_op_err(error)
                return
            finally:
                if not kicked.done():
                    kicked.set_result(None)

    async def barrier(self, *, timeout_s: float = 5.0) -> None:
        """Return once the server has taken everything said and subscribed before this call."""
        pong: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_connected:
            await self._send_ping(pong)
        else:
            pong.set_result(False)
        try:
            async with asyncio.timeout(timeout_s):
                heard = await pong
        except TimeoutError:
            raise BusTimeoutError(f"the bus did not answer a ping in {timeout_s:g} s") from None
        if not heard:
            raise BusUnreachableError("there is no connection to the bus")


async def _is_here(name: str) -> bool:
    """Tell whether a name leads to this host: only its own addresses can be bound."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, 0, type=socket.SOCK_DGRAM)
        for family, kind, _, _, address in found:
            with socket.socket(family, kind) as place:
                place.bind(address)
    except OSError:
        return False
    return bool(found)
