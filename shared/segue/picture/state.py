"""What the picture is made of: apps, services, slots, containers, nodes, leaders, open requests.

Everything here is plain data that `msgspec` can write and read, so a snapshot is one encode.
Only `segue.picture.fold_*` changes it. Times are the log's, in seconds since 1970.
"""

from typing import Any, Literal

import msgspec

from segue.envelope import Cause
from segue.events.capacity import Shortage
from segue.events.container import Address, Refusal
from segue.events.gateway import GatewayJoined
from segue.events.node import Blocker, Held, NodeJoined
from segue.events.rebalance import Move
from segue.events.rollout import Order, Strategy
from segue.picture.scaling import Scaling
from segue.spec import AppSpec, Resources, ServiceSpec

Phase = Literal[
    "requested", "assigned", "started", "healthy", "unhealthy", "failed", "finished", "stopped"
]
ENDED: frozenset[str] = frozenset(("failed", "finished", "stopped"))
UP: frozenset[str] = frozenset(("started", "healthy", "unhealthy"))
# States only move forward; the health of a running container may go both ways.
RANK: dict[str, int] = {
    "requested": 0,
    "assigned": 1,
    "started": 2,
    "healthy": 3,
    "unhealthy": 3,
    "failed": 9,
    "finished": 9,
    "stopped": 9,
}


class Container(msgspec.Struct, omit_defaults=True):
    """One filling of a slot, from its request to its end."""

    app: str
    service: str
    slot: int
    attempt: int
    revision: int
    digest: str
    cause: Cause  # The newest event about it, for what is decided next.
    phase: Phase = "requested"
    node: str = ""
    pinned: str = ""
    previous: str = ""
    moves: int = 0  # The attempt that it is to relieve.
    target: str = ""  # The node that a plan moves it to.
    held: Resources | None = None  # Reserved on its node, whatever its service asks for since.
    not_before: float = 0.0
    retired: str = ""  # Why it is to go; empty while it is wanted.
    retired_at: float = 0.0
    grace_s: float = 10.0
    engine_id: str = ""
    image: str = ""
    addresses: list[Address] = []
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    refused: list[Refusal] = []  # Why it has no node yet.
    streak: int = 0  # Failed health checks in a row …
    probe: str = ""  # … of which probe: "readiness", "liveness"; empty: of the health check.
    requested_at: float = 0.0
    requested_seq: int = 0  # Who waits is served in this order.
    assigned_at: float = 0.0
    started_at: float = 0.0
    ready_at: float = 0.0  # When it first did its work.
    healthy_at: float = 0.0  # Since when it is healthy without a break.
    ended_at: float = 0.0
    routed_at: float = 0.0  # Since when every gateway leads to it …
    drained_at: float = 0.0  # … and since when none does any more.
    absent: bool = False  # Its node has joined since, and does not run it.
    adopted: bool = False  # Known only from what its node had when it joined.
    fenced: bool = False  # Strict, and of a lease that is over: it is dead and must never start.

    @property
    def ended(self) -> bool:
        """It does not run and never will."""
        return self.phase in ENDED

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Its name among all containers."""
        return (self.app, self.service, self.slot, self.attempt)

    @property
    def name(self) -> str:
        """Its slot's name, as people write it: `shop/web.3`."""
        return f"{self.app}/{self.service}.{self.slot}"


class Slot(msgspec.Struct, omit_defaults=True):
    """One of a service's replicas; it keeps its number for life, also while it is not wanted."""

    number: int
    attempt: int = 0  # The greatest so far.
    container: Container | None = None  # What fills it now: the newest that is not given up.
    leaving: dict[int, Container] = {}  # Others of its containers that may still run, by attempt.
    restarts: int = 0  # Attempts that followed a failure or an end.
    streak: int = 0  # Ends by itself since it was last up for long enough to be trusted.
    ended_at: list[float] = []  # When one ended by itself, newest last, as many as matter.
    last_reason: str = ""  # Why the newest of them ended …
    last_exit_code: int | None = None  # … and with what …
    last_digest: str = ""  # … and which version it ran.
    pinned: str = ""  # Its node, in a global service.
    begun_at: float = 0.0  # Of a job: when its first attempt was asked for.
    over_time: bool = False  # Its deadline has passed: nothing more is tried.
    home: str = ""  # The node that holds the data of its local volumes …
    home_attempt: int = 0  # … since this attempt was assigned to it.

    @property
    def moving(self) -> Container | None:
        """The container that works on until its successor is ready."""
        now = self.container
        return self.leaving.get(now.moves) if now is not None and now.moves else None

    def containers(self) -> list[Container]:
        """All that may still run or be asked for, oldest first."""
        return [*self.leaving.values(), *([self.container] if self.container else [])]


class Run(msgspec.Struct, omit_defaults=True):
    """A run of a job that is under way; its number is its slot's."""

    number: int
    cause: Cause
    begun_at: float
    replaced: Cause | None = None  # The event that has it ended for a later one.


class Version(msgspec.Struct):
    """What a service was, and is to be again if what it is to be now does not work."""

    spec: ServiceSpec
    digest: str
    revision: int  # The last of the app's that came up.


class Verdict(msgspec.Struct):
    """Why a rollout cannot go on by itself."""

    kind: Literal["failed", "stalled"]
    reason: str
    cause: Cause
    slots: list[int] = []  # Those it is about.


class Failure(msgspec.Struct, omit_defaults=True):
    """How a container of the new version failed."""

    slot: int
    attempt: int
    reason: str
    cause: Cause
    exit_code: int | None = None
    message: str = ""
    logs: list[str] = []


class Rollout(msgspec.Struct, omit_defaults=True):
    """How far a service is on its way from one version to another.

    A slot that has not been advanced is to run the old version. Both are the same when the way
    leads back: then `superseded` has what is left of the version that was given up.
    """

    old: Version
    cause: Cause  # The newest of its events.
    begun_at: float
    back: bool = False  # To a version that came up before: that is done as `rollback_config` says.
    superseded: dict[str, ServiceSpec] = {}  # By digest, what may still run of neither version.
    strategy: Strategy | Literal[""] = ""  # As it was said when it started; empty before.
    order: Order = "start-first"
    advanced: dict[int, None] = {}
    seen: dict[int, None] = {}  # Slots that were ready with the new version at least once.
    ready_at: float = 0.0  # When the last of them became ready.
    progressed_at: float = 0.0
    failed: dict[int, None] = {}  # Slots in which the new version failed.
    failure: Failure | None = None  # The newest.
    skipped: dict[int, None] = {}  # Slots that are not waited for any more.
    held: str = ""  # Why no slot is advanced, as it was said last.
    paused: bool = False
    promoted: bool = False
    verdict: Verdict | None = None


class Service(msgspec.Struct, omit_defaults=True):
    """A service of an app, as it is to be and as it is."""

    name: str
    spec: ServiceSpec
    digest: str
    revision: int  # The app's revision in which `digest` last changed.
    replicas: int
    wanted: bool = True  # False once a revision lacks it.
    cause: Cause | None = None  # The event that made it what it is to be …
    changed_at: float = 0.0  # … and when that was said.
    slots: dict[int, Slot] = {}
    runs: dict[int, Run] = {}  # Under way, oldest first, where it is run again and again.
    last_run: int = 0
    pruned: int = 0  # The slots of runs up to this one, but those still there, are forgotten …
    pruned_attempts: int = 0  # … with attempts up to this one.
    due_at: float = 0.0  # The last instant that was decided, or since when they count.
    scaling: Scaling | None = None  # Where its replicas follow its load.
    rollout: Rollout | None = None  # While its slots go from one version to another.
    hidden: dict[str, None] = {}  # Digests that no gateway leads to: blue_green's, not promoted.
    flapping_since: float = 0.0
    flapping_cause: Cause | None = None


class Reversion(msgspec.Struct):
    """That a revision was given up for an older one."""

    to: int
    cause: Cause


class App(msgspec.Struct, omit_defaults=True):
    """An app: what was accepted and how far it is."""

    name: str
    cause: Cause  # The event that made it what it is to be.
    revision: int = 0
    phase: Literal["deploying", "running", "failed", "removing", "removed"] = "deploying"
    specs: dict[int, AppSpec] = {}  # Of the revisions that something still refers to.
    completed: dict[int, dict[str, int]] = {}  # Revisions that came up: slots of each service.
    restores: int = 0  # The older revision that this one is again.
    reverted: Reversion | None = None  # Until the next revision, which restores that one.
    services: dict[str, Service] = {}
    accepted_at: float = 0.0
    changed_at: float = 0.0  # When `cause` was said.
    progressed_at: float = 0.0  # When a deploy last came a step further …
    progress: Cause | None = None  # … and by which event.
    settled_at: float = 0.0  # When it was completed, failed or removed.
    with_volumes: bool = False  # Its removal takes the volumes too.
    reason: str = ""  # Why the deploy failed.
    taken_back: str = ""  # Which revision was given up for what runs now, and why.
    attempts: int = 0  # The greatest of its slots' when it was forgotten: they count on from there.


class Forgotten(msgspec.Struct):
    """What is kept of a removed app that nothing refers to: what its name has to count on from."""

    revision: int
    attempts: int


class Drain(msgspec.Struct, omit_defaults=True):
    """That a node is to be empty, and how far that is."""

    cause: Cause  # The newest of its events.
    deadline_at: float
    moved: int = 0
    blockers: list[Blocker] = []  # As said last.
    done: bool = False  # It was empty; what comes there all the same is moved away too.


class Node(msgspec.Struct, omit_defaults=True):
    """A host, as its runner described it and as others judge it."""

    name: str
    facts: NodeJoined
    cause: Cause
    phase: Literal["up", "suspected", "lost", "left"] = "up"
    degraded: str = ""
    cordoned: bool = False
    drain: Drain | None = None  # Until it is uncordoned.
    labelled: dict[str, str | None] = {}  # By people; None: without what its runner says.
    usable_since: float = 0.0  # 0 while it is not.
    joined_seq: int = 0
    joined_at: float = 0.0
    changed_at: float = 0.0
    lost_seq: int = 0
    ended: list[tuple[str, str, int, int]] = []  # Though it may run: its runner did not say so.
    lease: int = 0  # The last one that it has named.
    lease_over: bool = False  # It was lost, and what is strict is dead there.
    images: dict[str, None] = {}
    failures: dict[str, list[float]] = {}  # By "app/service": when, newest last, at most 10.
    refusals: dict[str, tuple[str, str]] = {}  # By "app/service": the digest it cannot run, why.

    @property
    def labels(self) -> dict[str, str]:
        """What its runner says of it, and what people say, which counts more."""
        if not self.labelled:
            return self.facts.labels
        both = self.facts.labels | self.labelled
        return {name: value for name, value in both.items() if value is not None}

    @property
    def usable(self) -> bool:
        """New containers may go there."""
        return self.phase == "up" and not self.degraded and not self.cordoned


class Gateway(msgspec.Struct, omit_defaults=True):
    """A node's gateway, as it described itself last."""

    node: str
    facts: GatewayJoined
    cause: Cause
    joined_seq: int
    joined_at: float
    left: bool = False


class Removed(msgspec.Struct):
    """What is kept of a node that was forgotten: if it comes back, it has to begin from there."""

    cause: Cause
    lost_seq: int
    ended: list[tuple[str, str, int, int]] = []  # What ran on it: its runner stops that.


class Plan(msgspec.Struct):
    """The newest plan that moves containers, and what is left of it."""

    cause: Cause
    moves: dict[str, Move]  # By slot, as people write it.
    changed_at: float  # When it was said, or the last of its moves ended.


class Leader(msgspec.Struct):
    """Who leads a service, since which election."""

    instance: str
    term: int
    since: float


class Request(msgspec.Struct, omit_defaults=True):
    """A request that the doorkeeper has not answered yet."""

    sequence: int
    time: float
    type: str
    data: dict[str, Any]
    cause: Cause
    actor: str = ""


class LogRoom(msgspec.Struct, omit_defaults=True):
    """What was said of the room that the log itself takes up."""

    filling_since: float = 0.0  # 0 while it has room.
    words: str = ""  # Why it cannot be trimmed, though it should be.
    first: int = 0  # Where it begins since it was trimmed last …
    trimmed_at: float = 0.0  # … and when that was.
    cause: Cause | None = None  # The newest of its events.


class Capacity(msgspec.Struct, omit_defaults=True):
    """What was said of the room that the nodes have together."""

    cause: Cause  # The newest of its events …
    at: float  # … and when that was.
    since: float = 0.0  # Since then slots wait.
    slots: int = 0  # So many do.
    shortages: list[Shortage] = []  # Empty while there is room.


class State(msgspec.Struct, omit_defaults=True):
    """All of it at one sequence."""

    sequence: int = 0
    mark: str = ""  # Of the log's message at `sequence`: only in a snapshot, for `claim`.
    time: float = 0.0
    cluster: str = ""
    apps: dict[str, App] = {}
    forgotten: dict[str, Forgotten] = {}  # Of the apps that were removed longest ago.
    nodes: dict[str, Node] = {}
    removed: dict[str, Removed] = {}  # Nodes that were forgotten and have not joined again.
    gateways: dict[str, Gateway] = {}
    leaders: dict[str, Leader] = {}
    requests: dict[str, Request] = {}  # By the event's key.
    answered: dict[str, None] = {}  # Keys of the last requests that were answered.
    unreadable: dict[int, tuple[str, str]] = {}  # Sequence: subject, reason.
    plan: Plan | None = None
    losses_held: list[str] = []  # Silent nodes that are not given up: too many at once …
    losses_held_since: float = 0.0  # … since then.
    losses_told: int = 0  # Sequence of the newest word on that.
    losses_eased_at: float = 0.0  # When that was over; 0 while it is not.
    strangers: dict[str, dict[str, Held]] = {}  # By slot and node: what the log does not know.
    capacity: Capacity | None = None  # What was said of the nodes' room, if anything ever was.
    log: LogRoom | None = None  # What was said of its room, if anything ever was.
