"""Hold the state and the indexes over it; fold events into both.

The indexes (who waits for a node, who is on which node, what was touched) follow from the state
and are built again after a restore; they are never written.
"""

import hashlib
import re

import msgspec

from segue.envelope import Record, Unreadable
from segue.picture import fold_app, fold_container, fold_node
from segue.picture.state import (
    ENDED,
    App,
    Container,
    Leader,
    Node,
    Service,
    Slot,
    State,
)
from segue.spec import AppSpec, Resources, ServiceSpec

Key = tuple[str, str, int, int]
_FOLDS = {**fold_app.FOLDS, **fold_container.FOLDS, **fold_node.FOLDS}


class Picture:
    """The folded log. Change it only through `fold`."""

    def __init__(self) -> None:
        self.state = State()
        self.pending: dict[Key, Container] = {}  # Requested, not retired, without a node.
        self.on_node: dict[str, dict[Key, Container]] = {}  # Assigned and not ended.
        self.used: dict[str, Resources] = {}  # Reserved on each node by `on_node`.
        self.touched: dict[tuple[str, str], None] = {}  # Services to look at again.
        self.nodes_changed = True  # A node's fitness changed: what waits may fit now.

    @property
    def apps(self) -> dict[str, App]:
        """Apps by name, removed ones too: their slots' attempts must go on counting."""
        return self.state.apps

    @property
    def nodes(self) -> dict[str, Node]:
        """Nodes by name."""
        return self.state.nodes

    @property
    def leaders(self) -> dict[str, Leader]:
        """The newest election by service."""
        return self.state.leaders

    def fold(self, record: Record) -> None:
        """Correct the picture by one event; an event folded before changes nothing."""
        state = self.state
        if record.sequence <= state.sequence:
            return
        state.sequence = record.sequence
        state.time = max(state.time, record.time)
        fold_app.answer(self, record)
        fold = _FOLDS.get(record.event.type)
        if fold is not None:
            fold(self, record, record.event)

    def unreadable(self, message: Unreadable) -> None:
        """Remember a message that could not be decoded until its rejection is in the log."""
        self.state.sequence = max(self.state.sequence, message.sequence)
        self.state.unreadable[message.sequence] = (message.subject, message.reason)

    # What the folds and the cores ask.

    def service(self, app: str, service: str) -> Service | None:
        """Find a service."""
        found = self.state.apps.get(app)
        return found.services.get(service) if found else None

    def slot(self, app: str, service: str, number: int) -> Slot | None:
        """Find a slot."""
        found = self.service(app, service)
        return found.slots.get(number) if found else None

    def container(self, app: str, service: str, slot: int, attempt: int) -> Container | None:
        """Find a container that fills its slot or is leaving it."""
        found = self.slot(app, service, slot)
        if found is None:
            return None
        if found.container is not None and found.container.attempt == attempt:
            return found.container
        return found.leaving.get(attempt)

    def app_spec(self, container: Container) -> AppSpec | None:
        """Find the accepted revision that a container was made from, or one that is its equal.

        A service that was changed and changed back has the same digest at a later revision.
        """
        app = self.state.apps.get(container.app)
        if app is None:
            return None
        found = app.specs.get(container.revision)
        service = app.services.get(container.service)
        if found is None and service is not None and service.digest == container.digest:
            found = app.specs.get(service.revision)
        return found

    def spec(self, container: Container) -> ServiceSpec | None:
        """Find what a container runs, with the newest wishes for what needs no new container."""
        service = self.service(container.app, container.service)
        if service is not None and service.digest == container.digest:
            return service.spec
        app = self.app_spec(container)
        return app.services.get(container.service) if app else None

    def is_gone(self, container: Container) -> bool:
        """Tell whether it has ended, or its node is judged lost or has been removed."""
        if container.phase in ENDED:
            return True
        if not container.node:
            return False
        node = self.state.nodes.get(container.node)
        return node is not None and node.phase == "lost"

    # Indexes.

    def touch(self, app: str, service: str) -> None:
        """Mark a service for the deployer to look at."""
        self.touched[app, service] = None

    def occupy(self, container: Container) -> None:
        """Count a container on its node."""
        on_node = self.on_node.setdefault(container.node, {})
        if container.key not in on_node:
            on_node[container.key] = container
            self._reserve(container, 1)

    def vacate(self, container: Container) -> None:
        """Stop counting a container on its node; room appeared."""
        if self.on_node.get(container.node, {}).pop(container.key, None) is not None:
            self._reserve(container, -1)
            self.nodes_changed = True

    def _reserve(self, container: Container, sign: int) -> None:
        spec = self.spec(container)
        if spec is None:
            return
        used = self.used.get(container.node, Resources())
        self.used[container.node] = Resources(
            cpu_millicores=used.cpu_millicores + sign * spec.resources.cpu_millicores,
            memory_bytes=used.memory_bytes + sign * spec.resources.memory_bytes,
        )

    # Snapshots.

    def snapshot(self) -> bytes:
        """Write the state, with the shape that can read it."""
        return SHAPE + msgspec.json.encode(self.state)

    def restore(self, data: bytes) -> None:
        """Read what `snapshot` wrote, or raise `msgspec.ValidationError` when it cannot be used."""
        if not data.startswith(SHAPE):
            raise msgspec.ValidationError("the snapshot was written by another version's picture")
        try:
            self.state = _STATE.decode(data[len(SHAPE) :])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise msgspec.ValidationError(f"the snapshot is damaged: {error}") from error
        self.pending, self.on_node, self.used, self.touched = {}, {}, {}, {}
        self.nodes_changed = True
        for app in self.state.apps.values():
            for service in app.services.values():
                self.touch(app.name, service.name)
                for slot in service.slots.values():
                    for container in slot.containers():
                        self._index(container)
        waiting = sorted(self.pending.items(), key=lambda item: item[1].requested_seq)
        self.pending = dict(waiting)

    def _index(self, container: Container) -> None:
        if container.phase in ENDED:
            return
        if container.node:
            self.occupy(container)
        elif not container.retired:
            self.pending[container.key] = container


_STATE = msgspec.json.Decoder(State)


def _shape() -> bytes:
    """Name the state's shape: a picture of another one is rebuilt from the log instead."""
    schema = msgspec.json.encode(msgspec.json.schema(State), order="deterministic")
    return hashlib.sha256(re.sub(rb'"description":"(?:[^"\\\\]|\\\\.)*",?', b"", schema)).digest()


SHAPE = _shape()
