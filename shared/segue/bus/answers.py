"""Questions with an answer in many pieces: logs, output of commands, anything without an end.

The asker names the stream and gets pieces in its inbox, numbered; beats in between tell that the
answerer lives, and a last message tells the end or the error. On the question's own subject the
asker says how far it has read, which bounds what is under way, and tells that it lives in turn:
when either side falls silent, the other stops. A lost piece is an error, never a hole.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

import anyio
import anyio.abc

from segue.bus.connection import NO_RESPONDERS, Connection
from segue.bus.errors import AnswerError, BusError, BusTimeoutError, NobodyAnswersError
from segue.bus.listen import Ear, Heard
from segue.bus.protocol import read_headers, read_status
from segue.bus.questions import answer, inbox_of, raise_error, ready, told

STREAM, PIECE, BEAT, END = "Segue-Stream", "Segue-Piece", "Segue-Beat", "Segue-End"
TAKEN, STOP = "Segue-Taken", "Segue-Stop"
BEAT_EVERY_S, SILENCE_S = 1.0, 4.0
UNDER_WAY_BYTES_MAX = 1 << 20
_PIECE_COST_BYTES = 256  # What a piece takes beside its data.

StreamHandler = Callable[[bytes], AsyncGenerator[bytes, None]]


class _Asking:
    """An answer on its way in."""

    def __init__(self, connection: Connection, subject: str) -> None:
        self.name = secrets.token_hex(12)
        self.inbox = connection.new_inbox()
        self._connection, self._subject = connection, subject
        self._pieces: deque[bytes] = deque()
        self._came, self._taken = 0, 0
        self._unsaid_bytes = 0
        self._end: Exception | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._sid = connection.attach(self.inbox, self._take)
        self._timer = asyncio.get_running_loop().call_later(BEAT_EVERY_S, self._beat)

    async def next(self) -> bytes | None:
        """Wait for the next piece; None at the end."""
        while not self._pieces:
            if self._end is not None:
                raise self._end
            if self._ended:
                return None
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._news.wait()
            except TimeoutError:
                raise BusTimeoutError(
                    f"the answer on {self._subject} broke off: nothing heard for {SILENCE_S:g} s"
                ) from None
        piece = self._pieces.popleft()
        self._taken += 1
        self._unsaid_bytes += len(piece) + _PIECE_COST_BYTES
        if self._unsaid_bytes > UNDER_WAY_BYTES_MAX // 4:
            self._say({TAKEN: str(self._taken)})
        return piece

    def stop(self) -> None:
        """Let go of it, and tell the answerer unless it has ended by itself."""
        self._timer.cancel()
        self._connection.detach(self._sid)
        if not self._ended:
            self._say({STOP: "1"})

    def _beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(BEAT_EVERY_S, self._beat)
        self._say({TAKEN: str(self._taken)})

    def _say(self, headers: dict[str, str]) -> None:
        self._unsaid_bytes = 0
        with suppress(BusError):  # Its silence tells the answerer as well.
            self._connection.send(self._subject, headers={STREAM: self.name} | headers)

    def _take(self, subject: bytes, _reply: bytes, raw: bytes, data: bytes) -> None:
        if self._ended or subject != self.inbox.encode():
            return
        headers = read_headers(raw)
        self._news.set()
        if read_status(raw)[0] == NO_RESPONDERS:
            self._finish(NobodyAnswersError(f"nobody serves {self._subject} on this bus now"))
        elif PIECE in headers:
            self._came += 1
            if headers[PIECE] != str(self._came):
                self._finish(BusError(f"a piece of the answer on {self._subject} was lost"))
            else:
                self._pieces.append(data)
        elif BEAT not in headers:
            self._take_end(headers, data)

    def _take_end(self, headers: dict[str, str], data: bytes) -> None:
        try:
            raise_error(headers)
        except AnswerError as error:
            self._finish(error)
            return
        if END not in headers:  # From one who answers in one piece.
            self._pieces.append(data)
        elif headers[END] != str(self._came):
            self._finish(BusError(f"the end of the answer on {self._subject} was lost"))
        self._ended = True

    def _finish(self, error: Exception) -> None:
        self._end, self._ended = error, True


async def ask_stream(
    connection: Connection, subject: str, data: bytes
) -> AsyncGenerator[bytes, None]:
    """Give the pieces of the answer as they come, and stop the answerer when left early."""
    asking = _Asking(connection, subject)
    try:
        connection.send(subject, data, reply=asking.inbox, headers={STREAM: asking.name})
        while (piece := await asking.next()) is not None:
            yield piece
    finally:
        asking.stop()


class _Answering:
    """An answer on its way out."""

    def __init__(self, connection: Connection, inbox: str) -> None:
        self.scope = anyio.CancelScope()
        self._connection, self._inbox = connection, inbox
        self._sent, self._taken = 0, 0
        self._costs: deque[int] = deque()
        self._under_way_bytes = 0
        self._room = asyncio.Event()
        self._heard_at = anyio.current_time()

    async def run(self, handler: StreamHandler, heard: Heard) -> None:
        """Send what `handler` gives, until its end, the asker's word or silence."""
        headers: dict[str, str] = {}
        with self.scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat)
                try:
                    async with aclosing(handler(heard.data)) as pieces:
                        async for piece in pieces:
                            await self._send(piece)
                except BusError as error:
                    headers = told(AnswerError(str(error)), heard)
                except Exception as error:  # noqa: BLE001 — told to the asker and to the log.
                    headers = told(error, heard)
                tasks.cancel_scope.cancel()
            answer(self._connection, self._inbox, b"", {END: str(self._sent)} | headers)

    def hear(self, headers: dict[str, str]) -> None:
        """Take the asker's word: how far it is, or that it has enough."""
        self._heard_at = anyio.current_time()
        if STOP in headers:
            self.scope.cancel()
            return
        taken = headers.get(TAKEN, "")
        while taken.isdigit() and self._taken < int(taken) and self._costs:
            self._taken += 1
            self._under_way_bytes -= self._costs.popleft()
        self._room.set()

    async def _send(self, piece: bytes) -> None:
        while self._under_way_bytes > UNDER_WAY_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        self._connection.send(self._inbox, piece, headers={PIECE: str(self._sent + 1)})
        self._sent += 1
        self._costs.append(len(piece) + _PIECE_COST_BYTES)
        self._under_way_bytes += self._costs[-1]

    async def _beat(self) -> None:
        while anyio.current_time() - self._heard_at < SILENCE_S:
            with suppress(BusError):
                self._connection.send(self._inbox, headers={BEAT: "1"})
            await anyio.sleep(BEAT_EVERY_S)
        self.scope.cancel()


async def serve_stream(
    connection: Connection,
    subject: str,
    handler: StreamHandler,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer questions on `subject` in pieces until cancelled."""
    running: dict[str, _Answering] = {}
    ear = Ear(connection, subject, 4096)

    async def run(name: str, answering: _Answering, heard: Heard) -> None:
        try:
            await answering.run(handler, heard)
        finally:
            del running[name]

    try:
        await ready(connection)
        task_status.started()
        async with anyio.create_task_group() as tasks:
            while (heard := await ear.next()) is not None:
                headers = read_headers(heard.headers)
                name, inbox = headers.get(STREAM, ""), inbox_of(connection, heard)
                if name in running:
                    running[name].hear(headers)
                elif name and inbox:
                    running[name] = _Answering(connection, inbox)
                    tasks.start_soon(run, name, running[name], heard)
                elif inbox:
                    why = AnswerError(f"{subject} answers in pieces: ask with {STREAM}")
                    answer(connection, inbox, b"", told(why, heard))
    finally:
        ear.close()
