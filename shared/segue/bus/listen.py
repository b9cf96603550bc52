"""Hearing what is said on the bus and stored nowhere: beats, samples, questions.

Whoever is too slow loses the oldest first and can see how many; nobody else waits for him.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

from segue.bus.connection import Connection


class Heard(NamedTuple):
    """A message as it came, its texts not read yet."""

    subject: bytes
    reply: bytes
    headers: bytes
    data: bytes


class Ear:
    """A subscription with a bounded memory."""

    def __init__(self, connection: Connection, subject: str, room: int, queue: str = "") -> None:
        self.dropped = 0
        self._connection = connection
        self._heard: deque[Heard] = deque()
        self._room = room
        self._news = asyncio.Event()
        self._sid = connection.attach(subject, self._take, queue)
        connection.watch(self._on_change)

    def close(self) -> None:
        """Hear no more; whoever waits for the next message gets none."""
        self._connection.unwatch(self._on_change)
        self._connection.detach(self._sid)
        self._sid = 0
        self._news.set()

    def _on_change(self, _up: bool) -> None:  # noqa: FBT001 — the signature of a watcher.
        if self._connection.is_closed:
            self.close()

    async def next(self) -> Heard | None:
        """Wait for the next message; None once it is closed."""
        while not self._heard:
            if not self._sid:
                return None
            self._news.clear()
            await self._news.wait()
        return self._heard.popleft()

    def _take(self, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        if len(self._heard) >= self._room:
            self._heard.popleft()
            self.dropped += 1
        self._heard.append(Heard(subject, reply, headers, data))
        self._news.set()


class Listening(AsyncIterator[tuple[str, bytes]]):
    """What is said on a subject from now on, as (subject, data), over reconnects too.

    `dropped` counts what came faster than it was taken. Close it, or use it in `with`.
    """

    def __init__(self, connection: Connection, subject: str, room: int) -> None:
        self._ear = Ear(connection, subject, room)

    @property
    def dropped(self) -> int:
        """How many messages were lost because their listener was too slow."""
        return self._ear.dropped

    def close(self) -> None:
        """Listen no more."""
        self._ear.close()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    async def __anext__(self) -> tuple[str, bytes]:
        """Wait for the next message."""
        heard = await self._ear.next()
        if heard is None:
            raise StopAsyncIteration
        return heard.subject.decode("utf-8", "replace"), heard.data

    def __del__(self) -> None:
        """Let go of the subscription of a loop that was left."""
        ear = getattr(self, "_ear", None)  # None where making it was refused.
        if ear is not None:
            ear.close()
