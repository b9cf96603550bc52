"""What happens to containers. A slot (`shop/web.3`) is filled by one container at a time.

    requested ─→ assigned ─→ started ─→ healthy ⇄ unhealthy
        │  ↺ unplaceable         │
        └────────→ retired ──────┴─→ failed | finished | stopped

`attempt` counts a slot's containers from 1 and never falls; the greater attempt is the newer.
"""

from typing import Literal

import msgspec

from segue.events.base import Event

FailureReason = Literal[
    "exited",  # It ended by itself with a code that its policy calls a failure.
    "oom",  # The kernel killed it for memory.
    "unhealthy",  # Its health check failed too often.
    "image",  # The image could not be had: the registry's words are in `message`.
    "create",  # The engine refused to make it: its words are in `message`.
    "start",  # The engine made it and could not start it.
    "vanished",  # It was running and is no longer on the engine.
    "node.lost",  # Its node was declared lost.
    "rejected",  # The node refused it: no room, no lease, or its local policy forbids it.
    "fenced",  # Its node's lease was over: it was killed, or never started, so as not to run twice.
]


NOWHERE = "_"  # The node of a container that has none yet.


class ContainerEvent(Event, scope=("app", "service", "slot")):
    """Common to all: which slot and which of its containers."""

    app: str
    service: str
    slot: int
    attempt: int


class NodeContainerEvent(ContainerEvent, scope=("app", "service", "slot", "node")):
    """Common to what happens to a container on a node."""

    node: str


class ContainerRequested(ContainerEvent, type="container.requested"):
    """The deployer owes a slot a container. The scheduler reacts by choosing a node.

    With `moves` the slot is moved: the older container is retired once this one is ready.
    """

    revision: int  # Which accepted revision of the app holds the service's specification.
    digest: str  # segue.spec.digest of the service at that revision.
    not_before: float = 0.0  # Seconds since 1970 by the bus's clock; 0: at once.
    pinned: str | None = None  # The only node it may run on (global services).
    previous: str | None = None  # The node the slot's last container ran on.
    moves: int = 0  # The attempt that works on until this one is ready.
    target: str | None = None  # The node that a plan moves it to; given up if that cannot take it.


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node that was considered: its score from 0 to 100 and what the score is made of."""

    node: str
    score: float
    parts: dict[str, float] = {}


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nodes were not considered: a reason in words, how many nodes, and the first of them."""

    reason: str
    count: int
    nodes: list[str] = []


class ContainerAssigned(NodeContainerEvent, type="container.assigned"):
    """The scheduler chose a node. That node's runner reacts by starting the container.

    A newer container of a slot supersedes an older one on its node, but not the one it `moves`.
    """

    revision: int
    digest: str
    not_before: float = 0.0
    moves: int = 0  # The attempt that works on, on this same node, until this one is ready.
    score: float = 0.0
    parts: dict[str, float] = {}  # What the score is made of, by scorer.
    runners_up: list[Candidate] = []  # The next best, best first, at most three.
    refused: list[Refusal] = []
    looked_at: int = 0  # So many nodes of a large cluster were compared; 0: all of them.


class ContainerUnplaceable(ContainerEvent, type="container.unplaceable"):
    """No node can take it now. Said again only when the reasons change; ends with an assignment."""

    refused: list[Refusal]


class Address(msgspec.Struct, frozen=True):
    """Where a container is reached on one of its node's networks, under the engine's name of it."""

    network: str
    address: str
    prefix: int  # How many bits of the address are the network's.
    gateway: str = ""  # The host's own address there; empty on an internal network.


class ContainerStarted(NodeContainerEvent, type="container.started"):
    """The engine runs it. The deployer counts it as up unless it has a health check.

    Said again when its addresses turn out to be others than were said.
    """

    engine_id: str
    image: str = ""  # What really runs: a digest reference or an image id.
    pid: int = 0
    adopted: bool = False  # Found running after the runner's own restart or return.
    took_s: float = 0.0  # From the runner's reaction to the engine's word, pull included.
    pulled_s: float = 0.0
    addresses: list[Address] = []  # By network; none with a network mode such as `host`.


class ContainerHealthy(NodeContainerEvent, type="container.healthy"):
    """Its health check and its readiness probe pass: for the first time, or again after failing."""


class ContainerUnhealthy(NodeContainerEvent, type="container.unhealthy"):
    """Its health check or a probe failed `streak` times.

    The health monitor judges whether it has failed; of readiness, it is only out of service.
    """

    streak: int
    output: str = ""  # What the last check printed or a probe met with, at most 1,000 characters.
    probe: Literal["", "readiness", "liveness"] = ""  # Which probe; empty: the health check.


class ContainerFailed(NodeContainerEvent, type="container.failed"):
    """It ended, or never began, or is judged dead. The deployer reacts by its restart policy.

    The node runner says what its engine saw; the health monitor says `unhealthy` and `node.lost`.
    """

    reason: FailureReason
    exit_code: int | None = None
    message: str = ""
    ran_s: float = 0.0
    logs: list[str] = []  # The last lines, at most 20 of at most 500 characters.
    final: bool = False  # Trying again on this node cannot help.


class ContainerFinished(NodeContainerEvent, type="container.finished"):
    """It ended by itself with exit code 0."""

    ran_s: float = 0.0
    logs: list[str] = []


class ContainerRetired(NodeContainerEvent, type="container.retired"):
    """The deployer wants it gone. Its node's runner stops it; the scheduler forgets it.

    `node` is `NOWHERE` when it had not been assigned yet: then it is gone at once.
    """

    reason: Literal["scaled", "replaced", "removed", "superseded", "unhealthy", "moved", "deadline"]
    grace_s: float = 10.0


class ContainerStopped(NodeContainerEvent, type="container.stopped"):
    """A retired container is gone from its node."""

    exit_code: int | None = None
    ran_s: float = 0.0
    killed: bool = False  # It did not end within its grace and was killed.
