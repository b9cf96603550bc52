"""Which of a service's containers count when its next one is spread."""

import pytest
from segue.events.container import ContainerAssigned, ContainerFinished
from segue.events.node import NodeCordoned, NodeLabelled, NodeLost, NodeRemoved
from segue.spec import Placement, ServiceSpec
from segue.testing.shop import Shop, accepted, joined, node_of
from segue_scheduler.core import Scheduler

OTHER = {"a": "b", "b": "a"}


def stage(spec: ServiceSpec, *zones: tuple[str, str]) -> Shop:
    shop = Shop(Scheduler(), nodes="")
    for node, zone in zones:
        shop.say(joined(node, labels={"zone": zone}))
    shop.say(accepted(web=spec))
    return shop


def then(shop: Shop) -> str:
    """Give where what was asked for goes."""
    (said,) = shop.settle()
    return node_of(said)


@pytest.mark.parametrize("busy", ["a", "b"])
@pytest.mark.parametrize(("filled", "asked"), [(1, 2), (2, 1), (3, 2)])
def test_a_slot_keeps_away_from_every_other_also_from_one_of_a_greater_number(
    busy: str, filled: int, asked: int
) -> None:
    shop = stage(ServiceSpec(image="w", replicas=3), ("a", "z"), ("b", "z"))
    for slot in sorted({filled, asked}):
        shop.ask("web", slot)
    shop.assign(next(one for one in shop.picture.pending.values() if one.slot == filled), busy)  # type: ignore[arg-type]  # As its request.
    assert then(shop) == OTHER[busy]


@pytest.mark.parametrize("done", ["a", "b"])
def test_what_has_ended_keeps_nothing_away_from_its_node(done: str) -> None:
    shop = stage(ServiceSpec(image="w", replicas=2), ("a", "z"), ("b", "z"))
    other = shop.ask("web", 2)
    shop.assign(other, done)
    shop.tells(ContainerFinished, other)
    shop.ask("web", 1)
    assert then(shop) == "a", "between equals the smaller name"


@pytest.mark.parametrize("zone", ["z1", "z2"])
def test_what_stood_on_a_lost_node_keeps_nothing_away_from_its_zone(zone: str) -> None:
    spread = ServiceSpec(image="w", replicas=2, placement=Placement(spread=["node.labels.zone"]))
    shop = stage(spread, ("a", "z1"), ("b", "z2"), ("c", zone))
    shop.assign(shop.ask("web", 2), "c")
    shop.say(NodeLost(node="c", silent_s=3))
    shop.ask("web", 1)
    assert then(shop) == "a", "between equals the smaller name"


def test_a_node_that_is_forgotten_is_no_choice_and_what_ran_there_counts_nowhere() -> None:
    shop = stage(ServiceSpec(image="w", replicas=5), ("a", "z"), ("b", "z"))
    shop.ask("web", 1)
    assert then(shop) == "a"
    shop.say(NodeLost(node="a", silent_s=3))
    shop.say(NodeRemoved(node="a"))
    for slot in (2, 3):
        shop.ask("web", slot)
        assert then(shop) == "b"
    shop.say(joined("a"))
    shop.ask("web", 4)
    assert then(shop) == "a"


def test_a_node_whose_labels_change_counts_where_it_is_now() -> None:
    spread = ServiceSpec(image="w", replicas=3, placement=Placement(spread=["node.labels.zone"]))
    shop = stage(spread, ("a", "z1"), ("b", "z2"), ("c", "z1"))
    shop.ask("web", 1)
    assert then(shop) == "a"
    shop.say(NodeLabelled(node="a", set={"zone": "z2"}))
    shop.ask("web", 2)
    assert then(shop) == "c", "the only one in z1 now"
    shop.say(NodeCordoned(node="c"))
    shop.ask("web", 3)
    assert then(shop) == "b"


def test_what_is_kept_of_a_node_that_can_take_nothing_more_is_no_better_place_for_it() -> None:
    """Its zone counts as one that can be had no longer, so the others are as good as can be."""
    spread = ServiceSpec(image="w", replicas=3, placement=Placement(spread=["node.labels.zone"]))
    shop = stage(spread, ("a", "z1"), ("b", "z2"), ("c", "z3"))
    shop.ask("web", 1)
    assert then(shop) == "a"
    shop.ask("web", 2)
    assert then(shop) == "b"
    shop.say(NodeCordoned(node="c"))
    shop.ask("web", 3)
    (said,) = shop.settle()
    assert isinstance(said, ContainerAssigned)
    assert said.node == "a"
    assert said.parts["spread"] == 40.0, "no value of a preference has fewer"
