"""What happens to nodes: hosts with a Docker engine and a node runner.

joined ⇄ suspected ─→ lost ─→ returned (a new joined, with its inventory)
   │ degraded ⇄ recovered (the engine)      cordoned ⇄ uncordoned (people)
   └→ left ─→ lost (unless it joins again soon) ─→ removed (people)

drain_started ⇄ drain_held ─→ drained; uncordoned ends a drain at any time
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
    digest: str = ""  # Of what it runs, as the service's own.


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
    """The engine does not answer, cannot work or has a full disk. No new containers go there."""

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


class NodeDrainRequested(NodeEvent, type="node.drain_requested"):
    """Someone wants the node empty, and kept so. The deployer reacts as doorkeeper.

    What is on it is moved, a few slots of a service at once and never below its `min_available`;
    what is left after `deadline_s` is stopped all the same, but for slots with data on the node.
    """

    deadline_s: float = 600.0


class NodeDrainStarted(NodeEvent, type="node.drain_started"):
    """No new containers go to the node, and the deployer moves away what is on it."""

    deadline_s: float


class Blocker(msgspec.Struct, frozen=True):
    """A slot that is not moved now, and why."""

    app: str
    service: str
    slot: int
    reason: str


class NodeDrainHeld(NodeEvent, type="node.drain_held"):
    """Nothing more can be moved away now. Said again only when what is in the way changes."""

    blockers: list[Blocker] = []


class NodeDrained(NodeEvent, type="node.drained"):
    """The node is empty, but for the slots whose data are on it; it stays so until uncordoned."""

    moved: int = 0  # Containers that left it.
    left: list[str] = []  # Slots, such as `shop/db.1`.


class NodeLabelRequested(NodeEvent, type="node.label_requested"):
    """Someone wants labels set or removed. The deployer reacts as doorkeeper."""

    set: dict[str, str] = {}
    remove: list[str] = []


class NodeLabelled(NodeEvent, type="node.labelled"):
    """These labels outweigh what the node's runner says of it, also when it joins again.

    What runs stays where it is; a global service gains or loses a slot.
    """

    set: dict[str, str] = {}
    removed: list[str] = []


class NodeRemovalRequested(NodeEvent, type="node.removal_requested"):
    """Someone wants a node forgotten that is lost or has left. The deployer reacts as doorkeeper.

    `force` forgets a silent one at once, with the data of slots that only it has.
    """

    force: bool = False


class NodeRemoved(NodeEvent, type="node.removed"):
    """The node is forgotten, and what ran on it counts as stopped. It may join again."""


class NodeRequestRejected(NodeEvent, type="node.request_rejected"):
    """A request about a node cannot be met; nothing was changed."""

    problems: list[Problem]
