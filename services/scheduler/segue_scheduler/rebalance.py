"""Plan which containers to move so that services are spread and nodes evenly loaded.

Every move lowers one sum: of each service, the squares of how many of its slots share a node (or
what its preferences name), and of each node, the squares of what is taken of it. So plans come to
an end and never go back and forth, whatever they begin with. What gains little is not moved, nor
what would lose its data, its address or its only copy by it.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec
from segue.envelope import Cause
from segue.events.rebalance import Move
from segue.picture import App, Container, Node, Picture, Service
from segue.placement import fact
from segue.wants import current, ready

from segue_scheduler.filters import asked, refusal

CALM_S, LOOK_S = 10.0, 60.0  # It lets nodes settle first, and then looks for so long.
CLEAR = 10.0  # Points: what gains less is left where it is.
SHARE_MOST, MOVES_MOST = 0.1, 100  # Of the slots, and in one plan.
SPREAD, LOAD = (
    40.0,
    30.0,
)  # What one slot too many on a node weighs, and a full node beside an empty.
NEARER = 4.0  # An earlier preference weighs so much more than the next.
CROWD = 100  # So many containers are a full node, whatever they reserve.
Amounts = tuple[float, float, float]  # CPU, memory, containers.


class Best(msgspec.Struct, frozen=True):
    """The best move of a service's."""

    gain: float
    source: str
    target: str


class Opportunity(msgspec.Struct, frozen=True):
    """When nodes, or the moves of a plan, have changed for the better, and by which event."""

    at: float
    cause: Cause


def newest_fit(picture: Picture) -> Opportunity | None:
    """Find the node that can be used since the shortest time, where it is not the only one."""
    fit = [(node.usable_since, node.name) for node in picture.nodes.values() if node.usable]
    if len(fit) < 2:
        return None
    at, name = max(fit)
    return Opportunity(at, picture.nodes[name].cause)


def opportunity(picture: Picture, fit: Opportunity) -> Opportunity:
    """Give what happened last: a node can be used again, or a plan's last move has ended."""
    plan = picture.state.plan
    return (
        fit
        if plan is None or plan.changed_at < fit.at
        else Opportunity(plan.changed_at, plan.cause)
    )


def answer(picture: Picture) -> tuple[list[Move], str]:
    """Give who asks a plan, or the reason why there is none."""
    under_way = picture.moves()
    if under_way:
        first = under_way[0]
        return [], f"{len(under_way)} of the last plan's moves have not ended, such as {first.name}"
    if sum(node.usable for node in picture.nodes.values()) < 2:
        return [], "there are not two nodes that can be used"
    moves = plan(picture)
    return moves, "" if moves else "no container would be clearly better off on another node"


def plan(picture: Picture) -> list[Move]:
    """Give the moves that gain the most, best first."""
    planner = _Planner(picture)
    try:
        return planner.moves()
    finally:
        planner.undo()


class _Planner:
    """The cluster as it would be after the moves that are planned already."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.nodes = {name: picture.nodes[name] for name in sorted(picture.nodes)}
        self.nodes = {name: node for name, node in self.nodes.items() if node.usable}
        self.has = {name: _has(node) for name, node in self.nodes.items()}
        self.taken = {name: self._taken(name) for name in self.nodes}
        self.all: Amounts = _sum(self.has.values())
        self._copies: list[Container] = []

    def moves(self) -> list[Move]:
        """Take the best move of all services, again and again."""
        if len(self.nodes) < 2:
            return []
        slots = sum(len(self.picture.on_node.get(name, ())) for name in self.picture.nodes)
        most = min(MOVES_MOST, max(1, int(slots * SHARE_MOST)))
        ranked: list[tuple[float, str, str, _Mates]] = []
        for app, service in _movable(self.picture):
            self._rank(ranked, _Mates(self, app, service))
        planned: list[Move] = []
        while ranked and len(planned) < most:
            _, app_name, name, mates = heapq.heappop(ranked)
            best = mates.best()  # Others have been moved since it was ranked.
            if best is None:
                continue
            if ranked and -best.gain > ranked[0][0]:
                heapq.heappush(ranked, (-best.gain, app_name, name, mates))
                continue
            planned.append(self._move(mates, best))
            self._rank(ranked, mates)
        return planned

    @staticmethod
    def _rank(ranked: list[tuple[float, str, str, "_Mates"]], mates: "_Mates") -> None:
        best = mates.best()
        if best is not None:
            heapq.heappush(ranked, (-best.gain, mates.app.name, mates.service.name, mates))

    def _move(self, mates: "_Mates", best: Best) -> Move:
        container = mates.move(best.source, best.target)
        copy = _next(container, best.target)
        self.picture.occupy(copy)  # Both run until the older one can go.
        self._copies.append(copy)
        taken, wants = self.taken, mates.wants
        taken[best.source] = _added(taken[best.source], wants, -1)
        taken[best.target] = _added(taken[best.target], wants, 1)
        return Move(
            app=container.app,
            service=container.service,
            slot=container.slot,
            attempt=container.attempt,
            source=best.source,
            target=best.target,
            gain=round(best.gain, 1),
        )

    def undo(self) -> None:
        """Leave the picture as it was: only the log makes a move true."""
        for copy in self._copies:
            self.picture.vacate(copy)

    def _taken(self, name: str) -> Amounts:
        used = self.picture.used.get(name)
        crowd = float(len(self.picture.on_node.get(name, ())))
        return (used.cpu_millicores, used.memory_bytes, crowd) if used else (0.0, 0.0, crowd)


class _Mates:
    """A service's slots: where they are, and which of them can be moved."""

    def __init__(self, planner: _Planner, app: App, service: Service) -> None:
        self.planner, self.app, self.service = planner, app, service
        self.keys = [*service.spec.placement.spread, "node.id"]
        self.weights = [NEARER**place for place in reversed(range(len(self.keys)))]
        self.counts = [Counter[str]() for _ in self.keys]
        self.there: dict[str, list[Container]] = {}  # That can be moved, by node.
        resources = service.spec.resources
        self.wants: Amounts = (resources.cpu_millicores, resources.memory_bytes, 1.0)
        parts = [wants / max(1, of) for wants, of in zip(self.wants, planner.all, strict=True)]
        self.weigh = [part / sum(parts) for part in parts]
        picture = planner.picture
        for slot in service.slots.values():
            container = slot.container
            if container is None or picture.is_gone(container) or not container.node:
                continue
            if (node := picture.nodes.get(container.node)) is not None:
                self._count(node, 1)
            stays = slot.leaving or container.node not in planner.nodes
            if not stays and current(service, container) and ready(service, container):
                self.there.setdefault(container.node, []).append(container)

    def best(self) -> Best | None:
        """Find the move of one of its slots that gains most, if it is clear."""
        found: Best | None = None
        for source in self._sources():
            gains = [(self._gain(source, node), node) for node in self.planner.nodes.values()]
            clear = [(-gain, node.name) for gain, node in gains if gain >= CLEAR]
            for gain, target in sorted(clear):
                if found is not None and -gain <= found.gain:
                    break
                if self._fits(source, target):
                    found = Best(-gain, source.name, target)
                    break
        return found

    def move(self, source: str, target: str) -> Container:
        """Take one of a node's containers to another; it is not moved a second time."""
        container = self.there[source].pop()
        if not self.there[source]:
            del self.there[source]
        self._count(self.planner.nodes[source], -1)
        self._count(self.planner.nodes[target], 1)
        return container

    def _sources(self) -> Iterator[Node]:
        """Give the node that would be relieved most, one for each value of its preferences."""
        found: dict[tuple[str, ...], tuple[float, str]] = {}
        for name in self.there:
            node = self.planner.nodes[name]
            values = tuple(fact(node, key) for key in self.keys[:-1])
            relieved = SPREAD * self.counts[-1][name] + LOAD * self._load(name, -0.5)
            found[values] = max(found.get(values, (-1.0, "")), (relieved, name))
        for values in sorted(found):
            yield self.planner.nodes[found[values][1]]

    def _gain(self, source: Node, target: Node) -> float:
        spread = 0.0
        for count, key, weight in zip(self.counts, self.keys, self.weights, strict=True):
            here, there = fact(source, key), fact(target, key)
            if here != there:
                spread += weight * (count[here] - 1 - count[there])
        load = self._load(source.name, -0.5) - self._load(target.name, 0.5)
        return SPREAD * spread + LOAD * load

    def _load(self, name: str, more: float) -> float:
        """Tell which part of a node is taken, of what the service wants, with `more` of its slots.

        Half a slot, because moving one changes the squares of both nodes by twice their middle.
        """
        taken, has = self.planner.taken[name], self.planner.has[name]
        return sum(
            weight * (taken[what] + more * self.wants[what]) / max(1, has[what])
            for what, weight in enumerate(self.weigh)
        )

    def _count(self, node: Node, by: int) -> None:
        for count, key in zip(self.counts, self.keys, strict=True):
            count[fact(node, key)] += by

    def _fits(self, source: Node, target: str) -> bool:
        picture, container = self.planner.picture, self.there[source.name][-1]
        slot = self.service.slots[container.slot]
        ask = asked(picture, _next(container, target), self.service.spec, slot)
        return not refusal(picture, ask, self.planner.nodes[target])


def _movable(picture: Picture) -> Iterator[tuple[App, Service]]:
    """Give the services that have settled and lose nothing when a slot of theirs is moved."""
    for app in picture.apps.values():
        for service in app.services.values() if app.phase == "running" else ():
            spec = service.spec
            bound = spec.network_mode == "host" or any(port.mode == "host" for port in spec.ports)
            kept = spec.is_global or spec.is_job or spec.strict or spec.local_volumes or bound
            if service.wanted and not service.flapping_since and not kept:
                yield app, service


def _next(container: Container, node: str) -> Container:
    return msgspec.structs.replace(container, attempt=container.attempt + 1, node=node)


def _has(node: Node) -> Amounts:
    return (node.facts.cpu_millicores, node.facts.memory_bytes, float(CROWD))


def _added(to: Amounts, what: Amounts, sign: int) -> Amounts:
    return (to[0] + sign * what[0], to[1] + sign * what[1], to[2] + sign * what[2])


def _sum(all_of: Iterable[Amounts]) -> Amounts:
    total: Amounts = (0.0, 0.0, 0.0)
    for one in all_of:
        total = _added(total, one, 1)
    return total
