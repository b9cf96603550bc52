"""The person's side of a program that runs elsewhere: its input, and the size of its terminal.

While the program has the terminal, every key is the program's, Ctrl-C too; however that ends, the
terminal is as it was before. Input is read only as fast as it is taken.
"""

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncGenerator, Iterator
from typing import Self

import anyio
import msgspec
from anyio.abc import ObjectSendStream, TaskStatus
from segue import asks

from segue_cli.errors import Silent

STDIN = 0
AT_ONCE = 32_768
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Let every key through to the program until the block ends."""
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSANOW, before)


class Person:
    """What whoever is at the keyboard, or at the other end of a pipe, gives a program."""

    def __init__(self, *, interactive: bool, terminal: bool) -> None:
        self._interactive, self._terminal = interactive, terminal
        self._send, self._receive = anyio.create_memory_object_stream[bytes](0)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take nothing more in."""
        self._send.close()
        self._receive.close()

    async def given(self, _question: bytes) -> AsyncGenerator[bytes, None]:
        """Answer what the program gets, to the end of the input."""
        async for said in self._receive:
            yield said

    async def give(self) -> None:
        """Read until the end of the input; where there is a terminal, tell its size as it changes.

        Ends the command where a signal asks for it: dying of one would leave the terminal raw.
        """
        async with self._send, anyio.create_task_group() as tasks:
            if self._terminal:
                await tasks.start(self._lend_terminal, self._send.clone())
            if self._interactive:
                while data := await _input():
                    await self._send.send(asks.piece("stdin", data))
                tasks.cancel_scope.cancel()

    async def _lend_terminal(
        self,
        send: ObjectSendStream[bytes],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        keys = raw() if self._interactive else contextlib.nullcontext()
        async with send:
            with anyio.open_signal_receiver(signal.SIGWINCH, *_ENDING) as signals, keys:
                task_status.started()
                await send.send(_size())
                async for number in signals:
                    if number in _ENDING:
                        raise Silent(128 + number)
                    await send.send(_size())


def _size() -> bytes:
    columns, rows = os.get_terminal_size(STDIN)
    return asks.piece("size", msgspec.json.encode(asks.Size(rows, columns)))


async def _input() -> bytes:
    """Wait for some input; nothing at its end."""
    if sys.stdin is None:
        return b""  # It was closed before this began.
    with contextlib.suppress(PermissionError):  # A file: never waited for.
        await anyio.wait_readable(STDIN)
    try:
        return os.read(STDIN, AT_ONCE)
    except OSError:
        return b""  # The terminal is gone.
