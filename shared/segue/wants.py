"""Say what an app wants of its slots, and which containers are that.

Deployer (what is owed?), command line (what is shown as missing?) and the tests' checkers (what
must run?) have to agree on this, so it stands here. Nothing is decided about what is missing.
"""

import itertools

from segue.picture import UP, App, Container, Picture, Service, Slot
from segue.placement import allows


def ready(service: Service, container: Container) -> bool:
    """Tell whether a container does the service's work: it is up, and healthy if that is asked."""
    if service.spec.is_job:
        return container.phase == "finished"
    if service.spec.checked:
        return container.phase == "healthy"
    return container.phase in UP


def routed(picture: Picture, service: Service) -> list[Container]:
    """Give the containers that are to receive the service's traffic: they are ready and stay."""
    if service.spec.is_job:
        return []
    found = (one for slot in service.slots.values() for one in slot.containers())
    return [
        one
        for one in found
        if ready(service, one) and not one.retired and not one.fenced and not picture.is_gone(one)
    ]


def current(service: Service, container: Container) -> bool:
    """Tell whether it is what the service is to run now, and is to stay."""
    return container.digest == service.digest and not container.retired


def wanted_slots(picture: Picture, app: App, service: Service) -> dict[int, str]:
    """Give the numbers of the slots that are wanted, each with the node it is pinned to."""
    if not service.wanted or app.phase in ("removing", "removed"):
        return {}
    if not service.spec.is_global:
        return dict.fromkeys(range(1, service.replicas + 1), "")
    by_node = {slot.pinned: number for number, slot in service.slots.items() if slot.pinned}
    orphans = (number for number, slot in service.slots.items() if _orphaned(picture, slot))
    free = itertools.chain(sorted(orphans), itertools.count(1 + max(service.slots, default=0)))
    wanted: dict[int, str] = {}
    for name in sorted(picture.nodes):
        node = picture.nodes[name]
        unfit = node.drain is not None or (name not in by_node and not node.usable)
        if unfit or allows(service.spec, node):
            continue
        wanted[by_node[name] if name in by_node else next(free)] = name
    return wanted


def _orphaned(picture: Picture, slot: Slot) -> bool:
    """Tell whether a slot's node is forgotten: another node's slot may go on from its attempts."""
    ended = all(container.ended for container in slot.containers())
    return bool(slot.pinned) and slot.pinned not in picture.nodes and ended


def at_hand(picture: Picture, app: App, service: Service) -> dict[int, str]:
    """Give the wanted slots of which something can be expected now.

    A slot of a global service that belongs to a lost node waits for that node and holds up nothing.
    """
    wanted = wanted_slots(picture, app, service)
    if not service.spec.is_global:
        return wanted
    lost = {name for name, node in picture.nodes.items() if node.phase == "lost"}
    return {number: pinned for number, pinned in wanted.items() if pinned not in lost}
