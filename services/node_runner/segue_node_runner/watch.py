"""Watch the engine's events: what happens to our containers, as it happens.

    connect → Resync → news … → Away → connect again, at once, then ever slower up to 1 s

The engine forgets its events when it restarts, and a death while it was away makes none: whoever
hears `Resync` lists and inspects. It gives events their time before their order, so that those of
one moment may come in another order than their times; they are resumed a little before the newest,
and none is told twice.
"""

import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

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
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.news import Away, Died, Gone, HealthChanged, News, Resync, Running

_ACTIONS = ["die", "start", "destroy", "health_status", "oom", "kill"]
_KILLED = 128 + signal.SIGKILL  # The exit code of who was killed: by memory, a person, anything.
OOM_WORD_S = 0.2  # So late the engine may hear of a lack of memory, after the end.
_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 1.0
_NEWS_AHEAD = 1_000
_READ_MOST = 65_536
_TOLD_KEPT, _OVERLAP_NANOS = 4_096, 10**9  # Far more than may happen in the overlap.


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
        self._nanos = 0  # When the event that came last happened …
        self._told: dict[tuple[str, str, int], None] = {}  # … and which came before it.
        self._turns: dict[str, anyio.Event] = {}  # By container: the end of its news before.
        self._lacks: dict[str, anyio.Event] = {}  # By container: set once it lacks memory.
        self._killed: set[str] = set()  # By whoever asked the engine for it.

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
            since = self._nanos - _OVERLAP_NANOS
            query["since"] = f"{since // 10**9}.{since % 10**9:09}"
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
        key = (event.actor.id, event.action, event.nanos)
        if key in self._told:
            return
        self._nanos, self._told[key] = event.nanos, None
        if len(self._told) > _TOLD_KEPT:
            del self._told[next(iter(self._told))]
        identity = labels.identity(event.actor.attributes)
        if event.action == "oom":
            self._lacks.setdefault(event.actor.id, anyio.Event()).set()
        elif event.action == "kill":
            if event.actor.attributes.get("signal") == str(signal.SIGKILL.value):
                self._killed.add(event.actor.id)
        elif identity is not None:
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
                    code = int(event.actor.attributes.get("exitCode", "0"))
                    news = await died(self._engine, identity, engine_id, code, self._lacked)
                    self._forget(engine_id)
                case "health_status":
                    healthy = event.action.endswith(" healthy")
                    news = await self._health(identity, engine_id, healthy=healthy)
                case _:
                    news = Gone(identity=identity, engine_id=engine_id)
                    self._forget(engine_id)
            await self._send.send(news)
        finally:
            after.set()
            if self._turns.get(engine_id) is after:
                del self._turns[engine_id]

    def _forget(self, engine_id: str) -> None:
        self._killed.discard(engine_id)
        self._lacks.pop(engine_id, None)

    async def _lacked(self, found: Found) -> bool:
        """Tell whether it was killed for a lack of memory; that word may come after its end."""
        lacks = self._lacks.setdefault(found.engine_id, anyio.Event())
        is_open = found.exit_code == _KILLED and found.engine_id not in self._killed
        if found.bounded and is_open and not found.oom:
            with anyio.move_on_after(OOM_WORD_S):
                await lacks.wait()
        return found.oom or lacks.is_set()

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


async def died(
    engine: Engine,
    identity: Identity,
    engine_id: str,
    exit_code: int,
    lacked: Callable[[Found], Awaitable[bool]] | None = None,
) -> Died:
    """Find out how a container ended and what it said last; what cannot be had is left out.

    `exit_code` is what is known of it already; the engine's own word is better. `lacked` tells
    whether it had too little memory.
    """
    logs = list[str]()

    async def listen() -> None:
        with contextlib.suppress(EngineError):
            logs.extend(await streams.tail(engine.calls, engine_id))

    oom, ran_s = False, 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        with contextlib.suppress(EngineError):
            if found := await engine.find(engine_id):
                oom, ran_s = await lacked(found) if lacked else found.oom, found.ran_s
                exit_code = found.exit_code if found.exit_code is not None else exit_code
    return Died(
        identity=identity,
        engine_id=engine_id,
        exit_code=exit_code,
        oom=oom,
        ran_s=ran_s,
        logs=logs,
    )
