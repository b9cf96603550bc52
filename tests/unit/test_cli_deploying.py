"""What a person sees of a deploy as it goes on, and how a deploy is rehearsed."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from segue.events import Event
from segue.events.container import ContainerAssigned
from segue.events.deploy import DeployRequested, Problem, RemovalRequested
from segue.events.image import ImagePulling
from segue.events.node import NodeLost
from segue.picture import Picture
from segue.shell.what_if import Question, answer, packed, unpacked
from segue.testing.stage import Stage
from segue_cli.asking import refused
from segue_cli.deploy import _judged, _late
from segue_cli.errors import FailedError, NotFoundError, TimedOutError
from segue_cli.plan import ServicePlan, planned
from segue_cli.progress import Progress
from segue_cli.rehearsal import Rehearsal, decisions, question
from segue_cli.screens import Lines
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler


def stage(*nodes: str) -> Stage:
    made = Stage(Deployer(), Scheduler())
    made.join(*(nodes or ("node-a", "node-b")))
    return made


def asked(**services: dict[str, Any]) -> DeployRequested:
    given = {name: {"image": "web:1"} | service for name, service in services.items()}
    return DeployRequested(app="shop", compose={"services": given})


def followed(made: Stage, event: DeployRequested) -> Progress:
    """Deploy, and give what somebody knows who has followed it."""
    progress = Progress("shop", copy(made))
    before = len(made.log)
    progress.request = made.ask(event).id
    for record in made.log[before:]:
        progress.take(record)
    return progress


def copy(made: Stage) -> Picture:
    other = Picture()
    other.restore(made.cores[0].picture.snapshot())
    return other


def take_rest(made: Stage, progress: Progress) -> None:
    for record in made.log[progress.picture.state.sequence :]:
        progress.take(record)


# Following.


def test_a_deploy_that_comes_up_is_completed() -> None:
    progress = followed(stage(), asked(web={"scale": 3}, db={}))
    assert progress.end == "completed"
    assert [(t.service, t.up, t.wanted) for t in progress.tallies()] == [
        ("db", 1, 1),
        ("web", 3, 3),
    ]
    assert progress.changes == 4


def test_a_deploy_that_changes_nothing_is_told_from_one_that_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = stage()
    followed(made, asked(web={}))
    progress = followed(made, asked(web={}))
    assert _judged(progress, Lines(progress)) is None
    assert capsys.readouterr().out == "shop: revision 2 is up: 1 slot, nothing had to change\n"


def test_a_deploy_is_rejected_with_all_its_problems() -> None:
    progress = followed(stage(), asked(web={"links": ["db"], "lins": 1}))
    error = _judged(progress, Lines(progress))
    assert error is not None
    assert error.code == 2
    assert "services.web.links" in str(error)
    assert "services.web.lins" in str(error)


def test_a_later_deploy_supersedes_one_that_is_not_up_yet() -> None:
    made = stage()
    made.silent |= {"node-a", "node-b"}
    progress = followed(made, asked(web={}))
    assert progress.end is None
    made.ask(asked(web={"image": "web:2"}))
    take_rest(made, progress)
    assert progress.end == "superseded"
    error = _judged(progress, Lines(progress))
    assert str(error) == "shop: revision 1 was superseded by revision 2"
    assert error is not None
    assert error.code == 1


def test_a_removal_supersedes_a_deploy() -> None:
    made = stage()
    made.silent |= {"node-a", "node-b"}
    progress = followed(made, asked(web={}))
    made.ask(RemovalRequested(app="shop"))
    take_rest(made, progress)
    assert str(_judged(progress, Lines(progress))) == (
        "shop: revision 1 was superseded by a removal"
    )


def test_a_failed_deploy_shows_the_last_words_of_what_blocks_it() -> None:
    made = stage()
    made.silent |= {"node-a", "node-b"}
    progress = followed(made, asked(web={"restart": "no"}))
    made.fail("shop/web.1", exit_code=3, logs=["no such table", "bye"])
    take_rest(made, progress)
    error = _judged(progress, Lines(progress))
    assert isinstance(error, FailedError)
    assert "revision 1 failed: web.1 failed" in str(error)
    assert "    | no such table\n    | bye" in str(error)
    assert "segue why shop/web.1" in error.hint


def test_the_hint_of_a_failed_deploy_names_the_slot_that_failed() -> None:
    made = stage()
    made.silent |= {"node-a", "node-b"}
    progress = followed(made, asked(app={"depends_on": ["web"]}, web={}))
    for _ in range(5):
        made.fail("shop/web.1", reason="image", exit_code=None, message="no such tag")
        made.later(30)
    take_rest(made, progress)
    error = _judged(progress, Lines(progress))
    assert isinstance(error, FailedError)
    assert "segue why shop/web.1" in error.hint
    first, *more = str(error).splitlines()
    assert not first.endswith(":")
    assert more == ["  web.1: its image could not be had: no such tag"]


def test_time_that_runs_out_says_what_is_still_missing() -> None:
    made = stage()
    made.silent |= {"node-a", "node-b"}
    deps = {"depends_on": ["web"]}
    big = {"deploy": {"resources": {"reservations": {"memory": "900g"}}}}
    progress = followed(made, asked(web={"scale": 1}, later=deps, big=big))
    error = _late(progress, 60.0)
    assert isinstance(error, TimedOutError)
    lines = str(error).splitlines()
    assert lines[0] == "not up within 60 s; the deploy goes on"
    assert lines[1].startswith("  big.1: pending: no node: 2 x not enough memory")
    assert lines[2] == "  later.1: waits for web"
    assert lines[3] == "  web.1: starting on node-a"


def test_a_request_that_nobody_answers_is_said_to_wait_for_the_deployer() -> None:
    error = _late(Progress("shop", Picture()), 5.0)
    assert error.code == 4
    assert "deployer" in str(error)
    assert "segue doctor" in error.hint


def test_a_pull_is_shown_with_how_far_it_is() -> None:
    made = stage("node-a")
    made.silent.add("node-a")
    progress = followed(made, asked(web={}))
    made.say(ImagePulling(node="node-a", image="web:1", done_bytes=40, total_bytes=100))
    take_rest(made, progress)
    assert progress.tallies()[0].missing[0].why == "pulling web:1 40% on node-a"


# Rehearsing.


def fits(message: bytes) -> bytes:
    """See that the bus takes it."""
    assert len(message) < 1 << 20
    return message


def asking(made: Stage) -> Any:
    """Let a rehearsal ask the stage's own cores, in the bytes that go over the bus."""
    cores = {core.service: core for core in made.cores}

    async def ask(service: str, events: Sequence[Event], later_s: float) -> list[Event]:
        wanted = msgspec.json.decode(unpacked(fits(question(events, later_s))), type=Question)
        given = msgspec.json.encode(answer(cores[service], wanted, made.now))
        return decisions(fits(packed(given)))

    return ask


async def rehearsed(made: Stage, event: DeployRequested) -> tuple[Rehearsal, list[ServicePlan]]:
    before, count = copy(made), len(made.log)
    rehearsal = Rehearsal(asking(made))
    await rehearsal.run(event)
    assert len(made.log) == count, "nothing happens by looking"
    return rehearsal, planned("shop", before, rehearsal) if rehearsal.accepted else []


def shown(plans: list[ServicePlan]) -> list[str]:
    return [f"{c.kind} {c.slot} {c.before}>{c.node}" for plan in plans for c in plan.changes]


async def test_a_first_deploy_is_all_new_in_the_order_of_its_dependencies() -> None:
    web = {"scale": 3, "depends_on": {"db": {"condition": "service_healthy"}}}
    db = {"healthcheck": {"test": ["CMD", "true"]}}
    rehearsal, plans = await rehearsed(stage(), asked(web=web, db=db))
    assert rehearsal.completes
    assert shown(plans) == [
        "new db.1 >node-a",
        "new web.1 >node-b",
        "new web.2 >node-a",
        "new web.3 >node-b",
    ]


async def test_what_is_rehearsed_is_what_then_happens() -> None:
    made = stage("node-a", "node-b", "node-c")
    made.ask(asked(web={"scale": 7}, db={}))
    change = asked(web={"image": "web:2", "scale": 5}, job={"deploy": {"mode": "global"}})
    rehearsal, _ = await rehearsed(made, change)
    before = len(made.log)
    made.ask(change)
    for _ in range(10):
        made.later(10)  # As long as each step is watched.
    real = [r.event for r in made.log[before:] if isinstance(r.event, ContainerAssigned)]
    foretold = [event for event in rehearsal.said if isinstance(event, ContainerAssigned)]
    assert {(e.service, e.slot) for e in foretold} == {(e.service, e.slot) for e in real}
    assert rehearsal.completes  # Of nodes that fit equally well another may be chosen by then.


async def test_a_rehearsal_goes_through_every_step_of_a_rollout() -> None:
    made = stage("node-a", "node-b", "node-c")
    made.ask(asked(web={"scale": 6}))
    rehearsal, plans = await rehearsed(made, asked(web={"image": "web:2", "scale": 6}))
    assert rehearsal.completes
    assert [change.kind for change in plans[0].changes] == ["replaced"] * 6


async def test_what_would_wait_for_a_word_is_told() -> None:
    made = stage()
    made.ask(asked(web={"scale": 2}))
    canary = {"rollout": {"strategy": "canary", "promote": "manual"}}
    rehearsal, _ = await rehearsed(
        made, asked(web={"image": "web:2", "scale": 2, "x-segue": canary})
    )
    assert not rehearsal.completes
    assert rehearsal.held == "the canary is ready; promote the new version, or abort"


async def test_a_change_replaces_removes_and_leaves_alone() -> None:
    made = stage()
    made.ask(asked(web={"scale": 3}, db={}, old={}))
    rehearsal, plans = await rehearsed(made, asked(web={"image": "web:2", "scale": 2}, db={}))
    assert rehearsal.completes
    by_name = {plan.service: plan for plan in plans}
    assert by_name["db"].unchanged == 1
    assert not by_name["db"].changes
    assert [c.kind for c in by_name["web"].changes] == ["replaced", "replaced", "removed"]
    assert by_name["web"].differences == ["image: web:1 → web:2", "replicas: 3 → 2"]
    assert [(c.kind, c.why) for c in by_name["old"].changes] == [("removed", "removed")]


async def test_nothing_is_planned_where_nothing_changes() -> None:
    made = stage()
    made.ask(asked(web={"scale": 2}, every={"deploy": {"mode": "global"}}))
    _, plans = await rehearsed(made, asked(web={"scale": 2}, every={"deploy": {"mode": "global"}}))
    assert [(p.service, p.changes, p.differences, p.unchanged) for p in plans] == [
        ("every", [], [], 2),
        ("web", [], [], 2),
    ]


async def test_what_no_node_can_take_is_told_with_the_reason_and_so_is_what_waits_for_it() -> None:
    big = {"deploy": {"resources": {"reservations": {"memory": "900g"}}}}
    rehearsal, plans = await rehearsed(stage(), asked(big=big, web={"depends_on": ["big"]}))
    assert not rehearsal.completes
    assert [(c.slot, c.kind) for p in plans for c in p.changes] == [
        ("big.1", "waiting"),
        ("web.1", "waiting"),
    ]
    assert "not enough memory" in plans[0].changes[0].why
    assert plans[1].changes[0].why == "waits for big"


async def test_a_lost_node_is_planned_around() -> None:
    made = stage()
    made.ask(asked(web={"scale": 2}))
    made.say(NodeLost(node="node-b", silent_s=3.0))
    _, plans = await rehearsed(made, asked(web={"scale": 4}))
    nodes = {change.node for plan in plans for change in plan.changes}
    assert nodes == {"node-a"}


async def test_a_deploy_of_many_slots_fits_in_the_questions_of_a_plan() -> None:
    small = {"deploy": {"resources": {"reservations": {"cpus": "0.0001", "memory": "1k"}}}}
    rehearsal, plans = await rehearsed(stage(), asked(web=small | {"scale": 1_500}))
    assert rehearsal.completes
    assert [change.kind for change in plans[0].changes] == ["new"] * 1_500


async def test_a_service_that_is_awaited_to_its_end_ends_in_a_rehearsal() -> None:
    done = {"condition": "service_completed_successfully"}
    rehearsal, plans = await rehearsed(stage(), asked(init={}, web={"depends_on": {"init": done}}))
    assert rehearsal.completes
    assert shown(plans) == ["new init.1 >node-a", "new web.1 >node-a"]


async def test_a_rejected_request_has_no_plan() -> None:
    rehearsal, _ = await rehearsed(stage(), asked(web={"links": ["db"]}))
    assert rehearsal.rejected is not None
    assert not rehearsal.said


async def test_values_of_variables_stay_out_of_a_plan() -> None:
    made = stage()
    made.ask(asked(web={"environment": {"TOKEN": "secret", "OLD": "x"}}))
    _, plans = await rehearsed(made, asked(web={"environment": {"TOKEN": "geheim", "NEW": "y"}}))
    assert plans[0].differences == [
        "environment.NEW added",
        "environment.OLD removed",
        "environment.TOKEN changed",
    ]


async def test_hundreds_of_slots_are_planned_a_part_at_a_time() -> None:
    rehearsal, plans = await rehearsed(stage(), asked(web={"scale": 900}))
    assert rehearsal.completes
    assert len(plans[0].changes) == 900


def test_a_request_about_what_is_not_there_is_not_found() -> None:
    error = refused([Problem(where="app", what="there is no app called x", hint="there are: y")])
    assert isinstance(error, NotFoundError)
    assert error.hint == "there are: y"
