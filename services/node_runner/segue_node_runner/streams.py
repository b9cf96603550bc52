"""What flows for as long as someone listens: logs, and programs run inside a container.

A stream holds one thread of a limited number. Leaving its context ends it, in the engine too.
"""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Generic, Literal, Self, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from docker import APIClient
from requests import Response
from segue.asks import Size

from segue_node_runner.beside import beside
from segue_node_runner.errors import TROUBLE, EngineError, of_answer, sorted_out
from segue_node_runner.sdk import Calls

LINE_MOST = 500
CHUNKS_AHEAD = 64
RESIZED_AFTER_S = (0.0, 0.01, 0.03, 0.1, 0.3)
_HEADER = struct.Struct(">BxxxL")
T = TypeVar("T")


class Chunk(msgspec.Struct, frozen=True):
    """Some bytes of what a program wrote, and to which of its two outputs."""

    source: Literal["stdout", "stderr"]
    data: bytes


class Flow(Generic[T]):
    """An endless answer, read in a thread and iterated in the loop."""

    def __init__(self, receive: MemoryObjectReceiveStream[T]) -> None:
        self._receive = receive
        self.error: EngineError | None = None  # Why it ended, if not by itself.

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            if self.error is not None:
                raise self.error from None
            raise StopAsyncIteration from None


class Execution:
    """A program that runs inside a container; iterate `output`, then ask for its exit code."""

    def __init__(
        self, calls: Calls, exec_id: str, output: Flow[Chunk], line: socket.socket
    ) -> None:
        self._calls, self._exec_id, self._line = calls, exec_id, line
        self._writing = anyio.CapacityLimiter(1)  # A program that reads nothing holds up no other.
        self.output = output

    async def write(self, data: bytes) -> bool:
        """Give the program input, as fast as it takes it; False: it takes no more."""
        sending = anyio.to_thread.run_sync(
            self._line.sendall, data, limiter=self._writing, abandon_on_cancel=True
        )
        try:
            await sending
        except OSError:
            return False
        return True

    def close_input(self) -> None:
        """Tell the program that no more input comes."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)

    def hang_up(self, why: str) -> None:
        """Let go of the program; whoever reads its output is told why."""
        self.output.error = EngineError("broken", why)
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    async def resize(self, size: Size) -> None:
        """Tell the program's terminal its size; a program that is just beginning has none yet."""
        for pause_s in RESIZED_AFTER_S:
            await anyio.sleep(pause_s)
            with contextlib.suppress(EngineError):
                return await self._calls.quick(
                    lambda api: api.exec_resize(self._exec_id, size.rows, size.columns)
                )
        return None

    async def exit_code(self) -> int | None:
        """Give the exit code; None while it runs."""
        found = await self._calls.quick(lambda api: api.exec_inspect(self._exec_id))
        return None if found["Running"] else found["ExitCode"]

    async def ended(self) -> int:
        """Wait for its end, which may come after that of its output; give the exit code."""
        pause_s = 0.01
        while (code := await self.exit_code()) is None:
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
        return code


async def tail(calls: Calls, container: str, lines: int = 20) -> list[str]:
    """Give a container's last lines, both outputs; none where its log driver keeps none."""

    def read(api: APIClient) -> bytes:
        return api.logs(container, stdout=True, stderr=True, tail=lines)

    try:
        text = (await calls.quick(read)).decode(errors="replace")
    except EngineError as error:
        if error.kind == "invalid" or "does not support reading" in error.message:
            return []
        raise
    return [line[:LINE_MOST] for line in text.splitlines()[-lines:]]


@contextlib.asynccontextmanager
async def logs(
    calls: Calls,
    container: str,
    *,
    follow: bool = False,
    since_s: float | None = None,
    tail_lines: int | None = None,
    timestamps: bool = False,
) -> AsyncIterator[Flow[Chunk]]:
    """Read a container's log; with `follow` until it ends or the context is left."""
    query = {
        "stdout": 1,
        "stderr": 1,
        "follow": int(follow),
        "timestamps": int(timestamps),
        "tail": "all" if tail_lines is None else tail_lines,
    }
    if since_s is not None:
        query["since"] = f"{since_s:.9f}"

    def begin(api: APIClient) -> Answer:
        has_terminal = api.inspect_container(container)["Config"]["Tty"]
        answer = flowing_answer(api, f"/containers/{container}/logs", query)
        answer.chunks = _raw(answer.reader) if has_terminal else _frames(answer.reader)
        return answer

    async with _flowing(calls, begin) as (flow, _):
        yield flow


@contextlib.asynccontextmanager
async def execution(
    calls: Calls,
    container: str,
    command: list[str],
    *,
    stdin: bool = False,
    terminal: bool = False,
    user: str = "",
) -> AsyncIterator[Execution]:
    """Run a program inside a container; leaving the context hangs up on it."""
    made: dict[str, str] = {}

    def begin(api: APIClient) -> Answer:
        made.update(api.exec_create(container, command, stdin=stdin, tty=terminal, user=user))
        url = f"{api.base_url}/v{api.api_version}/exec/{made['Id']}/start"
        response = api.post(
            url,
            json={"Tty": terminal, "Detach": False},
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
            stream=True,
            timeout=api.timeout,
        )
        answer = Answer(response, hijacked=True)
        answer.chunks = _raw(answer.reader) if terminal else _frames(answer.reader)
        return answer

    async with _flowing(calls, begin) as (flow, answer):
        running = Execution(calls, made["Id"], flow, answer.line)
        if not stdin:
            running.close_input()
        yield running


class Answer:
    """An answer of the engine that is still being written, and the socket it comes on."""

    def __init__(self, response: Response, *, hijacked: bool = False) -> None:
        if response.status_code >= 400:
            words = response.json().get("message", response.text)
            raise of_answer(response.status_code, words)
        # urllib3 gives no public way to the socket; the SDK itself goes this one.
        raw: Any = response.raw
        self._buffered = raw._fp.fp  # noqa: SLF001 — as said.
        self.line: socket.socket = self._buffered.raw._sock  # noqa: SLF001 — as said.
        self.line.settimeout(None)  # Silence is no trouble.
        # After an upgrade bytes come as they are; the first may be in the buffer already.
        self.reader: Any = self._buffered if hijacked else raw
        self.chunks: Iterator[Chunk] = iter(())
        self.response = response

    def end(self) -> None:
        """End it from any thread; whoever reads sees its end."""
        with contextlib.suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket, once nobody reads any more."""
        self.response.close()
        self._buffered.close()
        self.line.close()


def flowing_answer(api: APIClient, path: str, query: Mapping[str, Any]) -> Answer:
    """Ask for what goes on and on, over a connection that nobody uses afterwards."""
    url = f"{api.base_url}/v{api.api_version}{path}"
    once = {"Connection": "close"}
    return Answer(api.get(url, params=query, headers=once, stream=True, timeout=api.timeout))


@contextlib.asynccontextmanager
async def _flowing(
    calls: Calls, begin: Callable[[APIClient], Answer]
) -> AsyncIterator[tuple[Flow[Chunk], Answer]]:
    try:
        calls.streams.acquire_on_behalf_of_nowait(owner := object())
    except anyio.WouldBlock:
        most = calls.limits.streams
        words = f"{most} logs and programs are being followed on this node: end one first"
        raise EngineError("busy", words) from None
    try:
        answer = await calls.quick(begin)
        send, receive = anyio.create_memory_object_stream[Chunk](CHUNKS_AHEAD)
        flow = Flow(receive)
        async with beside() as tasks:
            tasks.start_soon(_read, answer, flow, send)
            try:
                yield flow, answer
            finally:
                answer.end()
                receive.close()
    finally:
        calls.streams.release_on_behalf_of(owner)


async def _read(answer: Answer, flow: Flow[Chunk], send: MemoryObjectSendStream[Chunk]) -> None:
    began = False

    def read() -> None:
        nonlocal began
        began = True
        try:
            with answer:
                for chunk in answer.chunks:
                    anyio.from_thread.run(send.send, chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # Nobody listens any more.
        except (*TROUBLE, ValueError) as error:  # The latter when it is ended in mid-read.
            flow.error = sorted_out(error)

    limiter = anyio.CapacityLimiter(1)  # A thread of its own: `streams` has counted it already.
    try:
        with send:
            await anyio.to_thread.run_sync(read, limiter=limiter, abandon_on_cancel=True)
    finally:
        if not began:
            answer.close()


def _frames(reader: Any) -> Iterator[Chunk]:
    """Take apart what the engine interleaves: one output's name and length, then its bytes."""
    while len(header := reader.read(_HEADER.size)) == _HEADER.size:
        number, length = _HEADER.unpack(header)
        data = reader.read(length)
        if len(data) < length:
            return
        yield Chunk("stderr" if number == 2 else "stdout", data)


def _raw(reader: Any) -> Iterator[Chunk]:
    """Take bytes as a terminal gives them, as they come."""
    while data := reader.read1(65_536):
        yield Chunk("stdout", data)
