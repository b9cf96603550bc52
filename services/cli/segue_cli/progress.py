"""How far a deploy is, folded from the log: what happened, what is still missing, how it ended.

It repeats what services decided and decides nothing: a deploy has ended when an event says so.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from segue.envelope import Record
from segue.events.container import ContainerFailed, ContainerRequested, ContainerRetired
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployRejected,
    DeployReverted,
    RemovalAccepted,
)
from segue.events.image import ImagePulled, ImagePulling
from segue.picture import Container, Picture, Service
from segue.wants import at_hand

from segue_cli.rows import condition, waiting, works

End = Literal["completed", "failed", "reverted", "rejected", "superseded"]


class Missing(msgspec.Struct, frozen=True):
    """A slot that is not yet as the revision wants it, and why in words."""

    slot: str
    why: str


class Tally(msgspec.Struct, frozen=True):
    """A service of the app: how many of its slots are up and run what they should."""

    service: str
    up: int
    wanted: int
    missing: list[Missing]


class Progress:
    """Feed it the log from before the request on."""

    def __init__(self, app: str, picture: Picture) -> None:
        self.app = app
        self.picture = picture
        self.request = ""  # The id of the deploy's request, once it is known.
        self.revision = 0
        self.began_at = 0.0
        self.end: End | None = None
        self.ended_by: Record | None = None
        self.changes = 0  # Containers that were asked for or given up on the way.
        self._failures: dict[str, ContainerFailed] = {}  # The last of each slot.
        self._pulls: dict[tuple[str, str], ImagePulling] = {}  # Under way, by node and image.

    def take(self, record: Record) -> bool:
        """Fold an event; tell whether it belongs to this deploy."""
        self.picture.fold(record)
        event = record.event
        if record.id == self.request:
            self.began_at = record.time
        if isinstance(event, ImagePulling):
            self._pulls[event.node, event.image] = event
        elif isinstance(event, ImagePulled):
            self._pulls.pop((event.node, event.image), None)
        if getattr(event, "app", None) != self.app:
            return False
        if isinstance(event, ContainerRequested | ContainerRetired) and self.revision:
            self.changes += 1
        if isinstance(event, ContainerFailed):
            self._failures[f"{event.service}.{event.slot}"] = event
        if self.end is None:
            self.end = self._ends(record)
            self.ended_by = record if self.end else None
        return True

    def _ends(self, record: Record) -> End | None:
        match record.event:
            case DeployRejected() if record.cause == self.request:
                return "rejected"
            case DeployAccepted(revision=revision):
                if record.cause == self.request:
                    self.revision = revision
                elif self.revision:
                    return "superseded"
            case RemovalAccepted() if self.revision:
                return "superseded"
            case DeployCompleted(revision=revision) if revision == self.revision:
                return "completed"
            case DeployFailed(revision=revision) if revision == self.revision:
                return "failed"
            case DeployReverted(revision=revision) if revision == self.revision:
                return "reverted"
        return None

    def tallies(self) -> list[Tally]:
        """Count what is up, service by service."""
        app = self.picture.apps.get(self.app)
        if app is None:
            return []
        tallies = []
        for service in app.services.values():
            wanted = at_hand(self.picture, app, service)
            missing = list(self._missing(service, wanted))
            tallies.append(Tally(service.name, len(wanted) - len(missing), len(wanted), missing))
        return [tally for tally in tallies if tally.wanted]

    def _missing(self, service: Service, wanted: Mapping[int, str]) -> Iterator[Missing]:
        for number in wanted:
            slot = service.slots.get(number)
            container = slot.container if slot else None
            name = f"{service.name}.{number}"
            if container is None:
                behind = " and ".join(service.spec.depends_on)
                yield Missing(name, f"waits for {behind}" if behind else "not requested yet")
            elif container.digest != service.digest:
                yield Missing(name, _to_go(service, container))
            elif not works(self.picture, service, container) and container.phase != "finished":
                yield Missing(name, self._why(service, container))

    def _why(self, service: Service, container: Container) -> str:
        state, note = condition(self.picture, container)
        on = f" on {container.node}" if container.node else ""
        pull = self._pulls.get((container.node, service.spec.image))
        if container.phase == "assigned" and pull is not None:
            share = f" {pull.done_bytes / pull.total_bytes:.0%}" if pull.total_bytes else ""
            return f"pulling {pull.image}{share}{on}"
        if state == "running":
            state = "unhealthy" if container.phase == "unhealthy" else "started, not healthy yet"
            state = state if service.spec.checked else "running"
        return f"{state}{on}" + (f": {note}" if note else "")

    def blocking(self) -> list[tuple[str, ContainerFailed | None]]:
        """Give the slots that keep the deploy from being up, each with its last failure."""
        event = self.ended_by.event if self.ended_by else None
        names = event.blocking if isinstance(event, DeployFailed | DeployReverted) else []
        return [(name, self._failures.get(name)) for name in names]


def _to_go(service: Service, container: Container) -> str:
    """Say what becomes of a container of another version than is wanted."""
    rollout = service.rollout
    if container.retired:
        return "stopping"
    if rollout is None or container.slot in rollout.advanced:
        return "to be replaced"
    waits = waiting(service)
    return "waits for its turn" + (f": {waits}" if waits else "")
