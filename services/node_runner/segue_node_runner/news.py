"""What the node runner's core hears from its host: nothing of this is in the log yet."""

import msgspec

from segue_node_runner.labels import Identity


class ContainerNews(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to one of our containers."""

    identity: Identity
    engine_id: str


class Running(ContainerNews, frozen=True):
    """The engine has started it."""


class Died(ContainerNews, frozen=True):
    """It runs no more: how it ended, and what it said last."""

    exit_code: int
    oom: bool = False
    ran_s: float = 0.0
    logs: list[str] = []


class HealthChanged(ContainerNews, frozen=True):
    """Its health check came to another answer than before."""

    healthy: bool
    streak: int = 0
    output: str = ""


class Gone(ContainerNews, frozen=True):
    """The engine has removed it."""


class Resync(msgspec.Struct, frozen=True):
    """The engine is being watched from here on; what happened before has to be looked up."""


class Away(msgspec.Struct, frozen=True):
    """The engine is watched no more; said once, followed by `Resync` when it is back."""

    words: str


News = Running | Died | HealthChanged | Gone | Resync | Away
