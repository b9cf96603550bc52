"""What happens to nodes: hosts with a Docker engine and a node runner.

joined ⇄ suspected ─→ lost ─→ returned (a new joined, with its inventory)
   │ degraded ⇄ recovered (the engine)      cordoned ⇄ uncordoned (people)
   └→ left ─→ lost (unless it joins again soon)
"""

import msgspec

from segue.events.base import Event
from segue.events.deploy import Problem


class NodeEvent(Event, scope=("node",)):
    """Common to all: which node."""

    node: str


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container of ours that the node's engine has."""

    app: str
    service: str
    slot: int
    attempt: int
    running: bool
    engine_id: str = ""


class NodeJoined(NodeEvent, type="node.joined"):
    """A node runner is at work on the node. Everyone reacts; the newest tells what is so.

    `session` names this run of the runner: a second one under the same name is refused.
    """

    session: str
    cpu_millicores: int
    memory_bytes: int
    disk_bytes: int = 0
    labels: dict[str, str] = {}
    hostname: str = ""
    platform: str = "linux/amd64"
    engine: str = ""  # "docker 20.10.24, API 1.41"
    version: str = ""  # Segue's own.
    images: list[str] = []  # References the engine has, at most 200.
    inventory: list[Held] = []
    lost_seq: int = 0  # Sequence of the last `node.lost` of this node that the runner knows.
    fenced: bool = False  # It holds a lease and a fencer is at work: it may take strict slots.
    lease: int = 0  # Names the lease: what ran under another is dead. 0: it holds none.


class NodeLeft(NodeEvent, type="node.left"):
    """The runner was stopped on purpose; its containers go on running.

    Time for a restart or an upgrade: the health monitor declares the node lost 30 s later.
    """

    reason: str = "stopped"


class NodeSuspected(NodeEvent, type="node.suspected"):
    """The health monitor has heard nothing for `silent_s`. No new containers go there."""

    silent_s: float


class NodeLost(NodeEvent, type="node.lost"):
    """The health monitor gives the node up. Its containers are replaced elsewhere."""

    silent_s: float


class NodeLeaseEnded(NodeEvent, type="node.lease_ended"):
    """The lost node's lease is over: what may run only once runs there no more.

    The deployer replaces its strict slots only now; the health monitor says it where there are any.
    """

    lease: int = 0  # The last one that the node has named; a later one goes on.


class NodeLossHeld(Event, type="node.loss_held", scope=()):
    """So many nodes are silent that the network is the likelier cause: they are kept for now.

    Said again when it changes; without nodes it is over. People react.
    """

    nodes: list[str]
    of: int  # How many there were.
    words: str = ""  # What becomes of them.


class NodeReturned(NodeEvent, type="node.returned"):
    """A suspected or lost node is heard again."""

    silent_s: float


class NodeDegraded(NodeEvent, type="node.degraded"):
    """The node runner's engine does not answer or cannot work. No new containers go there."""

    reason: str


class NodeRecovered(NodeEvent, type="node.recovered"):
    """The engine works again."""


class NodeCordonRequested(NodeEvent, type="node.cordon_requested"):
    """Someone wants no new containers on the node. The deployer reacts as doorkeeper."""


class NodeUncordonRequested(NodeEvent, type="node.uncordon_requested"):
    """Someone wants the node used again. The deployer reacts as doorkeeper."""


class NodeCordoned(NodeEvent, type="node.cordoned"):
    """No new containers go to the node."""


class NodeUncordoned(NodeEvent, type="node.uncordoned"):
    """The node may be used again."""


class NodeRequestRejected(NodeEvent, type="node.request_rejected"):
    """A request about a node cannot be met; nothing was changed."""

    problems: list[Problem]
