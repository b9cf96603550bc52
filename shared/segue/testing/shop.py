"""Say what happens to an app's containers in few words, for tests of what is decided about them.

It makes events and puts them on a board; it decides nothing and expects nothing.
"""

from typing import Any

import msgspec

from segue.core import Core
from segue.envelope import Record
from segue.events import Event
from segue.events.container import (
    ContainerAssigned,
    ContainerEvent,
    ContainerFailed,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnplaceable,
    NodeContainerEvent,
)
from segue.events.deploy import DeployAccepted
from segue.events.node import NodeJoined
from segue.picture import Container, Picture, Slot
from segue.spec import AppSpec, ServiceSpec, digest
from segue.testing.board import Board

APP = "shop"
MIB, GIB = 1 << 20, 1 << 30


def joined(node: str, **facts: Any) -> NodeJoined:
    """A node of 4 CPUs and 8 GiB, unless told otherwise, is there."""
    told: dict[str, Any] = {"session": f"s-{node}", "cpu_millicores": 4_000, "fenced": True}
    return NodeJoined(node=node, **told | {"memory_bytes": 8 * GIB} | facts)


def accepted(revision: int = 1, app: str = APP, **services: ServiceSpec) -> DeployAccepted:
    """The app is to consist of these services."""
    return DeployAccepted(app=app, revision=revision, spec=AppSpec(services=services))


def scope(event: ContainerEvent | Container) -> dict[str, Any]:
    """Name the container that an event is about."""
    return {
        "app": event.app,
        "service": event.service,
        "slot": event.slot,
        "attempt": event.attempt,
    }


class Shop(Board):
    """A board with nodes; what their runners say is said by hand."""

    def __init__(self, *cores: Core, nodes: str = "a") -> None:
        super().__init__(*cores)
        for node in nodes:
            self.say(joined(node))

    @property
    def picture(self) -> Picture:
        """What the first core knows."""
        return self.cores[0].picture

    def slot(self, service: str, number: int = 1, app: str = APP) -> Slot:
        """Give a slot that is there."""
        found = self.picture.slot(app, service, number)
        assert found is not None, f"{app}/{service}.{number} is not in the picture"
        return found

    def container(self, service: str, number: int = 1, app: str = APP) -> Container:
        """Give what fills a slot."""
        found = self.slot(service, number, app).container
        assert found is not None, f"{app}/{service}.{number} is empty"
        return found

    def ask(
        self, service: str, slot: int = 1, attempt: int = 1, app: str = APP, **more: Any
    ) -> ContainerRequested:
        """Request a container of the newest revision, as the deployer would."""
        known = self.picture.apps[app]
        event = ContainerRequested(
            app=app,
            service=service,
            slot=slot,
            attempt=attempt,
            revision=more.pop("revision", known.revision),
            digest=digest(known.specs[known.revision], service),
            **more,
        )
        self.say(event)
        return event

    def assign(self, asked: ContainerRequested, node: str = "a") -> ContainerAssigned:
        """Give a container its node, as the scheduler would."""
        event = ContainerAssigned(
            **scope(asked),
            node=node,
            revision=asked.revision,
            digest=asked.digest,
            moves=asked.moves,
        )
        self.say(event)
        return event

    def run(self, asked: ContainerRequested, node: str = "a") -> None:
        """Assign it and start it."""
        self.assign(asked, node)
        self.tells(ContainerStarted, asked, node, engine_id="e")

    def tells(
        self,
        kind: type[NodeContainerEvent],
        about: ContainerEvent | Container,
        node: str = "",
        **more: Any,
    ) -> Any:
        """Let a node, unless named the container's own, say something about it."""
        known = self.picture.container(about.app, about.service, about.slot, about.attempt)
        told = node or getattr(about, "node", "") or (known.node if known else "") or "a"
        event = kind(**scope(about), node=told, **more)
        self.say(event)
        return event

    def fail(self, about: ContainerEvent | Container, node: str = "", **more: Any) -> Record:
        """Let a container end with code 1."""
        told = {"reason": "exited", "exit_code": 1} | more
        self.tells(ContainerFailed, about, node, **told)
        return self.log[-1]

    def up(self, *events: Event) -> list[Event]:
        """Start what was asked for, stop what was retired, until nothing more is owed.

        What is asked for goes to the first node, unless a scheduler is there to choose. A node
        that is lost does nothing.
        """
        todo, seen = list(events), list(events)
        chosen = any(core.service == "scheduler" for core in self.cores)
        while todo:
            event = todo.pop(0)
            there = [name for name, node in self.picture.nodes.items() if node.phase != "lost"]
            if isinstance(event, ContainerRequested) and not chosen:
                node = event.pinned or there[0]
                if node in there:
                    self.run(event, node)
            elif isinstance(event, ContainerAssigned) and event.node in there:
                self.tells(ContainerStarted, event, engine_id="e")
            elif isinstance(event, ContainerRetired) and event.node in there:
                self.tells(ContainerStopped, event)
            more = self.settle()
            todo += more
            seen += more
        return seen

    def deploy(self, app: str = APP, **services: ServiceSpec) -> list[Event]:
        """Accept the next revision and let everything come up."""
        known = self.picture.apps.get(app)
        self.say(accepted(known.revision + 1 if known else 1, app, **services))
        return self.up(*self.settle())


def place(shop: Shop, service: str = "web", slot: int = 1, **more: Any) -> Event:
    """Ask for a container; give what the scheduler answers."""
    shop.ask(service, slot, **more)
    (said,) = shop.settle()
    return said


def node_of(event: Event) -> str:
    """Give the node that was chosen."""
    assert isinstance(event, ContainerAssigned), event
    return event.node


def reasons(event: Event) -> dict[str, tuple[int, list[str]]]:
    """Why nodes were refused, whether another took it or not."""
    assert isinstance(event, ContainerAssigned | ContainerUnplaceable), event
    return {refusal.reason: (refusal.count, refusal.nodes) for refusal in event.refused}


def plain(picture: Picture) -> Any:
    """Give all that a picture holds, state and indexes, to compare it with another's."""
    return {
        "state": msgspec.to_builtins(picture.state),
        "pending": list(picture.pending),
        "draining": sorted(picture.draining),
        "on_node": {name: sorted(held) for name, held in sorted(picture.on_node.items()) if held},
        "used": {
            name: (used.cpu_millicores, used.memory_bytes)
            for name, used in sorted(picture.used.items())
            if used.cpu_millicores or used.memory_bytes
        },
    }
