"""How the scheduler says that slots wait for room, how much is missing, and that it is over."""

from typing import Any

import pytest
from segue.events import Event
from segue.events.capacity import CapacityEased, CapacityExhausted
from segue.events.container import ContainerRetired
from segue.events.node import NodeCordoned
from segue.spec import Placement, Resources, ServiceSpec
from segue.testing.shop import GIB, Shop, accepted, joined, scope
from segue_scheduler.core import Scheduler
from segue_scheduler.room import AGAIN_S, PATIENCE_S, Room

LARGE = ServiceSpec(image="h", resources=Resources(cpu_millicores=3_000, memory_bytes=GIB))


def stage(nodes: str = "a", **services: Any) -> Shop:
    shop = Shop(Scheduler(), nodes=nodes)
    shop.say(accepted(**services or {"web": LARGE}))
    return shop


def ask(shop: Shop, *slots: int, service: str = "web") -> list[Event]:
    for slot in slots:
        shop.ask(service, slot)
    return shop.settle()


def room(events: list[Event]) -> list[CapacityExhausted | CapacityEased]:
    return [one for one in events if isinstance(one, CapacityExhausted | CapacityEased)]


def exhausted(events: list[Event]) -> CapacityExhausted:
    (said,) = room(events)
    assert isinstance(said, CapacityExhausted)
    return said


def test_slots_that_wait_for_room_are_told_with_what_would_do() -> None:
    shop = stage()  # Of 4,000 millicores.
    assert not room(ask(shop, 1, 2, 3))
    said = exhausted(shop.at(PATIENCE_S))
    assert (said.slots, said.lacks_cpu_millicores, said.lacks_memory_bytes) == (2, 5_000, 0)
    (one,) = said.shortages
    assert (one.app, one.service, one.slots, one.node, one.candidates) == ("shop", "web", 2, "a", 1)
    assert (one.cpu_millicores, one.memory_bytes, one.lacks_cpu_millicores) == (3_000, GIB, 5_000)


def test_it_is_said_once_and_again_only_when_it_is_another() -> None:
    shop = stage()
    ask(shop, 1, 2)
    exhausted(shop.at(PATIENCE_S))
    assert not shop.at(600.0)
    ask(shop, 3)
    assert exhausted(shop.at(AGAIN_S)).slots == 2
    assert not shop.at(600.0)


def test_it_is_said_again_at_most_every_ten_seconds() -> None:
    shop = stage()
    ask(shop, 1, 2)
    shop.at(PATIENCE_S)
    ask(shop, 3)
    assert not room(shop.at(PATIENCE_S))
    assert exhausted(shop.at(AGAIN_S - PATIENCE_S)).slots == 2


def test_it_is_over_once_nobody_waits() -> None:
    shop = stage()
    ask(shop, 1, 2)
    shop.at(PATIENCE_S)
    said = shop.tell(joined("b"))
    said += shop.at(1.0)
    assert room(said) == [CapacityEased(waited_s=1.0)]
    assert not room(shop.at(600.0))


def test_what_is_not_wanted_any_more_waits_for_nothing() -> None:
    shop = stage()
    ask(shop, 1, 2)
    shop.at(PATIENCE_S)
    shop.say(
        ContainerRetired(**scope(shop.container("web", 2)), node="_", reason="scaled", grace_s=1.0)
    )
    assert isinstance(room(shop.at(1.0))[0], CapacityEased)


def test_who_stops_soon_makes_room_and_nothing_is_said() -> None:
    shop = stage()
    ask(shop, 1, 2)
    assert not room(shop.at(PATIENCE_S - 0.1))
    shop.tell(joined("b"))
    assert not room(shop.at(60.0))


@pytest.mark.parametrize(
    "spec",
    [
        ServiceSpec(image="w", placement=Placement(constraints=["node.labels.disk == ssd"])),
        ServiceSpec(
            image="w",
            resources=LARGE.resources,
            placement=Placement(constraints=["node.labels.disk == ssd"]),
        ),
    ],
)
def test_what_no_node_may_run_does_not_wait_for_room(spec: ServiceSpec) -> None:
    shop = stage(web=spec)
    ask(shop, 1)
    assert not room(shop.at(60.0))


def test_only_nodes_that_may_run_it_are_looked_at() -> None:
    shop = stage("ab")
    shop.tell(NodeCordoned(node="a"))
    ask(shop, 1, 2)
    (one,) = exhausted(shop.at(PATIENCE_S)).shortages
    assert (one.node, one.candidates, one.lacks_cpu_millicores) == ("b", 1, 2_000)


def test_what_is_free_on_a_node_is_counted_for_one_service_only() -> None:
    shop = stage(web=LARGE, db=LARGE)
    ask(shop, 1)
    ask(shop, 2)
    ask(shop, 1, service="db")
    said = exhausted(shop.at(PATIENCE_S))
    assert [(one.service, one.lacks_cpu_millicores) for one in said.shortages] == [
        ("db", 2_000),
        ("web", 3_000),
    ]
    assert said.lacks_cpu_millicores == 5_000


def test_memory_is_missing_where_that_is_what_is_short() -> None:
    fat = ServiceSpec(image="h", resources=Resources(memory_bytes=5 * GIB))
    shop = stage(web=fat)  # Of 8 GiB.
    ask(shop, 1, 2)
    said = exhausted(shop.at(PATIENCE_S))
    assert (said.lacks_cpu_millicores, said.lacks_memory_bytes) == (0, 2 * GIB)


def test_another_instance_says_it_no_second_time() -> None:
    shop = stage()
    ask(shop, 1, 2)
    shop.at(PATIENCE_S)
    fresh = Scheduler()
    fresh.picture.restore(shop.picture.snapshot())
    assert not room([one.event for one in fresh.decide(shop.now + 60.0)])


@pytest.mark.parametrize("told", [True, False])
def test_a_slot_that_no_node_may_run_any_more_lacks_no_room(*, told: bool) -> None:
    """Also before that itself is said of it."""
    shop = stage()
    ask(shop, 1, 2)
    if told:
        exhausted(shop.at(PATIENCE_S))
    shop.say(NodeCordoned(node="a"))
    said = [one.event for one in Room(shop.picture).decide(shop.now + 60.0)]
    assert said == ([CapacityEased(waited_s=60.0)] if told else [])
