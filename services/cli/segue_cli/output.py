"""Pass on what containers print: as it is, or line by line with the slot's name before it.

Bytes are not decoded for a person: what a container prints may be in any encoding. Nothing here
knows where they come from.
"""

import sys
from collections.abc import Callable, Sequence

import msgspec
from rich.text import Text

from segue_cli.tables import console, print_json

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")
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
            return Output(lambda number, line: _print_json(name, number, line))
        if self._alone:
            return Output(None)
        if name not in self._names:
            self._names.append(name)
        self._width = max(self._width, len(name))
        colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
        prefix = _coloured(f"{name:<{self._width}} | ", colour).encode()
        return Output(lambda number, line: _print(number, prefix + line))


class Output:
    """One slot's output: raw, or cut into lines for `line`."""

    def __init__(self, line: Callable[[int, bytes], None] | None) -> None:
        self._line = line
        self._rest: dict[int, bytes] = {}

    def write(self, number: int, data: bytes) -> None:
        """Take what came on stdout (1) or stderr (2)."""
        if self._line is None:
            _print(number, data)
            return
        *lines, rest = (self._rest.get(number, b"") + data).split(b"\n")
        self._rest[number] = rest
        for line in lines:
            self._line(number, line + b"\n")

    def end(self) -> None:
        """Print what came without a line end."""
        for number, rest in self._rest.items():
            if rest and self._line is not None:
                self._line(number, rest + b"\n")
        self._rest = {}


def _print(number: int, data: bytes) -> None:
    stream = sys.stderr if number == 2 else sys.stdout
    stream.buffer.write(data)
    stream.buffer.flush()


def _print_json(name: str, number: int, line: bytes) -> None:
    text = line.rstrip(b"\r\n").decode("utf-8", "replace")
    print_json([Line(name, _STREAMS.get(number, str(number)), text)])


def _coloured(text: str, colour: str) -> str:
    screen = console()
    with screen.capture() as captured:
        screen.print(Text(text, colour), end="", soft_wrap=True)
    return captured.get()
