"""The SDK's way over a Unix socket, with two of its mistakes mended; nothing else is changed.

It keeps a pool of connections for each URL and closes the oldest of 25 under whoever is using it:
here all share one. And it leaves a socket open that could not be connected.
"""

import contextlib
import socket
import weakref
from typing import Any

from docker.transport.unixconn import (
    UnixHTTPAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(self.timeout)
        try:
            line.connect(self.unix_socket)
        except OSError:
            line.close()
            raise
        self.sock = line

    def hang_up(self) -> None:
        """End it under whoever waits for an answer."""
        line = self.sock
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class _Pool(UnixHTTPConnectionPool):
    made: "weakref.WeakSet[_Connection]"

    def _new_conn(self) -> Any:
        patience: Any = self.timeout
        connection = _Connection(self.base_url, self.socket_path, patience)
        self.made.add(connection)
        return connection


class OnePool(UnixHTTPAdapter):
    """Mount it over the SDK's own."""

    def hang_up(self) -> None:
        """End every call that is under way."""
        with self.pools.lock:
            pool = self.pools.get("engine")
        for connection in list(pool.made) if pool else []:
            connection.hang_up()

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        """Give the one pool, whatever is asked for."""
        del url, proxies
        with self.pools.lock:
            pool = self.pools.get("engine")
            if pool is None:
                pool = _Pool(
                    "http+docker://localhost",
                    self.socket_path,
                    self.timeout,
                    maxsize=self.max_pool_size,
                )
                pool.made = weakref.WeakSet()
                self.pools["engine"] = pool
        return pool
