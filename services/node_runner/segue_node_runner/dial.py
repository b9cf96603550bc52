"""Ask a container over the network how it is: one short connection, no program inside it.

Says what went wrong in words a person can act on; nothing is judged here.
"""

import asyncio
import errno
import os
import socket

from segue.spec import Probe

ANSWER_MOST = 4_096
SHOWN_MOST = 200
_WORDS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ECONNRESET: "it broke the connection off",
    errno.EHOSTUNREACH: "no way leads there",
}


async def trouble(address: str, probe: Probe) -> str:
    """Probe once; give why it does not pass, or nothing."""
    if not address:
        return "it has no address on any network of its node"
    where = f"{probe.kind} {address}:{probe.port}{probe.path if probe.kind == 'http' else ''}"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        async with asyncio.timeout(probe.timeout_s):
            words = await _ask(line, address, probe)
    except TimeoutError:
        words = f"no answer within {probe.timeout_s:g} s"
    except OSError as error:
        words = _WORDS.get(error.errno or 0) or os.strerror(error.errno or 0)
    finally:
        line.close()
    return f"{where}: {words}" if words else ""


async def _ask(line: socket.socket, address: str, probe: Probe) -> str:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(line, (address, probe.port))
    if probe.kind == "tcp":
        return ""
    if probe.kind == "http":
        host = f"[{address}]" if ":" in address else address
        ask = f"GET {probe.path} HTTP/1.1\r\nHost: {host}:{probe.port}\r\n"
        ask += "User-Agent: segue-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(line, ask.encode())
    answer = b""
    while b"\r\n" not in answer and len(answer) < ANSWER_MOST:
        more = await loop.sock_recv(line, ANSWER_MOST)
        if not more:
            break
        answer += more
    return _http(answer) if probe.kind == "http" else _nats(answer)


def _http(answer: bytes) -> str:
    """Read an answer's first line; of one that does not pass, say what begins its body too."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first = head.partition(b"\r\n")[0].decode("latin-1")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/") or not status[:3].isdecimal():
        return f"no HTTP answer: {_shown(answer)}" if answer else "it said nothing"
    if 200 <= int(status[:3]) < 400:
        return ""
    said = _shown(body)
    return f"{status}: {said}" if said else status


def _nats(answer: bytes) -> str:
    if not answer.startswith(b"INFO {"):
        return f"no NATS greeting: {_shown(answer)}" if answer else "it said nothing"
    if b'"ldm":true' in answer:
        return "the server is going down (lame duck mode)"
    return ""


def _shown(said: bytes) -> str:
    return " ".join(said[:SHOWN_MOST].decode(errors="replace").split())
