"""How a service goes from one version to another, step by step."""

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
)
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeDrainRequested, NodeLost
from segue.events.rollout import (
    RolloutAdvanced,
    RolloutCompleted,
    RolloutStarted,
)
from segue.events.scale import ScaleRequested
from segue.spec import (
    Dependency,
    Mount,
    Placement,
    Port,
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
    service,
    shop,
    spec,
    step,
    steps,
)

DATA = [Mount(kind="volume", source="data", target="/data")]


# Step by step.


def test_the_newer_begins_first_and_relieves_the_older_once_it_is_trusted() -> None:
    there = shop()
    events = there.up(*there.tell(accepted(2, web=spec("w:2"))))
    (started,) = said(events, RolloutStarted)
    assert (started.strategy, started.order, started.parallelism) == ("rolling", "start-first", 1)
    assert (started.revision, started.previous, started.total) == (2, 1, 4)
    (asked,) = said(events, ContainerRequested)
    assert (asked.slot, asked.moves, asked.revision) == (1, 1, 2)
    assert images(there) == ["1 w:1", "1 w:2", "2 w:1", "3 w:1", "4 w:1"]
    assert step(there, 9) == [], "it is not trusted yet"
    events = step(there, 1)
    (retired,), (stepped,) = said(events, ContainerRetired), said(events, RolloutAdvanced)
    assert (retired.slot, retired.attempt, retired.reason) == (1, 1, "replaced")
    assert (stepped.slots, stepped.done, stepped.total) == ([2], 1, 4)
    finish(there)
    assert steps(there) == [[1], [2], [3], [4]]
    assert images(there) == ["1 w:2", "2 w:2", "3 w:2", "4 w:2"]
    assert service(there).rollout is None


def test_a_deploy_is_completed_only_with_its_last_rollout() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2")))
    events = finish(there)
    assert [type(event) for event in events[-2:]] == [RolloutCompleted, DeployCompleted]
    assert [event.slots for event in said(events, RolloutCompleted)] == [4]


def test_many_go_at_once_where_many_may() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", update=Update(parallelism=3))))
    finish(there)
    assert steps(there) == [[1, 2, 3], [4]]


def test_the_delay_is_kept_between_steps() -> None:
    there = shop(replicas=2)
    there.say(accepted(2, web=spec("w:2", replicas=2, update=Update(delay_s=30, monitor_s=5))))
    step(there, 0)
    assert said(step(there, 5), ContainerRetired), "what is relieved does not wait for it"
    assert steps(there) == [[1]]
    step(there, 24)
    assert steps(there) == [[1]]
    step(there, 1)
    assert steps(there) == [[1], [2]]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"strict": True}, "twice"),
        ({"mounts": DATA}, "data"),
        ({"ports": [Port(target=80, published=8080, mode="host")]}, "8080"),
        ({"update": Update(order="stop-first")}, ""),
    ],
)
def test_what_cannot_run_twice_is_stopped_first(more: dict[str, Any], why: str) -> None:
    there = shop(nodes="abcd", **more)
    there.say(accepted(2, web=spec("w:2", **more)))
    events = there.settle()
    (started,) = said(events, RolloutStarted)
    assert started.order == "stop-first"
    assert why in started.reason
    (retired,) = said(events, ContainerRetired)
    assert (retired.slot, retired.reason) == (1, "replaced")
    there.up(*events)
    assert [line for line in images(there) if line.startswith("1")] == ["1 w:2"]
    finish(there)
    assert steps(there) == [[1], [2], [3], [4]]


def test_no_more_are_stopped_than_can_be_spared() -> None:
    stop = Update(order="stop-first")
    there = shop(update=stop)
    failed = there.container("web", 4)
    there.fail(failed, reason="node.lost", exit_code=None)
    (asked,) = said(there.settle(), ContainerRequested)
    events = there.tell(accepted(2, web=spec("w:2", update=stop)))
    assert steps(there) == [[4]], "what does not work goes first"
    assert asked.slot == 4
    assert [e.slot for e in said(events, ContainerRetired)] == [4]


def test_a_step_waits_until_all_of_it_are_ready() -> None:
    there = shop()
    there.say(accepted(2, web=spec("w:2", health=CHECK, update=Update(parallelism=2))))
    step(there, 0)
    there.tells(ContainerHealthy, there.container("web", 1))
    assert step(there, 60) == []
    there.tells(ContainerHealthy, there.container("web", 2))
    assert step(there, 9) == []
    assert [e.slot for e in said(step(there, 1), ContainerRetired)] == [1, 2]


def test_a_step_takes_no_room_before_what_others_have_left_is_told_to_go() -> None:
    """Seed 910864: a slot had both versions still when the rollout that led it was superseded."""
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    step(there)
    step(there)
    there.up(*there.tell(accepted(3, web=spec("w:1"))))
    assert images(there) == ["1 w:2", "1 w:1", "2 w:2", "3 w:1", "4 w:1"]
    there.say(accepted(4, web=spec("w:3")))
    events = there.tell(accepted(5, web=spec("w:1")))
    (retired,), (stepped,) = said(events, ContainerRetired), said(events, RolloutAdvanced)
    assert (retired.slot, retired.attempt, stepped.slots) == (1, 2, [2])
    assert events.index(retired) < events.index(stepped)


# What the old ones do meanwhile.


def test_a_slot_that_was_not_advanced_is_restarted_as_the_old_version() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.fail(there.container("web", 3))
    (asked,) = said(there.settle(), ContainerRequested)
    assert (asked.slot, asked.revision) == (3, 1)
    assert asked.digest == rollout(there).old.digest


def test_slots_added_meanwhile_begin_as_the_old_version_and_follow() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=6)))
    assert images(there)[-2:] == ["5 w:1", "6 w:1"]
    finish(there)
    assert images(there) == [f"{n} w:2" for n in range(1, 7)]


def test_slots_added_meanwhile_wait_only_for_what_their_own_version_depends_on() -> None:
    """Seed 910160: the newer version waited for a service that never became healthy."""
    there = shop()
    needs = {"db": Dependency(condition="healthy")}
    ill = spec("d:1", replicas=1, health=CHECK)
    there.up(*there.tell(accepted(2, web=spec("w:2", depends_on=needs), db=ill)))
    assert rollout(there).held == "what it depends on is not there"
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=5)))
    assert images(there) == [f"{n} w:1" for n in range(1, 6)]


def test_slots_added_meanwhile_wait_as_their_version_asks_if_the_newer_asks_for_nothing() -> None:
    there = board()
    needs = {"db": Dependency(condition="started")}
    there.deploy(web=spec("w:1", depends_on=needs), db=spec("d:1", replicas=1))
    way = Strategy(kind="canary", promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way), db=spec("d:1", replicas=1))))
    there.fail(there.container("db"))
    events = there.tell(ScaleRequested(app=APP, service="web", replicas=5))
    assert 5 not in service(there).slots
    there.up(*events)
    assert images(there)[-1] == "5 w:1"


def test_slots_added_meanwhile_do_not_wait_for_what_there_is_no_more() -> None:
    there = board()
    needs = {"db": Dependency(condition="started")}
    there.deploy(web=spec("w:1", depends_on=needs), db=spec("d:1", replicas=1))
    way = Strategy(kind="canary", promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way))))
    step(there)
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=5)))
    assert images(there)[-1] == "5 w:1"


def test_scaling_down_to_what_was_advanced_ends_it() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=1)))
    finish(there)
    assert images(there) == ["1 w:2"]


def test_scaling_to_nothing_ends_it() -> None:
    there = shop()
    there.up(*there.tell(accepted(2, web=spec("w:2"))))
    there.up(*there.tell(ScaleRequested(app=APP, service="web", replicas=0)))
    finish(there)


def test_a_drain_moves_each_slot_in_its_own_version() -> None:
    there = shop(nodes="abc")
    there.up(
        *there.tell(
            accepted(2, web=spec("w:2", strategy=Strategy(kind="canary", promote="manual")))
        )
    )
    step(there)
    before = images(there)
    node = there.container("web", 4).node
    for _ in range(8):
        there.up(*there.tell(NodeDrainRequested(node=node, deadline_s=600)))
        there.now += 1
    assert images(there) == before
    assert there.picture.nodes[node].drain is not None
    assert not there.picture.on_node[node]


def test_the_loss_of_a_node_brings_each_slot_back_in_its_own_version() -> None:
    there = shop(nodes="abc")
    way = Strategy(kind="canary", canary=2, promote="manual")
    there.up(*there.tell(accepted(2, web=spec("w:2", strategy=way, update=Update(parallelism=2)))))
    step(there)
    step(there)
    assert images(there) == ["1 w:2", "2 w:2", "3 w:1", "4 w:1"]
    for node in "ab":
        there.say(NodeLost(node=node, silent_s=3))
        there.up(*there.settle())
    alive = {one.slot: one for one in there.picture.on_node["c"].values()}
    told = {n: there.picture.spec(one) for n, one in alive.items()}
    assert {n: one.image for n, one in told.items() if one} == {
        1: "w:2",
        2: "w:2",
        3: "w:1",
        4: "w:1",
    }
    assert not rollout(there).failed


def test_one_on_a_lost_node_is_asked_for_again_and_the_older_one_works_on() -> None:
    there = shop(nodes="abc")
    events = there.tell(accepted(2, web=spec("w:2", placement=Placement())))
    (assigned,) = said(events, ContainerAssigned)
    old = there.slot("web").moving
    assert old is not None
    if old.node == assigned.node:
        there.up(*events)
        return
    (again, *_) = said(there.tell(NodeLost(node=assigned.node, silent_s=3)), ContainerRequested)
    assert (again.slot, again.attempt, again.moves) == (1, 3, old.attempt)
    assert "1 w:1" in images(there)
