"""Carry out what the core decides on the real host, and tell the core what came of it.

It decides nothing. What was applied last stands in a file: with it the host goes on doing the same
after a restart, be the bus there or not. What an adapter cannot do is told in the log once.
"""

import contextlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import anyio
import msgspec
import structlog
from segue import asks
from segue.bus import Bus, BusError

from segue_gateway import firewall
from segue_gateway.core import Applied, Apply, Flowing, GiveWay, Tell, Waiting
from segue_gateway.proxy import Proxy, ProxyError
from segue_gateway.runtime import RuntimeAwayError
from segue_gateway.table import Table

FLOW_EVERY_S = 0.1  # How often what still flows to drained containers, or waits, is counted.

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.gateway")


class GaveWayError(BusError):
    """Another gateway has joined under this node's name."""


class Adapter(Protocol):
    """What makes a part of the host as a table says."""

    async def apply(self, table: Table) -> list[str]:
        """Do it; tell what could not be done."""

    async def clear(self) -> None:
        """Take away what outlives this process."""


class Kept(msgspec.Struct):
    """What outlives the process."""

    table: Table
    held: dict[str, str] = {}


class Hands:
    """The adapters of one host, in the order in which a table is applied."""

    def __init__(self, place: pathlib.Path, proxy: Proxy, others: Sequence[Adapter]) -> None:
        self.place, self.proxy, self.others = place, proxy, others
        self.hear: Callable[[Any], None] = lambda _: None
        self.bus: Bus | None = None
        self.held: Callable[[], dict[str, str]] = dict
        self._said: list[str] = []
        self._addresses: dict[str, str] = {}
        self._drains = self._holds = False
        self._waits: dict[str, int] = {}

    def remembered(self) -> Kept | None:
        """Read what was applied last; what cannot be read was written by another version."""
        try:
            return msgspec.json.decode(self.place.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    async def perform(self, effect: Any) -> None:
        """Carry out an effect, whatever comes of it."""
        match effect:
            case Apply(table=table):
                done = await self.apply(table)
                if done:
                    await self._count()
                self.hear(Applied(table.sequence, done))
            case Tell(beat=beat):
                if self.bus is not None:
                    await self.bus.say(f"beat.gateway.{beat.node}", msgspec.json.encode(beat))
            case GiveWay(session=session):
                raise GaveWayError(
                    "another gateway has joined under this node's name "
                    f"(session {session}): give each its own with --node"
                )

    async def apply(self, table: Table) -> bool:
        """Have the host as the table says; tell whether its containers are led to."""
        problems = [
            f"{one.node}: its containers are not reached, since of its gateway and this one only "
            "one was started with --mesh plain: start both alike"
            for one in table.apart
        ]
        done = True
        for one in self.others[:1]:
            problems += await one.apply(table)  # The addresses, that the proxy listens on.
        try:
            problems += await self.proxy.apply(table)
        except (ProxyError, RuntimeAwayError) as error:
            problems.append(f"proxy: what it does stays as it was: {error}")
            done = False
        for one in self.others[1:]:
            problems += await one.apply(table)
        for words in problems:
            if words not in self._said:
                log.warning("something is not as it is to be", why=words)
        self._said = problems
        self._holds = any(route.waits for route in table.routes)
        self._drains = any(one.draining for route in table.routes for one in route.endpoints)
        if done:
            self._addresses = {route.name: route.vip for route in table.routes if route.vip}
            self._keep(table)
        return done

    async def facts(self) -> asks.Gateway:
        """Tell what is amiss now."""
        unreached: dict[str, str] = {}
        with contextlib.suppress(RuntimeAwayError):
            unreached = await self.proxy.unreached()
        hints = await firewall.hints() if self.others else []
        return asks.Gateway([*self._said], hints, unreached, self._addresses)

    async def clear(self) -> None:
        """Leave nothing on a host that runs none of our containers any more."""
        for one in self.others:
            await one.clear()

    async def run(self) -> None:
        """Count what flows to drained containers, and what waits for services without any."""
        while True:
            await anyio.sleep(FLOW_EVERY_S)
            if self._drains:
                await self._count()
            if self._holds or self._waits:
                await self._count_waiting()

    async def _count_waiting(self) -> None:
        try:
            found = await self.proxy.waiting()
        except RuntimeAwayError:
            return
        if found != self._waits:
            self._waits = found
            self.hear(Waiting(found))

    async def _count(self) -> None:
        try:
            found = await self.proxy.in_flight()
        except RuntimeAwayError:
            return  # It is looked after elsewhere; the deadline holds.
        self.hear(Flowing({f"{route} {one}": count for (route, one), count in found.items()}))

    def _keep(self, table: Table) -> None:
        fresh = self.place.with_suffix(".new")
        try:
            self.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(Kept(table, self.held())))
            fresh.replace(self.place)
        except OSError as error:
            log.warning("the table is not kept: a restart without the bus has none", why=str(error))
