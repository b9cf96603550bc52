"""How a slot is moved: what its service can spare, where there is room, when it is tried again."""

import msgspec
import pytest
from segue.events.container import (
    ContainerFailed,
    ContainerRequested,
    ContainerRetired,
    ContainerUnplaceable,
    Refusal,
)
from segue.events.node import Blocker, NodeCordoned, NodeDrainHeld, NodeDrainRequested
from segue.spec import Mount, Placement, Resources, Restart, ServiceSpec, Strategy
from segue.testing.shop import APP, GIB, MIB, Shop, accepted, joined
from segue_deployer.core import Deployer
from segue_deployer.restart import delay_s

WEB = ServiceSpec(image="w")
ONE = ServiceSpec(image="o", strict=True)
NO_PLACE = "no other node has a place for it"
BUSY = "others of its service are not up"


def cluster(*others: str, **services: ServiceSpec) -> Shop:
    """Everything is up on node a."""
    shop = Shop(Deployer())
    shop.deploy(APP, **services)
    for node in others:
        shop.say(joined(node))
    shop.settle()
    return shop


def drain(shop: Shop, node: str = "a") -> tuple[list[ContainerRequested], list[ContainerRetired]]:
    """Give what is asked for to relieve something, and what is stopped without that."""
    said = shop.tell(NodeDrainRequested(node=node, deadline_s=600.0))
    return (
        [event for event in said if isinstance(event, ContainerRequested)],
        [event for event in said if isinstance(event, ContainerRetired)],
    )


def held(shop: Shop) -> list[Blocker]:
    return shop.all(NodeDrainHeld)[-1].blockers


# How many at once.


@pytest.mark.parametrize(("least", "go"), [(8, 0), (7, 1), (6, 2), (0, 2)])
def test_as_many_stay_up_as_a_service_wants_and_three_quarters_in_any_case(
    least: int, go: int
) -> None:
    spec = msgspec.structs.replace(ONE, replicas=8, min_available=least)
    asked, stopped = drain(cluster("b", one=spec))
    assert (len(asked), len(stopped)) == (0, go)


def test_one_that_is_not_up_counts_as_one_that_is_moved() -> None:
    kept = Restart(condition="none")
    for least, go in ((6, 1), (7, 0)):
        spec = msgspec.structs.replace(ONE, replicas=8, min_available=least, restart=kept)
        shop = cluster("b", one=spec)
        shop.fail(shop.container("one", 8))
        shop.settle()
        assert len(drain(shop)[1]) == go


def test_each_service_of_each_app_has_slots_to_spare_of_its_own() -> None:
    shop = Shop(Deployer())
    for app in (APP, "blog"):
        shop.deploy(app, web=WEB, api=WEB)
    shop.say(joined("b"))
    asked, _ = drain(shop)
    names = {f"{event.app}/{event.service}" for event in asked}
    assert names == {"blog/api", "blog/web", "shop/api", "shop/web"}


def test_what_does_not_work_takes_nothing_of_what_can_be_spared() -> None:
    shop = cluster("b", web=msgspec.structs.replace(WEB, replicas=2))
    for number in (1, 2):
        shop.fail(shop.container("web", number))
    waiting = [event for event in shop.settle() if isinstance(event, ContainerRequested)]
    for event in waiting:
        shop.assign(event, "a")
    _, stopped = drain(shop)
    assert [event.slot for event in stopped] == [1, 2]


# What is in the way.


def test_each_thing_in_the_way_is_named_with_its_reason() -> None:
    data = [Mount(kind="volume", source=name, target=f"/{name}") for name in ("x", "y")]
    shop = cluster(
        "b",
        db=ServiceSpec(image="d", mounts=data, strict=False),
        job=ServiceSpec(image="j", mode="replicated-job"),
    )
    assert drain(shop) == ([], [])
    assert held(shop) == [
        Blocker(APP, "db", 1, "the data of volume x, y are on this node"),
        Blocker(APP, "job", 1, "it is a job, which may come to its end"),
    ]


def test_a_job_that_has_not_begun_is_moved() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.say(accepted(job=ServiceSpec(image="j", mode="replicated-job")))
    (asked,) = [event for event in shop.settle() if isinstance(event, ContainerRequested)]
    shop.assign(asked, "a")
    _, (stopped,) = drain(shop)
    assert (stopped.attempt, stopped.reason) == (1, "moved")


# Whether there is room.


@pytest.mark.parametrize(
    ("cpu_millicores", "memory_bytes", "fits"),
    [
        (1_500, 1_536 * MIB, True),
        (1_499, 1_536 * MIB, False),
        (1_500, 1_536 * MIB - 1, False),
        (8_000, GIB, False),
        (1_000, 8 * GIB, False),
    ],
)
def test_a_slot_that_must_stop_first_does_so_only_for_a_node_with_room_left(
    cpu_millicores: int, memory_bytes: int, *, fits: bool
) -> None:
    half = Resources(cpu_millicores=500, memory_bytes=512 * MIB)
    there = Placement(constraints=["node.id == b"])
    shop = cluster(
        one=msgspec.structs.replace(ONE, resources=Resources(1_000, GIB)),
        fix=ServiceSpec(image="f", resources=half, placement=there),
    )
    shop.say(joined("b", cpu_millicores=cpu_millicores, memory_bytes=memory_bytes))
    shop.say(accepted(2, one=shop.picture.apps[APP].services["one"].spec))
    shop.up(*shop.settle())
    shop.say(accepted(1, "blog", fix=ServiceSpec(image="f", resources=half)))
    (asked,) = [event for event in shop.settle() if isinstance(event, ContainerRequested)]
    shop.run(asked, "b")
    shop.settle()
    _, stopped = drain(shop)
    assert [event.service for event in stopped] == (["one"] if fits else [])
    assert fits or held(shop) == [Blocker(APP, "one", 1, NO_PLACE)]


def test_of_several_nodes_the_only_one_that_can_take_it_is_found() -> None:
    spec = msgspec.structs.replace(ONE, placement=Placement(constraints=["node.id != b"]))
    shop = cluster(one=spec)
    shop.say(joined("b"))
    shop.say(joined("c"))
    shop.say(NodeCordoned(node="c"))
    assert drain(shop) == ([], [])
    assert held(shop) == [Blocker(APP, "one", 1, NO_PLACE)]
    stopped = [event for event in shop.tell(joined("d")) if isinstance(event, ContainerRetired)]
    assert [event.service for event in stopped] == ["one"]


def test_a_node_that_cannot_run_it_is_no_place_for_it() -> None:
    shop = cluster("b", one=ONE)
    first = shop.container("one")
    shop.fail(first, reason="exited")
    (second,) = [event for event in shop.settle() if isinstance(event, ContainerRequested)]
    shop.assign(second, "b")
    shop.tells(ContainerFailed, second, "b", reason="create", final=True, message="no such device")
    (third,) = [event for event in shop.at(60) if isinstance(event, ContainerRequested)]
    shop.run(third, "a")
    shop.settle()
    assert shop.picture.refusal(shop.container("one"), shop.picture.nodes["b"])
    assert drain(shop) == ([], [])
    assert held(shop) == [Blocker(APP, "one", 1, NO_PLACE)]


def test_while_it_rolls_out_each_slot_is_judged_by_the_version_it_runs() -> None:
    small, big = Resources(cpu_millicores=500), Resources(cpu_millicores=1_000)
    word = Strategy(kind="canary", promote="manual")
    shop = Shop(Deployer())
    shop.deploy(one=msgspec.structs.replace(ONE, replicas=4, resources=small))
    newer = msgspec.structs.replace(ONE, image="o:2", replicas=4, resources=big, strategy=word)
    shop.say(accepted(2, one=newer))
    shop.up(*shop.settle())
    shop.now += 10
    shop.up(*shop.settle())
    shop.say(joined("b", cpu_millicores=600))
    _, stopped = drain(shop)
    assert [event.slot for event in stopped] == [2]
    assert "shop/one.1" in {one.name for one in shop.picture.on_node["a"].values()}


# Again.


@pytest.mark.parametrize("failed", [False, True])
def test_the_first_move_of_a_slot_waits_for_nothing(*, failed: bool) -> None:
    shop = cluster("b", web=WEB)
    if failed:
        shop.fail(shop.container("web"))
        shop.up(*shop.settle())
        shop.deploy(web=WEB)
    (asked,), _ = drain(shop)
    assert asked.not_before == 0.0


def test_a_move_that_fails_waits_as_long_as_its_restart_policy_says() -> None:
    shop = cluster("b", web=msgspec.structs.replace(WEB, restart=Restart(delay_s=20.0)))
    (asked,), _ = drain(shop)
    shop.run(asked, "b")
    shop.fail(asked)
    (again,) = [one for one in shop.settle() if isinstance(one, ContainerRequested)]
    assert again.not_before >= shop.now + 20


def test_a_move_that_fails_waits_as_a_restart_would_and_longer_each_time() -> None:
    shop = cluster("b", web=WEB)
    asked, _ = drain(shop)
    for streak in range(1, 6):
        (event,) = asked
        assert event.moves == 1
        shop.run(event, "b")
        shop.fail(event)
        failed_at = shop.now
        asked = [one for one in shop.settle() if isinstance(one, ContainerRequested)]
        wait_s = delay_s(WEB.restart.delay_s, streak, f"shop/web.1@{event.attempt}")
        assert asked[0].not_before == (failed_at + wait_s)
        shop.now += 61


def test_what_no_node_can_take_says_all_the_reasons() -> None:
    shop = cluster(web=WEB)
    (asked,), _ = drain(shop)
    refused = [Refusal("node is cordoned", 1, ["a"]), Refusal("node is left", 1, ["b"])]
    shop.tell(
        ContainerUnplaceable(app=APP, service="web", slot=1, attempt=asked.attempt, refused=refused)
    )
    words = "no other node can take it: node is cordoned; node is left"
    assert held(shop) == [Blocker(APP, "web", 1, words)]
