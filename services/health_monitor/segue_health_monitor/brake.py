"""Hold back when many nodes fall silent at once: that is more often a network than so many deaths.

More than a third of the nodes, and at least two, silent within a minute: nothing is given up for
`HELD_S`, then one node each `EACH_S`, those that have been silent longest first. A node is counted
while it is suspected, and for `WINDOW_S` after it was lost. Clusters of two have no brake. When
so many are back that it is over, the rest have `EASED_S` to follow: a network heals bit by bit.
"""

from collections.abc import Mapping

from segue.core import Decision
from segue.events.node import NodeLossHeld, NodeReturned
from segue.picture import Node, Picture

WINDOW_S = 60.0
HELD_S = 30.0
EACH_S = 10.0
EASED_S = 3.0
_WORDS = (
    f"they are given up from {HELD_S:g} s on, one each {EACH_S:g} s; "
    "`segue node rm --force` gives one up at once"
)


def apply(
    picture: Picture, verdicts: Mapping[str, Decision], now: float
) -> tuple[list[Decision], float | None]:
    """Let through which verdicts on suspected nodes may be said now, and say when to ask again.

    A verdict is that a node is lost, or that it is heard again, which is never held.
    """
    back = [one for one in verdicts.values() if isinstance(one.event, NodeReturned)]
    lost = {name: one for name, one in verdicts.items() if not isinstance(one.event, NodeReturned)}
    of = _too_many(picture, now)
    held = picture.state.losses_held
    if not of:
        over, eased_at = _told(picture, [], 0), picture.state.losses_eased_at
        if over:
            return back + over, None
        if lost and eased_at <= now < eased_at + EASED_S:
            return back, eased_at + EASED_S
        return back + list(lost.values()), None
    if not lost and not held:
        return back, None  # Those that fell silent may yet be heard again.
    silent = [name for name, node in sorted(picture.nodes.items()) if node.phase == "suspected"]
    next_at = _next_at(picture, now)
    if held and lost and now >= next_at:
        first = min(lost, key=lambda name: (picture.nodes[name].changed_at, name))
        return [*back, lost[first]], next_at
    return back + _told(picture, silent, of), next_at if lost else None


def _too_many(picture: Picture, now: float) -> int:
    """Give how many nodes there were, if too many of them fell silent; else 0."""
    fallen = sum(_fell(node, now) for node in picture.nodes.values())
    of = sum(_fell(node, now) or node.phase == "up" for node in picture.nodes.values())
    return of if fallen >= 2 and 3 * fallen > of > 2 else 0


def _fell(node: Node, now: float) -> bool:
    lately = node.phase == "lost" and node.joined_seq > 0 and now - node.changed_at < WINDOW_S
    return node.phase == "suspected" or lately


def _next_at(picture: Picture, now: float) -> float:
    """Give when the next node may be given up."""
    since = picture.state.losses_held_since or now
    given_up = [
        node.changed_at
        for node in picture.nodes.values()
        if node.phase == "lost" and node.changed_at >= since
    ]
    return max(since + HELD_S, max(given_up, default=0.0) + EACH_S)


def _told(picture: Picture, nodes: list[str], of: int) -> list[Decision]:
    """Say which nodes are held, unless that is known."""
    if nodes == picture.state.losses_held:
        return []
    event = NodeLossHeld(nodes=nodes, of=of, words=_WORDS if nodes else "")
    newest = max(picture.nodes.values(), key=lambda node: node.changed_at, default=None)
    cause = newest.cause if newest else None
    # The same nodes may be held again for the same cause: when one that was held too was forgotten.
    return [Decision(event, cause, unique=f"after {picture.state.losses_told}")]
