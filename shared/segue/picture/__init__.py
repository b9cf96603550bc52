"""The picture of the cluster: a pure fold over the log, the same in every service.

Services differ in what they decide, not in what they know; so the fold stands here, once. A
follower of a part of the log (a node runner) has the part of the picture that its events tell.
"""

from segue.picture.picture import Picture
from segue.picture.state import (
    ENDED,
    UP,
    App,
    Container,
    Gateway,
    Leader,
    LogRoom,
    Node,
    Plan,
    Request,
    Service,
    Slot,
    State,
)

__all__ = [
    "ENDED",
    "UP",
    "App",
    "Container",
    "Gateway",
    "Leader",
    "LogRoom",
    "Node",
    "Picture",
    "Plan",
    "Request",
    "Service",
    "Slot",
    "State",
]
