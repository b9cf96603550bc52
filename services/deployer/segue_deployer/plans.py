"""Follow the newest plan of where containers are better off: one move of a service at a time.

A move is made while what it was planned from still holds, and given up when its target cannot take
it; what cannot be moved without being stopped first stays where it is.
"""

from collections.abc import Collection, Iterator

from segue.core import Decision
from segue.events.rebalance import Move
from segue.picture import Picture

from segue_deployer import moves
from segue_deployer.moves import Budget


def decide(picture: Picture, budget: Budget, undecided: Collection[str]) -> Iterator[Decision]:
    """Say which of the plan's moves begin now."""
    planned = picture.moves()
    busy = {(move.app, move.service) for move in planned if _is_under_way(picture, move)}
    for move in planned:
        if (move.app, move.service) in busy or move.app in undecided:
            continue
        decision = _begin(picture, move, budget)
        if decision is not None:
            busy.add((move.app, move.service))
            yield decision


def _is_under_way(picture: Picture, move: Move) -> bool:
    slot = picture.slot(move.app, move.service, move.slot)
    return slot is not None and slot.moving is not None


def _begin(picture: Picture, move: Move, budget: Budget) -> Decision | None:
    app, plan, source = picture.apps[move.app], picture.state.plan, picture.nodes[move.source]
    service = app.services[move.service]
    slot = service.slots[move.slot]
    container = slot.container
    assert plan is not None, "its moves were given"
    if container is None or container.attempt != move.attempt or container.retired:
        return None
    unwanted = not service.wanted or app.phase == "removing" or slot.number > service.replicas
    if unwanted or source.drain is not None or not moves.can_start_first(service, container):
        return None
    way = moves.way(picture, app, service, container, budget)
    if way.how != "start_first":
        return None
    return moves.start_first(picture, app, service, slot, plan.cause, target=move.target)
