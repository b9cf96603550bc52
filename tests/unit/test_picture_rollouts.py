"""What the picture knows of a service on its way from one version to another."""

from typing import Any

import pytest
from segue.core import Core
from segue.events.container import (
    ContainerFinished,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.deploy import DeployAccepted, DeployCompleted, DeployReverted, RemovalAccepted
from segue.events.image import ImagePulling
from segue.events.rollout import (
    RollbackRequested,
    RolloutAdvanced,
    RolloutCompleted,
    RolloutFailed,
    RolloutHeld,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutStalled,
    RolloutStarted,
)
from segue.events.scale import ScaleAccepted
from segue.picture.state import Rollout, Service
from segue.spec import Health, Restart, ServiceSpec, Update
from segue.testing.shop import APP, Shop, accepted
from segue_deployer.core import Deployer

NAMES: dict[str, Any] = {"app": APP, "service": "web"}


def spec(image: str, **more: Any) -> ServiceSpec:
    return ServiceSpec(image=image, **{"replicas": 2, **more})


def came_up(revision: int = 1) -> DeployCompleted:
    return DeployCompleted(app=APP, revision=revision, slots=2, took_s=1.0)


def shop(**more: Any) -> Shop:
    """Give an app whose first revision has come up with two slots of w:1."""
    made = Shop(Core())
    made.say(accepted(1, web=spec("w:1", **more)))
    for number in (1, 2):
        made.run(made.ask("web", number))
    made.say(came_up())
    return made


def service(shop: Shop) -> Service:
    return shop.picture.apps[APP].services["web"]


def rollout(shop: Shop) -> Rollout:
    found = service(shop).rollout
    assert found is not None
    return found


def advance(shop: Shop, *slots: int) -> ContainerRequested:
    """Let slots go to the new version, and ask for it in the last of them."""
    shop.say(RolloutAdvanced(**NAMES, slots=[*slots], done=0, total=2))
    old = shop.container("web", slots[-1])
    asked = shop.ask("web", slots[-1], old.attempt + 1, moves=old.attempt)
    shop.assign(asked)
    return asked


def test_a_deploy_that_changes_what_runs_opens_a_rollout() -> None:
    there = shop()
    before = service(there).digest
    there.say(accepted(2, web=spec("w:2")))
    found = rollout(there)
    assert (found.old.digest, found.old.revision, found.old.spec.image) == (before, 1, "w:1")
    assert not found.advanced
    assert not found.back


def test_one_that_changes_nothing_that_runs_opens_none() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:1", replicas=5)))
    assert service(there).rollout is None


@pytest.mark.parametrize(
    "changed",
    [
        spec("w:2", mode="replicated-job"),
        spec("w:2", mode="global"),
    ],
)
def test_what_has_slots_of_another_kind_begins_anew(changed: ServiceSpec) -> None:
    there = shop()
    there.say(accepted(2, web=changed))
    assert service(there).rollout is None


def test_what_never_came_up_is_not_gone_back_to() -> None:
    there = Shop(Core())
    there.say(accepted(1, web=spec("w:1")))
    there.run(there.ask("web"))
    there.say(accepted(2, web=spec("w:2")))
    assert service(there).rollout is None


def test_where_nothing_works_there_is_nothing_to_go_slowly_for() -> None:
    there = shop()
    for number in (1, 2):
        there.fail(there.container("web", number))
    there.say(accepted(2, web=spec("w:2")))
    assert service(there).rollout is None


def test_a_second_deploy_supersedes_and_keeps_what_came_up_last() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    second = service(there).digest
    advance(there, 1)
    there.say(accepted(3, web=spec("w:3")))
    found = rollout(there)
    assert found.old.revision == 1
    assert [one.image for one in found.superseded.values()] == ["w:2"]
    assert [*found.superseded] == [second]
    assert not found.advanced


def test_the_same_deploy_again_goes_on_and_forgives() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    asked = advance(there, 1)
    there.fail(asked, "a")
    there.say(RolloutFailed(**NAMES, reason="x", slot=1, attempt=2, failed=1, total=2))
    assert rollout(there).verdict is not None
    there.say(accepted(3, web=spec("w:2")))
    found = rollout(there)
    assert (found.verdict, found.failed, [*found.advanced]) == (None, {}, [1])


def test_going_back_leaves_what_was_given_up_to_be_replaced() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    given_up = service(there).digest
    there.tells(ContainerStarted, advance(there, 1), engine_id="e")
    there.say(DeployReverted(app=APP, revision=2, to=1, reason="it fails"))
    assert there.picture.apps[APP].reverted is not None
    again = accepted(3, web=spec("w:1"))
    there.say(DeployAccepted(app=APP, revision=3, spec=again.spec, restores=1))
    found = rollout(there)
    assert found.back
    assert found.old.digest == service(there).digest
    assert [*found.superseded] == [given_up]
    assert there.picture.apps[APP].reverted is None
    assert there.picture.apps[APP].restores == 1


def test_a_failure_soon_after_the_start_counts_once_for_each_slot() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    asked = advance(there, 1)
    there.tells(ContainerStarted, asked, engine_id="e")
    there.now += 9
    there.fail(asked, "a", message="boom", logs=["last words"])
    found = rollout(there)
    assert [*found.failed] == [1]
    assert found.failure is not None
    assert (found.failure.exit_code, found.failure.message) == (1, "boom")
    assert found.failure.logs == ["last words"]


def test_one_that_worked_for_long_enough_was_good() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    asked = advance(there, 1)
    there.tells(ContainerStarted, asked, engine_id="e")
    there.now += 10
    there.fail(asked, "a")
    assert not rollout(there).failed


def test_with_a_health_check_the_time_counts_from_its_first_word() -> None:
    there = shop()
    health = Health(test=["CMD", "x"])
    there.say(accepted(2, web=spec("w:2", health=health, update=Update(monitor_s=5))))
    asked = advance(there, 1)
    there.tells(ContainerStarted, asked, engine_id="e")
    there.now += 60
    there.tells(ContainerHealthy, asked)
    assert rollout(there).ready_at == there.now
    there.now += 4
    there.fail(asked, "a")
    assert [*rollout(there).failed] == [1]


@pytest.mark.parametrize("reason", ["node.lost", "rejected", "fenced", "vanished"])
def test_what_the_world_did_is_no_failure_of_the_version(reason: Any) -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    there.fail(advance(there, 1), "a", reason=reason, exit_code=None)
    assert not rollout(there).failed


@pytest.mark.parametrize(("final", "counts"), [(True, [1]), (False, [])])
def test_an_image_that_may_yet_come_is_no_failure(*, final: bool, counts: list[int]) -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    there.fail(advance(there, 1), "a", reason="image", exit_code=None, final=final)
    assert [*rollout(there).failed] == counts


@pytest.mark.parametrize(("condition", "counts"), [("any", [1]), ("on-failure", [])])
def test_what_ends_well_fails_only_where_it_may_not_end(condition: Any, counts: list[int]) -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", restart=Restart(condition=condition))))
    there.tells(ContainerFinished, advance(there, 1), "a")
    assert [*rollout(there).failed] == counts


def test_what_the_old_version_does_counts_for_nothing() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    there.fail(there.container("web", 1))
    assert not rollout(there).failed


def test_what_was_told_to_go_does_not_fail() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    asked = advance(there, 1)
    there.tells(ContainerRetired, asked, "a", reason="superseded")
    there.fail(asked, "a")
    assert not rollout(there).failed


def test_steps_and_pulls_are_progress_and_being_ready_is_it_once() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    begun = rollout(there).progressed_at
    there.now += 5
    started = RolloutStarted(
        **NAMES,
        revision=2,
        previous=1,
        strategy="rolling",
        order="start-first",
        parallelism=1,
        total=2,
    )
    there.say(started)
    assert (rollout(there).strategy, rollout(there).progressed_at) == ("rolling", begun + 5)
    asked = advance(there, 1)
    there.now += 60
    there.say(ImagePulling(node="a", image="w:2", done_bytes=1, total_bytes=2))
    assert rollout(there).progressed_at == there.now
    there.tells(ContainerStarted, asked, engine_id="e")
    ready = there.now
    there.now += 5
    there.fail(asked, "a")
    again = there.ask("web", 1, 3)
    there.run(again)
    found = rollout(there)
    assert (found.progressed_at, found.ready_at) == (ready, there.now)


@pytest.mark.parametrize(
    ("action", "judged"), [("rollback", True), ("pause", True), ("continue", False)]
)
def test_a_stall_is_judged_or_passed_over_as_its_service_wants(
    action: Any, *, judged: bool
) -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", update=Update(failure_action=action))))
    advance(there, 1)
    there.say(RolloutStalled(**NAMES, reason="web.1 waits", slots=[1]))
    assert (rollout(there).verdict is not None) is judged
    assert ([*rollout(there).skipped] == [1]) is not judged


def test_people_pause_resume_and_promote() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    there.say(RolloutHeld(**NAMES, reason="it waits"))
    assert rollout(there).held == "it waits"
    there.say(RolloutPaused(app=APP, services=["web", "ghost"]))
    assert rollout(there).paused
    there.say(RolloutStalled(**NAMES, reason="x"))
    there.say(RolloutResumed(app=APP, services=["web"]))
    assert (rollout(there).paused, rollout(there).verdict) == (False, None)
    there.say(RolloutPromoted(app=APP, services=["web"]))
    assert rollout(there).promoted
    there.say(RolloutCompleted(**NAMES, slots=2))
    assert service(there).rollout is None


def test_who_goes_back_keeps_the_number_of_slots_that_was_asked_for_since() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", replicas=7)))
    assert there.picture.apps[APP].completed == {1: {"web": 2}}
    there.say(ScaleAccepted(**NAMES, replicas=4, previous=7))
    assert there.picture.apps[APP].completed == {1: {"web": 4}}


def test_the_last_ten_revisions_that_came_up_are_kept() -> None:
    there = shop()
    for revision in range(2, 14):
        there.say(accepted(revision, web=spec("w:1", labels={"n": str(revision)})))
        if revision != 5:
            there.say(came_up(revision))
    app = there.picture.apps[APP]
    assert [*app.completed] == [3, 4, 6, 7, 8, 9, 10, 11, 12, 13]
    assert {*app.completed} <= app.specs.keys()
    assert 5 not in app.specs


def test_a_removal_ends_it() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    there.say(RemovalAccepted(app=APP))
    assert service(there).rollout is None


def test_what_waits_is_known_by_the_revision_that_is_gone_back_to() -> None:
    """A node that runs nothing of the app has to know what the old version is made of."""
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    old = rollout(there).old
    for number in (1, 2):
        there.tells(ContainerRetired, there.container("web", number), reason="moved")
        there.tells(ContainerStopped, there.container("web", number))
    event = ContainerRequested(**NAMES, slot=1, attempt=2, revision=old.revision, digest=old.digest)
    there.say(event)
    known = there.picture.spec(there.container("web"))
    assert known is not None
    assert known.image == "w:1"


def test_the_streak_of_a_version_goes_on_over_the_older_one_that_fills_in() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", update=Update(failure_action="continue"))))
    for attempt in (2, 3):
        there.fail(advance(there, 1), "a")
        assert there.container("web").attempt == 1, "the older one goes on"
        assert there.slot("web").streak == attempt - 1


def test_a_rollback_waits_for_the_deployer() -> None:
    there = shop()
    there.say(RollbackRequested(app=APP))
    (request,) = there.picture.state.requests.values()
    assert request.type == "rollback.requested"


@pytest.mark.parametrize("to", [0, 1, 7])
def test_what_never_came_up_is_not_restored_whatever_anybody_says(to: int) -> None:
    made = Shop(Deployer())
    made.say(accepted(1, web=spec("w:1")))
    made.say(DeployReverted(app=APP, revision=1, to=to, reason="nonsense", blocking=[]))
    assert made.picture.apps[APP].reverted is None
    assert not any(isinstance(event, DeployAccepted) for event in made.settle())
