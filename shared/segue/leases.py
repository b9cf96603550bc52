"""What a lease is: a node's right to run what may run only once, kept by saying so again and again.

A node's lease is the newest message on `lease.<node>`; the bus removes it `ttl_s` after it was
stored and leaves a marker in its place. The node counts from when it sent a renewal and gives up
`margin_s` earlier, so that what ran under the lease is dead before anyone hears that it is over.
Nothing here does I/O: runner, health monitor and the simulator share these words.
"""

import msgspec


class Terms(msgspec.Struct, frozen=True):
    """How long a lease lasts, how often it is renewed, how much earlier its node gives it up."""

    ttl_s: float
    renew_s: float
    margin_s: float  # Two clocks that differ by 2 %, and a fencer's look, fit into it.


_ONE_SERVER, _THREE_SERVERS = Terms(6.0, 2.0, 1.0), Terms(15.0, 3.0, 2.0)


def terms(replicas: int) -> Terms:
    """Give the terms for a stream of so many copies: those that elect block for up to 9 s."""
    return _ONE_SERVER if replicas <= 1 else _THREE_SERVERS


class Claim(msgspec.Struct, frozen=True):
    """What a runner says on `lease.<node>`; `session` names this run of it."""

    session: str
    ttl_s: float


class Standing(msgspec.Struct, frozen=True):
    """What stands on `lease.<node>`: the newest message's sequence (0: none) and its claim.

    A marker has a sequence and no claim.
    """

    sequence: int = 0
    claim: Claim | None = None


# What a follower of all leases hears.


class Void(msgspec.Struct, frozen=True):
    """What was heard before counts no more: the bus was away. What stands is told anew."""


class Claimed(msgspec.Struct, frozen=True):
    """A lease was begun or renewed, or stood when listening began."""

    node: str
    claim: Claim


class Expired(msgspec.Struct, frozen=True):
    """The bus has removed a lease that was not renewed."""

    node: str


class Told(msgspec.Struct, frozen=True):
    """Every lease that stood when listening began has been told."""


News = Void | Claimed | Expired | Told
