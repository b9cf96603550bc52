"""Say why a node cannot take a container. Each filter is a question with a reason for its no.

Reasons are worded without the node's name, so that equal refusals count together: "3 nodes: not
enough memory".
"""

from collections.abc import Callable

import msgspec
from segue.picture import Container, Node, Picture, Slot
from segue.placement import allows
from segue.spec import Resources, ServiceSpec

Kind = tuple[object, ...]
Ports = frozenset[tuple[int, str]]
Check = Callable[[Picture, "Ask", Node], str]
_NOTHING = Resources()
SHORT_OF = "not enough "  # So begins what a node says that has no room.


class Ask(msgspec.Struct):
    """A container that wants a node, with what the filters need to know about it."""

    container: Container
    spec: ServiceSpec
    slot: Slot
    ports: Ports  # Of the node, that it wants.
    data: dict[str, str]  # Node: a volume of its on which another service of the app has data.
    checks: "tuple[Check, ...]" = ()  # The filters that can say no to it.

    @property
    def kind(self) -> Kind:
        """What containers have in common that every node answers alike.

        One whose slot still has an older container is alone: what is its own is not in its way.
        """
        of = self.container
        in_way = bool(self.ports or self.spec.placement.max_per_node)
        moved = bool(leaves(self.container, self.slot) or of.target)
        alone = self.slot.number if moved or (self.slot.leaving and in_way) else 0
        data = tuple(sorted(self.data.items()))
        return (of.app, of.service, of.digest, of.revision, of.pinned, self.slot.home, alone, data)


def leaves(container: Container, slot: Slot) -> Container | None:
    """Find the container whose node the slot is to leave: one that only gets newer may stay."""
    old = slot.moving
    return old if old is not None and old.digest == container.digest else None


def asked(picture: Picture, container: Container, spec: ServiceSpec, slot: Slot) -> Ask:
    """Gather what the filters need to know."""
    ask = Ask(container, spec, slot, host_ports(spec), _shared(picture, container, spec))
    ask.checks = tuple(check for concerns, check in FILTERS if concerns(ask))
    return ask


def _shared(picture: Picture, container: Container, spec: ServiceSpec) -> dict[str, str]:
    """Find where the volumes are that it shares with other services, as Compose has them shared."""
    app = picture.apps.get(container.app)
    found: dict[str, str] = {}
    if app is None or not spec.local_volumes:
        return found
    for other in app.services.values():
        common = [volume for volume in spec.local_volumes if volume in other.spec.local_volumes]
        if not common or other.name == container.service:
            continue
        for slot in other.slots.values():
            mate = slot.container
            there = slot.home or (mate.node if mate is not None and not mate.ended else "")
            if there:
                found[there] = common[0]
    return found


def host_ports(spec: ServiceSpec) -> Ports:
    """Give the ports of its node that a container binds."""
    return frozenset(
        (port.published, port.protocol)
        for port in spec.ports
        if port.mode == "host" and port.published
    )


def _fit_for_work(_: Picture, __: Ask, node: Node) -> str:
    if node.phase != "up":
        return f"node is {node.phase}"
    if node.cordoned:
        return "node is cordoned"
    if node.degraded:
        return f"engine is not usable: {node.degraded}"
    return ""


def _pinned(_: Picture, ask: Ask, node: Node) -> str:
    if ask.container.pinned and ask.container.pinned != node.name:
        return f"the slot belongs to node {ask.container.pinned}"
    return ""


def _moved(_: Picture, ask: Ask, node: Node) -> str:
    old, target = leaves(ask.container, ask.slot), ask.container.target
    if old is not None and old.node == node.name:
        return "the slot is to leave the node"
    if target and target != node.name:
        return f"the slot is to go to node {target}"
    return ""


def _fenced(_: Picture, ask: Ask, node: Node) -> str:
    if ask.spec.strict and not node.facts.fenced:
        return "no lease is held there, and it must never run twice"
    return ""


def _home(_: Picture, ask: Ask, node: Node) -> str:
    if ask.spec.local_volumes and ask.slot.home and ask.slot.home != node.name:
        volumes = ", ".join(ask.spec.local_volumes)
        return f"the data of volume {volumes} is on node {ask.slot.home}"
    if not ask.slot.home and ask.data and node.name not in ask.data:
        there = min(ask.data)
        return f"the data of volume {ask.data[there]}, which it shares, is on node {there}"
    return ""


def _allowed(_: Picture, ask: Ask, node: Node) -> str:
    return allows(ask.spec, node)


def _refused(picture: Picture, ask: Ask, node: Node) -> str:
    why = picture.refusal(ask.container, node) if node.refusals else ""
    return f"it cannot run there: {why}" if why else ""


def _resources(picture: Picture, ask: Ask, node: Node) -> str:
    used = picture.used.get(node.name, _NOTHING)
    wants = ask.spec.resources
    cpu = node.facts.cpu_millicores - used.cpu_millicores
    if wants.cpu_millicores > max(0, cpu):
        return f"{SHORT_OF}CPU: {wants.cpu_millicores} millicores are wanted"
    memory = node.facts.memory_bytes - used.memory_bytes
    if wants.memory_bytes > max(0, memory):
        return f"{SHORT_OF}memory: {wants.memory_bytes >> 20} MiB are wanted"
    return ""


def _ports(picture: Picture, ask: Ask, node: Node) -> str:
    if not ask.ports:
        return ""
    for other in picture.on_node.get(node.name, {}).values():
        if (other.app, other.service, other.slot) == ask.container.key[:3]:
            continue  # Its own older container is stopped before it starts.
        spec = picture.spec(other)
        taken = ask.ports & host_ports(spec) if spec else None
        if taken:
            port, protocol = min(taken)
            return f"port {port}/{protocol} is taken"
    return ""


def _per_node(picture: Picture, ask: Ask, node: Node) -> str:
    most = ask.spec.placement.max_per_node
    if most and of_service(picture, ask.container, node) >= most:
        return f"at most {most} of the service may run on one node"
    return ""


def of_service(picture: Picture, container: Container, node: Node) -> int:
    """Count the service's other slots on a node."""
    return sum(
        other.service == container.service
        and other.app == container.app
        and other.slot != container.slot
        for other in picture.on_node.get(node.name, {}).values()
    )


def _always(_: Ask) -> bool:
    return True


# In this order; each with whom it concerns.
FILTERS: tuple[tuple[Callable[[Ask], object], Check], ...] = (
    (_always, _fit_for_work),
    (lambda ask: ask.container.pinned, _pinned),
    (lambda ask: ask.slot.leaving or ask.container.target, _moved),
    (lambda ask: ask.spec.strict, _fenced),
    (lambda ask: ask.spec.mounts, _home),
    (lambda ask: ask.spec.placement.constraints or ask.spec.placement.platform, _allowed),
    (_always, _refused),
    (_always, _resources),
    (lambda ask: ask.ports, _ports),
    (lambda ask: ask.spec.placement.max_per_node, _per_node),
)


def refusal(picture: Picture, ask: Ask, node: Node) -> str:
    """Give the first reason why the node cannot take the container, or the empty string."""
    for check in ask.checks:
        reason = check(picture, ask, node)
        if reason:
            return reason
    return ""


def room_aside(picture: Picture, ask: Ask, node: Node) -> str:
    """Give the first reason why the node could not take the container if it had room."""
    reasons = (check(picture, ask, node) for check in ask.checks if check is not _resources)
    return next(filter(None, reasons), "")


EVERYBODY = [check for concerns, check in FILTERS if concerns is _always]  # The filters of all.
