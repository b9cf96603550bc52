"""What happens while a service goes from one version to another, step by step.

started ─→ advanced … ─→ completed
              │  ↺ held
              └→ failed | stalled ─→ (deploy.reverted, held, or it goes on)

requested: pause ─→ paused, resume ─→ resumed, promote ─→ promoted, abort ─→ deploy.reverted,
rollback ─→ deploy.accepted, or any of them ─→ request_rejected

A slot runs the old version until it has been advanced, whatever happens to it meanwhile.
"""

from typing import Literal

from segue.events.base import Event
from segue.events.deploy import Problem

Strategy = Literal["rolling", "canary", "blue_green"]
Order = Literal["start-first", "stop-first"]


class RolloutEvent(Event, scope=("app", "service")):
    """Common to the steps: which service."""

    app: str
    service: str


class RolloutStarted(RolloutEvent, type="rollout.started"):
    """The service's slots go to another version from now on, in this way."""

    revision: int  # The app's revision that they go to …
    previous: int  # … and the one that they go back to.
    strategy: Strategy
    order: Order
    reason: str = ""  # Why it is not done as it was asked for, or as it would be best.
    parallelism: int  # So many slots at once.
    total: int


class RolloutAdvanced(RolloutEvent, type="rollout.advanced"):
    """These slots are to run the new version now. The deployer reacts by replacing what they run.

    Once they have been ready for long enough, the next ones follow.
    """

    slots: list[int]
    done: int  # How many were advanced before.
    total: int


class RolloutHeld(RolloutEvent, type="rollout.held"):
    """No slot is advanced for now. Said again only when the reason changes; ends with a step."""

    reason: str


class RolloutStalled(RolloutEvent, type="rollout.stalled"):
    """Nothing came further for as long as the deadline allows; the time of pulls does not count."""

    reason: str
    slots: list[int] = []  # Those that are waited for, at most 100.
    waited_s: float = 0.0


class RolloutFailed(RolloutEvent, type="rollout.failed"):
    """More slots failed with the new version than may. What follows is the failure action's."""

    reason: str
    slot: int  # The last that failed, and what is known of it.
    attempt: int
    exit_code: int | None = None
    output: str = ""  # The engine's or the probe's words.
    logs: list[str] = []  # The last lines, at most 20 of at most 500 characters.
    failed: int  # Slots that failed.
    total: int


class RolloutCompleted(RolloutEvent, type="rollout.completed"):
    """Every slot runs the new version and has been ready for long enough."""

    slots: int
    failed: int = 0  # Slots that failed on the way.
    skipped: list[int] = []  # Slots that were waited for in vain, at most 100.
    took_s: float = 0.0


class RolloutRequestEvent(Event, scope=("app",)):
    """Common to the requests: which app, and which of its services; all that roll out if none."""

    app: str
    service: str = ""


class RolloutPauseRequested(RolloutRequestEvent, type="rollout.pause_requested"):
    """Someone wants no further slot to be advanced. The deployer reacts as doorkeeper."""


class RolloutResumeRequested(RolloutRequestEvent, type="rollout.resume_requested"):
    """Someone wants what is paused, or held by a failure, to go on. The deployer reacts."""


class RolloutPromoteRequested(RolloutRequestEvent, type="rollout.promote_requested"):
    """Someone finds the new version good: what waits for that word goes on. The deployer reacts."""


class RolloutAbortRequested(RolloutRequestEvent, type="rollout.abort_requested"):
    """Someone wants the app back as it was. The deployer reacts with `deploy.reverted`."""


class RolloutAnswerEvent(Event, scope=("app",)):
    """Common to the answers: which services they are about."""

    app: str
    services: list[str]


class RolloutPaused(RolloutAnswerEvent, type="rollout.paused"):
    """No further slot is advanced until the rollout is resumed; no deadline counts meanwhile."""


class RolloutResumed(RolloutAnswerEvent, type="rollout.resumed"):
    """The rollout goes on; what failed before is forgiven."""


class RolloutPromoted(RolloutAnswerEvent, type="rollout.promoted"):
    """The new version counts as good: a canary's other slots follow, blue_green's old may go."""


class RolloutRequestRejected(Event, type="rollout.request_rejected", scope=("app",)):
    """The request cannot be met; nothing was changed."""

    app: str
    problems: list[Problem]


class RollbackRequested(Event, type="rollback.requested", scope=("app",)):
    """Someone wants an app as a revision had it that came up. The deployer reacts as doorkeeper.

    It answers with the next revision, which restores that one, or with `deploy.rejected`.
    """

    app: str
    revision: int = 0  # 0: the last that came up before the newest.
