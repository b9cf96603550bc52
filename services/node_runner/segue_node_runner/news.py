"""What the node runner's core hears from its host: nothing of this is in the log yet."""

from typing import Literal

import msgspec

from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity


class ContainerNews(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to one of our containers."""

    identity: Identity
    engine_id: str = ""


class Running(ContainerNews, frozen=True):
    """The engine has started it."""


class Died(ContainerNews, frozen=True, kw_only=True):
    """It runs no more: how it ended, and what it said last."""

    exit_code: int
    fenced: bool = False  # It was to die: the lease that it ran under was over.
    oom: bool = False
    ran_s: float = 0.0
    logs: list[str] = []


class HealthChanged(ContainerNews, frozen=True, kw_only=True):
    """Its health check came to another answer than before."""

    healthy: bool
    streak: int = 0
    output: str = ""


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """A probe of a container came to another answer than before, or to its first."""

    identity: Identity
    engine_id: str
    probe: Literal["readiness", "liveness"]
    passes: bool
    streak: int = 0  # Of failures.
    output: str = ""  # What the last of them met with.


class Gone(ContainerNews, frozen=True):
    """The engine has removed it."""


class Resync(msgspec.Struct, frozen=True):
    """The engine is being watched from here on; what happened before has to be looked up."""


class Away(msgspec.Struct, frozen=True):
    """The engine is watched no more; said once, followed by `Resync` when it is back."""

    words: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has. Disk is what its engine may use in all."""

    cpu_millicores: int
    memory_bytes: int
    disk_bytes: int
    hostname: str
    platform: str
    engine: str
    api_version: str
    live_restore: bool
    images: list[str]
    version: str = ""  # Segue's own.


class Guard(msgspec.Struct, frozen=True):
    """What the node's lease allows now; until it is heard, nothing."""

    lease: int = 0  # The one that is held; 0: none.
    missing: str = "this node's runner has not asked for a lease yet"
    containers: frozenset[str] = frozenset()  # By the engine's id: who die with it.


class Condition(msgspec.Struct, frozen=True):
    """How the engine is: well, away (nobody answers), or frozen (it answers, and cannot work).

    One that is well may be `full`, in words: what it runs is as it was, and more has no room.
    """

    state: Literal["well", "away", "frozen"]
    words: str = ""
    full: str = ""


class Inventory(msgspec.Struct, frozen=True):
    """Every container of the cluster that the engine has, ended ones too; who has what else."""

    found: list[Found]
    networks_of: list[str] = []  # Apps that have networks here.
    volumes_of: list[str] = []
    number: int = 0  # Of the `List` that it answers.


class ListFailed(msgspec.Struct, frozen=True):
    """The engine did not say what it has."""

    words: str
    number: int = 0


class StartDone(ContainerNews, frozen=True, kw_only=True):
    """A start came to a container that runs, or that ran and has ended already."""

    found: Found
    adopted: bool = False  # It ran before this start was asked for.
    took_s: float = 0.0
    pulled_s: float = 0.0


class StartFailed(ContainerNews, frozen=True, kw_only=True):
    """A start came to nothing; `message` is the engine's or the registry's own words."""

    step: str
    kind: str
    message: str
    final: bool = False
    passing: bool = False  # It says something of the engine and nothing of the container.


class StopDone(ContainerNews, frozen=True, kw_only=True):
    """A container was ended and removed, as asked."""

    exit_code: int | None = None
    ran_s: float = 0.0
    killed: bool = False


class StopFailed(ContainerNews, frozen=True, kw_only=True):
    """A container could not be ended; it may run on."""

    message: str


class PullProgress(msgspec.Struct, frozen=True, kw_only=True):
    """An image is being pulled for a container."""

    identity: Identity
    image: str
    done_bytes: int = 0
    total_bytes: int = 0


News = Running | Died | HealthChanged | Gone | Resync | Away  # What the engine says by itself.
