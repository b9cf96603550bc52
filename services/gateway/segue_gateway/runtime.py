"""Speak with a running HAProxy: its master over one socket, its worker over another.

It sends lines and reads answers; what they mean stands in `proxy`. A worker's answers end with a
prompt, so that many questions go over one connection; the master's end with the connection.
"""

import re
from collections.abc import Sequence

import anyio
import msgspec
from anyio.abc import ByteStream

TIMEOUT_S = 10.0
_PROMPT = b"\n> "
# Of every server; `show servers conn` does not count what is passed through as it is.
SESSIONS_OF_SERVERS = "show stat -1 4 -1"
COUNTS = "show stat -1 3 -1"  # Of every frontend and backend.
_SESSIONS = 4  # The column `scur`.
_MASTER = re.compile(r"^(\d+)\s+master\s+(\d+)(?: \[failed: (\d+)\])?", re.MULTILINE)
_WORKER = re.compile(r"^(\d+)\s+worker\s+(\d+)", re.MULTILINE)


class RuntimeAwayError(Exception):
    """Nobody answers there."""


class Processes(msgspec.Struct, frozen=True):
    """What a master says of itself and its workers."""

    master: int  # Process ids.
    worker: int  # 0: none.
    old: list[int]  # Those that only end what has begun.
    reloads: int
    failed: int  # How many of the last reloads came to nothing; since 2.6.


async def ask_worker(path: str, lines: Sequence[str]) -> list[str]:
    """Give the worker's answer to each line. Raises RuntimeAwayError."""
    try:
        with anyio.fail_after(TIMEOUT_S):
            async with await anyio.connect_unix(path) as stream:
                answers = [await _answer(stream, line) for line in ["prompt", *lines]]
                return answers[1:]
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise RuntimeAwayError(f"the proxy does not answer at {path}: {error!r}") from error


async def _answer(stream: ByteStream, line: str) -> str:
    await stream.send(line.encode() + b"\n")
    said = b""
    while not said.endswith(_PROMPT):
        said += await stream.receive()
    return said.removesuffix(_PROMPT).decode(errors="replace").strip()


async def ask_master(path: str, line: str) -> str:
    """Give the master's answer. Raises RuntimeAwayError."""
    said = b""
    try:
        with anyio.fail_after(TIMEOUT_S):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(line.encode() + b"\n")
                await stream.send_eof()
                async for part in stream:
                    said += part
    except (OSError, TimeoutError, anyio.BrokenResourceError) as error:
        raise RuntimeAwayError(f"the proxy does not answer at {path}: {error!r}") from error
    return said.decode(errors="replace").strip()


async def processes(path: str) -> Processes:
    """Ask the master for its processes. Raises RuntimeAwayError."""
    return read_processes(await ask_master(path, "show proc"))


def read_processes(said: str) -> Processes:
    """Read what a master answers to `show proc`. Raises RuntimeAwayError."""
    head, _, old = said.partition("# old workers")
    master, workers = _MASTER.search(head), _WORKER.findall(head)
    if master is None:
        raise RuntimeAwayError(f"the proxy's master says something else: {said[:100]!r}")
    return Processes(
        master=int(master[1]),
        worker=int(workers[0][0]) if workers else 0,
        old=[int(pid) for pid, _ in _WORKER.findall(old)],
        reloads=int(master[2]),
        failed=int(master[3] or 0),
    )


def read_sessions(said: str) -> dict[tuple[str, str], int]:
    """Read `show stat`: by backend and server, how many sessions it has now."""
    found: dict[tuple[str, str], int] = {}
    for line in said.splitlines():
        cells = line.split(",")
        if not line.startswith("#") and len(cells) > _SESSIONS and cells[_SESSIONS].isdecimal():
            found[cells[0], cells[1]] = int(cells[_SESSIONS])
    return found


def read_down(said: str) -> dict[str, str]:
    """Read `show stat`: by server, how those that are down answered their last check."""
    head, *lines = said.splitlines() or [""]
    of = {name: number for number, name in enumerate(head.removeprefix("# ").split(","))}
    found: dict[str, str] = {}
    for line in lines:
        cells = line.split(",")
        if len(cells) > of["check_desc"] and cells[of["status"]].startswith("DOWN"):
            found[cells[of["svname"]]] = cells[of["check_desc"]] or cells[of["check_status"]]
    return found
