"""What a rollout says of each of its steps: whole events, their words and what they follow from."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerFinished,
    ContainerStopped,
    ContainerUnhealthy,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.deploy import DeployAccepted
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutFailed,
    RolloutHeld,
    RolloutStalled,
    RolloutStarted,
)
from segue.spec import Dependency, Resources, Restart, ServiceSpec, Strategy, Update
from segue.testing.shop import APP, MIB, Shop, accepted
from segue.testing.versions import CHECK, board, said, shop, spec, step

STRICT = "a slot of it may never run twice"
NEVER = Restart(condition="none")


def caused_by(there: Shop, kind: type[Event]) -> Event:
    """Give what the newest event of a kind follows from."""
    newest = [record for record in there.log if isinstance(record.event, kind)][-1]
    (cause,) = [record for record in there.log if record.id == newest.cause]
    return cause.event


def waiting(more: dict[str, Any] | None = None, **old: Any) -> Shop:
    """Give a rollout whose first container has its node and does not begin."""
    there = shop(**old)
    there.tell(accepted(2, web=spec("w:2", **(old if more is None else more))))
    return there


def stalled(there: Shop, seconds: float = 301.0) -> str:
    there.now += seconds
    (event,) = said(there.settle(), RolloutStalled)
    return event.reason


# How it begins.


def test_a_rollout_says_from_which_revision_to_which_it_goes_and_how() -> None:
    there = shop()
    (started, *_) = there.tell(accepted(2, web=spec("w:2")))
    assert started == RolloutStarted(
        app=APP,
        service="web",
        revision=2,
        previous=1,
        strategy="rolling",
        order="start-first",
        parallelism=1,
        total=4,
    )
    assert isinstance(caused_by(there, RolloutStarted), DeployAccepted)


@pytest.mark.parametrize(
    ("old", "new", "way"),
    [
        ({"strict": True}, {}, ("rolling", "stop-first", STRICT, 1)),
        ({}, {"strict": True}, ("rolling", "stop-first", STRICT, 1)),
        (
            {},
            {"strict": True, "strategy": Strategy(kind="canary")},
            ("canary", "stop-first", STRICT, 1),
        ),
        (
            {},
            {"strategy": Strategy(kind="canary"), "update": Update(order="stop-first")},
            ("canary", "stop-first", "", 1),
        ),
        (
            {},
            {"strategy": Strategy(kind="blue_green"), "update": Update(order="stop-first")},
            ("blue_green", "start-first", "blue_green needs start-first", 4),
        ),
        (
            {"strict": True},
            {"strategy": Strategy(kind="blue_green"), "update": Update(order="stop-first")},
            ("rolling", "stop-first", STRICT, 1),
        ),
        (
            {},
            {"strict": True, "update": Update(order="stop-first")},
            ("rolling", "stop-first", "", 1),
        ),
        (
            {"strict": True},
            {"strategy": Strategy(kind="blue_green")},
            ("rolling", "stop-first", STRICT, 1),
        ),
        ({}, {"strategy": Strategy(kind="blue_green")}, ("blue_green", "start-first", "", 4)),
        ({}, {"update": Update(parallelism=0)}, ("rolling", "start-first", "", 4)),
    ],
)
def test_what_cannot_be_done_as_asked_is_done_as_it_can_be_and_says_why(
    old: dict[str, Any], new: dict[str, Any], way: tuple[str, str, str, int]
) -> None:
    there = shop(**old)
    there.tell(accepted(2, web=spec("w:2", **new)))
    (started,) = there.all(RolloutStarted)
    assert (started.strategy, started.order, started.reason, started.parallelism) == way


def test_the_way_back_is_step_by_step_whatever_the_way_there_was() -> None:
    there = shop(strategy=Strategy(kind="blue_green"))
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=Strategy(kind="canary")))))
    step(there)
    there.fail(there.container("web", 2))
    there.settle()
    assert [one.strategy for one in there.all(RolloutStarted)] == ["canary", "rolling"]


# What goes wrong.


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "web.1 exited with code 1"),
        ({"message": " no such file\n"}, "web.1 exited with code 1: no such file"),
        ({"reason": "unhealthy", "exit_code": None}, "web.1 unhealthy"),
        ({"reason": "create", "exit_code": None, "message": "no"}, "web.1 create: no"),
    ],
)
def test_a_failure_says_which_slot_failed_with_what(more: dict[str, Any], words: str) -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    record = there.fail(there.container("web"), logs=["a", "b"], **more)
    (failed,) = said(there.settle(), RolloutFailed)
    assert failed == RolloutFailed(
        app=APP,
        service="web",
        reason=words,
        slot=1,
        attempt=2,
        exit_code=more.get("exit_code", 1),
        output=more.get("message", ""),
        logs=["a", "b"],
        failed=1,
        total=4,
    )
    assert caused_by(there, RolloutFailed) == record.event


def test_the_share_that_may_fail_is_of_all_slots_also_of_a_single_one() -> None:
    there = shop(replicas=1)
    there.up(
        *there.tell(accepted(2, web=spec("w:2", replicas=1, update=Update(max_failure_ratio=0.5))))
    )
    there.fail(there.container("web"))
    assert said(there.settle(), RolloutFailed)


@pytest.mark.parametrize(("late_s", "waited_s"), [(0.0, 300.0), (0.12345, 300.123)])
def test_a_rollout_stalls_at_its_deadline_to_the_second_and_says_how_long_it_waited(
    late_s: float, waited_s: float
) -> None:
    there = waiting()
    newer = there.container("web")
    there.now += 299.5
    assert there.settle() == []
    there.now += 0.5 + late_s
    (event,) = said(there.settle(), RolloutStalled)
    assert event == RolloutStalled(
        app=APP,
        service="web",
        reason=f"web.1 has not started on {newer.node}",
        slots=[1],
        waited_s=waited_s,
    )
    assert isinstance(caused_by(there, RolloutStalled), RolloutAdvanced)


def test_what_a_failure_holds_says_which_failure() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", update=Update(failure_action="pause")))))
    there.fail(there.container("web"))
    there.settle()
    assert [held.reason for held in there.all(RolloutHeld)] == ["web.1 exited with code 1"]


def test_of_two_that_wait_the_second_is_counted() -> None:
    there = shop()
    there.tell(accepted(2, web=spec("w:2", update=Update(parallelism=2))))
    assert stalled(there).endswith(", and 1 more wait")


def test_of_very_many_that_wait_a_hundred_are_listed_and_all_counted() -> None:
    more = {"replicas": 102, "health": CHECK, "update": Update(parallelism=0)}
    there = shop(replicas=102)
    there.up(*there.tell(accepted(2, web=spec("w:2", **more))))
    assert stalled(there).endswith(", and 101 more wait")
    assert there.all(RolloutStalled)[0].slots == [*range(1, 101)]


def test_what_failed_before_is_told_with_how_often_and_how() -> None:
    there = waiting()
    words = (("failed once: no route", 7), ("failed 2 times, the last time: image", None))
    for told, code in words:
        message = "no route" if code else ""
        there.fail(there.container("web"), reason="image", message=message, exit_code=code)
        there.now += 70
        there.settle()
        shown = f" with code {code}" if code else ""
        newer = there.container("web")
        state = f"has not started on {newer.node}"
        assert _waits(there) == f"web.1 {told}{shown}; now it {state}"


def _waits(there: Shop) -> str:
    """Tell what it would stall for now, and let it go on as it was."""
    known = there.picture.snapshot()
    there.now += 301
    (decision,) = there.cores[0].decide(there.now)
    there.now -= 301
    there.picture.restore(known)
    there.settle()
    assert isinstance(decision.event, RolloutStalled)
    return decision.event.reason


def test_what_the_older_version_failed_with_is_not_told_of_the_newer_one() -> None:
    stop = Update(order="stop-first")
    there = shop(update=stop, restart=Restart(condition="any"))
    there.fail(there.container("web", 1), reason="node.lost", exit_code=None)
    there.up(*there.settle())
    there.tell(accepted(2, web=spec("w:2", update=stop)))
    old = there.container("web", 1)
    assert stalled(there) == f"web.1 still runs the older version on {old.node}"


def test_what_has_ended_for_good_says_how() -> None:
    passes = Update(failure_action="continue", order="stop-first")
    for message in ("no such file", ""):
        there = shop()
        more = {"restart": NEVER, "update": passes, "health": CHECK}
        there.up(*there.tell(accepted(2, web=spec("w:2", **more))))
        there.fail(there.container("web"), message=message, exit_code=2)
        told = message or "exited"
        assert stalled(there) == f"web.1 failed once: {told} with code 2; now it ended: {told}"


def test_what_ended_well_though_it_was_to_stay_says_so() -> None:
    there = waiting({"update": Update(failure_action="continue")})
    there.tells(ContainerFinished, there.container("web"))
    there.now += 70
    there.settle()
    words = "web.1 failed once: finished with code 0; now it has not started on"
    assert stalled(there) == f"{words} {there.container('web').node}"


def test_who_was_stopped_and_cannot_begin_for_its_dependency_says_so() -> None:
    needs = {"db": Dependency()}
    stop, db = Update(order="stop-first"), ServiceSpec(image="d", restart=NEVER)
    there = board()
    there.deploy(web=spec("w:1", depends_on=needs, update=stop), db=db)
    there.tell(accepted(2, web=spec("w:2", depends_on=needs, update=stop), db=db))
    there.fail(there.container("db"))
    there.tells(ContainerStopped, there.container("web"))
    assert stalled(there) == "web.1 has not begun: what it depends on is not there"


@pytest.mark.parametrize(
    ("new", "helps"),
    [
        (Resources(1_000, 64 * MIB), True),
        (Resources(999, 63 * MIB), True),
        (Resources(1_001, 64 * MIB), False),
        (Resources(1_000, 65 * MIB), False),
    ],
)
def test_to_stop_the_older_one_first_is_advised_where_the_newer_fits_in_its_place(
    new: Resources, *, helps: bool
) -> None:
    there = shop(resources=Resources(1_000, 64 * MIB))
    there.tell(accepted(2, web=spec("w:2", resources=new)))
    refused = [Refusal("not enough CPU", 1), Refusal("node is cordoned", 1)]
    newer = there.container("web")
    there.say(_unplaced(there, newer.attempt, refused))
    hint = "; with order: stop-first the older one would make room" if helps else ""
    assert stalled(there) == f"web.1 finds no node: not enough CPU; node is cordoned{hint}"


def _unplaced(there: Shop, attempt: int, refused: list[Refusal]) -> ContainerUnplaceable:
    """Take an assignment back, as if none had been possible."""
    newer = there.container("web")
    there.picture.vacate(newer)
    newer.phase, newer.node = "requested", ""
    return ContainerUnplaceable(app=APP, service="web", slot=1, attempt=attempt, refused=refused)


def test_which_probe_fails_is_said() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", health=CHECK))))
    newer = there.container("web")
    there.tells(ContainerUnhealthy, newer, streak=1, output="503", probe="readiness")
    words = f"web.1 is not healthy on {newer.node}, its readiness fails: 503"
    assert stalled(there) == words


def test_without_a_word_of_its_check_only_the_node_is_named() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2", health=CHECK))))
    assert stalled(there) == f"web.1 is not healthy on {there.container('web').node}"
