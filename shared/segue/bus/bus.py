"""The bus as services know it: a log to append to and follow, words said and heard, questions.

Writes answer with an `Outcome` and never raise for trouble on the way; everything else raises a
`BusError`. Whatever is running goes on by itself when the bus was away.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import Self

import anyio
import anyio.abc

from segue.bus import copies, objects, questions
from segue.bus.answers import StreamHandler, ask_stream, serve_stream
from segue.bus.append import Writer
from segue.bus.connection import Connection
from segue.bus.copies import StreamCopy
from segue.bus.errors import BusUnreachableError
from segue.bus.follow import DOUBTED_FOR_S, RETRY_S, follow
from segue.bus.jetstream import (
    CLUSTER,
    EVENTS,
    Answer,
    StreamInfo,
    call,
    get_message,
    seconds_since_1970,
)
from segue.bus.leases import Leases
from segue.bus.listen import Listening
from segue.bus.settings import Settings
from segue.bus.stream import Plan, SetUp, set_up
from segue.log import Fence, Head, Message, Outcome, Stored, Stretch


async def connect(
    settings: Settings,
    *,
    name: str,
    wait: bool = True,
    on_change: Callable[[bool], None] | None = None,
) -> "Bus":
    """Connect as `name`. Waits for a bus that is not there yet, unless told not to.

    Without `wait` it raises `BusUnreachableError` within seconds. A server that is too old raises
    `BusTooOldError` either way. `on_change` is called with True and False as the bus comes and
    goes.
    """
    return Bus(await Connection.open(settings, name=name, wait=wait, on_change=on_change))


class Bus:
    """One connection to one bus. Close it, or use it in `async with`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer = Writer(connection)
        self.leases = Leases(connection)

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Send what is left and end the connection; safe to repeat and under cancellation."""
        await self._connection.close()

    # Whether it is there.

    @property
    def connected(self) -> bool:
        """The bus is there now."""
        return self._connection.up

    async def until(self, *, connected: bool) -> None:
        """Wait until the bus is there, or away."""
        await self._connection.until(up=connected)

    def states(self) -> AsyncIterator[bool]:
        """Give the state now and at each change; True after True is another connection."""
        return self._connection.states()

    # The log.

    async def set_up(self, plan: Plan | None = None, *, change: bool = False) -> SetUp:
        """Make the log and the buckets where they are missing; see `segue.bus.stream`."""
        return await set_up(self._connection, plan or Plan(), change=change)

    async def append(
        self, messages: Sequence[Message], fence: Fence | None = None, *, timeout_s: float = 5.0
    ) -> Outcome:
        """Store messages in order, up to 1,000 at once as all or nothing, behind `fence`."""
        return await self._writer.append(messages, fence, timeout_s)

    def follow(
        self, after: int, subjects: Sequence[str] = (), *, mark: str = ""
    ) -> AsyncGenerator[Stretch, None]:
        """Give every message after `after`, now and in future, each once and in order.

        `mark` is that of the message at `after`, if it was read. Raises `LogReplacedError` when the
        log cannot continue what was read. Close the iterator (`contextlib.aclosing`) when leaving
        it early.
        """
        return follow(self._connection, after, subjects, mark=mark)

    async def head(self, read: int = 0) -> Head:
        """Tell the log's bounds, clock and cluster.

        That it ends before `read` is believed only if it is still said after `DOUBTED_FOR_S`: of
        several servers, one that was cut off answers as it did then until it hears of the others.
        """
        doubted_until = time.monotonic() + DOUBTED_FOR_S * self._connection.in_cluster
        while True:
            info = await call(self._connection, f"STREAM.INFO.{EVENTS}", None, StreamInfo)
            if info.state.last_seq >= read or time.monotonic() >= doubted_until:
                break
            await anyio.sleep(RETRY_S)
        cluster = (info.config.get("metadata") or {}).get(CLUSTER, "")
        now = seconds_since_1970(info.ts)
        return Head(info.state.first_seq, info.state.last_seq, now, cluster)

    async def read(
        self,
        first: int = 1,
        last: int | None = None,
        *,
        count: int | None = None,
        subjects: Sequence[str] = (),
    ) -> AsyncGenerator[Stored, None]:
        """Give the messages from `first` to `last` that there are now, at most `count`."""
        head = await self.head()
        end = head.last if last is None else min(last, head.last)
        after = max(first, head.first, 1) - 1
        left = count
        if after >= end:
            return
        async with aclosing(follow(self._connection, after, subjects)) as stretches:
            async for stretch in stretches:
                for stored in stretch.messages:
                    if stored.sequence > end or left == 0:
                        return
                    yield stored
                    left = None if left is None else left - 1
                if stretch.upto >= end:
                    return

    async def at(self, sequence: int) -> Stored | None:
        """Give the message at a sequence, if the log still holds it."""
        return await get_message(self._connection, EVENTS, {"seq": sequence}) if sequence else None

    async def last(self, subject: str) -> Stored | None:
        """Give the newest message on `subject`, which may hold wildcards."""
        return await get_message(self._connection, EVENTS, {"last_by_subj": subject})

    async def trim(self, first: int) -> None:
        """Take away what the log holds before `first`; raises a `BusError`."""
        await call(self._connection, f"STREAM.PURGE.{EVENTS}", {"seq": first}, Answer)

    # What nobody stores.

    async def say(self, subject: str, data: bytes) -> None:
        """Say it to whoever listens now. While the bus is away it is lost: it would be old."""
        try:
            self._connection.send(subject, data)
            await self._connection.drained()
        except BusUnreachableError:
            return

    def listen(self, subject: str, *, room: int = 4096) -> Listening:
        """Hear what is said on `subject` from now on; with more than `room` waiting, the newest."""
        return Listening(self._connection, subject, room)

    # Questions.

    async def ask(self, subject: str, data: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        """Give the answer; raises `NobodyAnswersError` at once, or `AnswerError`."""
        return await questions.ask(self._connection, subject, data, timeout_s)

    async def serve(
        self,
        subject: str,
        handler: questions.Handler,
        *,
        queue: str = "",
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer questions until cancelled; of those in one `queue` each is answered once."""
        await questions.serve(
            self._connection, subject, handler, queue=queue, task_status=task_status
        )

    def ask_stream(self, subject: str, data: bytes = b"") -> AsyncGenerator[bytes, None]:
        """Give the pieces of an answer; leaving early (`contextlib.aclosing`) stops the answerer.

        Raises as `ask` does, and `BusTimeoutError` within 5 s of an answerer's death.
        """
        return ask_stream(self._connection, subject, data)

    async def serve_stream(
        self,
        subject: str,
        handler: StreamHandler,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer questions in pieces until cancelled."""
        await serve_stream(self._connection, subject, handler, task_status=task_status)

    # Large values.

    async def put(self, bucket: str, key: str, data: bytes, *, timeout_s: float = 60.0) -> None:
        """Make `data` the value of `key`; raises a `BusError` and leaves the old value whole."""
        await objects.Bucket(self._connection, bucket).put(key, data, timeout_s)

    async def get(self, bucket: str, key: str, *, timeout_s: float = 60.0) -> bytes | None:
        """Give the value of `key`, whole; None: there is none, or only a part of it."""
        return await objects.Bucket(self._connection, bucket).get(key, timeout_s)

    async def keys(self, bucket: str, *, timeout_s: float = 30.0) -> list[str]:
        """Give the keys that have a value, sorted."""
        return await objects.Bucket(self._connection, bucket).keys(timeout_s)

    async def delete(self, bucket: str, key: str, *, timeout_s: float = 30.0) -> None:
        """Take away the value that `key` has now, if it has one."""
        await objects.Bucket(self._connection, bucket).delete(key, timeout_s)

    # Copies of all of it.

    async def stream(self, name: str) -> StreamInfo | None:
        """Look at one of the streams behind the log and the buckets; None: there is none."""
        return await copies.info(self._connection, name)

    def copy_of(
        self, name: str
    ) -> AbstractAsyncContextManager[tuple[StreamCopy, AsyncGenerator[bytes, None]]]:
        """Have a stream copied as it is now: what it is, and its pieces in order."""
        return copies.take(self._connection, name)

    async def put_copy(self, name: str, copy: StreamCopy, pieces: Iterable[bytes]) -> StreamInfo:
        """Make a stream from a copy, in place of the one there is; raises a `BusError`."""
        return await copies.put_back(self._connection, name, copy, pieces)
