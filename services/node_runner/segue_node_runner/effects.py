"""What the node runner's core wants done on its host. Never on the bus, never an event."""

import msgspec
from segue.spec import AppSpec, Probe, ServiceSpec

from segue_node_runner.labels import Identity


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done about one container of a slot."""

    app: str
    service: str
    slot: int
    attempt: int

    @property
    def identity(self) -> Identity:
        """Which container it is about."""
        return Identity(self.app, self.service, self.slot, self.attempt)


class Start(Effect, frozen=True):
    """Have the slot's container run, whatever of it exists already."""

    cluster: str
    node: str
    revision: int
    digest: str
    spec: AppSpec
    moves: int = 0  # The attempt that may run on beside it.
    lease: int = 0  # Of a strict slot: the lease under which alone it may be started.
    names: bool = False  # A gateway answers names on this host's bridges …
    resolvers: list[str] = []  # … at these addresses; the adapter fills them in, and …
    searches: list[str] = []  # … the domains in which the host itself looks for short names.
    cause: str = ""  # The id of the event that asks for it.
    correlation: str = ""

    @property
    def runs(self) -> ServiceSpec:
        """What the container is made from."""
        return self.spec.services[self.service]


class Mark(Effect, frozen=True):
    """Count a running container as strict, to die with the node's lease, or no more."""

    engine_id: str
    strict: bool


class Stop(Effect, frozen=True):
    """End the container, by its own stop signal first; then remove it."""

    engine_id: str
    grace_s: float = 10.0


class Examine(Effect, frozen=True):
    """Find out how the container ended and what it said last."""

    engine_id: str


class GiveUp(Effect, frozen=True):
    """Let go of a start that waits for its image or its turn; what has begun goes on."""


class Remove(Effect, frozen=True):
    """Remove a container that ended long ago."""

    engine_id: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A running container that is to be probed, and where it is reached; empty: nowhere."""

    identity: Identity
    engine_id: str
    address: str
    readiness: Probe | None
    liveness: Probe | None


class Ask(msgspec.Struct, frozen=True):
    """Probe exactly these containers from now on."""

    all: list[Asked]


class RemoveApp(msgspec.Struct, frozen=True, kw_only=True):
    """Remove what a removed app leaves on the node: its networks, and its volumes if told so."""

    cluster: str
    app: str
    volumes: bool = False


class List(msgspec.Struct, frozen=True, kw_only=True):
    """Say what of the cluster the engine has; the answer bears the number."""

    cluster: str
    number: int


class GiveWay(msgspec.Struct, frozen=True, kw_only=True):
    """Stop running here: a newer runner has joined under this node's name."""

    session: str
