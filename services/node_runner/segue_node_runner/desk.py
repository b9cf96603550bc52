"""Answer questions about this node's containers over the bus (`segue.asks`).

Answers are read from the engine; nothing here changes what runs. What the engine refuses is told
to the asker in the engine's own words.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import anyio
import msgspec
import structlog
from segue import asks
from segue.bus import AnswerError, Bus, BusError

from segue_node_runner import facts, streams
from segue_node_runner.beside import beside
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.labels import Identity

T = TypeVar("T", bound=msgspec.Struct)

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.node_runner")


class Desk:
    """What a node answers."""

    def __init__(self, bus: Bus, engine: Engine, cluster: str, node: str, session: str) -> None:
        self.bus, self.engine, self.cluster = bus, engine, cluster
        self.node, self.session = node, session

    async def serve(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer until cancelled."""
        async with anyio.create_task_group() as tasks:
            for question, answer in (
                ("ping", self._ping),
                ("facts", self._facts),
                ("kept", self._kept),
                ("inspect", self._inspect),
            ):
                await tasks.start(self.bus.serve, asks.subject(self.node, question), answer)
            for question, stream in (("logs", self._logs), ("exec", self._exec)):
                await tasks.start(self.bus.serve_stream, asks.subject(self.node, question), stream)
            task_status.started()

    async def _ping(self, _: bytes) -> bytes:
        return msgspec.json.encode(asks.Here(self.node, self.session))

    async def _facts(self, _: bytes) -> bytes:
        async with _told():
            return msgspec.json.encode(await facts.facts(self.engine.calls))

    async def _kept(self, _: bytes) -> bytes:
        async with _told():
            return msgspec.json.encode(asks.Kept(*await self.engine.commons.owners(self.cluster)))

    async def _inspect(self, data: bytes) -> bytes:
        asked = _read(data, asks.Which)
        async with _told():
            return msgspec.json.encode(await self.engine.inspect(await self._container(asked)))

    async def _container(self, asked: asks.Which) -> str:
        """Find the engine's id of the container that is meant."""
        wanted = Identity(asked.app, asked.service, asked.slot, asked.attempt or 0)
        found = await self.engine.find(wanted.slot_name)
        if asked.attempt is not None and (found is None or found.identity != wanted):
            found = await self.engine.find_attempt(self.cluster, wanted)
        elif found is None:  # While a slot moves within the node its name is free for a moment.
            ours = await self.engine.list_ours(self.cluster)
            found = next(
                (one for one in reversed(ours) if one.identity.slot_name == wanted.slot_name), None
            )
        if found is None:
            name = f"{asked.app}/{asked.service}.{asked.slot}"
            which = "" if asked.attempt is None else f", attempt {asked.attempt}"
            raise AnswerError(f"node {self.node} has no container {name}{which}")
        return found.engine_id

    async def _logs(self, data: bytes) -> AsyncGenerator[bytes, None]:
        asked = _read(data, asks.LogsAsked)
        async with _told():
            engine_id = await self._container(asked)
            reading = streams.logs(
                self.engine.calls,
                engine_id,
                follow=asked.follow,
                since_s=asked.since_s,
                tail_lines=asked.tail,
                timestamps=asked.timestamps,
            )
            async with reading as flow:
                async for chunk in flow:
                    yield asks.piece(chunk.source, chunk.data)

    async def _exec(self, data: bytes) -> AsyncGenerator[bytes, None]:
        asked = _read(data, asks.ExecAsked)
        async with _told():
            engine_id = await self._container(asked)
            log.info("runs a program inside", container=engine_id[:12], command=asked.cmd)
            running = streams.execution(
                self.engine.calls,
                engine_id,
                asked.cmd,
                stdin=asked.interactive,
                terminal=asked.terminal,
                user=asked.user,
            )
            async with running as program, beside() as tasks:
                if asked.token:
                    tasks.start_soon(self._feed, program, asked.token)
                async for chunk in program.output:
                    yield asks.piece(chunk.source, chunk.data)
                yield asks.piece("exit", str(await program.ended()).encode())

    async def _feed(self, program: streams.Execution, token: str) -> None:
        """Pass on the asker's input to its end; if it breaks off before, hang up."""
        try:
            async with aclosing(
                self.bus.ask_stream(asks.subject(self.node, f"input.{token}"))
            ) as pieces:
                async for said in pieces:
                    part, data = asks.read_piece(said)
                    if part == "size":
                        await program.resize(msgspec.json.decode(data, type=asks.Size))
                    elif not await program.write(data):
                        return
            program.close_input()
        except (BusError, msgspec.MsgspecError) as error:
            program.hang_up(f"the input broke off: {error}")


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AnswerError(f"the question cannot be read: {error}") from error


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    """Tell the asker what the engine did not do."""
    try:
        yield
    except EngineError as error:
        raise AnswerError(error.message) from error
