"""Copies of whole streams, by the server's own means: all of one as it was at one instant.

    take:      $JS.API.STREAM.SNAPSHOT → config and state → pieces, each acknowledged → an empty one
    put back:  $JS.API.STREAM.RESTORE  → pieces, each answered → an empty one → the stream is there

The pieces are the server's own packing and mean something to servers only. A copy is whole or an
error: a cut, a piece that is missing and a server that falls silent are all told.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from segue.bus.connection import Connection, Reply
from segue.bus.errors import (
    BusRefusedError,
    BusTimeoutError,
    BusUnreachableError,
    NobodyAnswersError,
)
from segue.bus.jetstream import (
    EVENTS,
    NAME_IN_USE,
    NO_STREAM,
    Answer,
    StreamInfo,
    call,
    read_answer,
)
from segue.bus.protocol import read_status
from segue.bus.stream import REPLICAS_IN_CLUSTER

# In this order no snapshot is from beyond the log's end, and no file that the log names is missing.
STREAMS = ("OBJ_snapshots", EVENTS, "OBJ_files")
PIECE_BYTES = 128 * 1024
_WINDOW_BYTES = 8 << 20  # Sent and not acknowledged yet, at most.
_SILENCE_S = 20.0
_BEGIN_S = 60.0  # The server looks at every message before it answers.
_END_S = 600.0  # It unpacks everything before it answers.
_TRIES = 5
_AGAIN_S = 0.25
_NO_ADDRESS = ""


class StreamCopy(msgspec.Struct, frozen=True):
    """What a stream was made as, and how far it went, in the server's own words."""

    config: dict[str, Any]
    state: dict[str, Any]


class _Taken(Answer):
    config: dict[str, Any] = {}
    state: dict[str, Any] = {}


class _Ready(Answer):
    deliver_subject: str = ""


async def info(connection: Connection, stream: str) -> StreamInfo | None:
    """Look at a stream; None: there is none."""
    try:
        return await call(connection, f"STREAM.INFO.{stream}", None, StreamInfo)
    except BusRefusedError as error:
        if error.code == NO_STREAM:
            return None
        raise


async def remove(connection: Connection, stream: str) -> None:
    """Delete a stream with all that is in it, if it is there."""
    try:
        await call(connection, f"STREAM.DELETE.{stream}", None, Answer, timeout_s=_BEGIN_S)
    except BusRefusedError as error:
        if error.code != NO_STREAM:
            raise


@asynccontextmanager
async def take(
    connection: Connection, stream: str
) -> AsyncIterator[tuple[StreamCopy, AsyncGenerator[bytes, None]]]:
    """Have a stream copied: what it is, and its pieces in order. Raises a `BusError`."""
    pieces = _Pieces(connection)
    try:
        body = {
            "deliver_subject": pieces.inbox,
            "no_consumers": True,
            "jsck": True,
            "chunk_size": PIECE_BYTES,
            "window_size": _WINDOW_BYTES,
        }
        verb = f"STREAM.SNAPSHOT.{stream}"
        found = await call(connection, verb, body, _Taken, timeout_s=_BEGIN_S)
        yield StreamCopy(found.config, found.state), pieces.all()
    finally:
        connection.detach(pieces.sid)


class _Pieces:
    """What arrives of a copy; the server sends on as it is taken."""

    def __init__(self, connection: Connection) -> None:
        self.inbox = connection.new_inbox()
        self._connection, self._times_up = connection, connection.times_up
        self._arrived: deque[tuple[str, bytes, bytes]] = deque()
        self._news = asyncio.Event()
        self.sid = connection.attach(self.inbox, self._take)

    def _take(self, _subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        self._arrived.append((reply.decode(), headers, data))
        self._news.set()

    async def all(self) -> AsyncGenerator[bytes, None]:
        """Give the pieces to the last, or raise where one is missing."""
        number = 0
        while True:
            reply, headers, data = await self._next()
            number += 1
            if reply.rpartition(".")[2] not in (_NO_ADDRESS, str(number)):
                raise BusUnreachableError("a piece of the copy was lost on the way")
            if reply:
                self._connection.send(reply)
            if data:
                yield data
                continue
            code, words = read_status(headers) if headers else (0, "")
            if code >= 400:
                raise BusRefusedError(f"the bus breaks the copy off: {words or code}")
            return

    async def _next(self) -> tuple[str, bytes, bytes]:
        while not self._arrived:
            self._news.clear()
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._news.wait()
            except TimeoutError:
                raise BusTimeoutError(
                    f"the bus sends no more of the copy for {_SILENCE_S:g} s"
                ) from None
        if self._connection.times_up != self._times_up:
            raise BusUnreachableError("the connection to the bus was cut during the copy")
        return self._arrived.popleft()


async def put_back(
    connection: Connection, stream: str, copy: StreamCopy, pieces: Iterable[bytes]
) -> StreamInfo:
    """Make a stream from a copy, in place of the one there is. Raises a `BusError`.

    The stream gets as many copies as this bus has servers for, whatever it had.
    """
    config = copy.config | {"num_replicas": REPLICAS_IN_CLUSTER if connection.in_cluster else 1}
    body = {"config": config, "state": copy.state}
    ready = await _begin(connection, stream, body)
    for piece in pieces:
        reply = await _hand_over(connection, ready.deliver_subject, piece)
        if reply.data:
            words = reply.data.decode("utf-8", "replace")
            raise BusRefusedError(f"the bus does not take the copy: {words}")
    last = await connection.query(ready.deliver_subject, timeout_s=_END_S)
    return read_answer(last, StreamInfo, f"the bus cannot make {stream} from the copy")


async def _hand_over(connection: Connection, subject: str, piece: bytes) -> Reply:
    """Give a piece; the server that takes them is heard of at the others a moment later."""
    for _ in range(_TRIES):
        try:
            return await connection.query(subject, piece, timeout_s=_SILENCE_S)
        except NobodyAnswersError:
            await asyncio.sleep(_AGAIN_S)
    return await connection.query(subject, piece, timeout_s=_SILENCE_S)


async def _begin(connection: Connection, stream: str, body: dict[str, Any]) -> _Ready:
    """Take away what is there; a service that starts meanwhile may make it anew."""
    for tried in range(_TRIES):
        await remove(connection, stream)
        try:
            return await call(
                connection, f"STREAM.RESTORE.{stream}", body, _Ready, timeout_s=_BEGIN_S
            )
        except BusRefusedError as error:
            if error.code != NAME_IN_USE or tried == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")
