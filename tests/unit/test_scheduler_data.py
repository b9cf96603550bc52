"""Where containers go that have data on a node, and those that share them."""

from typing import Any

from segue.events.container import ContainerAssigned, ContainerStarted
from segue.events.node import NodeCordoned, NodeUncordoned
from segue.spec import Mount, ServiceSpec
from segue.testing.shop import Shop, accepted, node_of, place, reasons
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
DATA = [Mount(kind="volume", source="data", target="/data")]


def stage(nodes: str = "a", **services: Any) -> Shop:
    shop = Shop(Scheduler(), nodes=nodes)
    shop.say(accepted(**services))
    return shop


def test_a_slot_goes_back_to_the_node_that_has_its_data() -> None:
    shop = stage("ab", db=ServiceSpec(image="d", mounts=DATA))
    first = place(shop, "db")
    assert isinstance(first, ContainerAssigned)
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.fail(first)
    shop.tell(NodeCordoned(node=first.node))
    other = "b" if first.node == "a" else "a"
    assert reasons(place(shop, "db", attempt=2)) == {
        "node is cordoned": (1, [first.node]),
        f"the data of volume data is on node {first.node}": (1, [other]),
    }
    (said,) = shop.tell(NodeUncordoned(node=first.node))
    assert node_of(said) == first.node


def test_services_that_share_a_volume_share_its_node() -> None:
    """Apart, each would see an empty volume of its own, and nobody would be told."""
    other = ServiceSpec(image="b", mounts=DATA)
    shop = stage("abc", db=ServiceSpec(image="d", mounts=DATA), backup=other, web=WEB)
    shop.ask("db")
    shop.ask("backup")
    first, second = shop.settle()
    assert node_of(second) == node_of(first) == "a"
    assert reasons(second) == {
        "the data of volume data, which it shares, is on node a": (2, ["b", "c"])
    }
    assert node_of(place(shop)) == "b", "who shares nothing is spread as ever"


def test_services_of_different_apps_share_no_volume() -> None:
    shop = stage("ab", db=ServiceSpec(image="d", mounts=DATA))
    shop.say(accepted(app="blog", db=ServiceSpec(image="d", mounts=DATA)))
    assert {node_of(place(shop, "db")), node_of(place(shop, "db", app="blog"))} == {"a", "b"}


def test_replicas_with_a_volume_each_have_their_own() -> None:
    shop = stage("ab", db=ServiceSpec(image="d", mounts=DATA))
    assert {node_of(place(shop, "db", slot)) for slot in (1, 2)} == {"a", "b"}


def test_a_slot_without_local_data_is_bound_to_no_node() -> None:
    shop = stage("ab", web=ServiceSpec(image="w", mounts=[Mount(kind="tmpfs", target="/t")]))
    first = place(shop)
    assert isinstance(first, ContainerAssigned)
    shop.fail(first)
    shop.tell(NodeCordoned(node=first.node))
    assert node_of(place(shop, attempt=2)) != first.node


def test_who_comes_later_goes_where_the_data_of_a_dropped_service_are() -> None:
    shop = stage("ab", db=ServiceSpec(image="d", mounts=DATA))
    db = place(shop, "db")
    assert node_of(db) == "a"
    shop.tells(ContainerStarted, db, engine_id="e")  # type: ignore[arg-type]  # It is assigned.
    shop.fail(db)  # type: ignore[arg-type]  # It is assigned.
    shop.say(accepted(2, heir=ServiceSpec(image="h", mounts=DATA), filler=WEB))
    place(shop, "filler", pinned="a")
    assert node_of(place(shop, "heir")) == "a"
