"""Carry out the core's effects on the real engine, and tell the core what came of each.

Decides nothing. Every error becomes news here: a passing one says something of the engine, any
other something of the container.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import structlog
from segue.bus import BusError

from segue_node_runner import facts, news, watch
from segue_node_runner.beside import beside
from segue_node_runner.effects import (
    Ask,
    Examine,
    GiveUp,
    GiveWay,
    List,
    Mark,
    Remove,
    RemoveApp,
    Start,
    Stop,
)
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.fence import Fence
from segue_node_runner.files import Fetch
from segue_node_runner.images import Progress
from segue_node_runner.labels import Identity
from segue_node_runner.prober import Prober

PROBE_EVERY_S, UNWELL_PROBE_EVERY_S = 3.0, 0.5
PASSING = {"away", "timeout", "busy", "given up", "occupied", "unfenced"}
FACTS_AGAIN_S = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.node_runner")


class GaveWayError(BusError):
    """Another runner has joined under this node's name."""


class Actor:
    """The hands of one node runner."""

    def __init__(
        self, engine: Engine, fetch: Fetch, fence: Fence, hear: Callable[[Any], None]
    ) -> None:
        self.engine, self.fetch, self.fence, self.hear = engine, fetch, fence, hear
        self.prober = Prober(hear)
        self._waiting: dict[Identity, anyio.CancelScope] = {}  # Starts that have not begun.

    async def perform(self, effect: Any) -> None:  # noqa: C901 — a case for each effect.
        """Carry out an effect, whatever comes of it."""
        match effect:
            case Ask():
                self.prober.want(effect)
            case Mark():
                self.fence.mark(effect.engine_id, strict=effect.strict)
            case Start():
                await self._start(effect)
            case GiveUp():
                if scope := self._waiting.get(effect.identity):
                    scope.cancel()
            case Stop():
                await self._stop(effect)
            case Examine():
                self._pass(await watch.died(self.engine, effect.identity, effect.engine_id, 0))
            case List():
                await self._list(effect)
            case Remove():
                name = effect.identity.past_name
                await self._quietly(self.engine.remove(effect.engine_id), name)
            case RemoveApp():
                await self._quietly(self.engine.remove_app(effect), f"app {effect.app}")
            case GiveWay():
                raise GaveWayError(
                    "another runner has joined under this node's name "
                    f"(session {effect.session}): give each its own with --node"
                )

    async def _start(self, effect: Start) -> None:
        def tell(progress: Progress) -> None:
            self.hear(
                news.PullProgress(identity=effect.identity, **msgspec.structs.asdict(progress))
            )

        self._waiting[effect.identity] = waiting = anyio.CancelScope()
        try:
            done = await self.engine.start(
                effect,
                self.fetch,
                tell,
                waiting,
                lambda engine_id: self.fence.admit(engine_id, effect.lease),
            )
        except EngineError as error:
            log.warning(
                "a start failed", of=effect.identity.slot_name, step=error.step, why=error.message
            )
            failed = news.StartFailed(
                identity=effect.identity,
                step=error.step,
                kind=error.kind,
                message=error.message,
                final=error.final,
                passing=error.kind in PASSING,
            )
            self.hear(failed)
            return
        finally:
            del self._waiting[effect.identity]
        self.hear(
            news.StartDone(
                identity=effect.identity,
                engine_id=done.found.engine_id,
                found=done.found,
                adopted=done.adopted,
                took_s=done.took_s,
                pulled_s=done.pulled_s,
            )
        )

    async def _stop(self, effect: Stop) -> None:
        try:
            ended = await self.engine.stop(effect.engine_id, effect.grace_s)
            await self.engine.remove(effect.engine_id)
        except EngineError as error:
            log.warning("a stop failed", of=effect.identity.slot_name, why=error.message)
            self.hear(news.StopFailed(identity=effect.identity, message=error.message))
            return
        self.hear(
            news.StopDone(
                identity=effect.identity,
                engine_id=effect.engine_id,
                exit_code=ended.exit_code,
                ran_s=ended.ran_s,
                killed=ended.killed,
            )
        )

    async def _list(self, effect: List) -> None:
        listed = self.fence.listed()
        try:
            found = await self.engine.list_ours(effect.cluster)
            networks_of, volumes_of = await self.engine.commons.owners(effect.cluster)
        except EngineError as error:
            self.hear(news.ListFailed(error.message, effect.number))
            return
        self.hear(news.Inventory(found, networks_of, volumes_of, effect.number))
        self.fence.let_go(listed - {one.engine_id for one in found})
        await self.engine.sweep_files(found)

    @staticmethod
    async def _quietly(removal: Awaitable[object], what: str) -> None:
        """Leave what cannot be removed now to the next time."""
        try:
            await removal
        except EngineError as error:
            log.warning("something could not be removed", what=what, why=error.message)

    # What the engine says by itself.

    @asynccontextmanager
    async def watching(self, cluster: str, version: str) -> AsyncIterator[None]:
        """Tell the core the engine's facts, news and condition while the context lasts."""
        async with beside() as tasks:
            tasks.start_soon(self._tell_facts, version)
            tasks.start_soon(self._pass_on, cluster)
            tasks.start_soon(self._probe, cluster)
            tasks.start_soon(self.prober.run)
            yield

    async def _tell_facts(self, version: str) -> None:
        """Ask until the engine answers; it may start after this runner."""
        while True:
            try:
                found = await facts.facts(self.engine.calls)
            except EngineError as error:
                log.warning("waits for the engine", why=error.message)
                await anyio.sleep(FACTS_AGAIN_S)
                continue
            self.hear(msgspec.structs.replace(found, version=version))
            return

    async def _pass_on(self, cluster: str) -> None:
        async with watch.watched(self.engine, cluster) as heard:
            async for one in heard:
                self._pass(one)

    def _pass(self, one: news.News) -> None:
        if isinstance(one, news.Died) and self.fence.killed(one.engine_id):
            one = msgspec.structs.replace(one, fenced=True)
        self.hear(one)

    async def _probe(self, cluster: str) -> None:
        full = False
        while True:
            found = await facts.condition(self.engine.calls, cluster, was_full=full)
            full = bool(found.full)
            self.hear(found)
            await anyio.sleep(PROBE_EVERY_S if found.state == "well" else UNWELL_PROBE_EVERY_S)
