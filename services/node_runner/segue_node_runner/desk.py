"""Answer questions about this node's containers over the bus: ping, inspect, logs, exec.

Answers are read from the engine; nothing here changes what runs. Pieces of logs and output begin
with a byte: 1 for stdout, 2 for stderr, 3 for the exit code in decimal digits.
"""

from collections.abc import AsyncGenerator

import anyio
import msgspec
from segue.bus import Bus

from segue_node_runner import facts, streams
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.labels import Identity

STDOUT, STDERR, EXIT = b"\x01", b"\x02", b"\x03"


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """Which container is meant: a slot's present one."""

    app: str
    service: str
    slot: int


class LogsAsked(Thing, frozen=True, kw_only=True):
    """Its log; `since_s` in seconds since 1970."""

    follow: bool = False
    tail: int | None = None
    since_s: float | None = None


class ExecAsked(Thing, frozen=True, kw_only=True):
    """A program to run inside it."""

    cmd: list[str]


class Desk:
    """What a node answers."""

    def __init__(self, bus: Bus, engine: Engine, node: str, session: str) -> None:
        self.bus, self.engine, self.node, self.session = bus, engine, node, session

    async def serve(self) -> None:
        """Answer until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.bus.serve, f"rpc.node.{self.node}.ping", self._ping)
            tasks.start_soon(self.bus.serve, f"rpc.node.{self.node}.inspect", self._inspect)
            tasks.start_soon(self.bus.serve_stream, f"rpc.node.{self.node}.logs", self._logs)
            tasks.start_soon(self.bus.serve_stream, f"rpc.node.{self.node}.exec", self._exec)

    async def _ping(self, _: bytes) -> bytes:
        return msgspec.json.encode({"node": self.node, "session": self.session})

    async def _inspect(self, _: bytes) -> bytes:
        found = await facts.facts(self.engine.calls)
        return msgspec.json.encode(found)

    async def _container(self, asked: Thing) -> str:
        name = Identity(asked.app, asked.service, asked.slot, 0).slot_name
        found = await self.engine.find(name)
        if found is None:
            raise EngineError("missing", f"node {self.node} has no container {name}")
        return found.engine_id

    async def _logs(self, data: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.json.decode(data, type=LogsAsked)
        engine_id = await self._container(asked)
        reading = streams.logs(
            self.engine.calls,
            engine_id,
            follow=asked.follow,
            since_s=asked.since_s,
            tail_lines=asked.tail,
        )
        async with reading as flow:
            async for chunk in flow:
                yield (STDOUT if chunk.source == "stdout" else STDERR) + chunk.data

    async def _exec(self, data: bytes) -> AsyncGenerator[bytes, None]:
        asked = msgspec.json.decode(data, type=ExecAsked)
        engine_id = await self._container(asked)
        async with streams.execution(self.engine.calls, engine_id, asked.cmd) as running:
            async for chunk in running.output:
                yield (STDOUT if chunk.source == "stdout" else STDERR) + chunk.data
            yield EXIT + str(await running.exit_code()).encode()
