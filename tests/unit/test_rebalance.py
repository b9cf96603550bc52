"""Which containers the scheduler moves, and when it looks for such by itself."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.events import Event
from segue.events.container import (
    ContainerFailed,
    ContainerHealthy,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeCordoned, NodeJoined, NodeLost, NodeUncordoned
from segue.events.rebalance import Move, RebalancePlanned, RebalanceRequested
from segue.spec import Health, Mount, Placement, Port, Resources, ServiceSpec
from segue.testing.shop import Shop, accepted, joined
from segue_scheduler.core import Scheduler
from segue_scheduler.rebalance import CALM_S, CLEAR, LOOK_S, MOVES_MOST

WEB = ServiceSpec(image="w")
BIG = ServiceSpec(image="b", resources=Resources(cpu_millicores=1_000))
NOTHING = "no container would be clearly better off on another node"


def running(nodes: str | list[NodeJoined], spec: ServiceSpec = WEB, /, **where: str) -> Shop:
    """Let services run that have a slot on each node of a string: `web="aab"`."""
    shop = Shop(Scheduler(), nodes="")
    for node in nodes:
        shop.say(joined(node) if isinstance(node, str) else node)
    services: dict[str, Any] = {
        name: msgspec.structs.replace(spec, replicas=len(on)) for name, on in where.items()
    }
    shop.say(accepted(**services))
    for name, on in where.items():
        for number, node in enumerate(on, 1):
            shop.run(shop.ask(name, number), node)
    shop.say(DeployCompleted(app="shop", revision=1, slots=1, took_s=1))
    assert shop.settle() == []
    return shop


def ways(moves: list[Move]) -> list[str]:
    return [f"{move.service}.{move.slot} {move.source}>{move.target}" for move in moves]


def asked(shop: Shop) -> RebalancePlanned:
    (planned,) = shop.tell(RebalanceRequested())
    assert isinstance(planned, RebalancePlanned)
    return planned


def obey(shop: Shop, planned: Event) -> list[Event]:
    """Do what a plan says, as deployer and node runners would."""
    assert isinstance(planned, RebalancePlanned)
    for move in planned.moves:
        old = shop.container(move.service, move.slot)
        assert (old.attempt, old.node) == (move.attempt, move.source)
        shop.run(shop.ask(move.service, move.slot, move.attempt + 1), move.target)
        shop.tells(ContainerStopped, old, move.source)
    return shop.settle()


# What is moved.


def test_who_asks_gets_a_plan_that_names_the_request_as_its_cause() -> None:
    shop = running("ab", web="aaa")
    planned = asked(shop)
    assert (ways(planned.moves), planned.reason) == (["web.3 a>b"], "")
    assert shop.log[-1].cause == shop.log[-2].id
    assert not shop.picture.state.requests


def test_nothing_is_moved_that_gains_little() -> None:
    """One slot more here than there is no difference that moving it would end."""
    assert asked(running("abc", web="aabbc")) == RebalancePlanned(reason=NOTHING)
    assert asked(running("ab", BIG, web="a", api="a")) == RebalancePlanned(reason=NOTHING)


def test_without_a_second_node_there_is_nothing_to_plan() -> None:
    words = "there are not two nodes that can be used"
    assert asked(running("a", web="aaa")).reason == words
    shop = running("ab", web="aaa")
    shop.say(NodeCordoned(node="b"))
    assert asked(shop).reason == words


def test_a_full_node_gives_to_an_empty_one_what_needs_no_spreading() -> None:
    (move,) = asked(running("ab", BIG, web="a", api="a", job="a")).moves
    assert (move.source, move.target) == ("a", "b")
    assert move.gain == pytest.approx(15, rel=0.05)  # Half a node less beside none.


def test_a_preference_comes_before_the_spread_over_nodes() -> None:
    zones = [joined(name, labels={"zone": zone}) for name, zone in ("a1", "b1", "c2")]
    spec = ServiceSpec(image="w", placement=Placement(spread=["node.labels.zone"]))
    assert ways(asked(running(zones, spec, web="aabb")).moves) == ["web.4 b>c"]
    assert asked(running(zones, spec, web="abcc")).moves == []


def test_what_its_filters_refuse_is_no_target() -> None:
    spec = ServiceSpec(image="w", placement=Placement(constraints=["node.id != b"]))
    assert ways(asked(running("abc", spec, web="aaa")).moves) == ["web.3 a>c"]
    small = [joined("a"), joined("b", cpu_millicores=500), joined("c", cpu_millicores=2_000)]
    assert ways(asked(running(small, BIG, web="aaa")).moves) == ["web.3 a>c"]


@pytest.mark.parametrize(
    "kept",
    [
        {"mode": "global"},
        {"mode": "replicated-job"},
        {"strict": True},
        {"strict": False, "mounts": [Mount(kind="volume", source="data", target="/d")]},
        {"ports": [Port(target=80, published=80, mode="host")]},
        {"network_mode": "host"},
    ],
)
def test_what_would_lose_by_it_is_never_moved(kept: dict[str, Any]) -> None:
    assert asked(running("ab", ServiceSpec(image="w", **kept), web="aaa")).moves == []


def test_what_is_not_settled_is_left_alone() -> None:
    shop = running("ab", web="aa")
    shop.tells(ContainerFailed, shop.container("web", 2), "a", reason="exited")
    assert asked(shop).moves == []
    shop = running("ab", web="aaa")
    shop.say(accepted(2, web=msgspec.structs.replace(WEB, replicas=3)))
    assert asked(shop).moves == []


def test_a_plan_moves_a_tenth_at_most_and_what_gains_most_first() -> None:
    shop = running("abc", web="a" * 19, api="b" * 11)
    moves = asked(shop).moves
    assert ways(moves) == ["web.19 a>c", "web.18 a>b", "web.17 a>c"]
    assert len(asked(running("ab", web="a" * 2_000)).moves) == MOVES_MOST


def test_planning_leaves_the_picture_as_it_was() -> None:
    shop = running("ab", BIG, web="aaaa")
    before = dict(shop.picture.used), {n: set(c) for n, c in shop.picture.on_node.items()}
    planned = shop.cores[0].decide(shop.now) or asked(shop).moves
    assert planned
    shop.picture.restore(shop.picture.snapshot())
    after = dict(shop.picture.used), {n: set(c) for n, c in shop.picture.on_node.items()}
    assert {n: c for n, c in after[1].items() if c} == {n: c for n, c in before[1].items() if c}
    assert after[0]["a"] == before[0]["a"]


def test_each_move_of_a_plan_counts_for_the_next() -> None:
    nodes = [joined(name, cpu_millicores=8_000) for name in "abc"]
    shop = running(nodes, BIG, **{f"s{n}": "a" for n in range(8)}, idle="c" * 80)
    shop.tell(NodeCordoned(node="c"))
    assert [move.gain for move in asked(shop).moves] == [24.5, 17.5, 10.5]


def test_a_node_is_sent_no_more_than_it_has_room_for() -> None:
    small = joined("b", cpu_millicores=1_500)
    shop = running([joined("a", cpu_millicores=40_000), small], BIG, web="a" * 40)
    assert ways(asked(shop).moves) == ["web.40 a>b"]


ZONED = ServiceSpec(image="w", placement=Placement(spread=["node.labels.zone"]))


def zones(*of: str) -> list[NodeJoined]:
    """Give nodes by name and zone: `a1` is node a in zone 1."""
    return [joined(one[0], labels={"zone": one[1]}) for one in of]


@pytest.mark.parametrize(("on", "way"), [("aaabbbbb", "b>c"), ("aaaaabbb", "a>c")])
def test_of_all_zones_the_fullest_gives_first(on: str, way: str) -> None:
    moves = asked(running(zones("a1", "b2", "c3"), ZONED, web=on)).moves
    assert [f"{move.source}>{move.target}" for move in moves] == [way]


def test_a_full_zone_gives_before_a_fuller_node_of_another() -> None:
    moves = asked(running(zones("a1", "b2", "c2", "d3"), ZONED, web="aaabbcc")).moves
    assert [f"{move.source}>{move.target}" for move in moves] == ["c>d"]


def test_of_nodes_with_equally_many_the_more_loaded_one_gives() -> None:
    shop = running("abc", BIG, web="aabb", api="b")
    assert ways(asked(shop).moves) == ["web.4 b>c"]


def test_what_is_gone_hides_none_of_the_others() -> None:
    shop = running("abc", web="caaa")
    shop.tell(NodeLost(node="c", silent_s=3))
    assert ways(asked(shop).moves) == ["web.4 a>b"]


def test_what_is_not_healthy_is_left_where_it_is() -> None:
    checked = ServiceSpec(image="w", health=Health(test=["CMD", "true"]))
    shop = running("ab", checked, web="aaa")
    for number in (1, 2, 3):
        shop.tells(ContainerHealthy, shop.container("web", number))
    shop.tells(ContainerUnhealthy, shop.container("web", 3), streak=1)
    assert ways(asked(shop).moves) == ["web.2 a>b"]


def test_what_a_service_takes_most_of_is_what_is_evened_out() -> None:
    spec = ServiceSpec(image="b", resources=Resources(cpu_millicores=1_000, memory_bytes=8 << 20))
    (move,) = asked(running("ab", spec, web="a", api="a", job="a")).moves
    assert (move.gain, move.target) == (14.4, "b")


# When.


def test_a_node_that_joins_gets_its_share_once_it_has_been_there_for_a_while() -> None:
    shop = running("ab", web="aaabbb")
    assert shop.at(LOOK_S + CALM_S) == []
    assert shop.tell(joined("c")) == []
    assert shop.cores[0].wake_at == shop.now + CALM_S
    assert shop.at(CALM_S - 1) == []
    (first,) = shop.at(1)
    assert isinstance(first, RebalancePlanned)
    assert ways(first.moves) == ["web.6 b>c"]
    (record,) = [one for one in shop.log if one.id == shop.log[-1].cause]
    assert record.event == joined("c")
    assert obey(shop, first) == []
    (second,) = shop.at(CALM_S)
    assert isinstance(second, RebalancePlanned)
    assert ways(second.moves) == ["web.3 a>c"]
    assert shop.log[-1].cause == record.id or isinstance(shop.log[-1].event, RebalancePlanned)
    assert obey(shop, second) == []
    assert shop.at(CALM_S) == []


def test_a_node_that_is_used_again_counts_as_new_and_one_that_joins_again_does_not() -> None:
    shop = running("ab", web="aaa")
    shop.tell(NodeCordoned(node="b"))
    shop.at(1_000)
    assert shop.tell(joined("a"), joined("b")) == []
    assert shop.at(CALM_S) == []
    shop.tell(NodeUncordoned(node="b"))
    (planned,) = shop.at(CALM_S)
    assert isinstance(planned, RebalancePlanned)


def test_unasked_it_says_only_what_moves_something() -> None:
    shop = running("ab", web="ab")
    assert shop.at(CALM_S) == []
    assert shop.at(LOOK_S) == []


def test_it_does_not_look_by_itself_for_ever() -> None:
    shop = running("ab", web="ab", api="aaa")
    (planned,) = shop.at(CALM_S)
    assert isinstance(planned, RebalancePlanned)
    shop = running("ab", web="ab")
    shop.at(CALM_S + LOOK_S + 1)
    shop.say(accepted(app="blog", api=msgspec.structs.replace(WEB, replicas=3)))
    for number in range(1, 4):
        shop.run(shop.ask("api", number, app="blog"), "a")
    assert shop.tell(DeployCompleted(app="blog", revision=1, slots=3, took_s=1)) == []


def test_there_is_no_second_plan_while_the_moves_of_the_last_are_under_way() -> None:
    shop = running("ab", web="aaa")
    assert ways(asked(shop).moves) == ["web.3 a>b"]
    assert shop.at(CALM_S) == []
    words = "1 of the last plan's moves have not ended, such as shop/web.3"
    assert asked(shop) == RebalancePlanned(reason=words)
    old = shop.container("web", 3)
    shop.run(shop.ask("web", 3, 2), "b")
    assert asked(shop).reason == words
    shop.tells(ContainerStopped, old, "a")
    assert asked(shop).reason == NOTHING


def test_a_move_that_can_be_made_no_more_holds_up_nothing() -> None:
    shop = running("abc", web="aaa")
    (move,) = asked(shop).moves
    shop.say(NodeCordoned(node=move.target))
    assert ways(asked(shop).moves) == ["web.3 a>c"]


# Back and forth.

SIZES = st.tuples(st.integers(2, 8), st.sampled_from(["x", "y"]))
SERVICES = st.tuples(
    st.integers(0, 1_000),
    st.sampled_from(([], ["node.labels.zone"])),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)


@given(st.lists(SIZES, min_size=2, max_size=6), st.lists(SERVICES, min_size=1, max_size=5))
def test_plans_come_to_an_end_and_no_arrangement_comes_back(
    sizes: list[tuple[int, str]], services: list[tuple[int, list[str], list[int]]]
) -> None:
    """Whatever it begins with; the last arrangement has nothing left that gains clearly."""
    nodes = [
        joined("abcdef"[number], cpu_millicores=1_000 * cpus, labels={"zone": zone})
        for number, (cpus, zone) in enumerate(sizes)
    ]
    shop = running(nodes)
    specs: dict[str, Any] = {f"s{n}": _spec(*made) for n, made in enumerate(services)}
    shop.say(accepted(2, **specs))
    for number, (_, _, on) in enumerate(services):
        for slot, node in enumerate(on, 1):
            shop.run(shop.ask(f"s{number}", slot), nodes[node % len(nodes)].node)
    shop.say(DeployCompleted(app="shop", revision=2, slots=1, took_s=1))
    seen = [_arrangement(shop)]
    while planned := asked(shop).moves:
        assert all(move.gain >= CLEAR for move in planned)
        assert all(move.source != move.target for move in planned)
        obey(shop, RebalancePlanned(moves=planned))
        assert _arrangement(shop) not in seen
        seen.append(_arrangement(shop))
        assert len(seen) < 100


def _spec(cpu: int, spread: list[str], on: list[int]) -> ServiceSpec:
    return ServiceSpec(
        image="w",
        replicas=len(on),
        resources=Resources(cpu_millicores=cpu),
        placement=Placement(spread=spread),
    )


def _arrangement(shop: Shop) -> dict[str, list[str]]:
    """Tell how many of each service are on each node: which of them is the same to everyone."""
    return {
        service.name: sorted(
            slot.container.node for slot in service.slots.values() if slot.container
        )
        for service in shop.picture.apps["shop"].services.values()
    }


@given(st.integers(2, 5), st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_on_equal_nodes_a_service_ends_evenly_spread(nodes: int, on: list[int]) -> None:
    names = "abcde"[:nodes]
    shop = running(names, web="".join(names[place % nodes] for place in on))
    while planned := asked(shop).moves:
        obey(shop, RebalancePlanned(moves=planned))
    there = [
        slot.container.node
        for slot in shop.picture.apps["shop"].services["web"].slots.values()
        if slot.container
    ]
    counts = [there.count(name) for name in names]
    assert max(counts) - min(counts) <= 1
