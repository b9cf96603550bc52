"""Watch the engine's events: what happens to our containers, as it happens.

    connect → Resync → news … → Away → connect again, at once, then ever slower up to 1 s

The engine forgets its events when it restarts, and a death while it was away makes none: whoever
hears `Resync` lists and inspects. Events are resumed to the nanosecond and never told twice.
"""

import contextlib
from collections.abc import AsyncIterator

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from docker import APIClient

from segue_node_runner import labels, streams
from segue_node_runner.beside import beside
from segue_node_runner.engine import Engine
from segue_node_runner.errors import TROUBLE, EngineError, sorted_out
from segue_node_runner.labels import Identity
from segue_node_runner.news import Away, Died, Gone, HealthChanged, News, Resync, Running

_ACTIONS = ["die", "start", "destroy", "health_status"]
_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 1.0
_NEWS_AHEAD = 1_000
_READ_MOST = 65_536


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID", default="")
    attributes: dict[str, str] = msgspec.field(name="Attributes", default_factory=dict)


class _Event(msgspec.Struct):
    action: str = msgspec.field(name="Action", default="")
    actor: _Actor = msgspec.field(name="Actor", default_factory=_Actor)
    nanos: int = msgspec.field(name="timeNano", default=0)


_decode = msgspec.json.Decoder(_Event).decode


@contextlib.asynccontextmanager
async def watched(engine: Engine, cluster: str) -> AsyncIterator[MemoryObjectReceiveStream[News]]:
    """Receive what happens to the cluster's containers on this engine until the context is left."""
    send, receive = anyio.create_memory_object_stream[News](_NEWS_AHEAD)
    async with send, receive, beside() as tasks:
        watch = _Watch(engine, cluster, send, tasks)
        tasks.start_soon(watch.run)
        try:
            yield receive
        finally:
            watch.close()


class _Watch:
    def __init__(
        self, engine: Engine, cluster: str, send: MemoryObjectSendStream[News], tasks: TaskGroup
    ) -> None:
        self._engine, self._cluster, self._send, self._tasks = engine, cluster, send, tasks
        self._answer: streams.Answer | None = None
        self._nanos = 0  # When the newest event happened …
        self._told: set[tuple[str, str]] = set()  # … and which have happened just then.
        self._turns: dict[str, anyio.Event] = {}  # By container: the end of its news before.

    async def run(self) -> None:
        """Watch for ever; the engine may come and go."""
        retry_s, is_away = _RETRY_FIRST_S, False
        while True:
            try:
                answer = await self._engine.calls.quick(self._open)
            except EngineError as error:
                words = error.message
            else:
                self._answer, retry_s, is_away = answer, _RETRY_FIRST_S, False
                await self._send.send(Resync())
                words = await self._read(answer)
            self._engine.renew()
            if not is_away:
                is_away = True
                await self._send.send(Away(words))
            await anyio.sleep(retry_s)
            retry_s = min(2 * retry_s, _RETRY_MOST_S)

    def close(self) -> None:
        """End the thread that reads."""
        if self._answer is not None:
            self._answer.end()

    def _open(self, api: APIClient) -> streams.Answer:
        wanted = {
            "type": ["container"],
            "event": _ACTIONS,
            "label": [f"{labels.CLUSTER}={self._cluster}"],
        }
        query = {"filters": msgspec.json.encode(wanted).decode()}
        if self._nanos:
            query["since"] = f"{self._nanos // 10**9}.{self._nanos % 10**9:09}"
        return streams.flowing_answer(api, "/events", query)

    async def _read(self, answer: streams.Answer) -> str:
        """Take events until there are no more; say why."""
        began = False

        def read() -> str:
            nonlocal began
            began = True
            try:
                with answer:
                    for line in answer.response.iter_lines(chunk_size=_READ_MOST):
                        if line:
                            anyio.from_thread.run_sync(self._take, _decode(line))
            except (*TROUBLE, ValueError) as error:  # The latter when it is ended in mid-read.
                return sorted_out(error).message
            return "the engine ended its events"

        limiter = anyio.CapacityLimiter(1)  # A thread of its own, as long as the engine runs.
        try:
            return await anyio.to_thread.run_sync(read, limiter=limiter, abandon_on_cancel=True)
        finally:
            if not began:
                answer.close()

    def _take(self, event: _Event) -> None:
        key = (event.actor.id, event.action)
        if event.nanos < self._nanos or (event.nanos == self._nanos and key in self._told):
            return
        if event.nanos > self._nanos:
            self._nanos, self._told = event.nanos, set()
        self._told.add(key)
        identity = labels.identity(event.actor.attributes)
        if identity is not None:
            before, after = self._turns.get(event.actor.id), anyio.Event()
            self._turns[event.actor.id] = after
            self._tasks.start_soon(self._tell, event, identity, before, after)

    async def _tell(
        self, event: _Event, identity: Identity, before: anyio.Event | None, after: anyio.Event
    ) -> None:
        """Look closer and tell, one container's news in their order."""
        engine_id = event.actor.id
        if before is not None:
            await before.wait()
        try:
            match event.action.split(":")[0]:
                case "start":
                    news: News = Running(identity=identity, engine_id=engine_id)
                case "die":
                    news = await died(
                        self._engine,
                        identity,
                        engine_id,
                        int(event.actor.attributes.get("exitCode", "0")),
                    )
                case "health_status":
                    healthy = event.action.endswith(" healthy")
                    news = await self._health(identity, engine_id, healthy=healthy)
                case _:
                    news = Gone(identity=identity, engine_id=engine_id)
            await self._send.send(news)
        finally:
            after.set()
            if self._turns.get(engine_id) is after:
                del self._turns[engine_id]

    async def _health(self, identity: Identity, engine_id: str, *, healthy: bool) -> News:
        with contextlib.suppress(EngineError):
            if found := await self._engine.find(engine_id):
                return HealthChanged(
                    identity=identity,
                    engine_id=engine_id,
                    healthy=healthy,
                    streak=found.streak,
                    output=found.output,
                )
        return HealthChanged(identity=identity, engine_id=engine_id, healthy=healthy)


async def died(engine: Engine, identity: Identity, engine_id: str, exit_code: int) -> Died:
    """Find out how a container ended and what it said last; what cannot be had is left out.

    `exit_code` is what is known of it already; the engine's own word is better.
    """
    oom, ran_s, logs = False, 0.0, list[str]()
    with contextlib.suppress(EngineError):
        if found := await engine.find(engine_id):
            oom, ran_s = found.oom, found.ran_s
            exit_code = found.exit_code if found.exit_code is not None else exit_code
            logs = await streams.tail(engine.calls, engine_id)
    return Died(
        identity=identity,
        engine_id=engine_id,
        exit_code=exit_code,
        oom=oom,
        ran_s=ran_s,
        logs=logs,
    )
