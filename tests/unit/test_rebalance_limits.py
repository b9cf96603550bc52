"""What a plan takes for clear, and which node gives first where nodes are of different sizes."""

from typing import Any

import pytest
from segue.events.deploy import DeployCompleted
from segue.events.node import NodeJoined
from segue.events.rebalance import Move, RebalancePlanned, RebalanceRequested
from segue.spec import Placement, Resources, ServiceSpec
from segue.testing.shop import GIB, Shop, accepted, joined
from segue_scheduler.core import Scheduler
from segue_scheduler.rebalance import CLEAR

CPU = 1_000


def wants(cpus: int, replicas: int = 1, **more: Any) -> ServiceSpec:
    resources = Resources(cpu_millicores=cpus * CPU)
    return ServiceSpec(image="w", resources=resources, replicas=replicas, **more)


def sized(**cpus: float) -> list[NodeJoined]:
    return [joined(name, cpu_millicores=int(size * CPU)) for name, size in cpus.items()]


def planned(nodes: list[NodeJoined], specs: dict[str, Any], **where: str) -> list[Move]:
    """Let services run with a slot on each node of a string, and ask for a plan."""
    shop = Shop(Scheduler(), nodes="")
    for node in nodes:
        shop.say(node)
    shop.say(accepted(**specs))
    for name, on in where.items():
        for number, there in enumerate(on, 1):
            shop.run(shop.ask(name, number), there)
    shop.say(DeployCompleted(app="shop", revision=1, slots=1, took_s=1))
    (answer,) = shop.tell(RebalanceRequested())
    assert isinstance(answer, RebalancePlanned)
    return answer.moves


def ways(moves: list[Move]) -> list[str]:
    return [f"{move.service}.{move.slot} {move.source}>{move.target}" for move in moves]


def test_what_gains_ten_points_is_moved_and_what_gains_less_is_not() -> None:
    """Three single containers share a node beside an empty one: its size says what one gains."""
    gains = {}
    specs = {name: wants(1) for name in ("api", "job", "web")}
    for tenths in range(40, 80):
        nodes = sized(a=tenths / 10, b=tenths / 10)
        moves = planned(nodes, specs, api="a", job="a", web="a")
        gains[tenths] = [move.gain for move in moves]
    moved = [tenths for tenths, gain in gains.items() if gain]
    assert moved == [*range(40, 40 + len(moved))], "on smaller nodes a container weighs more"
    assert gains[moved[-1]] == [pytest.approx(CLEAR, abs=0.25)]
    assert gains[40] == [pytest.approx(30 / 2, rel=0.05)]


@pytest.mark.parametrize(
    ("small", "big", "way"), [("a", "b", "web.2 a>c"), ("b", "a", "web.2 b>c")]
)
def test_of_two_nodes_with_equally_many_the_smaller_gives_first(
    small: str, big: str, way: str
) -> None:
    sizes = {small: 4.0, big: 8.0, "c": 8.0}
    moves = planned(sized(**sizes), {"web": wants(1, 4)}, web=small * 2 + big * 2)
    assert ways(moves) == [way]


@pytest.mark.parametrize(("small", "big"), [("a", "b"), ("b", "a")])
def test_a_node_is_as_full_as_it_is_half_way_through_the_move(small: str, big: str) -> None:
    """A slot is a third of the small node and a tenth of the big one, which has more on it."""
    specs = {"web": wants(1, 4), "fix": wants(5)}
    sizes = {small: 3.0, big: 10.0, "c": 10.0}
    moves = planned(sized(**sizes), specs, web=small * 2 + big * 2, fix=big)
    assert ways(moves) == [f"web.4 {big}>c"]


def test_of_two_targets_the_one_that_stays_emptier_takes_it() -> None:
    specs = {"web": wants(1, 3), "fix": wants(1)}
    sizes = sized(a=8.0, b=2.0, c=8.0)
    assert ways(planned(sizes, specs, web="aaa", fix="c")) == ["web.3 a>c"]
    assert ways(planned(sized(a=8.0, b=8.0, c=8.0), specs, web="aaa", fix="b")) == ["web.3 a>c"]


def test_between_equal_targets_the_smaller_name_takes_it() -> None:
    for names in ("abcd", "acbd", "adbc"):
        nodes = sized(**dict.fromkeys(names, 8.0))
        assert ways(planned(nodes, {"web": wants(1, 3)}, web="aaa")) == ["web.3 a>b"]


def test_between_equal_services_the_smaller_name_goes_first() -> None:
    specs = {"web": wants(1, 3), "api": wants(1, 3)}
    moves = planned(sized(a=9.0, b=9.0), specs, web="aaa", api="aaa")
    assert ways(moves) == ["api.3 a>b"]


def test_what_most_of_the_cluster_is_short_of_weighs_most() -> None:
    """Of memory the nodes have little, so the one with more memory taken gives."""
    hungry = ServiceSpec(image="w", resources=Resources(CPU, GIB), replicas=4)
    nodes = [joined(name, cpu_millicores=64_000, memory_bytes=8 * GIB) for name in "abc"]
    specs = {"web": hungry, "mem": ServiceSpec(image="m", resources=Resources(0, 3 * GIB))}
    assert ways(planned(nodes, specs, web="aabb", mem="b")) == ["web.4 b>c"]
    specs = {"web": hungry, "mem": ServiceSpec(image="m", resources=Resources(9 * CPU, 0))}
    assert ways(planned(nodes, specs, web="aabb", mem="a")) == ["web.2 a>c"]


def test_each_rack_of_a_zone_gives_by_itself() -> None:
    """An earlier preference weighs more than all later ones together."""
    both = Placement(spread=["node.labels.zone", "node.labels.rack"])
    at = {"a": "11", "b": "12", "c": "23", "d": "24"}
    nodes = [
        joined(name, labels={"zone": place[0], "rack": place[1]}) for name, place in at.items()
    ]
    spec = ServiceSpec(image="w", replicas=4, placement=both)
    assert ways(planned(nodes, {"web": spec}, web="aabc")) == ["web.2 a>d"]
    spec = ServiceSpec(image="w", replicas=5, placement=both)
    assert ways(planned(nodes, {"web": spec}, web="abccc"))[:1] == ["web.5 c>d"]
