"""What happens to a service's number of replicas.

scale.requested ─→ scale.accepted | scale.rejected        a person's word
load.* ─→ scale.decided | scale.held                      the autoscaler's
scale.pause_requested ─→ scale.paused ─→ scale.resume_requested ─→ scale.resumed
"""

from typing import Literal

import msgspec

from segue.events.base import Event
from segue.events.deploy import Problem


class ScaleEvent(Event, scope=("app", "service")):
    """Common to all: of which service."""

    app: str
    service: str


class ScaleRequested(ScaleEvent, type="scale.requested"):
    """Someone wants another number of replicas. The deployer reacts as doorkeeper."""

    replicas: int
    for_s: float = 0.0  # So long the autoscaler leaves it alone; 0: until the next deploy.


class ScaleAccepted(ScaleEvent, type="scale.accepted"):
    """From now on the service has this many slots. The autoscaler, if it has one, leaves it so."""

    replicas: int
    previous: int
    for_s: float = 0.0  # So long; 0: until the next deploy, or until it is resumed.


class ScaleRejected(ScaleEvent, type="scale.rejected"):
    """The request cannot be met; nothing was changed."""

    problems: list[Problem]


class ScalePauseRequested(ScaleEvent, type="scale.pause_requested"):
    """Someone wants the number of replicas left as it is. The deployer reacts."""

    for_s: float = 0.0  # So long; 0: until the next deploy, or until it is resumed.


class ScaleResumeRequested(ScaleEvent, type="scale.resume_requested"):
    """Someone wants the replicas to follow their load again. The deployer reacts."""


class ScalePaused(ScaleEvent, type="scale.paused"):
    """The autoscaler leaves the number of replicas as it is."""

    for_s: float = 0.0


class ScaleResumed(ScaleEvent, type="scale.resumed"):
    """The replicas follow their load again. The autoscaler reacts."""


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one metric recommends: `replicas` x `value` / `target`, rounded up, if it is not near.

    `level` is what was said of it last; empty where nothing was: then it recommends no change.
    """

    metric: str
    level: Literal["", "high", "low", "normal"]
    recommended: int
    value: float = 0.0
    target: float = 0.0
    replicas: int = 0


class Clamp(msgspec.Struct, frozen=True):
    """A rule that made another number of the one before: which, from what to what, and why."""

    rule: Literal["window", "pace", "max", "min"]
    before: int
    after: int
    words: str


HoldReason = Literal[
    "window",  # Less, or more, was recommended within the stabilisation window.
    "pace",  # As many as may come or go within the period have done so.
    "max",  # There are as many as there may be.
    "min",  # There are as few as there may be.
    "manual",  # A person gave the number, and it still holds.
    "paused",  # A person wants no change.
]


class ScaleDecided(ScaleEvent, type="scale.decided"):
    """The load wants another number of slots. The deployer reacts: from now on there are so many.

    It counts only where there are still `previous` at that `revision`, and no person's word holds.
    """

    replicas: int
    previous: int
    revision: int  # The app's.
    recommended: int  # By the metrics alone: the largest that any of them asks for.
    inputs: list[Input] = []
    clamps: list[Clamp] = []  # In the order in which they were applied.


class ScaleHeld(ScaleEvent, type="scale.held"):
    """The load wants another number of slots, and there is a reason not to follow it now.

    Said once for a reason. Once it is over the autoscaler decides by itself.
    """

    replicas: int  # As many as there are, and stay.
    recommended: int
    reason: HoldReason
    words: str
    inputs: list[Input] = []
    clamps: list[Clamp] = []
