"""The one connection to the bus: who hears what, who waits for which answer, and is it there.

- It says once that the bus is away and once that it is back, and tells whoever watches.
- A message goes to its sink at once; one that its sink cannot bear is dropped and told of.
- Whoever waits for an answer learns of a cut, of a refusal and of nobody being there at once.
- A probe through its own inbox finds what pings do not: a connection that is only half alive.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, Self

import anyio
import structlog
from nats import errors
from nats.aio.subscription import Subscription
from nats.protocol import command

from segue.bus.errors import (
    BusError,
    BusRefusedError,
    BusTimeoutError,
    BusUnreachableError,
    NobodyAnswersError,
)
from segue.bus.protocol import is_filter, read_status
from segue.bus.settings import Settings, connect_options
from segue.bus.wire import Wire

PING_EVERY_S, PINGS_UNANSWERED = 2, 2
PROBE_EVERY_S, PROBES_MISSED = 5.0, 3
NO_RESPONDERS = 503

Sink = Callable[[bytes, bytes, bytes, bytes], None]  # subject, reply, headers, data

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


class Reply(NamedTuple):
    """An answer as it came."""

    headers: bytes
    data: bytes


class Connection(Wire):
    """Open it with `Connection.open`, end it with `close`. Messages go to sinks, at once."""

    def __init__(self, settings: Settings, on_change: Callable[[bool], None] | None) -> None:
        super().__init__(settings)
        self.up = False
        self.dropped = 0  # Messages whose sink failed on them.
        self._sinks: dict[int, Sink] = {}
        self._waiting: dict[bytes, tuple[str, asyncio.Future[Reply]]] = {}
        self._inbox = f"{settings.inbox_prefix}.{secrets.token_hex(12)}"
        self._asked = 0
        self._watchers = {on_change} if on_change else set()
        self._changed = asyncio.Event()
        self._patient = True
        self._said_away = False
        self._away_since = time.monotonic()
        self._probing: asyncio.Task[None] | None = None
        self._may_probe = True

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        name: str,
        wait: bool = True,
        on_change: Callable[[bool], None] | None = None,
    ) -> Self:
        """Connect; with `wait`, however long it takes, else raise `BusUnreachableError` quickly."""
        self = cls(settings, on_change)
        self._patient = wait
        try:
            await self.connect(
                **connect_options(settings),
                name=name,
                error_cb=self._note_error,
                disconnected_cb=self._went_away,
                reconnected_cb=self._came_back,
                connect_timeout=2,
                reconnect_time_wait=1,  # Only how long closing waits for a reconnect to end.
                max_reconnect_attempts=-1,
                ping_interval=PING_EVERY_S,
                max_outstanding_pings=PINGS_UNANSWERED,
                flusher_queue_size=0,
            )
        except BaseException as error:
            await self.close()
            if isinstance(error, errors.Error | OSError | ValueError):
                where = settings.shown_url
                raise BusUnreachableError(f"cannot connect to {where}: {error}") from error
            raise
        self._patient = True
        self.attach(f"{self._inbox}.*", self._take_reply)
        self._probing = asyncio.create_task(self._probe(), name="bus probe")
        await self._came_back()
        return self

    @property
    def offers_jetstream(self) -> bool:
        """The server that we are connected to stores streams itself."""
        return bool(self._server_info.get("jetstream"))

    @property
    def server(self) -> str:
        """The name of the server that we are connected to."""
        return str(self._server_info.get("server_name", ""))

    @property
    def in_cluster(self) -> bool:
        """The server that we are connected to is one of several."""
        return bool(self._server_info.get("cluster"))

    async def close(self) -> None:
        """End the connection and everything that belongs to it; cancellation does not cut short."""
        tasks = (
            self._probing,
            self._reading_task,
            self._ping_interval_task,
            self._flusher_task,
            self._reconnection_task,
        )
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(BusError):
                await self.barrier(timeout_s=1)
            self._forget("the connection was closed")
            with anyio.move_on_after(2), contextlib.suppress(OSError, errors.Error):
                await super().close()
            running = [task for task in tasks if task is not None and not task.done()]
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=2)
            self._hang_up()
        self.up = False
        self._tell_watchers()

    # Who is told whether the bus is there.

    async def until(self, *, up: bool) -> None:
        """Wait until the bus is there, or away."""
        # A cut shows here before it is told of: who repeats at once would let nobody tell.
        while self.up is not up or (up and not self.is_connected):
            if self.is_closed:
                raise BusUnreachableError("the connection to the bus is closed")
            await self._changed.wait()

    async def states(self) -> AsyncIterator[bool]:
        """Give the state now and at each change; True after True is another connection."""
        told: tuple[bool, int] | None = None
        while not self.is_closed:
            if told == (self.up, self.times_up):
                await self._changed.wait()
                continue
            told = (self.up, self.times_up)
            yield self.up

    def watch(self, watcher: Callable[[bool], None]) -> None:
        """Tell `watcher` of each change, at once."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Callable[[bool], None]) -> None:
        """Tell it no more."""
        self._watchers.discard(watcher)

    def _tell_watchers(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for watcher in list(self._watchers):
            try:
                watcher(self.up)
            except Exception:
                log.exception("told whether the bus is there, a watcher failed", up=self.up)

    async def _went_away(self) -> None:
        if self.up and not self.is_closed:
            self.up, self._away_since = False, time.monotonic()
            self._say_away()
            self._tell_watchers()

    def _say_away(self) -> None:
        if not self._said_away:
            self._said_away = True
            log.warning("the bus is away", url=self.settings.shown_url, why=self.why_away)

    async def _came_back(self) -> None:
        if self._said_away:
            away_s = round(time.monotonic() - self._away_since, 3)
            log.info("the bus is back", url=self.settings.shown_url, away_s=away_s)
        self.up, self._said_away, self.why_away = True, False, ""
        self.times_up += 1
        self._tell_watchers()

    def _keep_trying(self) -> None:
        if not self._patient:
            raise BusUnreachableError(
                f"the bus at {self.settings.shown_url} cannot be reached: {self.why_away}; "
                "is it running? NATS_URL or a nats context says where it is"
            )
        self._say_away()

    # What arrives.

    def deliver(self, sid: int, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        """Hand a message to its sink; one that its sink cannot bear is dropped and told of."""
        sink = self._sinks.get(sid)
        if sink is None:
            return
        try:
            sink(subject, reply, headers, data)
        except Exception:
            self.dropped += 1
            log.exception("a message was dropped", subject=subject.decode("utf-8", "replace"))

    async def _process_err(self, err_msg: str) -> None:
        """Note what the server complains of. Where it is serious the server hangs up itself."""
        if "permissions violation" not in err_msg.lower():
            self.why_away = err_msg
            return
        subject = err_msg.partition('"')[2].partition('"')[0]
        if subject.startswith(self._inbox):
            self._may_probe = False  # Not allowed to hear itself: pings must do.
            log.info("this user may not publish to its own inbox: no end-to-end probe")
            return
        log.error("the bus refuses this user", why=err_msg)
        for asked, future in list(self._waiting.values()):
            if asked == subject and not future.done():
                future.set_exception(BusRefusedError(f"the bus says: {err_msg}"))

    def _forget(self, why: str) -> None:
        super()._forget(why)
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(BusUnreachableError(f"{why} before the answer came"))

    # Subscriptions and requests.

    def attach(self, subject: str, sink: Sink, queue: str = "") -> int:
        """Give `sink` every message on `subject` from now on, over reconnects too."""
        if not is_filter(subject):
            raise BusRefusedError(f"{subject!r} is not a subject that can be subscribed to")
        self._sid += 1
        self._subs[self._sid] = Subscription(self, self._sid, subject, queue=queue)
        self._sinks[self._sid] = sink
        # Queued even while away: a reconnect that is under way may have passed the list already,
        # and the server takes the same subscription twice as one.
        self._queue(command.sub_cmd(subject, queue, self._sid))
        return self._sid

    def detach(self, sid: int) -> None:
        """Take a sink away; what it would still have got is dropped."""
        if self._sinks.pop(sid, None) is not None:
            self._subs.pop(sid, None)
            self._queue(command.unsub_cmd(sid, 0))

    def new_inbox(self) -> str:
        """Make a subject that nobody can guess."""
        return f"{self.settings.inbox_prefix}.{secrets.token_hex(12)}"

    async def query(
        self,
        subject: str,
        data: bytes = b"",
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask and give the first answer, waiting for the bus first if it is away."""
        self._asked += 1
        inbox = f"{self._inbox}.{self._asked}"
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self.until(up=True)
                self._waiting[inbox.encode()] = (subject, future)
                self.send(subject, data, reply=inbox, headers=headers)
                await self.drained()
                reply = await future
        except TimeoutError:
            if not self.up:
                raise BusUnreachableError(
                    f"the bus is away: {self.why_away or 'connecting'}"
                ) from None
            raise BusTimeoutError(f"no answer on {subject} within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(inbox.encode(), None)
        if reply.headers and read_status(reply.headers)[0] == NO_RESPONDERS:
            raise NobodyAnswersError(f"nobody serves {subject} on this bus now")
        return reply

    def _take_reply(self, subject: bytes, _reply: bytes, headers: bytes, data: bytes) -> None:
        _, future = self._waiting.pop(subject, ("", None))
        if future is not None and not future.done():
            future.set_result(Reply(headers, data))

    async def _probe(self) -> None:
        """Ask one's own inbox, which answers by being heard; what cannot hear is connected anew."""
        missed = 0
        while self._may_probe:
            if not missed:
                await asyncio.sleep(PROBE_EVERY_S)
            try:
                await self.query(f"{self._inbox}.{self._asked + 1}", timeout_s=PROBE_EVERY_S)
                missed = 0
            except BusTimeoutError:
                missed += 1
                if missed >= PROBES_MISSED:
                    missed, self.why_away = 0, "it no longer delivers what it accepts"
                    await self.force_reconnect()
            except BusError:
                missed = 0  # The reconnect has begun already.
