"""The Docker SDK, which blocks, made safe to use from a loop: limited threads, short patience.

Every kind of call has its own limit, so that no slow kind can starve a quick one. A client is made
at the first call, with the newest API version both sides know, and anew after `renew`.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar, cast

import anyio
import anyio.to_thread
import msgspec
from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
from docker.utils import compare_version

from segue_node_runner.errors import TROUBLE, EngineError, sorted_out
from segue_node_runner.transport import OnePool

T = TypeVar("T")
POOL = 32


def _default_starts() -> int:
    return max(2, 2 * (os.cpu_count() or 1))


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a call may take and how many of a kind go at once."""

    quick_s: float = 3.0  # A look, a create: answered from the engine's memory or disk.
    start_s: float = 20.0
    probe_s: float = 2.0
    pull_s: float = 1_800.0
    quick: int = 16
    starts: int = msgspec.field(default_factory=_default_starts)  # More only queue in the engine.
    stops: int = 64  # They wait out a grace rather than work.
    pulls: int = 3  # The engine's own default.
    streams: int = 64


class Calls:
    """Calls to one engine."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.url, self.limits = url, limits
        self._clients: dict[float, APIClient] = {}
        self._ways: weakref.WeakSet[OnePool] = weakref.WeakSet()
        self._changing = threading.Lock()  # Held for moments only: the loop takes it too.
        self._closed = False
        self._quick = anyio.CapacityLimiter(limits.quick)
        self._starts = anyio.CapacityLimiter(limits.starts)
        self._stops = anyio.CapacityLimiter(limits.stops)
        self._pulls = anyio.CapacityLimiter(limits.pulls)
        self._probes = anyio.CapacityLimiter(4)
        self.starting = anyio.CapacityLimiter(limits.starts)  # Held from create to start.
        self.streams = anyio.CapacityLimiter(limits.streams)

    async def quick(self, ask: Callable[[APIClient], T]) -> T:
        """Ask what is answered at once."""
        return await self._run(ask, self.limits.quick_s, self._quick)

    async def start(self, ask: Callable[[APIClient], T]) -> T:
        """Ask for a start."""
        return await self._run(ask, self.limits.start_s, self._starts)

    async def stop(self, ask: Callable[[APIClient], T]) -> T:
        """Ask for a stop, whose grace the SDK adds to the patience."""
        return await self._run(ask, self.limits.quick_s, self._stops)

    async def pull(self, ask: Callable[[APIClient], T]) -> T:
        """Ask for a pull."""
        with anyio.move_on_after(self.limits.pull_s):
            return await self._run(ask, self.limits.quick_s, self._pulls)
        raise EngineError("timeout", f"the pull took longer than {self.limits.pull_s:.0f} s")

    async def probe(self, ask: Callable[[APIClient], T]) -> T:
        """Ask how the engine is."""
        return await self._run(ask, self.limits.probe_s, self._probes)

    def renew(self) -> None:
        """Forget the clients: another engine, or another version of it, may answer now."""
        with self._changing:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def close(self) -> None:
        """End every call that is under way, so that no thread outlives its process's end."""
        with self._changing:
            self._closed = True
            ways = list(self._ways)
        for way in ways:
            way.hang_up()
        self.renew()

    def client(self, patience_s: float) -> APIClient:
        """Give a client that waits so long for an answer. Blocks, but never under the lock."""
        with self._changing:
            if self._closed:
                raise EngineError("away", "this runner ends")
            found = self._clients.get(patience_s)
        if found is not None:
            return found
        with self._connected(MINIMUM_DOCKER_API_VERSION, self.limits.quick_s) as asking:
            theirs = asking.version(api_version=False)["ApiVersion"]
        ours = DEFAULT_DOCKER_API_VERSION
        version = theirs if api_at_least(ours, theirs) else ours
        made = self._connected(version, patience_s)
        with self._changing:
            return self._clients.setdefault(patience_s, made)

    def _connected(self, version: str, patience_s: float) -> APIClient:
        patience = cast("int", patience_s)  # The SDK's types want whole seconds; its code does not.
        made = APIClient(self.url, version=version, timeout=patience, max_pool_size=POOL)
        if self.url.startswith("unix://"):
            path = "http+unix://" + self.url.removeprefix("unix://")
            way = OnePool(path, patience, max_pool_size=POOL)
            made.mount("http+docker://", way)
            with self._changing:
                self._ways.add(way)
        return made

    async def _run(
        self, ask: Callable[[APIClient], T], patience_s: float, limiter: anyio.CapacityLimiter
    ) -> T:
        def call() -> T:
            try:
                return ask(self.client(patience_s))
            except TROUBLE as error:
                raise sorted_out(error) from error

        return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)


def api_at_least(api_version: str, wanted: str) -> bool:
    """Tell whether the engine's API is at least at this version."""
    return compare_version(wanted, api_version) >= 0
