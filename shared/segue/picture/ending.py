"""Fold the end of a container: what it frees, and which older one its slot may go on with."""

from segue.envelope import Record
from segue.picture import fold_rebalance
from segue.picture.indexed import Indexed
from segue.picture.state import UP, Container, Slot


def end(picture: Indexed, container: Container, time: float) -> None:
    """Take out what runs no more; if it filled its slot in vain, an older one may go on."""
    container.ended_at = time
    picture.vacate(container)
    fold_rebalance.ended(picture, container, time)
    slot = picture.slot(container.app, container.service, container.slot)
    if slot is not None:
        slot.leaving.pop(container.attempt, None)
        if slot.container is container and container.phase != "finished":
            revive(picture, slot)


def revive(picture: Indexed, slot: Slot) -> None:
    """Let an older container that still runs fill the slot again: its successor came to nothing."""
    revived = revivable(picture, slot)
    if revived is not None:
        slot.container = slot.leaving.pop(revived.attempt)


def revivable(picture: Indexed, slot: Slot) -> Container | None:
    """Find the container that still runs though it had been given up: its node came back."""
    alive = [
        container
        for container in slot.leaving.values()
        if container.phase in UP
        and not container.retired
        and not container.absent
        and not picture.is_gone(container)
    ]
    return max(alive, key=lambda container: container.attempt, default=None)


def lose(picture: Indexed, container: Container, record: Record) -> None:
    """End what is gone without a word, or with a forgotten node, as if it had been moved."""
    container.retired, container.retired_at = container.retired or "moved", record.time
    container.phase, container.cause = "stopped", record.as_cause()
    end(picture, container, record.time)
    picture.touch(container.app, container.service, container.slot)
