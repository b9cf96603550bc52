"""What the scheduler keeps between decisions is corrected by all that happens, and costs little."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segue.core import Decision
from segue.events.capacity import CapacityEased, CapacityExhausted
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.deploy import DeployCompleted
from segue.events.image import ImagePulled
from segue.events.node import NodeCordoned, NodeLabelled, NodeLost, NodeRemoved, NodeUncordoned
from segue.events.rebalance import RebalanceRequested
from segue.picture import Container, Node, Picture
from segue.spec import Placement, Port, Resources, ServiceSpec
from segue.testing.shop import Shop, accepted, joined, node_of, place
from segue_scheduler import choice, core, filters
from segue_scheduler.core import Scheduler
from segue_scheduler.filters import Ask

WEB = ServiceSpec(image="w", replicas=9)
ZONED = Placement(spread=["node.labels.zone"])
SERVICES: dict[str, Any] = {
    "web": ServiceSpec(image="w", replicas=9, placement=ZONED),
    "big": ServiceSpec(image="b", replicas=9, resources=Resources(cpu_millicores=700)),
    "few": ServiceSpec(image="f", replicas=9, placement=Placement(max_per_node=1)),
    "port": ServiceSpec(image="p", ports=[Port(target=80, published=80, mode="host")]),
    "side": ServiceSpec(image="s", ports=[Port(target=80, published=80, mode="host")]),
}
NODES = "abcd"
NUMBERS = st.integers(0, 7)
Act = Callable[[Shop, int, int], None]


def _join(shop: Shop, first: int, second: int) -> None:
    node, zone = NODES[first % len(NODES)], f"z{second % 2}"
    shop.say(joined(node, cpu_millicores=1_000 + 500 * (second % 3), labels={"zone": zone}))


def _judge(shop: Shop, first: int, second: int) -> None:
    kinds = (
        lambda node: NodeCordoned(node=node),
        lambda node: NodeUncordoned(node=node),
        lambda node: NodeLost(node=node, silent_s=3),
        lambda node: NodeRemoved(node=node),
        lambda node: NodeLabelled(node=node, set={"zone": f"z{second % 2}"}),
        lambda node: ImagePulled(node=node, image="w"),
    )
    shop.say(kinds[second % len(kinds)](NODES[first % len(NODES)]))


def _ask(shop: Shop, first: int, second: int) -> None:
    service, number = [*SERVICES][first % len(SERVICES)], 1 + second % 5
    slot = shop.picture.slot("shop", service, number)
    if slot is None or slot.container is None or slot.container.ended:
        shop.ask(service, number, 1 + (slot.attempt if slot else 0))


def _containers(shop: Shop) -> list[Container]:
    on_node = shop.picture.on_node.values()
    return sorted((one for there in on_node for one in there.values()), key=lambda one: one.key)


def _tell(shop: Shop, first: int, second: int) -> None:
    there = _containers(shop)
    if there:
        about, kind = there[(first * 8 + second) % len(there)], second % 3
        if kind == 0:
            shop.tells(ContainerFailed, about, about.node, reason="exited", exit_code=1)
        elif kind == 1:
            shop.tells(ContainerStarted, about, about.node, engine_id="e")
        else:
            shop.tells(ContainerStopped, about, about.node)


def _settle(shop: Shop, _: int, __: int) -> None:
    shop.settle()


def _wait(shop: Shop, first: int, _: int) -> None:
    shop.now += (1, 20, 150)[first % 3]


def _deploy(shop: Shop, first: int, _: int) -> None:
    shop.say(accepted(2 + first, **SERVICES) if first % 2 else accepted(1, "blog", **SERVICES))


def _complete(shop: Shop, first: int, _: int) -> None:
    revision = shop.picture.apps["shop"].revision
    shop.say(DeployCompleted(app="shop", revision=revision, slots=1, took_s=1))
    if first % 2:
        shop.say(RebalanceRequested())


ACTS: tuple[Act, ...] = (
    _join,
    *[_judge] * 3,
    *[_tell] * 3,
    *[_settle] * 3,
    _wait,
    _deploy,
    _complete,
)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(ACTS), NUMBERS, NUMBERS), min_size=10, max_size=50))
def test_it_decides_what_one_that_begins_now_would_decide(acts: list[tuple[Act, int, int]]) -> None:
    """The same nodes, scores, runners-up and reasons, whatever was kept from before.

    What is said of room is left out: that is looked at once a second, and at once to begin with.
    """
    shop = Shop(Scheduler(), nodes="")
    shop.say(accepted(**SERVICES))
    for number in range(3):
        _join(shop, number, number)
    for act, first, second in acts:
        act(shop, first, second)
        _ask(shop, first + second, first)
        fresh = Scheduler()
        fresh.picture.restore(shop.picture.snapshot())
        assert _placed(shop.cores[0].decide(shop.now)) == _placed(fresh.decide(shop.now))


def _placed(owed: list[Decision]) -> list[Decision]:
    return [one for one in owed if not isinstance(one.event, CapacityExhausted | CapacityEased)]


def test_a_failure_counts_for_less_as_time_passes_without_other_news() -> None:
    shop = Shop(Scheduler(), nodes="ab")
    shop.say(accepted(web=WEB))
    assert node_of(place(shop)) == "a"
    shop.fail(shop.container("web"))
    assert node_of(place(shop, attempt=2)) == "b"
    shop.tells(ContainerStopped, shop.container("web"))
    shop.now += 300
    assert node_of(place(shop, attempt=3)) == "a"


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the names of the nodes that are judged from now on."""
    names: list[str] = []

    def judge(picture: Picture, ask: Ask, node: Node) -> str:
        names.append(node.name)
        return filters.refusal(picture, ask, node)

    monkeypatch.setattr(choice, "refusal", judge)
    return names


def test_only_what_has_changed_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(Scheduler(), nodes=NODES)
    shop.say(accepted(web=WEB))
    place(shop)
    names = looked_at(monkeypatch)
    place(shop, slot=2)
    assert set(names) == {"a"}
    names.clear()
    shop.say(NodeCordoned(node="d"))
    place(shop, slot=3)
    assert set(names) == {"b", "d"}


def test_who_waits_in_vain_is_looked_at_once_for_all_its_equals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(Scheduler(), nodes="ab")
    huge = ServiceSpec(image="h", resources=Resources(cpu_millicores=9_000))
    shop.say(accepted(huge=huge, web=WEB))
    for slot in range(1, 20):
        shop.ask("huge", slot)
    assert len(shop.settle()) == 19
    names = looked_at(monkeypatch)
    place(shop)
    assert len(names) <= 4
    shop.say(joined("c", cpu_millicores=10_000))
    assert [node_of(event) for event in shop.settle()[:1]] == ["c"]


def test_nothing_depends_on_how_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def placed() -> list[ContainerAssigned]:
        shop = Shop(Scheduler(), nodes=NODES)
        shop.say(accepted(**SERVICES))
        for slot in range(1, 7):
            for name in SERVICES:
                shop.ask(name, slot)
                shop.settle()
        return shop.all(ContainerAssigned)

    kept = placed()
    monkeypatch.setattr(core, "NODES_KEPT", 0)
    assert placed() == kept
    assert len(kept) == 20
