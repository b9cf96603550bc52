"""What a node that is to be empty is owed: moves, what is in the way, and its end."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.container import (
    ContainerAssigned,
    ContainerHealthy,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import DeployCompleted
from segue.events.node import (
    NodeDrained,
    NodeDrainHeld,
    NodeDrainRequested,
    NodeDrainStarted,
    NodeLeaseEnded,
    NodeLost,
    NodeUncordonRequested,
)
from segue.events.rollout import RolloutAdvanced
from segue.spec import Dependency, Health, Mount, Resources, Restart, ServiceSpec, Strategy, Update
from segue.testing.shop import APP, Shop, accepted, joined
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
DB = ServiceSpec(image="d", mounts=[Mount(kind="volume", source="data", target="/d")])
ONE = ServiceSpec(image="o", strict=True)


def cluster(nodes: str = "ab", **services: ServiceSpec) -> Shop:
    """A cluster on which the services are up, everything on its first node."""
    shop = Shop(Deployer(), Scheduler(), nodes=nodes[0])
    shop.deploy(APP, **services)
    for node in nodes[1:]:
        shop.say(joined(node))
    shop.settle()
    return shop


def drain(shop: Shop, node: str = "a", deadline_s: float = 600.0) -> list[Event]:
    """Ask for it; give what follows, as far as nobody starts or stops anything."""
    return shop.tell(NodeDrainRequested(node=node, deadline_s=deadline_s))


def told(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def held(events: list[Event]) -> dict[str, str]:
    """Give what is in the way, as said last."""
    last = told(events, NodeDrainHeld)[-1]
    return {f"{one.service}.{one.slot}": one.reason for one in last.blockers}


def on(shop: Shop, node: str) -> set[str]:
    return {container.name for container in shop.picture.on_node.get(node, {}).values()}


def test_a_slot_is_stopped_on_its_node_only_once_its_successor_is_ready() -> None:
    shop = cluster(web=WEB)
    said = drain(shop)
    assert [type(event) for event in said] == [
        NodeDrainStarted,
        ContainerRequested,
        ContainerAssigned,
    ]
    (asked,), (assigned,) = told(said, ContainerRequested), told(said, ContainerAssigned)
    assert (asked.moves, assigned.node) == (1, "b")
    (retired,) = shop.up(said[2])[1:2]
    assert isinstance(retired, ContainerRetired)
    assert (retired.attempt, retired.node, retired.reason) == (1, "a", "moved")
    (drained,) = shop.all(NodeDrained)
    assert (drained.moved, drained.left) == (1, [])
    assert on(shop, "a") == set()
    assert shop.slot("web").restarts == 0


def test_what_has_a_health_check_relieves_only_once_it_is_healthy() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="ab")
    shop.say(accepted(web=ServiceSpec(image="w", health=Health(test=["CMD", "x"]))))
    for event in shop.up(*shop.settle()):
        if isinstance(event, ContainerAssigned):
            shop.tells(ContainerHealthy, event)
    shop.settle()
    first = shop.container("web")
    drain(shop, first.node)
    second = shop.container("web")
    shop.tells(ContainerStarted, second, engine_id="e")
    assert told(shop.settle(), ContainerRetired) == []
    shop.tells(ContainerHealthy, second)
    (retired,) = told(shop.settle(), ContainerRetired)
    assert retired.attempt == first.attempt


def test_a_quarter_of_a_service_is_moved_at_once() -> None:
    shop = cluster("ab", web=ServiceSpec(image="w", replicas=8))
    said = drain(shop)
    assert len(told(said, ContainerRequested)) == 2
    shop.up(*said)
    assert on(shop, "a") == set()
    assert shop.all(NodeDrained)[0].moved == 8


def test_two_nodes_that_are_drained_share_what_a_service_can_spare() -> None:
    shop = Shop(Deployer(), Scheduler(), nodes="ab")
    shop.deploy(web=ServiceSpec(image="w", replicas=4))
    shop.say(joined("c"))
    shop.say(NodeDrainRequested(node="a"))
    said = shop.tell(NodeDrainRequested(node="b"))
    assert len(told(said, ContainerRequested)) == 1


def test_what_no_other_node_can_take_stays_up_and_is_named_until_the_deadline() -> None:
    shop = cluster("a", web=WEB)
    said = drain(shop, deadline_s=60.0)
    assert held(said) == {
        "web.1": "no other node can take it: node is cordoned",
    }
    assert shop.at(59.0) == []
    (retired,) = told(shop.at(1.0), ContainerRetired)
    assert (retired.node, retired.reason) == ("a", "moved")
    shop.tells(ContainerStopped, retired)
    (drained,) = told(shop.settle(), NodeDrained)
    assert drained.left == []


def test_a_node_that_joins_lets_a_held_drain_go_on() -> None:
    shop = cluster("a", web=WEB)
    drain(shop)
    shop.up(*shop.tell(joined("b")))
    assert shop.all(NodeDrained)
    assert shop.container("web").node == "b"


def test_data_stay_on_their_node_also_at_the_deadline() -> None:
    shop = cluster(db=DB)
    assert held(drain(shop, deadline_s=30.0)) == {
        "db.1": "the data of volume data are on this node"
    }
    (drained,) = shop.at(30.0)
    assert drained == NodeDrained(node="a", left=["shop/db.1"])
    assert on(shop, "a") == {"shop/db.1"}
    assert shop.at(600.0) == []


def test_a_strict_slot_is_stopped_before_it_begins_elsewhere() -> None:
    shop = cluster(one=ONE)
    said = drain(shop)
    (retired,) = told(said, ContainerRetired)
    assert told(said, ContainerRequested) == []
    shop.tells(ContainerStopped, retired)
    assert told(shop.settle(), ContainerAssigned)[0].node == "b"


@pytest.mark.parametrize(
    ("spec", "nodes", "reason"),
    [
        (ONE, "a", "no other node has a place for it"),
        (
            ServiceSpec(image="o", strict=True, min_available=1),
            "ab",
            "it has to be stopped first, and its service cannot spare it",
        ),
        (
            ServiceSpec(image="m", mode="replicated-job"),
            "ab",
            "it is a job, which may come to its end",
        ),
    ],
)
def test_what_cannot_be_moved_is_held_and_stopped_at_the_deadline(
    spec: ServiceSpec, nodes: str, reason: str
) -> None:
    shop = cluster(nodes, one=spec)
    assert held(drain(shop, deadline_s=30.0)) == {"one.1": reason}
    assert len(told(shop.at(30.0), ContainerRetired)) == 1


def test_a_strict_slot_waits_for_room_on_another_node() -> None:
    shop = cluster("a", one=ServiceSpec(image="o", strict=True, resources=Resources(4_000)))
    shop.say(joined("b", cpu_millicores=2_000))
    assert held(drain(shop)) == {"one.1": "no other node has a place for it"}
    assert len(told(shop.tell(joined("c")), ContainerRetired)) == 1


def test_while_others_are_not_up_nothing_that_works_is_moved() -> None:
    shop = cluster("ab", web=ServiceSpec(image="w", replicas=2, restart=Restart(condition="none")))
    shop.fail(shop.container("web", 2))
    shop.settle()
    assert held(drain(shop)) == {"web.1": "others of its service are not up"}


def test_what_is_held_is_said_again_only_when_it_changes() -> None:
    shop = cluster("a", web=WEB, db=DB)
    drain(shop)
    assert shop.tell(NodeDrainRequested(node="a", deadline_s=500.0))
    before = len(shop.all(NodeDrainHeld))
    shop.at(10.0)
    assert len(shop.all(NodeDrainHeld)) == before
    shop.up(*shop.tell(joined("b")))
    assert held(list(shop.all(NodeDrainHeld))) == {
        "db.1": "the data of volume data are on this node"
    }


def test_what_does_not_work_is_stopped_at_once() -> None:
    spec = ServiceSpec(image="w", health=Health(test=["CMD", "x"]))
    shop = cluster(web=spec)
    shop.tells(ContainerUnhealthy, shop.container("web"), streak=1)
    (retired,) = told(drain(shop), ContainerRetired)
    assert retired.reason == "moved"


def test_a_move_that_fails_leaves_the_old_one_and_is_tried_again() -> None:
    shop = cluster(web=WEB)
    drain(shop)
    second = shop.container("web")
    shop.fail(second, "b")
    (third,) = told(shop.settle(), ContainerRequested)
    assert (third.attempt, third.moves) == (3, 1)
    assert third.not_before >= shop.now
    assert shop.picture.container(APP, "web", 1, 1) is not None
    assert on(shop, "a") == {"shop/web.1"}


def test_uncordoning_ends_the_drain_and_gives_up_a_move_that_nothing_can_take() -> None:
    shop = cluster("a", web=WEB)
    drain(shop)
    (given_up,) = told(shop.tell(NodeUncordonRequested(node="a")), ContainerRetired)
    assert (given_up.attempt, given_up.reason) == (2, "superseded")
    assert (shop.container("web").attempt, shop.container("web").phase) == (1, "started")
    assert shop.at(600.0) == []


def test_a_global_slot_leaves_a_drained_node_and_comes_back_to_it() -> None:
    shop = cluster(agent=ServiceSpec(image="a", mode="global"))
    shop.up(*shop.settle())
    said = shop.up(*drain(shop))
    (retired,) = told(said, ContainerRetired)
    assert retired.reason == "moved"
    assert on(shop, "a") == set()
    assert shop.all(NodeDrained)
    shop.up(*shop.tell(NodeUncordonRequested(node="a")))
    assert on(shop, "a") == {"shop/agent.1"}


def test_what_comes_to_a_drained_node_all_the_same_is_moved_away() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.say(accepted(web=WEB))
    (asked,) = told(shop.settle(), ContainerRequested)
    assert told(drain(shop), NodeDrained)
    shop.run(asked, "a")
    (again,) = told(shop.settle(), ContainerRequested)
    assert again.moves == 1


def test_a_node_that_is_lost_while_it_is_drained_is_drained() -> None:
    shop = cluster(web=WEB)
    drain(shop)
    said = shop.up(*shop.tell(NodeLost(node="a", silent_s=3)))
    assert told(said, NodeDrained)
    assert shop.container("web").node == "b"


def test_what_may_run_on_a_lost_node_is_waited_for_and_not_told_to_move() -> None:
    shop = cluster("a", one=ONE)
    drain(shop, deadline_s=60.0)
    assert shop.tell(NodeLost(node="a", silent_s=3), joined("b")) == []
    assert shop.at(61.0) == []
    (asked,) = told(shop.tell(NodeLeaseEnded(node="a", lease=0)), ContainerRequested)
    assert (asked.service, asked.attempt) == ("one", 2)
    assert told([record.event for record in shop.log], NodeDrained)


def test_at_the_deadline_each_slot_is_judged_by_the_version_it_runs() -> None:
    word = Strategy(kind="canary", promote="manual")
    shop = cluster("a", web=ServiceSpec(image="w", replicas=2))
    newer = ServiceSpec(image="w:2", replicas=2, strategy=word, update=Update(monitor_s=0))
    shop.say(accepted(2, web=newer))
    shop.up(*shop.settle())
    drain(shop, deadline_s=30.0)
    assert [one.slot for one in told(shop.at(30.0), ContainerRetired)] == [1, 2]


def test_what_is_on_a_node_that_is_to_be_empty_gets_the_newer_version_first() -> None:
    shop = cluster("ab", web=ServiceSpec(image="w", replicas=4))
    shop.up(*drain(shop))
    shop.up(*shop.tell(NodeUncordonRequested(node="a")))
    shop.deploy(api=ServiceSpec(image="a", replicas=4))
    there = sorted(one.slot for one in shop.picture.on_node["b"].values() if one.service == "api")
    assert there
    assert there != [1, 2, 3, 4]
    shop.say(accepted(3, api=ServiceSpec(image="a:2", replicas=4)))
    shop.say(NodeDrainStarted(node="b", deadline_s=600.0))
    (advanced, *_) = told(shop.settle(), RolloutAdvanced)
    assert advanced.slots == there[:1]


def test_what_depends_on_a_slot_that_is_being_moved_need_not_wait() -> None:
    web = ServiceSpec(image="w", depends_on={"db": Dependency()})
    shop = cluster(db=ServiceSpec(image="d"))
    drain(shop)
    shop.say(accepted(2, db=ServiceSpec(image="d"), web=web))
    assert [event.service for event in told(shop.settle(), ContainerRequested)] == ["web"]


def test_a_deploy_is_complete_though_a_drain_is_held() -> None:
    shop = cluster("a", web=WEB)
    drain(shop)
    shop.say(accepted(2, web=WEB))
    assert told(shop.settle(), DeployCompleted)


def test_what_is_to_be_replaced_waits_for_that() -> None:
    shop = cluster("ab", web=ServiceSpec(image="w", replicas=3))
    at_once = Update(order="stop-first", monitor_s=0)
    shop.say(accepted(2, web=ServiceSpec(image="w:2", replicas=3, update=at_once)))
    said = drain(shop)
    assert [event.reason for event in told(said, ContainerRetired)] == ["replaced"]
    shop.up(*said)
    assert on(shop, "a") == set()
