"""What becomes of a version that does not work, and of one that is superseded."""

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
)
from segue.events.deploy import DeployAccepted, DeployFailed, DeployReverted
from segue.events.image import ImagePulling
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutCompleted,
    RolloutFailed,
    RolloutHeld,
    RolloutResumeRequested,
    RolloutStalled,
)
from segue.spec import (
    Dependency,
    Mount,
    Resources,
    ServiceSpec,
    Strategy,
    Update,
)
from segue.testing.shop import APP, accepted
from segue.testing.versions import (
    CHECK,
    board,
    finish,
    images,
    rollout,
    said,
    shop,
    spec,
    step,
    steps,
)

DATA = [Mount(kind="volume", source="data", target="/data")]


# What goes wrong.


def test_a_version_that_fails_is_reverted_and_the_old_ones_never_stopped() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.fail(there.container("web", 1), message="no such file", logs=["boom"])
    events = there.up(*there.settle())
    (failed,) = said(events, RolloutFailed)
    assert (failed.slot, failed.exit_code, failed.failed, failed.total) == (1, 1, 1, 4)
    assert (failed.output, failed.logs) == ("no such file", ["boom"])
    (reverted,) = said(events, DeployReverted)
    assert (reverted.revision, reverted.to, reverted.blocking) == (2, 1, ["web.1"])
    assert "no such file" in reverted.reason
    (again,) = said(events, DeployAccepted)
    assert (again.revision, again.restores) == (3, 1)
    assert not said(events, ContainerRetired)
    finish(there)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]
    assert [there.slot("web", n).attempt for n in range(1, 5)] == [2, 1, 1, 1]
    assert there.picture.apps[APP].revision == 3


def test_what_went_well_before_is_taken_back_step_by_step() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", rollback=Update(parallelism=1)))))
    step(there)
    step(there)
    assert images(there)[:2] == ["1 w:2", "2 w:2"]
    there.fail(there.container("web", 3))
    events = there.up(*there.settle())
    assert said(events, DeployReverted)
    finish(there)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]


def test_the_first_revision_has_nothing_to_go_back_to() -> None:
    there = board()
    there.up(*there.tell(accepted(1, web=spec("w:1", health=CHECK))))
    events = step(there, 301)
    assert said(events, DeployFailed)
    assert not said(events, DeployReverted)


def test_a_service_that_is_new_and_never_comes_up_is_reverted_with_the_rest() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:1"), side=spec("s:1", health=CHECK))))
    events = step(there, 301)
    (reverted,) = said(events, DeployReverted)
    assert reverted.to == 1
    finish(there)
    assert not images(there, "side")


@pytest.mark.parametrize("action", ["pause", "continue"])
def test_a_service_that_is_new_and_wants_nothing_undone_fails_alone(action: Any) -> None:
    there = shop()
    alone = spec("s:1", health=CHECK, update=Update(failure_action=action))
    there.up(*there.tell(accepted(2, web=spec("w:1"), side=alone)))
    events = step(there, 301)
    assert [one.blocking[0] for one in said(events, DeployFailed)] == ["side.1"]
    assert not said(events, DeployReverted)


def test_what_was_reverted_is_reverted_once() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    there.fail(there.container("web", 2))
    there.up(*there.settle())
    assert there.picture.apps[APP].restores == 1
    there.fail(there.container("web", 1), reason="create", exit_code=None)
    events = there.up(*there.settle())
    assert not said(events, DeployReverted)
    finish(there)


@pytest.mark.parametrize(
    ("ratio", "failures", "fails"), [(0.0, 1, True), (0.25, 1, False), (0.25, 2, True)]
)
def test_as_many_slots_may_fail_as_the_ratio_allows(
    ratio: float, failures: int, *, fails: bool
) -> None:
    there = shop()
    update = Update(parallelism=4, max_failure_ratio=ratio)
    there.up(*there.tell(accepted(2, web=spec("w:2", update=update))))
    for number in range(1, failures + 1):
        there.fail(there.container("web", number))
    assert bool(said(there.settle(), RolloutFailed)) is fails


def test_a_failure_can_hold_the_rollout_until_a_person_decides() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", update=Update(failure_action="pause")))))
    there.fail(there.container("web", 1))
    events = there.up(*there.settle())
    assert said(events, RolloutFailed)
    assert said(events, RolloutHeld)
    assert not said(events, DeployReverted)
    assert not said(step(there, 3_600), RolloutStalled)
    there.up(*there.tell(RolloutResumeRequested(app=APP)))
    finish(there)
    assert images(there) == [f"{n} w:2" for n in range(1, 5)]


def test_a_failure_can_be_passed_over() -> None:
    there = shop()
    update = Update(failure_action="continue", parallelism=2)
    way = Strategy(deadline_s=60)
    there.up(*there.tell(accepted(2, web=spec("w:2", health=CHECK, update=update, strategy=way))))
    there.tells(ContainerHealthy, there.container("web", 2))
    there.fail(there.container("web", 1))
    there.up(*there.settle())
    (stalled,) = said(step(there, 61), RolloutStalled)
    assert stalled.slots == [1]
    for number in (3, 4):
        step(there)
        there.tells(ContainerHealthy, there.container("web", number))
    events = step(there) + step(there)
    (completed,) = said(events, RolloutCompleted)
    assert (completed.failed, completed.skipped) == (1, [1])


def test_a_failing_version_is_not_started_as_fast_as_it_fails() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", update=Update(failure_action="continue")))))
    waits = []
    for _ in range(4):
        there.fail(there.container("web", 1))
        (asked,) = said(there.settle(), ContainerRequested)
        waits.append(asked.not_before - there.now)
        there.now = max(there.now, asked.not_before)
        there.up(*there.settle())
    assert waits[0] <= 0
    assert max(waits[1:]) > 0


def test_it_stalls_when_nothing_comes_further_and_says_who_waits() -> None:
    there = shop()
    way = Strategy(deadline_s=120)
    spec_ = spec("w:2", health=CHECK, strategy=way)
    there.up(*there.tell(accepted(2, web=spec_)))
    assert not said(step(there, 119), RolloutStalled)
    events = step(there, 2)
    (stalled,) = said(events, RolloutStalled)
    assert stalled.slots == [1]
    assert "web.1 is not healthy" in stalled.reason
    assert said(events, DeployReverted)
    finish(there)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]


def test_a_pull_takes_as_long_as_it_takes() -> None:
    there = shop()
    events = there.tell(accepted(2, web=spec("w:2")))
    (assigned,) = said(events, ContainerAssigned)
    for done in range(5):
        there.now += 200
        there.say(ImagePulling(node=assigned.node, image="w:2", done_bytes=done, total_bytes=9))
        assert not said(there.settle(), RolloutStalled)
    there.now += 301
    assert said(there.settle(), RolloutStalled)


def test_what_failed_before_it_stalled_is_told_with_the_last_words() -> None:
    there = shop()
    there.tell(accepted(2, web=spec("w:2")))
    for _ in range(2):
        there.fail(there.container("web", 1), reason="image", message="connection refused")
        there.now += 10
        there.settle()
    (stalled,) = said(step(there, 301), RolloutStalled)
    words = "web.1 failed 2 times, the last time: connection refused with code 1; now it"
    assert stalled.reason.startswith(words)


def test_what_could_not_run_in_place_of_the_older_one_either_is_told_no_way_out() -> None:
    there = shop("a", replicas=1, resources=Resources(memory_bytes=1 << 20))
    there.tell(accepted(2, web=spec("w:2", replicas=1, resources=Resources(memory_bytes=1 << 50))))
    (stalled,) = said(step(there, 301), RolloutStalled)
    assert "not enough memory" in stalled.reason
    assert "stop-first" not in stalled.reason


def test_what_finds_no_room_stalls_and_says_what_would_make_some() -> None:
    big = Resources(memory_bytes=5 << 30)
    there = shop(replicas=2, resources=big)
    there.up(*there.tell(accepted(2, web=spec("w:2", replicas=2, resources=big))))
    (stalled,) = said(step(there, 301), RolloutStalled)
    assert "not enough memory" in stalled.reason
    assert "stop-first" in stalled.reason
    finish(there)
    assert images(there) == ["1 w:1", "2 w:1"]


def test_a_dependent_goes_after_what_it_depends_on() -> None:
    there = board()
    needs = {"db": Dependency(condition="started")}
    there.deploy(web=spec("w:1", depends_on=needs), db=spec("d:1", replicas=1))
    events = there.tell(accepted(2, web=spec("w:2", depends_on=needs), db=spec("d:2", replicas=1)))
    assert [(e.service, e.slots) for e in said(events, RolloutAdvanced)] == [("db", [1])]
    (held,) = said(events, RolloutHeld)
    assert (held.service, "db" in held.reason) == ("web", True)
    there.up(*events)
    finish(there)


# One after the other.


def test_a_second_deploy_supersedes_the_first_whose_slots_go_first() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    step(there)
    assert images(there)[:3] == ["1 w:2", "2 w:2", "3 w:1"]
    there.up(*there.tell(accepted(3, web=spec("w:3"))))
    assert rollout(there).old.revision == 1
    finish(there)
    assert steps(there)[3:] == [[1], [2], [3], [4]]
    assert images(there) == [f"{n} w:3" for n in range(1, 5)]


def test_what_was_about_to_relieve_is_given_up_for_the_older_one() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    assert images(there)[:2] == ["1 w:1", "1 w:2"]
    events = there.tell(accepted(3, web=spec("w:3")))
    assert [(e.slot, e.attempt) for e in said(events, ContainerRetired)] == [(1, 2)]
    there.up(*events)
    finish(there)
    assert images(there) == [f"{n} w:3" for n in range(1, 5)]


def test_a_superseded_one_that_crashes_makes_way_for_the_old_version() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    step(there)
    way = Strategy(kind="canary", promote="manual")
    there.up(*there.tell(accepted(3, web=spec("w:3", strategy=way))))
    assert steps(there)[-1] == [1]
    there.fail(there.container("web", 2))
    (asked,) = said(there.settle(), ContainerRequested)
    assert (asked.slot, asked.revision) == (2, 1)


def test_a_failure_of_the_second_goes_back_to_what_came_up_last() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    there.up(*there.tell(accepted(3, web=spec("w:3"))))
    there.fail(
        next(c for c in there.picture.on_node["a"].values() if c.revision == 3)
        if any(c.revision == 3 for c in there.picture.on_node["a"].values())
        else next(c for c in there.picture.on_node["b"].values() if c.revision == 3)
    )
    (reverted,) = said(there.up(*there.settle()), DeployReverted)
    assert (reverted.revision, reverted.to) == (3, 1)
    finish(there)
    assert images(there) == [f"{n} w:1" for n in range(1, 5)]


def test_on_a_single_host_the_newer_begins_beside_the_older() -> None:
    there = shop(nodes="a")
    there.say(accepted(2, web=spec("w:2")))
    finish(there)
    assert images(there) == [f"{n} w:2" for n in range(1, 5)]


def test_a_global_service_goes_node_by_node() -> None:
    there = board("abc")
    there.deploy(web=ServiceSpec(image="w:1", mode="global"))
    there.say(accepted(2, web=ServiceSpec(image="w:2", mode="global")))
    events = finish(there)
    assert all(e.moves for e in said(events, ContainerRequested))
    assert len(steps(there)) == 3
