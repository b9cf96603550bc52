"""Pass on what containers print: as it is, or line by line with the slot's name before it.

Bytes are not decoded for a person: what a container prints may be in any encoding. Nothing here
knows where they come from.
"""

import contextlib
import os
import select
from collections.abc import Callable, Sequence

import anyio
import msgspec
from rich.text import Text

from segue_cli.tables import console

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")
AT_ONCE = select.PIPE_BUF  # A pipe that is ready takes so much without blocking.
_STREAMS = {1: "stdout", 2: "stderr"}


class Line(msgspec.Struct, frozen=True):
    """A line for programs."""

    slot: str
    stream: str
    line: str


class Printer:
    """Prints the output of several slots. `alone`: one slot is meant, whose name is left out."""

    def __init__(self, names: Sequence[str], *, alone: bool, as_json: bool) -> None:
        self._alone, self._as_json = alone, as_json
        self._names = list(names)
        self._width = max(map(len, names), default=0)

    def output(self, name: str) -> "Output":
        """Give where a slot's output goes."""
        if self._as_json:
            return Output(lambda number, line: (1, _json(name, number, line)))
        if self._alone:
            return Output(None)
        if name not in self._names:
            self._names.append(name)
        self._width = max(self._width, len(name))
        colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
        prefix = _coloured(f"{name:<{self._width}} | ", colour).encode()
        return Output(lambda number, line: (number, prefix + line))


class Output:
    """One slot's output: raw, or cut into lines that `line` shapes and sends somewhere."""

    def __init__(self, line: Callable[[int, bytes], tuple[int, bytes]] | None) -> None:
        self._line = line
        self._rest: dict[int, bytes] = {}

    async def write(self, number: int, data: bytes) -> None:
        """Take what came on stdout (1) or stderr (2); returns once it is passed on."""
        if self._line is None:
            await put(number, data)
            return
        *lines, rest = (self._rest.get(number, b"") + data).split(b"\n")
        self._rest[number] = rest
        for line in lines:
            await put(*self._line(number, line + b"\n"))

    async def end(self) -> None:
        """Print what came without a line end."""
        for number, rest in self._rest.items():
            if rest and self._line is not None:
                await put(*self._line(number, rest + b"\n"))
        self._rest = {}


async def put(number: int, data: bytes) -> None:
    """Write to a file descriptor as fast as its reader takes it; meanwhile all else goes on."""
    left = memoryview(data)
    while left:
        with contextlib.suppress(PermissionError):  # A file: never waited for.
            await anyio.wait_writable(number)
        left = left[os.write(number, left[:AT_ONCE]) :]


def _json(name: str, number: int, line: bytes) -> bytes:
    text = line.rstrip(b"\r\n").decode("utf-8", "replace")
    return msgspec.json.encode(Line(name, _STREAMS.get(number, str(number)), text)) + b"\n"


def _coloured(text: str, colour: str) -> str:
    screen = console()
    with screen.capture() as captured:
        screen.print(Text(text, colour), end="", soft_wrap=True)
    return captured.get()
