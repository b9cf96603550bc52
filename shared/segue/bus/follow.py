"""Reading the log in order: every message once, from any sequence, over every kind of trouble.

A consumer of the server's pushes messages here; it lives as long as nothing is missed. A gap in
its own count, silence beyond its heartbeats, a cut connection, a restarted server: another one is
made, which begins after the last message that was given, also where the log had been looked
through further: a message that lies there then is of another history of the log. The server may
run ahead of the reader by a bounded number of bytes and then waits. Servers of a cluster give a
consumer to any of them: it is made anew until it lives on the server that we are connected to,
whose end is noticed at once, and never is it taken from one whose copy lags: that would say that
nothing is left to be read.

A log that is not the one that was followed raises `LogReplacedError`: nothing is made up.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

import structlog

from segue.bus.connection import Connection
from segue.bus.errors import BusError, BusRefusedError, BusTimeoutError, LogReplacedError
from segue.bus.jetstream import (
    CLUSTER,
    EVENTS,
    ConsumerInfo,
    StreamInfo,
    api,
    call,
    get_message,
)
from segue.bus.protocol import covers, is_filter, read_headers, read_status
from segue.log import Stored, Stretch

HEARTBEAT_S = 0.5
SILENCE_S = 1.6  # Three heartbeats and a little.
STRETCH_MAX = 500
RETRY_S, DOUBTED_FOR_S = 0.25, 30.0
FORGOTTEN_AFTER_S = 5  # By the server, if nobody listens any more.
CREATE_S = 2.0  # The servers may have given it to one that is dead: it is to be tried again soon.
NEARBY_TRIES = 16  # Any of three is as likely: not one follower in 400 ends elsewhere.
_NANOSECONDS = 1_000_000_000
_CONTROL = 100

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


class Missed(Exception):  # noqa: N818 — not an error: the next consumer begins where this ends.
    """What the consumer gave is good, but it has lost something or died."""


class Place(NamedTuple):
    """The last message that a reader was given, and its mark, as far as that is known."""

    sequence: int
    mark: str


class _Pushed(NamedTuple):
    """A message as it arrived, with the server's count of what still waits behind it."""

    stored: Stored
    waiting: int


class Consumer:
    """One consumer on the server and what it has pushed here so far."""

    def __init__(
        self, connection: Connection, stream: str, after: int, head: int, leader: str
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._name = f"segue-{secrets.token_hex(8)}"
        self._inbox = connection.new_inbox()
        self._arrived: deque[_Pushed | str] = deque()  # Messages; flow control asks in between.
        self._news = asyncio.Event()
        self._count = 0  # Of messages by the consumer's own numbering.
        self._missed = False
        self.home = ""  # The server that it lives on, in a cluster.
        self._read = self._after = after
        self._head = head  # The stream's last sequence before this consumer was made …
        self._leader = leader  # … on the server that leads, whose word that is.
        self._has_head = False  # So has the server that this consumer lives on.
        self._idle_at = -1  # Where a heartbeat said that nothing is left.
        self._caught_at = -1
        self._sid = connection.attach(self._inbox, self._take)
        connection.watch(self._on_change)

    async def start(self, subjects: Sequence[str], behind: int | None = None) -> None:
        """Have the server make it behind what is read, or behind the last message given."""
        wanted: dict[str, Any] = {
            "name": self._name,
            "deliver_subject": self._inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": 1 + (self._after if behind is None else behind),
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECONDS),
            "inactive_threshold": FORGOTTEN_AFTER_S * _NANOSECONDS,
            "num_replicas": 1,
            "mem_storage": True,
        }
        if subjects:
            wanted["filter_subjects"] = _widest(subjects)
        verb = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        body = {"stream_name": self._stream, "config": wanted, "action": "create"}
        info = await call(self._connection, verb, body, ConsumerInfo, timeout_s=CREATE_S)
        self.made(info.cluster.leader if info.cluster else "", info.num_pending)

    def made(self, home: str, waiting: int) -> None:
        """Note where it lives, and how many messages wait for it there.

        Another server than the leader may hold the whole log and not have taken all of it in: that
        nothing waits there says nothing of the log's end before a heartbeat does.
        """
        self.home = home
        self._has_head = home in ("", self._leader)
        if not waiting and self._has_head:
            self._idle_at = max(self._head, self._read)
            self._news.set()

    def stop(self) -> None:
        """Let go of it at once; the server forgets it now or, unreached, after 5 s."""
        self._connection.unwatch(self._on_change)
        self._connection.detach(self._sid)
        if self._connection.is_connected:
            verb = f"CONSUMER.DELETE.{self._stream}.{self._name}"
            self._connection.send(api(self._connection, verb))

    async def next(self) -> Stretch:
        """Wait for news; raises `Missed` when this consumer cannot be trusted any more."""
        while True:
            if stretch := self._cut():
                return stretch
            if self._missed:
                raise Missed
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._news.wait()
            except TimeoutError:
                await self._still_there()

    async def _still_there(self) -> None:
        """Tell real silence from a process that was too busy to read."""
        try:
            await self._connection.barrier(timeout_s=SILENCE_S)
        except BusError as error:
            raise Missed from error
        if not self._news.is_set():
            raise Missed

    def _cut(self) -> Stretch | None:
        """Take what has arrived, at most `STRETCH_MAX` messages."""
        messages: list[Stored] = []
        waiting = -1
        while self._arrived and len(messages) < STRETCH_MAX:
            pushed = self._arrived.popleft()
            if isinstance(pushed, str):
                self._say_go_on(pushed)
                continue
            if pushed.stored.sequence <= self._after:
                raise LogReplacedError(
                    f"the log holds a message at {pushed.stored.sequence} that was not there when "
                    f"it was read to {self._after}: an older copy was put back and has grown since"
                )
            messages.append(pushed.stored)
            waiting = pushed.waiting
        upto = messages[-1].sequence if messages else self._read
        caught = waiting == 0 and (self._has_head or upto >= self._head)
        if caught:
            upto = max(upto, self._head)
        if not self._arrived and self._idle_at >= upto and not self._missed:
            upto, caught = self._idle_at, self._idle_at >= self._head
        news = bool(messages) or upto > self._read or (caught and self._caught_at < upto)
        self._read = upto
        if caught:
            self._caught_at = upto
        return Stretch(messages, upto, caught) if news else None

    def _take(self, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        """Sink of the connection: sort messages from the server's own words."""
        if self._missed:
            return
        if not reply.startswith(b"$JS.ACK."):
            self._control(subject, reply, headers, data)
            return
        words = reply.split(b".")
        if len(words) > 9:  # With a domain and an account before the stream.
            words = words[2:]
        if len(words) < 9 or words[3] != self._name.encode():
            return
        sequence, count, time, waiting = words[5:9]
        if int(count) != self._count + 1:
            self._lost()
            return
        self._count += 1
        self._arrived.append(
            _Pushed(
                Stored(
                    int(sequence),
                    int(time) / 1e9,
                    subject.decode("utf-8", "replace"),
                    data,
                    read_headers(headers) if headers else {},
                ),
                int(waiting),
            )
        )
        self._news.set()

    def _control(self, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        """Read a heartbeat or a flow control request; anything else is not for us."""
        if data or subject != self._inbox.encode() or read_status(headers)[0] != _CONTROL:
            return
        if reply.startswith(b"$JS.FC."):
            self._arrived.append(reply.decode())
            self._news.set()
            return
        said = read_headers(headers)
        if said.get("Nats-Last-Consumer") != str(self._count):
            self._lost()
            return
        if stalled := said.get("Nats-Consumer-Stalled"):
            self._arrived.append(stalled)
        else:
            self._idle_at = int(said["Nats-Last-Stream"])
        self._news.set()

    def _on_change(self, _up: bool) -> None:  # noqa: FBT001 — the signature of a watcher.
        self._lost()  # Another connection is another consumer.

    def _lost(self) -> None:
        self._missed = True
        self._news.set()

    def _say_go_on(self, subject: str) -> None:
        if self._connection.is_connected:
            self._connection.send(subject)


async def follow(
    connection: Connection,
    after: int,
    subjects: Sequence[str] = (),
    stream: str = EVENTS,
    *,
    mark: str = "",
) -> AsyncGenerator[Stretch, None]:
    """Give every message after `after` on `subjects`, for ever, in stretches.

    `mark` is that of the message at `after`, if it was read; nothing else may stand there.
    """
    for subject in subjects:
        if not is_filter(subject):
            raise BusRefusedError(f"{subject!r} is not a filter that can be followed")
    reader = _Reader(connection, Place(after, mark), subjects, stream)
    while True:
        consumer = await reader.begin()
        moved = False
        try:
            while True:
                stretch = await consumer.next()
                reader.read, moved = stretch.upto, True
                if stretch.messages:
                    reader.last = Place(stretch.messages[-1].sequence, stretch.messages[-1].mark)
                yield stretch
        except Missed:
            pass
        finally:
            consumer.stop()
        if not moved:
            await asyncio.sleep(RETRY_S)


class _Reader:
    """Where one reader stands in which log."""

    def __init__(
        self, connection: Connection, last: Place, subjects: Sequence[str], stream: str
    ) -> None:
        self.read, self.last = last.sequence, last
        self._connection, self._subjects, self._stream = connection, subjects, stream
        self._cluster = ""

    async def begin(self) -> Consumer:
        """Make a consumer behind what is read, however long the bus or the stream is away."""
        complained = False
        doubted_until: float | None = None
        while True:
            await self._connection.until(up=True)
            try:
                return await self._make()
            except LogReplacedError:
                # Servers that elect, or one that was cut off, may not know what they have.
                now = time.monotonic()
                doubted_until = doubted_until or now + DOUBTED_FOR_S * self._connection.in_cluster
                if now >= doubted_until:
                    raise
            except BusError as error:
                if isinstance(error, BusRefusedError) and error.lasting:
                    raise
                if not complained:
                    complained = True
                    log.warning("the log cannot be followed now", why=str(error))
            await asyncio.sleep(RETRY_S)

    async def _make(self) -> Consumer:
        info = await call(self._connection, f"STREAM.INFO.{self._stream}", None, StreamInfo)
        cluster = (info.config.get("metadata") or {}).get(CLUSTER, "")
        _same_log(info, self.read, cluster, self._cluster)
        self._cluster = cluster
        await self._same_history()
        whole = info.cluster.whole() if info.cluster else {""}
        wanted = whole & {self._connection.server} or whole
        for tries_left in reversed(range(NEARBY_TRIES)):
            head, leader = info.state.last_seq, info.cluster.leader if info.cluster else ""
            consumer = Consumer(self._connection, self._stream, self.read, head, leader)
            try:
                await consumer.start(self._subjects, self.last.sequence)
            except BaseException:
                consumer.stop()
                raise
            if not consumer.home or consumer.home in (wanted if tries_left else whole):
                return consumer
            consumer.stop()
        raise BusTimeoutError("the servers give a consumer to one that lags behind")

    async def _same_history(self) -> None:
        """Refuse a log that has grown again from an older copy: it is as long, but another."""
        at = self.last.sequence
        if not self.last.mark:
            return
        found = await get_message(self._connection, self._stream, {"seq": at})
        if found is not None and found.mark != self.last.mark:
            raise LogReplacedError(
                f"the log holds another message at {at} than was read there: "
                "an older copy was put back and has grown since"
            )


def _same_log(info: StreamInfo, read: int, here: str, cluster: str) -> None:
    """Refuse to go on in a log that cannot continue what was read."""
    state = info.state
    if state.last_seq < read:
        raise LogReplacedError(
            f"the log ends at {state.last_seq}, but it has been read to {read}: "
            "it was lost, or an older copy was put back"
        )
    if cluster and here != cluster:
        raise LogReplacedError(f"the log of cluster {cluster} is now the log of {here or 'none'}")
    if read and state.first_seq > read + 1:
        raise LogReplacedError(
            f"the log begins at {state.first_seq}, but it has been read to {read} only: "
            "what lay between is gone; start from a newer snapshot"
        )


def _widest(subjects: Sequence[str]) -> list[str]:
    """Leave out filters that others cover: the server refuses filters that overlap."""
    wanted = list(dict.fromkeys(subjects))
    return [
        one for one in wanted if not any(other != one and covers(other, one) for other in wanted)
    ]
