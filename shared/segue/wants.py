"""Say what an app wants of its slots, and which containers are that.

Deployer (what is owed?), command line (what is shown as missing?) and the tests' checkers (what
must run?) have to agree on this, so it stands here. Nothing is decided about what is missing.
"""

import itertools

from segue.picture import UP, App, Container, Picture, Service, Slot
from segue.picture.state import Version
from segue.placement import allows
from segue.spec import ServiceSpec


def is_new(service: Service, slot: int) -> bool:
    """Tell whether a slot is to run the service's newest version: no rollout has it wait."""
    rollout = service.rollout
    return rollout is None or slot in rollout.advanced or rollout.old.digest == service.digest


def version(service: Service, slot: int) -> Version:
    """Give what a slot is to run."""
    if service.rollout is None or is_new(service, slot):
        return Version(service.spec, service.digest, service.revision)
    return service.rollout.old


def digest_of(service: Service, slot: int) -> str:
    """Give the digest of what a slot is to run."""
    if service.rollout is None or is_new(service, slot):
        return service.digest
    return service.rollout.old.digest


def spec_of(service: Service, container: Container) -> ServiceSpec:
    """Give what a container was made from, as far as its service's versions are known."""
    rollout = service.rollout
    if rollout is None or container.digest == service.digest:
        return service.spec
    if container.digest == rollout.old.digest:
        return rollout.old.spec
    return rollout.superseded.get(container.digest, service.spec)


def ready(service: Service, container: Container) -> bool:
    """Tell whether a container does the service's work: it is up, and healthy if that is asked."""
    spec = spec_of(service, container)
    if spec.is_job:
        return container.phase == "finished"
    if service.rollout is None and container.digest != service.digest:
        # Its own version is not known any more; the log has noted when it first did its work.
        return container.ready_at > 0 and container.phase in UP and container.phase != "unhealthy"
    if spec.checked:
        return container.phase == "healthy"
    return container.phase in UP


def routed(picture: Picture, service: Service) -> list[Container]:
    """Give the containers that are to receive the service's traffic: they are ready and stay.

    Nothing leads to what blue_green has prepared before it is promoted.
    """
    if service.spec.is_job:
        return []
    found = (one for slot in service.slots.values() for one in slot.containers())
    return [
        one
        for one in found
        if ready(service, one)
        and not one.retired
        and not one.fenced
        and not picture.is_gone(one)
        and not is_prepared(service, one)
    ]


def is_prepared(service: Service, container: Container) -> bool:
    """Tell whether a container is of a version that blue_green has prepared, and nobody promoted.

    It stays so when another deploy supersedes that version, or it is taken back.
    """
    return container.digest in service.hidden


def serves(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a container can relieve an older one: it is ready, and its gateway leads to it.

    Where no gateway is at work on its node, or nothing of the service is to be reached, being ready
    is enough; so it is for what is only prepared.
    """
    if not ready(service, container):
        return False
    spec = spec_of(service, container)
    if (
        not spec.routed
        or is_prepared(service, container)
        or picture.gateway(container.node) is None
    ):
        return True
    return container.routed_at > 0


def current(service: Service, container: Container) -> bool:
    """Tell whether it is what its slot is to run now, and is to stay.

    A run under way goes on with the version that it began with.
    """
    if service.spec.schedule is not None:
        return not container.retired
    return container.digest == digest_of(service, container.slot) and not container.retired


def wanted_slots(picture: Picture, app: App, service: Service) -> dict[int, str]:
    """Give the numbers of the slots that are wanted, each with the node it is pinned to."""
    if not service.wanted or app.phase in ("removing", "removed"):
        return {}
    if not service.spec.is_global:
        return dict.fromkeys(_numbers(service), "")
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


def _numbers(service: Service) -> list[int]:
    """Give the slots' numbers; of a job that has its limit, only those that had their turn."""
    if service.spec.schedule is not None:
        return [run.number for run in service.runs.values() if run.replaced is None]
    numbers = list(range(1, service.replicas + 1))
    at_once = service.spec.job.parallelism
    if not at_once or at_once >= len(numbers):
        return numbers
    done = [number for number in numbers if has_done(service, number)]
    left = sorted(
        set(numbers) - set(done), key=lambda number: (not _begun(service, number), number)
    )
    return sorted((*done, *left[:at_once]))


def has_done(service: Service, number: int) -> bool:
    """Tell whether a job's slot has come to its end as it was to."""
    slot = service.slots.get(number)
    container = slot.container if slot is not None else None
    if container is None or container.phase != "finished" or not current(service, container):
        return False
    return container.retired not in ("scaled", "removed")


def _begun(service: Service, number: int) -> bool:
    slot = service.slots.get(number)
    if slot is None or slot.container is None:
        return False
    return slot.over_time or not slot.container.retired


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
