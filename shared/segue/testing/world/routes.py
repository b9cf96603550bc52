"""The laws of routes (I11): they lead to what was ready, and end before it is stopped, or soon.

They are asked where the store was not replaced: what another log had ordered, a person ends.
"""

from typing import TYPE_CHECKING

from segue_node_runner.effects import Stop
from segue_node_runner.labels import Identity

from segue.events.gateway import EndpointDrained
from segue.picture import Container, Picture
from segue.testing.world.gateways import HostGateway
from segue.testing.world.hosts import Host
from segue.testing.world.invariants import ViolationError
from segue.testing.world.process import Process

if TYPE_CHECKING:
    from segue.testing.world.run import World

EVERY_S = 0.5
ENDED_MOST_S = 3.0  # Twice a table could not be applied, and each is tried again after a second.


class Routes:
    """The eye on one world's gateways, if it has any."""

    def __init__(self, world: "World") -> None:
        self.world, self.sim = world, world.sim
        self.gateways = [one.gateway for one in world.cluster.hosts if one.gateway is not None]
        self._ended: dict[tuple[str, Identity], float] = {}  # By host: since when it leads there.
        for gateway in self.gateways:
            gateway.applied = self._applied
        if self.gateways:
            self._look()

    def _look(self) -> None:
        self.sim.at(EVERY_S, self._look)
        self._check("a_route_ends_soon_with_its_container", self._routes_end_soon())

    def _applied(self, gateway: HostGateway) -> None:
        picture = self.world.checker.picture
        name = "a_route_leads_to_what_was_ready"
        self._check(name, a_route_leads_to_what_was_ready(gateway, picture))

    def before(self, host: Host, process: Process, effect: Stop) -> None:
        """Look at a stop before it is carried out."""
        if self.gateways and process is host.runner:
            unheard = self._unheard(effect.identity)
            waited_for = [one for one in self.gateways if one.host not in unheard]
            problem = a_stop_waits_until_no_route_is_left(waited_for, process, effect)
            self._check("a_stop_waits_until_no_route_is_left", problem)

    def _unheard(self, identity: Identity) -> list[str]:
        """Give the gateways that were not waited for when a container was said to be drained."""
        for record in reversed(self.world.checker.records):
            event = record.event
            if isinstance(event, EndpointDrained) and identity == Identity(
                event.app, event.service, event.slot, event.attempt
            ):
                return event.unheard
        return []

    def _routes_end_soon(self) -> str:
        now = self.sim.now
        found = {
            (gateway.host, identity)
            for gateway in self.gateways
            if self._is_well(gateway)
            for identity in gateway.leads_to
            if not _is_there(gateway.core.picture, identity)
        }
        self._ended = {key: self._ended.get(key, now) for key in sorted(found, key=str)}
        for (host, identity), since in self._ended.items():
            if now - since > ENDED_MOST_S:
                return f"{host} leads to {identity}, known to it to be over since {since:.1f} s"
        return ""

    def _is_well(self, gateway: HostGateway) -> bool:
        process = gateway.process
        return process.alive and not process.frozen and process.machine.caught_up

    def _check(self, law: str, problem: str) -> None:
        if problem and not self.world.cluster.bus.stores:
            raise ViolationError(self.world.checker.story(law, problem))


def a_route_leads_to_what_was_ready(gateway: HostGateway, picture: Picture) -> str:
    """I11: a gateway gives connections only to what has been ready."""
    for one in gateway.leads_to:
        container = picture.container(one.app, one.service, one.slot, one.attempt)
        if container is not None and not container.ready_at:
            return f"{gateway.host} leads to {container.name}, which is {container.phase}"
    return ""


def a_stop_waits_until_no_route_is_left(
    gateways: list[HostGateway], process: Process, effect: Stop
) -> str:
    """I11: what works and is retired is stopped once no gateway leads to it, or its time is over.

    `gateways` are those that were waited for; none is where its node has none.
    """
    picture: Picture = process.core.picture
    ordered = picture.container(effect.app, effect.service, effect.slot, effect.attempt)
    if ordered is None or not ordered.retired or _is_ill(ordered) or not ordered.routed_at:
        return ""
    spec, now = picture.spec(ordered), process.machine.log_time(process.clock)
    if spec is None or now >= ordered.retired_at + spec.drain_s or _is_outdated(picture, ordered):
        return ""
    if picture.gateway(ordered.node) is None:
        return ""
    if not ordered.drained_at:
        return f"{ordered.name} is stopped, and nobody said that it is drained"
    left = [one.host for one in gateways if effect.identity in one.leads_to]
    return f"{ordered.name} is stopped, and {left} lead to it" if left else ""


def _is_ill(ordered: Container) -> bool:
    return ordered.ended or ordered.phase == "unhealthy" or ordered.retired == "unhealthy"


def _is_outdated(picture: Picture, ordered: Container) -> bool:
    """Tell whether a newer one of its slot is ordered on its node: that one does not wait."""
    there = picture.on_node.get(ordered.node, {}).values()
    return any(one.key[:3] == ordered.key[:3] and one.attempt > ordered.attempt for one in there)


def _is_there(picture: Picture, identity: Identity) -> bool:
    container = picture.container(identity.app, identity.service, identity.slot, identity.attempt)
    if container is None or container.ended or container.retired:
        return False
    return not picture.is_gone(container)
