"""What the command line shows of rollouts and revisions, and in which words."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="union-attr"

import pytest
from msgspec.structs import replace
from segue.envelope import Record
from segue.events import Event
from segue.events.container import ContainerUnhealthy
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployFailed,
    DeployReverted,
    RemovalAccepted,
)
from segue.events.rollout import (
    RolloutAbortRequested,
    RolloutAdvanced,
    RolloutFailed,
    RolloutHeld,
    RolloutPaused,
    RolloutStalled,
    RolloutStarted,
)
from segue.spec import AppSpec, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_cli import revisions, rollout, rows
from segue_cli.progress import Progress
from segue_cli.story import tell
from segue_deployer.core import Deployer

WAY = {"strategy": "rolling", "order": "start-first", "parallelism": 1, "total": 3}
BAD = "web.2 exited with code 1"


def app(version: int, replicas: int = 3) -> ServiceSpec:
    return ServiceSpec(image=f"web:{version}", replicas=replicas)


def rolling() -> Shop:
    """A shop whose second revision is on its way in one of three slots."""
    shop = Shop(Deployer())
    shop.say(accepted(1, web=app(1)))
    for slot in (1, 2, 3):
        shop.run(shop.ask("web", slot))
    shop.say(DeployCompleted(app="shop", revision=1, slots=3, took_s=2.0))
    shop.say(accepted(2, web=app(2)))
    shop.say(RolloutStarted(app="shop", service="web", revision=2, previous=1, **WAY))  # type: ignore[arg-type]  # One mapping of several types.
    shop.say(RolloutAdvanced(app="shop", service="web", slots=[2], done=0, total=3))
    return shop


def record_of(event: Event, sequence: int = 1) -> Record:
    origin = "/segue/deployer/1"
    return Record(sequence=sequence, time=0.0, event=event, id="i", source=origin, correlation="i")


def said(event: Event) -> tuple[str, list[str]]:
    told = tell(record_of(event))
    return told.point, told.details


def test_a_rollout_is_shown_with_how_far_it_is() -> None:
    (row,) = rollout.rows(rolling().picture)
    assert (row.service, row.previous, row.revision) == ("shop/web", 1, 2)
    assert (row.strategy, row.state, row.done, row.of, row.ready) == (
        "rolling",
        "going on",
        1,
        3,
        0,
    )
    assert list(rollout.rows(rolling().picture, "shop", "db")) == []


@pytest.mark.parametrize(
    ("event", "state", "note"),
    [
        (RolloutHeld(app="shop", service="web", reason="10 s to go"), "waiting", "10 s to go"),
        (RolloutPaused(app="shop", services=["web"]), "paused", ""),
        (
            RolloutStalled(app="shop", service="web", reason="no room", slots=[2]),
            "stalled",
            "no room",
        ),
        (
            RolloutFailed(
                app="shop", service="web", reason=BAD, slot=2, attempt=2, failed=1, total=3
            ),
            "failed",
            BAD,
        ),
    ],
)
def test_what_it_waits_for_is_shown_beside_it(event: Event, state: str, note: str) -> None:
    shop = rolling()
    shop.say(event)
    (row,) = rollout.rows(shop.picture)
    assert (row.state, row.note) == (state, note)


def test_a_slot_that_waits_for_its_turn_says_what_all_wait_for() -> None:
    shop = rolling()
    shop.say(RolloutHeld(app="shop", service="web", reason="10 s to go"))
    (tally,) = Progress("shop", shop.picture).tallies()
    why = {one.slot: one.why for one in tally.missing}
    assert why["web.1"] == why["web.3"] == "waits for its turn: 10 s to go"
    assert why["web.2"] == "to be replaced"
    (row,) = rows.services(shop.picture)
    assert (row.state, row.note) == ("updating", "0 of 3 run the new revision; 10 s to go")


def test_steps_are_told_so_that_their_reasons_stand_first() -> None:
    failed = RolloutFailed(
        app="shop",
        service="web",
        reason=BAD,
        slot=2,
        attempt=2,
        exit_code=1,
        output="http 10.0.0.2:80/: 503",
        logs=["no database"],
        failed=1,
        total=3,
    )
    point, details = said(failed)
    assert point == f"the new version fails, last in web.2, code 1: {BAD}"
    assert details == ["http 10.0.0.2:80/: 503", "| no database"]
    reverted = DeployReverted(app="shop", revision=2, to=1, reason=BAD, blocking=["web.2"])
    assert said(reverted) == (f"revision 2 is taken back to 1: {BAD}", ["because of web.2"])
    again = DeployAccepted(app="shop", revision=3, restores=1, spec=AppSpec({"web": app(1)}))
    assert said(again)[0] == "accepted as revision 3, which restores revision 1: web x 3"
    many = RolloutAdvanced(app="shop", service="web", slots=list(range(1, 11)), done=0, total=99)
    assert said(many)[0].startswith("now web.1, web.2")
    assert "and 2 more" in said(many)[0]
    asked = RolloutAbortRequested(app="shop", service="web")
    assert said(asked)[0] == "asked for it to be as it was, web only"
    ill = ContainerUnhealthy(
        app="shop", service="web", slot=1, attempt=1, node="a", streak=3, probe="readiness"
    )
    assert said(ill)[0] == "its readiness probe failed 3 times in a row"


def test_revisions_are_shown_with_what_they_changed_and_how_they_ended() -> None:
    shop = rolling()
    shop.say(DeployReverted(app="shop", revision=2, to=1, reason=BAD))
    shop.say(DeployAccepted(app="shop", revision=3, restores=1, spec=AppSpec({"web": app(1)})))
    found = revisions.rows(shop.picture, "shop", shop.log)
    assert [(row.revision, row.state, row.note) for row in found] == [
        (1, "came up", "in 2 s"),
        (2, "taken back", f"to revision 1: {BAD}"),
        (3, "under way", "restores revision 1"),
    ]
    assert [row.images for row in found] == [{"web": f"web:{n}"} for n in (1, 2, 1)]
    assert [row.restorable for row in found] == [True, False, False]
    shop.say(accepted(4, web=app(4)))
    shop.say(DeployFailed(app="shop", revision=4, reason="no room"))
    shop.say(accepted(5, web=app(5)))
    shop.say(RemovalAccepted(app="shop"))
    states = [row.state for row in revisions.rows(shop.picture, "shop", shop.log)]
    assert states == ["came up", "taken back", "superseded", "failed", "removed"]


def test_revisions_that_the_log_has_lost_are_shown_as_far_as_they_are_known() -> None:
    shop = rolling()
    tail = [record for record in shop.log if record.sequence > len(shop.log) - 2]
    (row,) = revisions.rows(shop.picture, "shop", tail)
    assert (row.revision, row.state, row.since, row.restorable) == (1, "came up", None, True)


def test_a_deploy_that_is_taken_back_has_ended_and_says_why() -> None:
    shop = rolling()
    progress = Progress("shop", shop.picture)
    progress.revision = 2
    event = DeployReverted(app="shop", revision=2, to=1, reason=BAD, blocking=["web.2"])
    record = record_of(event, len(shop.log) + 1)
    assert progress.take(record)
    assert (progress.end, progress.blocking()) == ("reverted", [("web.2", None)])


def test_what_was_taken_back_is_shown_beside_what_runs_until_the_next_deploy() -> None:
    shop = rolling()
    shop.say(DeployReverted(app="shop", revision=2, to=1, reason=BAD, blocking=["web.2"]))
    shop.say(replace(accepted(3, web=app(1)), restores=1))
    shop.say(DeployCompleted(app="shop", revision=3, slots=3, took_s=0.1))
    assert [row.note for row in rows.services(shop.picture)] == [
        f"revision 2 was taken back: {BAD}"
    ]
    shop.say(accepted(4, web=app(1)))
    shop.say(DeployCompleted(app="shop", revision=4, slots=3, took_s=0.1))
    assert [row.note for row in rows.services(shop.picture)] == [""]
