"""Decide whether and when an ended container is followed by another.

The defaults: the first restart at once, then after 1 s, doubling to 60 s, with full jitter (a
uniform share of the delay, as in AWS's "Exponential Backoff And Jitter"), seeded from the id of the
event that ended it, so that every replay waits the same. A slot that was up for 60 s begins anew.
"""

from segue.ids import derived
from segue.picture import Container, Slot
from segue.spec import ServiceSpec

FIRST_S, MOST_S = 1.0, 60.0


def restart_at(spec: ServiceSpec, slot: Slot, ended: Container, since: float) -> float | None:
    """Give the log's time of the next attempt after `ended`, or None when there is to be none.

    `since` is when the app was deployed: a deploy tries once more what failed before it, and gives
    every slot all its attempts again.
    """
    policy = spec.restart
    if ended.phase == "failed" and ended.ended_at < since:
        return since
    if policy.condition == "none" or (ended.phase == "finished" and spec.is_job):
        return None
    if policy.condition == "on-failure" and ended.phase == "finished":
        return None
    if exhausted(spec, slot, ended, since):
        return None
    return ended.ended_at + delay_s(policy.delay_s, slot.streak, ended.cause.id)


def tried_again_at(spec: ServiceSpec, slot: Slot, digest: str, since: float) -> float | None:
    """Give when a container may begin that is to relieve one that works, or None for never.

    One that failed before left the older one in its place, so no end of the slot's asks for it.
    """
    if not slot.streak or not slot.ended_at or slot.last_digest != digest:
        return 0.0
    policy = spec.restart
    ends = sum(time >= since for time in slot.ended_at)
    used_up = policy.max_attempts is not None and ends > policy.max_attempts
    if policy.condition == "none" or used_up:
        return None
    seed = f"{digest} {slot.number} {slot.attempt}"
    return slot.ended_at[-1] + delay_s(policy.delay_s, slot.streak, seed)


def exhausted(spec: ServiceSpec, slot: Slot, ended: Container, since: float) -> bool:
    """Tell whether the policy's attempts are used up: Compose counts restarts, not starts."""
    policy = spec.restart
    if policy.max_attempts is None:
        return False
    if policy.window_s:
        since = max(since, ended.ended_at - policy.window_s)
    return sum(time >= since for time in slot.ended_at) > policy.max_attempts


def delay_s(base_s: float | None, streak: int, seed: str) -> float:
    """Give the wait before the restart that follows the `streak`-th end in a row.

    With a `delay` of the user's it is the least wait and the base of the doubling; one of 0 is
    none, or a program that cannot start would be started as fast as the engine can.
    """
    share = int(derived("backoff", seed)[:8], 16) / 0xFFFFFFFF
    doublings = min(max(streak, 1), 32)
    if not base_s:
        if doublings == 1:
            return 0.0
        return share * min(MOST_S, FIRST_S * 2.0 ** (doublings - 2))
    most = max(base_s, min(MOST_S, base_s * 2.0 ** (doublings - 1)))
    return base_s + share * (most - base_s)
