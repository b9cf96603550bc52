"""What is known of a service whose number of replicas follows its load: plain data, as all state.

What was said of each metric, how many there were from when on, and whose word holds. It reaches
back as far as the windows that are reckoned from it. Only `segue.picture.fold_scale` changes it.
"""

from typing import Literal

import msgspec

from segue.envelope import Cause


class Load(msgspec.Struct, omit_defaults=True):
    """What was said of a metric, which holds until the next word on it."""

    level: Literal["high", "low", "normal"]
    value: float
    target: float
    replicas: int  # That the value is the mean of.
    at: float
    cause: Cause  # That event.
    foreign: bool = False  # Another program said it.


class Size(msgspec.Struct, omit_defaults=True):
    """How many replicas a service was to have from a time on."""

    at: float
    replicas: int
    own: bool = False  # The autoscaler said so.


class Override(msgspec.Struct, omit_defaults=True):
    """A person's word on a number of replicas, which the autoscaler leaves alone."""

    kind: Literal["manual", "paused"]
    cause: Cause
    until: float = 0.0  # 0: until the next deploy.


class Scaling(msgspec.Struct, omit_defaults=True):
    """What a service's number of replicas follows, and has followed."""

    cause: Cause  # The deploy that wants it so.
    since: float
    sequence: int  # Of the newest event about it.
    loads: dict[str, list[Load]] = {}  # By metric, newest last, as far back as windows reach.
    sizes: list[Size] = []  # Newest last; as far back, too.
    held: str = ""  # Why the number was not changed, as it was said last.
    override: Override | None = None
    idle: Cause | None = None  # That nobody asks anything, as long as that is so.
    waiting: Cause | None = None  # That something is asked, though there are no replicas.
