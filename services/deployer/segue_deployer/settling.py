"""Settle a slot that has more than one container: which of them is to go, and why.

It is being moved or gets another version, or its node came back after it was filled elsewhere.
"""

from collections.abc import Iterator
from typing import Literal

from segue.envelope import Cause
from segue.picture import Container, Picture, Service, Slot
from segue.picture.ending import revivable
from segue.wants import current, digest_of, ready

RetireReason = Literal[
    "scaled", "replaced", "removed", "superseded", "unhealthy", "moved", "deadline"
]
Unneeded = tuple[Container, RetireReason, Cause]


def works(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a container does its service's work, and is to go on."""
    return ready(service, container) and not container.retired and not picture.is_gone(container)


def unneeded(picture: Picture, service: Service, slot: Slot) -> Iterator[Unneeded]:
    """Give the slot's containers that are to go because of another of them."""
    now = slot.container
    if now is None or now.retired or not (slot.leaving or now.target):
        return  # Once it has ended, an older one that still runs goes on.
    old, wanted = slot.moving, digest_of(service, slot.number)
    if now.refused and current(service, now) and _optional(picture, slot, now):
        yield now, "superseded", now.cause
        return
    back = revivable(picture, slot)
    if back is not None and back is not old and not now.ended:
        original = service.spec.on_return == "keep_original"
        if now.phase == "requested" or (original and ready(service, back)):
            unwanted = now if back.digest == wanted else back
            yield unwanted, "superseded", picture.nodes[back.node].cause
            return
        if original and current(service, back) and back.phase != "unhealthy":
            return  # It may yet become ready.
    if old is not None and _in_vain(picture, service, now, old):
        yield now, "superseded", service.cause or now.cause
        return
    yield from _crossed(picture, slot, now)
    yield from _relieved(picture, service, slot, now)


def _crossed(picture: Picture, slot: Slot, now: Container) -> Iterator[Unneeded]:
    """Give what was assigned after it was retired: something strict waits for its end to begin."""
    if now.phase != "requested" or not picture.is_strict(now):
        return
    for container in slot.leaving.values():
        begins = container.phase == "assigned" and container is not slot.moving
        if begins and not container.retired and not picture.is_gone(container):
            yield container, "superseded", now.cause


def _relieved(picture: Picture, service: Service, slot: Slot, now: Container) -> Iterator[Unneeded]:
    """Give what the newest relieves, but for what a rollout relieves with the rest of its step."""
    is_ready, old = ready(service, now), slot.moving
    for container in slot.leaving.values():
        if container.retired or picture.is_gone(container) or _turns(service, now, container):
            continue
        if container is not old and is_ready:
            yield container, "superseded", now.cause
        elif container is old and (is_ready or old.phase == "unhealthy"):
            yield container, "moved", now.cause if is_ready else old.cause


def _in_vain(picture: Picture, service: Service, now: Container, old: Container) -> bool:
    """Tell whether a version that is not wanted any more was to relieve one that works on."""
    if now.ended or old.digest == now.digest or now.digest == digest_of(service, now.slot):
        return False
    return works(picture, service, old)


def _turns(service: Service, now: Container, old: Container) -> bool:
    """Tell whether a rollout says when the older container goes."""
    rollout = service.rollout
    if rollout is None or now.slot not in rollout.advanced:
        return False
    return now.digest == service.digest != old.digest


def _optional(picture: Picture, slot: Slot, now: Container) -> bool:
    """Tell whether a move that no node takes can as well be given up."""
    if now.phase != "requested":
        return False
    if slot.moving is None:
        return bool(now.target)
    node = picture.nodes.get(slot.moving.node)
    return slot.moving.digest == now.digest and (node is None or node.drain is None)
