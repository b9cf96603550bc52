"""Loopback ports of a test process's own, which stay its own while nobody listens on them.

A port that the system chooses may be anyone's a moment after it was given up: a server that is
killed and started again would find it taken, even by the client that looks for it there. So these
are from below the system's own range, and each process has a block of them with a lock.
"""

import contextlib
import functools
import itertools
import socket
from collections.abc import Iterator

_FIRST, _BLOCK, _BLOCKS = 10_000, 200, 100


def free_port() -> int:
    """Give a port on which nobody listens; no two calls of a test give the same."""
    for port in _block():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a block has no end")


@functools.cache
def _block() -> Iterator[int]:
    """Take a block, round and round; its lock is this process's until it ends."""
    for number in range(_BLOCKS):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0segue-ports-{number}")
        except OSError:
            lock.close()
        else:
            lock.detach()
            first = _FIRST + number * _BLOCK
            return itertools.cycle(range(first, first + _BLOCK))
    raise RuntimeError(f"all {_BLOCKS} blocks of ports for tests are taken")
