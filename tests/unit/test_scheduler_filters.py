"""What counts against a node that is to take a container, and what does not."""

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerRetired,
    ContainerStarted,
    ContainerUnplaceable,
)
from segue.events.deploy import RemovalAccepted, RemovalCompleted
from segue.spec import Mount, Placement, Port, Resources, ServiceSpec
from segue.testing.shop import GIB, Shop, accepted, joined, node_of, place, reasons, scope
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
PORT = ServiceSpec(image="p", ports=[Port(target=80, published=80, mode="host")])
DATA = [Mount(kind="volume", source="data", target="/data")]


def stage(nodes: str = "a", **services: Any) -> Shop:
    shop = Shop(Scheduler(), nodes=nodes)
    shop.say(accepted(**services))
    return shop


@pytest.mark.parametrize(
    ("least", "words"),
    [
        (Resources(cpu_millicores=1), "not enough CPU: 1 millicores are wanted"),
        (Resources(memory_bytes=1 << 20), "not enough memory: 1 MiB are wanted"),
    ],
)
def test_a_node_whose_all_is_promised_takes_nothing_more(least: Resources, words: str) -> None:
    all_of_it = Resources(cpu_millicores=4_000, memory_bytes=8 * GIB)
    shop = stage(
        web=ServiceSpec(image="w", resources=all_of_it),
        tiny=ServiceSpec(image="t", resources=least),
    )
    assert node_of(place(shop)) == "a"
    assert reasons(place(shop, "tiny")) == {words: (1, ["a"])}


def test_memory_is_promised_once() -> None:
    shop = stage(web=ServiceSpec(image="w", resources=Resources(memory_bytes=5 * GIB)))
    assert node_of(place(shop)) == "a"
    assert reasons(place(shop, slot=2)) == {"not enough memory: 5120 MiB are wanted": (1, ["a"])}


def test_a_port_that_another_holds_is_taken_though_a_slots_own_older_container_is_there_too() -> (
    None
):
    shop = stage(web=WEB, proxy=PORT)
    older = place(shop)
    assert isinstance(older, ContainerAssigned)
    shop.tells(ContainerStarted, older, engine_id="e")
    shop.say(accepted(2, web=PORT, proxy=PORT))
    assert node_of(place(shop, "proxy")) == "a"
    shop.say(ContainerRetired(**scope(older), node="a", reason="replaced"))
    assert reasons(place(shop, attempt=2)) == {"port 80/tcp is taken": (1, ["a"])}


def test_only_the_services_own_other_slots_count_for_how_many_may_run_on_a_node() -> None:
    one = ServiceSpec(image="w", placement=Placement(max_per_node=1))
    shop = stage(web=one, other=WEB)
    shop.say(accepted(app="blog", web=WEB))
    place(shop, slot=2, app="blog")
    place(shop, "other", slot=3)
    assert node_of(place(shop)) == "a"
    assert isinstance(place(shop, slot=2), ContainerUnplaceable)


def test_all_volumes_that_bind_a_slot_to_its_node_are_named() -> None:
    logs = Mount(kind="volume", source="logs", target="/logs")
    shop = stage("ab", db=ServiceSpec(image="d", mounts=[*DATA, logs]))
    first = place(shop, "db")
    assert isinstance(first, ContainerAssigned)
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.fail(first)
    assert reasons(place(shop, "db", attempt=2)) == {
        "the data of volume data, logs is on node a": (1, ["b"])
    }


def test_a_service_that_shares_nothing_does_not_hide_one_that_does() -> None:
    data = ServiceSpec(image="d", mounts=DATA)
    shop = stage("abc", alone=WEB, db=data, last=data)
    place(shop, "alone", pinned="b")
    assert node_of(place(shop, "db", pinned="c")) == "c"
    assert node_of(place(shop, "last")) == "c"


def test_a_volume_that_was_removed_with_its_app_binds_nobody() -> None:
    data = ServiceSpec(image="d", mounts=DATA)
    shop = stage("ab", db=data, backup=data)
    first = place(shop, "db", pinned="b")
    assert isinstance(first, ContainerAssigned)
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.fail(first)
    shop.say(RemovalAccepted(app="shop", volumes=True))
    shop.say(RemovalCompleted(app="shop"))
    shop.say(accepted(2, db=data, backup=data))
    assert node_of(place(shop, "backup")) == "a"


def test_whoever_takes_over_places_what_waits_without_further_news() -> None:
    shop = stage(web=WEB)
    shop.ask("web")
    later = Scheduler()
    later.picture.restore(shop.picture.snapshot())
    (decision,) = later.decide(shop.now)
    assert node_of(decision.event) == "a"


def test_an_attempt_is_assigned_once_whatever_is_said_of_it_meanwhile() -> None:
    """An assignment whose fate is unknown may stand in the log already, and run on that node."""
    shop = stage(web=WEB)
    asked = shop.ask("web")
    (first,) = shop.cores[0].decide(shop.now)
    shop.say(ContainerUnplaceable(**scope(asked), refused=[]))
    shop.say(joined("b", images=["w"]))
    (second,) = shop.cores[0].decide(shop.now)
    assert (node_of(first.event), node_of(second.event)) == ("a", "b")
    assert first.id == second.id
