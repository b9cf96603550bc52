"""The bytes on the wire: read without trusting them, written without trusting the caller.

The server passes on subjects that are not UTF-8 and even hold control characters, so lines are
split at the single spaces the server writes and at nothing else, and text that cannot be decoded
comes out with U+FFFD. What breaks the framing itself raises `ProtocolError`: the connection is
made anew. Nothing here knows what a message means.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

CRLF = b"\r\n"
PREFIX = b"NATS/1.0"
_LINE_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SUBJECT = re.compile(r"[!-)+-\-/-=?-~]+(\.[!-)+-\-/-=?-~]+)*")  # Printable ASCII, no * . >


class ProtocolError(Exception):
    """The bytes are not the protocol; what follows them cannot be trusted."""


class Receiver(Protocol):
    """Who is told what was read."""

    def deliver(self, sid: int, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        """Take a message at once; never raises."""

    async def _process_ping(self) -> None: ...
    async def _process_pong(self) -> None: ...
    async def _process_info(self, info: dict[str, Any]) -> None: ...
    async def _process_err(self, err_msg: str) -> None: ...


class Parser:
    """Cuts what the server sends into messages and control lines, however it arrives in pieces."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.reset()

    def reset(self) -> None:
        """Forget what is half read: another connection begins."""
        self._buffer = bytearray()

    async def parse(self, data: bytes = b"") -> None:
        """Read on, or raise `ProtocolError`."""
        self._buffer += data
        while (line := self._next_control()) is not None:
            await self._control(line)

    def _next_control(self) -> bytes | None:
        """Deliver messages up to the next control line; None when more bytes are needed."""
        buffer, at = self._buffer, 0
        deliver = self._receiver.deliver
        try:
            while (end := buffer.find(CRLF, at)) >= 0:
                line = bytes(buffer[at:end])
                if line[:4] != b"MSG " and line[:5] != b"HMSG ":
                    at = end + 2
                    return line
                sid, subject, reply, header_bytes, total_bytes = _message_line(line)
                start = end + 2
                stop = start + total_bytes
                if len(buffer) < stop + 2:
                    return None
                if buffer[stop : stop + 2] != CRLF:
                    raise ProtocolError(f"no line end after the {total_bytes} bytes of a message")
                body = start + header_bytes
                headers = bytes(buffer[start:body]) if header_bytes else b""
                at = stop + 2
                deliver(sid, subject, reply, headers, bytes(buffer[body:stop]))
            if len(buffer) - at > _LINE_MAX_BYTES:
                raise ProtocolError(f"a line of more than {_LINE_MAX_BYTES} bytes")
            return None
        finally:
            del buffer[:at]

    async def _control(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"PING":
                await self._receiver._process_ping()  # noqa: SLF001 — nats-py's name for it.
            case b"PONG":
                await self._receiver._process_pong()  # noqa: SLF001 — as above.
            case b"INFO":
                try:
                    info = msgspec.json.decode(rest, type=dict[str, Any])
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                    raise ProtocolError(f"INFO cannot be read: {error}") from error
                await self._receiver._process_info(info)  # noqa: SLF001 — as above.
            case b"-ERR":
                text = rest.decode("utf-8", "replace").strip("' ")
                await self._receiver._process_err(text)  # noqa: SLF001 — as above.
            case b"+OK":
                pass
            case _:
                raise ProtocolError(f"not a line of the protocol: {line[:80]!r}")


def _message_line(line: bytes) -> tuple[int, bytes, bytes, int, int]:
    """Read `MSG subject sid [reply] size` or `HMSG subject sid [reply] headers size`."""
    words = line.split(b" ")
    sizes = 2 if words[0] == b"HMSG" else 1
    reply = words[3] if len(words) == 4 + sizes else b""
    header = words[-2] if sizes == 2 else b"0"
    right = len(words) in (3 + sizes, 4 + sizes)
    if not (right and words[2].isdigit() and header.isdigit() and words[-1].isdigit()):
        raise ProtocolError(f"not a message line: {line[:80]!r}")
    header_bytes, total_bytes = int(header), int(words[-1])
    if header_bytes > total_bytes:
        raise ProtocolError(f"headers larger than their message: {line[:80]!r}")
    return int(words[2]), words[1], reply, header_bytes, total_bytes


def read_headers(raw: bytes) -> dict[str, str]:
    """Read the `name: value` lines of a message; lines that are none are left out."""
    headers = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def read_status(raw: bytes) -> tuple[int, str]:
    """Read the server's own word in a message's headers: its code (0: none) and its text."""
    code, _, text = raw.partition(CRLF)[0].removeprefix(PREFIX).strip().partition(b" ")
    return (int(code) if code.isdigit() else 0), text.decode("utf-8", "replace")


def write_headers(headers: Mapping[str, str]) -> bytes:
    """Write headers so that no value can end its line, or raise `ValueError` for a name."""
    lines = [PREFIX]
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        clean = value.replace("\r", " ").replace("\n", " ")
        lines.append(f"{name}: {clean}".encode("utf-8", "replace"))
    return CRLF.join(lines) + CRLF + CRLF


def is_subject(text: str) -> bool:
    """Tell whether a message can be published there: dotted tokens, no spaces, no wildcards."""
    return _SUBJECT.fullmatch(text) is not None


def is_filter(text: str) -> bool:
    """Tell whether `text` can be subscribed to: a subject, `*` for a token, `>` for the rest."""
    literal = text == ">" or is_subject(text.removesuffix(".>").replace("*", "x"))
    return literal and all(part == "*" or "*" not in part for part in text.split("."))


def covers(wide: str, narrow: str) -> bool:
    """Tell whether the filter `wide` takes everything that the filter `narrow` takes."""
    wides, narrows = wide.split("."), narrow.split(".")
    for index, part in enumerate(wides):
        if part == ">":
            return len(narrows) > index
        if index >= len(narrows) or narrows[index] == ">" or part not in ("*", narrows[index]):
            return False
    return len(wides) == len(narrows)
