"""What makes one node better than another for a container."""

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnplaceable,
)
from segue.events.image import ImagePulled
from segue.events.node import NodeLost
from segue.spec import Placement, Port, Resources, ServiceSpec
from segue.testing.shop import GIB, MIB, Shop, accepted, joined, scope
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
HALF = ServiceSpec(image="h", resources=Resources(cpu_millicores=2_000, memory_bytes=GIB))


def stage(nodes: str = "", **services: Any) -> Shop:
    shop = Shop(Scheduler(), nodes=nodes)
    shop.say(accepted(**services))
    return shop


def place(shop: Shop, service: str = "web", slot: int = 1, **more: Any) -> ContainerAssigned:
    """Ask for a container; give where it went."""
    shop.ask(service, slot, **more)
    (said,) = shop.settle()
    assert isinstance(said, ContainerAssigned)
    return said


def test_slots_are_spread_over_nodes() -> None:
    shop = stage("abc", web=WEB)
    placed = [place(shop, slot=slot).node for slot in range(1, 7)]
    assert placed == ["a", "b", "c", "a", "b", "c"]


def test_slots_are_spread_over_the_preference_before_the_nodes() -> None:
    zones = ServiceSpec(image="w", placement=Placement(spread=["node.labels.zone"]))
    shop = stage(web=zones)
    for name, zone in (("a", "z1"), ("b", "z1"), ("c", "z1"), ("d", "z2")):
        shop.say(joined(name, labels={"zone": zone}))
    placed = [place(shop, slot=slot).node for slot in range(1, 7)]
    assert [placed.count(name) for name in "abcd"] == [1, 1, 1, 3]


def test_an_earlier_preference_outweighs_a_later_one() -> None:
    both = Placement(spread=["node.labels.zone", "node.labels.rack"])
    shop = stage(web=ServiceSpec(image="w", placement=both))
    shop.say(joined("a", labels={"zone": "z1", "rack": "r1"}))
    shop.say(joined("b", labels={"zone": "z1", "rack": "r2"}))
    shop.say(joined("c", labels={"zone": "z2", "rack": "r1"}))
    assert [place(shop, slot=slot).node for slot in (1, 2, 3)] == ["a", "c", "b"]


def test_the_emptier_node_is_preferred() -> None:
    shop = stage(web=HALF)
    shop.say(joined("a", cpu_millicores=4_000))
    shop.say(joined("b", cpu_millicores=16_000, memory_bytes=64 * GIB))
    assert place(shop).node == "b"


def test_the_fuller_resource_of_a_node_counts() -> None:
    shop = stage(web=ServiceSpec(image="w", resources=Resources(memory_bytes=4 * GIB)))
    shop.say(joined("a", cpu_millicores=64_000, memory_bytes=5 * GIB))
    shop.say(joined("b", cpu_millicores=1_000, memory_bytes=8 * GIB))
    assert place(shop).node == "b"


def test_a_node_with_many_containers_without_reservations_counts_as_fuller() -> None:
    shop = stage("ab", web=WEB, other=WEB)
    for slot in range(1, 6):
        place(shop, slot=slot, pinned="a")
    assert place(shop, "other").node == "b"


def test_a_node_where_the_service_just_failed_is_avoided_until_it_is_forgotten() -> None:
    shop = stage("ab", web=WEB)
    shop.fail(place(shop))
    assert place(shop, attempt=2).node == "b"
    shop.say(ContainerRetired(**scope(shop.container("web")), node="b", reason="scaled"))
    shop.tells(ContainerStopped, shop.container("web"))
    shop.now += 301
    assert place(shop, attempt=3).node == "a"


def test_failures_of_another_service_do_not_count() -> None:
    shop = stage("ab", web=WEB, other=WEB)
    shop.fail(place(shop))
    assert place(shop, "other").node == "a"


def test_a_node_that_has_the_image_is_preferred() -> None:
    shop = stage("ab", web=WEB)
    shop.tell(ImagePulled(node="b", image="w"))
    said = place(shop)
    assert said.node == "b"
    assert said.parts["image"] == 10.0


def test_a_tie_goes_to_the_smaller_name_whoever_joined_first() -> None:
    for order in ("abc", "cba", "bca"):
        shop = stage(order, web=WEB)
        assert place(shop).node == "a"


def test_the_score_is_the_sum_of_its_parts_and_the_next_best_are_named() -> None:
    shop = stage("edcba", web=WEB)
    said = place(shop)
    assert said.score == pytest.approx(sum(said.parts.values()))
    assert 0 <= said.score <= 100
    assert [candidate.node for candidate in said.runners_up] == ["b", "c", "d"]
    assert all(candidate.score <= said.score for candidate in said.runners_up)


def test_an_empty_cluster_gives_its_whole_score_to_the_first() -> None:
    shop = stage(web=WEB)
    shop.tell(joined("a", images=["w"]))
    said = place(shop)
    assert said.score == 100.0


def test_the_images_of_a_node_that_joins_again_are_what_it_says_now() -> None:
    shop = stage(web=WEB)
    shop.tell(joined("a", images=["w"]), joined("b"))
    shop.tell(joined("a"), joined("b", images=["w"]))
    assert place(shop).node == "b"


def test_a_big_node_is_not_filled_before_the_others_of_a_spread_service() -> None:
    small = ServiceSpec(image="w", resources=Resources(memory_bytes=64 * MIB))
    shop = stage(web=small)
    shop.say(joined("a", memory_bytes=512 * GIB, cpu_millicores=128_000))
    shop.say(joined("b"))
    placed = [place(shop, slot=slot).node for slot in range(1, 5)]
    assert placed.count("b") == 2


# What it costs.


def test_a_long_queue_is_placed_a_part_at_a_time_in_its_order() -> None:
    """Who decides for long cannot say that it leads, and another would begin all over again."""
    shop = Shop(Scheduler(), nodes="")
    for number in range(200):
        shop.say(joined(f"n{number}"))
    shop.say(accepted(web=WEB))
    for slot in range(1, 121):
        shop.ask("web", slot)
    first = shop.cores[0].decide(shop.now)
    assert 0 < len(first) < 100
    shop.settle()
    assert [event.slot for event in shop.all(ContainerAssigned)] == list(range(1, 121))


def test_what_cannot_be_placed_does_not_hold_up_what_can() -> None:
    big = ServiceSpec(image="b", resources=Resources(memory_bytes=9 * GIB))
    shop = Shop(Scheduler(), nodes="")
    for number in range(20):
        shop.say(joined(f"n{number}"))
    shop.say(accepted(big=big, web=WEB))
    for slot in range(1, 101):
        shop.ask("big", slot)
    shop.ask("web")
    shop.settle()
    assert len(shop.all(ContainerUnplaceable)) == 100
    assert all(event.refused[0].count == 20 for event in shop.all(ContainerUnplaceable))
    assert [event.service for event in shop.all(ContainerAssigned)] == ["web"]


def test_a_slot_whose_own_older_container_is_in_no_ones_way_but_others_is_judged_alone() -> None:
    port = ServiceSpec(image="p", ports=[Port(target=80, published=80, mode="host")])
    shop = stage("a", web=port)
    first = place(shop)
    shop.ask("web", 2)
    shop.settle()
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.say(NodeLost(node="a", silent_s=3))
    shop.ask("web", 1, 2)
    shop.say(joined("a"))
    shop.say(ContainerRetired(**scope(first), node="a", reason="superseded"))
    shop.settle()
    assert [event.slot for event in shop.all(ContainerAssigned)] == [1, 1]
