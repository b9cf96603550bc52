"""What a plan is owed: its moves, one of a service at a time, as long as they hold."""

from segue.events import Event
from segue.events.container import (
    ContainerRequested,
    ContainerRetired,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.node import NodeCordoned, NodeDrainStarted
from segue.events.rebalance import Move, RebalancePlanned
from segue.events.scale import ScaleRequested
from segue.spec import ServiceSpec
from segue.testing.shop import APP, Shop, joined
from segue_deployer.core import Deployer

REFUSED = [Refusal("not enough memory: 1 MiB are wanted", 1, ["b"])]
WEB = ServiceSpec(image="w", replicas=4)


def up(spec: ServiceSpec = WEB) -> Shop:
    """The service is up on node a, and there is a node b."""
    shop = Shop(Deployer())
    shop.deploy(APP, web=spec)
    shop.say(joined("b"))
    shop.settle()
    return shop


def move(slot: int, attempt: int = 1, target: str = "b") -> Move:
    return Move(
        app=APP, service="web", slot=slot, attempt=attempt, source="a", target=target, gain=5.0
    )


def plan(shop: Shop, *moves: Move) -> list[ContainerRequested]:
    shop.say(RebalancePlanned(moves=list(moves)))
    return requested(shop.settle())


def requested(events: list[Event]) -> list[ContainerRequested]:
    return [event for event in events if isinstance(event, ContainerRequested)]


def retired(events: list[Event]) -> list[tuple[int, int, str]]:
    return [(e.slot, e.attempt, e.reason) for e in events if isinstance(e, ContainerRetired)]


def test_a_plan_is_followed_one_slot_of_a_service_after_the_other() -> None:
    shop = up()
    (first,) = plan(shop, move(1), move(3))
    assert (first.slot, first.attempt, first.moves, first.target) == (1, 2, 1, "b")
    shop.run(first, "b")
    said = shop.settle()
    assert retired(said) == [(1, 1, "moved")]
    (second,) = requested(shop.up(*said))
    assert (second.slot, second.target) == (3, "b")


def test_one_slot_of_a_service_is_moved_at_a_time_however_many_could_be_spared() -> None:
    shop = up(ServiceSpec(image="w", replicas=8))
    assert [event.slot for event in plan(shop, move(1), move(3))] == [1]


def test_the_last_slot_is_moved_like_any_other() -> None:
    (asked,) = plan(up(), move(4))
    assert (asked.slot, asked.target) == (4, "b")


def test_what_its_target_cannot_take_stays_and_is_tried_only_once_more() -> None:
    shop = up()
    asked = plan(shop, move(1))
    for attempt in (2, 3):
        assert [event.attempt for event in asked] == [attempt]
        shop.say(
            ContainerUnplaceable(app=APP, service="web", slot=1, attempt=attempt, refused=REFUSED)
        )
        said = shop.settle()
        assert retired(said) == [(1, attempt, "superseded")]
        asked = requested(said)
    assert asked == []
    assert shop.container("web").attempt == 1
    assert shop.container("web").phase == "started"


def test_what_has_changed_since_the_plan_is_left_alone() -> None:
    shop = up()
    shop.fail(shop.container("web", 2))
    shop.up(*shop.settle())
    shop.tell(ScaleRequested(app=APP, service="web", replicas=3))
    assert plan(shop, move(2), move(4), move(1, target="c")) == []


def test_nothing_goes_to_a_node_that_cannot_be_used_or_leaves_one_that_is_drained() -> None:
    shop = up()
    shop.say(NodeCordoned(node="b"))
    assert plan(shop, move(1)) == []
    shop = up()
    shop.say(NodeDrainStarted(node="a", deadline_s=60))
    (asked,) = plan(shop, move(1))
    assert asked.target is None
    shop = up(ServiceSpec(image="w", replicas=8))
    shop.say(NodeDrainStarted(node="a", deadline_s=60))
    assert {event.target for event in plan(shop, move(7), move(8))} == {None}


def test_what_has_to_be_stopped_first_is_not_moved_for_a_better_place() -> None:
    shop = up(ServiceSpec(image="w", replicas=4, strict=True))
    assert plan(shop, move(1)) == []


def test_a_move_whose_old_container_dies_goes_on_without_its_target_if_that_is_full() -> None:
    shop = up()
    (asked,) = plan(shop, move(1))
    old = shop.picture.container(APP, "web", 1, 1)
    assert old is not None
    shop.fail(old)
    shop.say(ContainerUnplaceable(app=APP, service="web", slot=1, attempt=2, refused=REFUSED))
    said = shop.settle()
    assert retired(said) == [(1, 2, "superseded")]
    (again,) = requested(said)
    assert (again.attempt, again.target, again.moves) == (3, None, 0)
    assert asked.attempt == 2
