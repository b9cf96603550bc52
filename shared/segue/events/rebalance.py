"""What happens to where containers are: a plan moves some of them to nodes that suit them better.

rebalance.requested ─→ rebalance.planned (also unasked, once a node can be used anew)
"""

import msgspec

from segue.events.base import Event


class Move(msgspec.Struct, frozen=True):
    """A container that is to be replaced by one on another node."""

    app: str
    service: str
    slot: int
    attempt: int  # Of the container that is on `source`.
    source: str
    target: str
    gain: float  # In points of the cluster's balance: what is not clear is not planned.

    @property
    def name(self) -> str:
        """Its slot's name, as people write it: `shop/web.3`."""
        return f"{self.app}/{self.service}.{self.slot}"


class RebalanceRequested(Event, type="rebalance.requested", scope=()):
    """Someone wants the load spread better over the nodes. The scheduler reacts."""


class RebalancePlanned(Event, type="rebalance.planned", scope=()):
    """These containers are clearly better off elsewhere. The deployer reacts by moving them.

    It moves one container of a service at a time, and none that the service cannot spare.
    """

    moves: list[Move] = []
    reason: str = ""  # Why there is no move; only an answer to a request may be without.
