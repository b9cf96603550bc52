"""Ask the host's own resolvers what is none of our names, with the asker's own words.

Nothing is kept of what they say, but which of them answered last: it is asked first. They are read
from the host's file each time, since who dials in or out rewrites it.
"""

import ipaddress
import pathlib
from collections.abc import Container

import anyio
from anyio.abc import ByteReceiveStream

FILE = pathlib.Path("/etc/resolv.conf")
ALL_S = 3.6  # For all together: the engine's own resolver gives up after 4 s.
_HEADER = 12
_MOST = 3  # As many as the C library looks at.
_FAILURES = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead)


class Resolvers:
    """The host's resolvers, as `file` names them."""

    def __init__(self, file: pathlib.Path = FILE, port: int = 53) -> None:
        self._file, self._port = file, port
        self._answered = ""

    async def ask(self, request: bytes, *, udp: bool, but: Container[str] = ()) -> bytes | None:
        """Give what one of them says; None when none does. Those in `but` are not asked."""
        servers = [one for one in self._read() if one not in but]
        servers.sort(key=lambda one: one != self._answered)
        way = self._by_udp if udp else self._by_tcp
        for server in servers:
            with anyio.move_on_after(ALL_S / len(servers)):
                try:
                    reply = await way(server, request)
                except _FAILURES:
                    continue
                self._answered = server
                return reply
        return None

    def _read(self) -> list[str]:
        try:
            lines = self._file.read_text(errors="replace").splitlines()
        except OSError:
            return []
        words = (line.split() for line in lines)
        named = (line[1] for line in words if len(line) > 1 and line[0] == "nameserver")
        return [one for one in named if _is_address(one)][:_MOST]

    async def _by_udp(self, server: str, request: bytes) -> bytes:
        async with await anyio.create_connected_udp_socket(server, self._port) as line:
            await line.send(request)
            async for reply in line:
                if _is_reply(reply, request):
                    return reply
        raise OSError("closed")

    async def _by_tcp(self, server: str, request: bytes) -> bytes:
        async with await anyio.connect_tcp(server, self._port) as line:
            await line.send(framed(request))
            return await receive_framed(line)


def framed(message: bytes) -> bytes:
    """Put its length before a message, as DNS over TCP has it (RFC 1035 §4.2.2)."""
    return len(message).to_bytes(2, "big") + message


async def receive_framed(line: ByteReceiveStream) -> bytes:
    """Receive such a message. Raises anyio.EndOfStream, also in the middle of one."""
    size = int.from_bytes(await _exactly(line, 2), "big")
    return await _exactly(line, size)


async def _exactly(line: ByteReceiveStream, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += await line.receive(size - len(content))
    return content


def _is_reply(reply: bytes, request: bytes) -> bool:
    return len(reply) >= _HEADER and reply[:2] == request[:2] and bool(reply[2] & 0x80)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
