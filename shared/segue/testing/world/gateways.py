"""One gateway for each host, in a part of the runs: the real core, and a proxy that outlives it.

What the proxy leads to changes a moment after a table was given to it, or now and then not at all.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from segue_gateway.core import Applied, Apply, Gateway, GiveWay, Tell
from segue_gateway.table import Table
from segue_node_runner.labels import Identity

from segue.beats import GATEWAY_BEATS, GatewayBeat
from segue.events.gateway import GatewayJoined
from segue.testing.world.bus import SimBus
from segue.testing.world.process import Decoded, Process
from segue.testing.world.sim import Sim

RUNS = 0.25  # So many of the runs have gateways.
APPLIED_S = (0.005, 0.05)
FAILS = 0.02
PORT = 80  # What is reached in such a run is reached at this one.
_BEAT = msgspec.json.Decoder(GatewayBeat)


def are_on(seed: int) -> bool:
    """Tell whether a run has gateways; the other runs' histories do not hang on it."""
    return Random(f"gateways {seed}").random() < RUNS


class HostGateway:
    """A host's gateway and its proxy."""

    def __init__(self, sim: Sim, bus: SimBus, decoded: Decoded, host: str) -> None:
        self.sim, self.bus, self.host, self.fails = sim, bus, host, 0.0
        self.leads_to: dict[Identity, None] = {}  # What the proxy gives new connections.
        self.applied: Callable[[HostGateway], None] = lambda _: None
        self._sessions = 0
        self.process = Process(
            sim,
            bus,
            decoded,
            name=f"gateway-{host}",
            host=host,
            make=self._core,
            leads=False,
            hears=[GATEWAY_BEATS],
            read_news=lambda _, data: _BEAT.decode(data),
            perform=self._perform,
        )

    def _core(self) -> Gateway:
        self._sessions += 1
        session = f"{self.host}-{self._sessions}"
        return Gateway(GatewayJoined(node=self.host, session=session, address=self.host))

    @property
    def core(self) -> Gateway:
        """What decides."""
        assert isinstance(self.process.core, Gateway), "it was made so"
        return self.process.core

    def _perform(self, process: Process, effect: Any) -> None:
        match effect:
            case GiveWay():
                process.restarted()
            case Tell(beat=beat):
                self.bus.tell(self.host, f"beat.gateway.{self.host}", msgspec.json.encode(beat))
            case Apply(table=table):
                self.sim.at(self.sim.between(*APPLIED_S), self._apply, process.run, table)

    def _apply(self, run: int, table: Table) -> None:
        process = self.process
        if run != process.run or process.held(self._apply, run, table):
            return
        done = not self.sim.chance(self.fails)
        if done:
            self.leads_to = {
                Identity(route.app, route.service, one.slot, one.attempt): None
                for route in table.routes
                for one in route.endpoints
                if not one.draining
            }
            self.applied(self)
        process.hear(Applied(table.sequence, done=done))

    def lose_power(self) -> None:
        """End with the host, proxy and all."""
        self.process.kill()
        self.leads_to = {}
