"""Tell which nodes' leases are over: two clocks must agree, the bus's and one's own.

`Watch` follows the leases and knows only this process's monotonic clock: a lease is over once the
bus has removed it and, counted from the last renewal that was heard, its time has passed here too.
A bus whose clock was set forward removes too early; a follower that has just begun, or whose bus
was away, has heard too little, and waits as long as a lease lasts. `decide` makes verdicts of it.
"""

from collections.abc import Iterator

import msgspec
from segue.core import Decision
from segue.events.node import NodeLeaseEnded
from segue.leases import Claimed, Expired, News, Told, Void, terms
from segue.picture import Picture


class LeasesHeard(msgspec.Struct, frozen=True):
    """News for the core: whose leases may still hold; without `complete`, anyone's."""

    holding: frozenset[str] = frozenset()
    complete: bool = False

    def over(self, node: str) -> bool:
        """Tell whether nothing can run under a lease of this node any more."""
        return self.complete and node not in self.holding


class Watch:
    """What was heard of all leases. `now` is this host's own monotonic clock."""

    def __init__(self) -> None:
        self.wake_at: float | None = None
        self._until: dict[str, float] = {}  # By this clock, as last heard.
        self._stands: set[str] = set()  # On the bus.
        self._told = False
        self._sure_at = 0.0  # Whoever was not heard until then holds none.
        self._longest_s = terms(3).ttl_s

    def hear(self, news: News, now: float) -> None:
        """Note what the bus says."""
        match news:
            case Void():
                self._told, self._sure_at = False, now + self._longest_s
                self._stands.clear()
            case Claimed(node=node, claim=claim):
                self._stands.add(node)
                self._until[node] = now + claim.ttl_s
            case Expired(node=node):
                self._stands.discard(node)
            case Told():
                self._told = True

    def heard(self, now: float) -> LeasesHeard:
        """Say whose leases may hold now, and set when that changes by the clock alone."""
        self._until = {
            node: until
            for node, until in self._until.items()
            if until > now or node in self._stands
        }
        complete = self._told and now >= self._sure_at
        times = [until for until in self._until.values() if until > now]
        if self._told and not complete:
            times.append(self._sure_at)
        self.wake_at = min(times, default=None)
        return LeasesHeard(frozenset(self._until), complete)


def decide(picture: Picture, heard: LeasesHeard) -> Iterator[Decision]:
    """Say of which lost nodes the lease is over, where something waits for that."""
    lost = [one for one in picture.nodes.values() if one.phase == "lost" and not one.lease_over]
    for node in sorted(lost, key=lambda one: one.name):
        name = node.name
        if not heard.over(name):
            continue
        there = picture.on_node.get(name, {}).values()
        if any(picture.is_strict(container) and not container.fenced for container in there):
            yield Decision(NodeLeaseEnded(node=name, lease=node.lease), node.cause)
