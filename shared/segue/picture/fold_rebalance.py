"""Fold what happens to where containers are: the newest plan, until its last move has ended.

A move counts while its container is alive where the plan found it. Who moves it is the deployer's
affair, and a plan that cannot be followed any more is simply over.
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.rebalance import RebalancePlanned, RebalanceRequested
from segue.picture.fold_app import request
from segue.picture.indexed import Indexed
from segue.picture.state import Container, Plan


def planned(picture: Indexed, record: Record, event: RebalancePlanned) -> None:
    """Take the plan as what is to be moved; an answer without moves changes nothing."""
    if not event.moves:
        return
    moves = {move.name: move for move in event.moves}
    picture.state.plan = Plan(record.as_cause(), moves, record.time)
    for move in event.moves:
        picture.touch(move.app, move.service, move.slot)


def ended(picture: Indexed, container: Container, time: float) -> None:
    """Forget the move of a container that has ended."""
    plan = picture.state.plan
    move = plan.moves.get(container.name) if plan is not None else None
    if plan is not None and move is not None and move.attempt == container.attempt:
        del plan.moves[container.name]
        plan.changed_at = time


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    RebalanceRequested.type: request,
    RebalancePlanned.type: planned,
}
