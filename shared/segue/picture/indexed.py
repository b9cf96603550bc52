"""Hold the state, the indexes over it, and the answers to what folds and cores ask of both.

The indexes (who waits for a node, who is on which node, what was touched) follow from the state.
Only `segue.picture.fold_*` changes any of it.
"""

from segue.events.node import Held
from segue.events.rebalance import Move
from segue.picture.state import (
    ENDED,
    App,
    Container,
    Gateway,
    Leader,
    Node,
    Service,
    Slot,
    State,
)
from segue.spec import AppSpec, Resources, ServiceSpec

Key = tuple[str, str, int, int]
EVERY_SLOT = 0  # Slots count from 1.


class Indexed:
    """The state with its indexes: what the folds change and the cores ask."""

    def __init__(self) -> None:
        self.state = State()
        self.pending: dict[Key, Container] = {}  # Requested, not retired, without a node.
        self.on_node: dict[str, dict[Key, Container]] = {}  # Assigned and not ended.
        self.used: dict[str, Resources] = {}  # Reserved on each node by `on_node`.
        self.touched: dict[tuple[str, str], set[int]] = {}  # Slots to look at again, by service.
        self.draining: dict[str, None] = {}  # Nodes that are to be empty.
        self.touched_nodes: set[str] = set()  # Nodes of which anything has changed.
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
    def gateways(self) -> dict[str, Gateway]:
        """Gateways by node, those too that have left."""
        return self.state.gateways

    @property
    def leaders(self) -> dict[str, Leader]:
        """The newest election by service."""
        return self.state.leaders

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
        if found is None and service is not None and service.rollout is not None:
            old = service.rollout.old
            found = app.specs.get(old.revision) if old.digest == container.digest else None
        return found

    def spec(self, container: Container) -> ServiceSpec | None:
        """Find what a container runs, with the newest wishes for what needs no new container."""
        service = self.service(container.app, container.service)
        if service is not None and service.digest == container.digest:
            return service.spec
        rollout = service.rollout if service is not None else None
        if rollout is not None and rollout.old.digest == container.digest:
            return rollout.old.spec
        app = self.app_spec(container)
        return app.services.get(container.service) if app else None

    def is_gone(self, container: Container) -> bool:
        """Tell whether it has ended, or its node is judged lost.

        What is strict may still run on a lost node until its lease is over.
        """
        if container.phase in ENDED:
            return True
        if not container.node:
            return False
        node = self.state.nodes.get(container.node)
        if node is None or node.phase != "lost":
            return False
        return node.lease_over or container.fenced or not self.is_strict(container)

    def is_strict(self, container: Container) -> bool:
        """Tell whether its slot may never run twice, as far as its service is known."""
        spec = self.spec(container)
        return spec is not None and spec.strict

    def gateway(self, node: str) -> Gateway | None:
        """Find the gateway that is at work on a node, as far as the log tells."""
        found, host = self.state.gateways.get(node), self.state.nodes.get(node)
        if found is None or found.left or (host is not None and host.phase == "lost"):
            return None
        return found

    def strangers(self, app: str, service: str, slot: int) -> dict[str, Held]:
        """Give what nodes have of a slot although the log does not know it, by node."""
        return self.state.strangers.get(f"{app}/{service}.{slot}", {})

    def moves(self) -> list[Move]:
        """Give the newest plan's moves that are still to be done or under way, in its order."""
        plan = self.state.plan
        return [move for move in plan.moves.values() if self._counts(move)] if plan else []

    def _counts(self, move: Move) -> bool:
        """Tell whether a move can still be done; what has failed twice since counts no more."""
        container = self.container(move.app, move.service, move.slot, move.attempt)
        target, slot = self.nodes.get(move.target), self.slot(move.app, move.service, move.slot)
        return (
            container is not None
            and container.node == move.source
            and not self.is_gone(container)
            and target is not None
            and target.usable
            and slot is not None
            and slot.attempt <= move.attempt + 1
        )

    def greatest_attempt(self, app: str, service: str, slot: Slot) -> int:
        """Give the greatest attempt of a slot, be it in the log or only on a node."""
        there = self.strangers(app, service, slot.number).values()
        found = self.state.apps.get(app)
        forgotten = found.attempts if found is not None else 0
        of = self.service(app, service)
        if of is not None and slot.number <= of.pruned:
            forgotten = max(forgotten, of.pruned_attempts)
        return max([slot.attempt, forgotten, *(held.attempt for held in there)])

    @staticmethod
    def refusal(container: Container, node: Node) -> str:
        """Say why the node has found that it cannot run such a container, or nothing."""
        name = f"{container.app}/{container.service}"
        digest, words = node.refusals.get(name, ("", ""))
        return words if digest == container.digest else ""

    # Indexes.

    def touch(self, app: str, service: str, slot: int = EVERY_SLOT) -> None:
        """Mark a slot as changed, or, when that can concern every slot, the service."""
        self.touched.setdefault((app, service), set()).add(slot)

    def occupy(self, container: Container) -> None:
        """Count a container on its node, with what its service asks for now.

        Who assigns it counts it before its word is in the log: what is true then counts.
        """
        if container.key in self.on_node.get(container.node, {}):
            self._reserve(container.node, container.held, -1)
        spec = self.spec(container)
        container.held = spec.resources if spec is not None else None
        self._count(container)

    def _count(self, container: Container) -> None:
        self.on_node.setdefault(container.node, {})[container.key] = container
        self._reserve(container.node, container.held, 1)
        self.touched_nodes.add(container.node)

    def vacate(self, container: Container) -> None:
        """Stop counting a container on its node; room appeared."""
        if self.on_node.get(container.node, {}).pop(container.key, None) is not None:
            # What was counted, not what its service has asked for since.
            self._reserve(container.node, container.held, -1)
            container.held = None
            self.nodes_changed = True
            self.touched_nodes.add(container.node)

    def _reserve(self, node: str, held: Resources | None, sign: int) -> None:
        if held is None:
            return
        used = self.used.get(node, Resources())
        self.used[node] = Resources(
            cpu_millicores=used.cpu_millicores + sign * held.cpu_millicores,
            memory_bytes=used.memory_bytes + sign * held.memory_bytes,
        )
