"""What makes one node better than another for a container."""

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerFinished,
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


# What the figures are.


def test_a_score_is_told_in_hundredths_with_its_four_parts() -> None:
    shop = stage(web=ServiceSpec(image="w", resources=Resources(cpu_millicores=1_000)))
    shop.tell(joined("a", cpu_millicores=3_000), joined("b", cpu_millicores=7_000))
    said = place(shop)
    assert said.parts == {"spread": 40.0, "balance": 25.71, "reliable": 20.0, "image": 0.0}
    assert (said.node, said.score) == ("b", 85.71)
    assert [(other.node, other.score) for other in said.runners_up] == [("a", 80.0)]


def test_each_further_replica_on_a_node_makes_it_worth_less_by_what_it_has_more_than_others() -> (
    None
):
    shop = stage("abc", web=WEB)
    for slot in range(1, 5):
        place(shop, slot=slot)
    said = place(shop, slot=5)
    spread = {said.node: said.parts["spread"]}
    spread |= {other.node: other.parts["spread"] for other in said.runners_up}
    assert spread == {"a": 20.0, "b": 40.0, "c": 40.0}


def test_an_earlier_preference_weighs_four_times_the_next() -> None:
    both = Placement(spread=["node.labels.zone", "node.labels.rack"])
    shop = stage(web=ServiceSpec(image="w", placement=both))
    shop.say(joined("a", labels={"zone": "z1", "rack": "r1"}))
    shop.say(joined("b", labels={"zone": "z2", "rack": "r1"}))
    shop.say(joined("c", labels={"zone": "z1", "rack": "r2"}))
    place(shop)
    said = place(shop, slot=2)
    spread = {said.node: said.parts["spread"]}
    spread |= {other.node: other.parts["spread"] for other in said.runners_up}
    # Of 21 parts 16 are the zone's, 4 the rack's, 1 the node's own; shared with one, half of it.
    assert spread == {"a": 20.0, "b": 36.19, "c": 24.76}


def test_a_node_is_as_full_as_its_fuller_resource_with_what_is_to_come() -> None:
    shop = stage(web=HALF, cpus=ServiceSpec(image="c", resources=Resources(cpu_millicores=3_000)))
    shop.say(joined("a", cpu_millicores=10_000, memory_bytes=4 * GIB))
    assert place(shop).parts["balance"] == 22.5  # A quarter of its memory.
    assert place(shop, slot=2).parts["balance"] == 15.0
    assert place(shop, "cpus").parts["balance"] == 9.0  # Seven of its ten processors.


def test_containers_without_reservations_fill_a_node_slowly() -> None:
    shop = stage("a", web=WEB)
    balances = [place(shop, slot=slot).parts["balance"] for slot in range(1, 27)]
    assert balances[:2] == [30.0, 29.7]
    assert balances[25] == 24.0  # With 25 of 125.


def test_each_of_up_to_five_failures_costs_a_fifth_of_the_reliability() -> None:
    shop = stage("a", web=WEB)
    told = []
    for attempt in range(1, 8):
        said = place(shop, attempt=attempt)
        told.append(said.parts["reliable"])
        shop.fail(said)
    assert told == [20.0, 16.0, 12.0, 8.0, 4.0, 0.0, 0.0]


def test_a_failure_is_forgotten_after_five_minutes_to_the_second() -> None:
    shop = stage("a", web=WEB)
    shop.fail(place(shop))
    shop.now += 299.5
    second = place(shop, attempt=2)
    assert second.parts["reliable"] == 16.0
    shop.say(ContainerRetired(**scope(second), node="a", reason="scaled"))
    shop.tells(ContainerStopped, second)
    shop.now += 0.5
    assert place(shop, attempt=3).parts["reliable"] == 20.0


def test_replicas_that_are_gone_and_the_slots_own_past_do_not_count_as_neighbours() -> None:
    shop = stage("abc", web=WEB)
    first = place(shop)
    second = place(shop, slot=2)
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.tells(ContainerStarted, second, engine_id="e")
    shop.tells(ContainerFinished, first)
    assert place(shop, attempt=2).node == "a", "its own past and what ended are no neighbours"
    assert place(shop, slot=3).node == "c"
    shop.say(NodeLost(node="b", silent_s=3))
    shop.say(joined("b"))
    shop.ask("web", 5)
    shop.ask("web", 4)
    shop.settle()
    assert {shop.container("web", slot).node for slot in (4, 5)} == {"a", "b"}


# What it costs.


def test_a_long_queue_is_placed_a_part_at_a_time_in_its_order() -> None:
    """Who decides for long cannot say that it leads, and another would begin all over again."""
    shop = Shop(Scheduler(), nodes="")
    for number in range(200):
        shop.say(joined(f"n{number}"))
    names = [f"web{number}" for number in range(120)]
    services: dict[str, Any] = dict.fromkeys(names, WEB)
    shop.say(accepted(**services))
    for name in names:
        shop.ask(name)
    first = shop.cores[0].decide(shop.now)
    assert 0 < len(first) < 100
    shop.settle()
    assert [event.service for event in shop.all(ContainerAssigned)] == names


def test_many_placed_at_once_go_where_they_would_go_one_after_another() -> None:
    """A decision scores again only what a placement changes."""
    small = Resources(cpu_millicores=300, memory_bytes=64 * MIB)
    spread = Placement(spread=["node.labels.zone"], max_per_node=4)
    services: dict[str, Any] = {
        "web": ServiceSpec(image="w", resources=small),
        "wide": ServiceSpec(image="x", resources=small, placement=spread),
        "port": ServiceSpec(image="p", ports=[Port(target=80, published=80, mode="host")]),
    }

    def placed(*, at_once: bool) -> list[ContainerAssigned]:
        shop = Shop(Scheduler(), nodes="")
        for number in range(8):
            cpu, zone = 1_000 + 900 * (number % 3), f"z{number % 4 // 2}"
            shop.say(joined(f"n{number}", cpu_millicores=cpu, labels={"zone": zone}))
        shop.say(accepted(**services))
        for slot in range(1, 25):
            for name in services:
                shop.ask(name, slot)
                if not at_once:
                    shop.settle()
        shop.settle()
        return shop.all(ContainerAssigned)

    together = placed(at_once=True)
    assert together == placed(at_once=False)
    assert len(together) > 40


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
