"""Say whether the node's engine is of use, or full; a runner that cannot join says the former too.

Another runner under the same name may see it otherwise: one cannot reach the engine, the other can.
Who is contradicted by one that has read its word says it again only after a while, or the two would
answer each other as fast as the bus stores it.
"""

from collections.abc import Iterator

from segue.core import Decision
from segue.envelope import Record
from segue.events.node import NodeDegraded, NodeRecovered
from segue.picture import Node, Picture

AGAIN_AFTER_S = 30.0  # The one that knew better may have died since.


class Usefulness:
    """What one runner says of its node's engine."""

    def __init__(self, picture: Picture, node: str, session: str) -> None:
        self._picture, self._node, self._session = picture, node, session
        self._silent_until = 0.0

    def fold(self, record: Record) -> None:
        """Notice that another runner takes this one's word back; call it before the picture folds.

        A late word of a runner that is dead by now was not caused by what this one said.
        """
        event, me = record.event, self._picture.nodes.get(self._node)
        if not isinstance(event, NodeRecovered) or event.node != self._node or me is None:
            return
        if me.degraded and record.cause == me.cause.id and me.facts.session != self._session:
            self._silent_until = record.time + AGAIN_AFTER_S

    def wake_at(self, otherwise: float | None, now: float) -> float | None:
        """Give when it may be said again, or what comes before."""
        if self._silent_until <= now:
            return otherwise
        return self._silent_until if otherwise is None else min(otherwise, self._silent_until)

    def lost(self, words: str, now: float) -> Iterator[Decision]:
        """Say that the engine is of no use, whichever runner the node has joined with."""
        me = self._picture.nodes.get(self._node)
        if (me is None or not me.degraded) and now >= self._silent_until:
            degraded = NodeDegraded(node=self._node, reason=words)
            yield Decision(degraded, me.cause if me else None, key="" if me else self._session)

    def filled(self, me: Node, full: str) -> Iterator[Decision]:
        """Say that the engine is full, or well again."""
        if me.degraded != full:
            degraded = NodeDegraded(node=self._node, reason=full)
            yield Decision(degraded if full else NodeRecovered(node=self._node), me.cause)
