"""In a large cluster a few nodes are compared, and what comes of it is as good and as true."""

from collections import Counter
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerStarted,
    ContainerUnplaceable,
)
from segue.events.node import NodeCordoned, NodeLabelled, NodeLost, NodeRemoved, NodeUncordoned
from segue.spec import Mount, Placement, Resources, ServiceSpec
from segue.testing.shop import Shop, accepted, joined, node_of, place, reasons
from segue_scheduler import filters, sampling
from segue_scheduler.core import Scheduler

MANY = 40
WEB = ServiceSpec(image="w", replicas=MANY)


def large(**services: Any) -> Shop:
    """Give a cluster of forty nodes that counts as large; every fourth is in zone z3 and so on."""
    shop = Shop(Scheduler(exact_to=10), nodes="")
    for number in range(MANY):
        shop.say(joined(f"n{number:02}", labels={"zone": f"z{number % 4}", "own": f"{number}"}))
    shop.say(accepted(**services))
    return shop


def assigned(event: Any) -> ContainerAssigned:
    assert isinstance(event, ContainerAssigned), event
    return event


def test_a_few_nodes_are_compared_and_the_event_says_how_many() -> None:
    said = assigned(place(large(web=WEB)))
    assert said.looked_at == sampling.FITS
    assert len(said.runners_up) == 3
    assert said.score >= max(other.score for other in said.runners_up)
    assert said.score == pytest.approx(sum(said.parts.values()))


def test_a_small_cluster_is_compared_as_a_whole() -> None:
    shop = Shop(Scheduler(), nodes="abcd")
    shop.say(accepted(web=WEB))
    assert assigned(place(shop)).looked_at == 0


def test_each_attempt_looks_at_others() -> None:
    seen = set()
    for slot in range(1, 9):
        said = assigned(place(large(web=WEB), slot=slot))
        seen.update([said.node, *(other.node for other in said.runners_up)])
    assert len(seen) > 2 * sampling.FITS


def test_who_was_looked_at_and_refused_is_named() -> None:
    shop = large(web=WEB)
    for number in range(0, MANY, 2):
        shop.say(NodeCordoned(node=f"n{number:02}"))
    said = assigned(place(shop))
    refused = sum(count for count, _ in reasons(said).values())
    assert set(reasons(said)) <= {"node is cordoned"}
    assert said.looked_at == sampling.FITS + refused


def test_where_few_can_take_it_all_are_compared() -> None:
    few = ServiceSpec(image="f", placement=Placement(constraints=["node.labels.own == 17"]))
    said = assigned(place(large(few=few), "few"))
    assert (said.node, said.looked_at) == ("n17", 0)
    assert reasons(said)["constraint node.labels.own == 17 does not hold"][0] == MANY - 1


def test_a_refusal_is_never_said_by_sample() -> None:
    huge = ServiceSpec(image="h", resources=Resources(cpu_millicores=9_000))
    said = place(large(huge=huge), "huge")
    assert isinstance(said, ContainerUnplaceable)
    assert [count for count, _ in reasons(said).values()] == [MANY]


def test_where_it_belongs_to_one_node_only_that_is_looked_at() -> None:
    said = assigned(place(large(web=WEB), pinned="n21"))
    assert (said.node, said.looked_at) == ("n21", 1)


def test_its_data_are_looked_for_where_they_are() -> None:
    mount = Mount(kind="volume", source="data", target="/data")
    shop = large(db=ServiceSpec(image="d", mounts=[mount]))
    first = assigned(place(shop, "db"))
    shop.tells(ContainerStarted, first, engine_id="e")
    shop.fail(shop.container("db"))
    again = assigned(place(shop, "db", attempt=2))
    assert (again.node, again.looked_at) == (first.node, 1)


def test_slots_are_spread_over_nodes_and_zones() -> None:
    zoned = ServiceSpec(image="z", replicas=MANY, placement=Placement(spread=["node.labels.zone"]))
    shop = large(web=WEB, zoned=zoned)
    for service in ("web", "zoned"):
        nodes = [node_of(place(shop, service, slot)) for slot in range(1, MANY + 1)]
        assert max(Counter(nodes).values()) <= 3
        zones = Counter(shop.picture.nodes[node].labels["zone"] for node in nodes)
        assert service == "web" or max(zones.values()) - min(zones.values()) <= 1


def test_where_it_just_failed_it_does_not_go_again() -> None:
    shop = large(web=WEB)
    for attempt in range(1, 9):
        before = node_of(place(shop, attempt=attempt))
        shop.fail(shop.container("web"))
        after = {name for name, node in shop.picture.nodes.items() if node.failures}
        assert before in after
    assert len(after) == 8


KINDS = ("fail", "cordon", "uncordon", "lose", "remove", "label", "join", "ask", "ask", "ask")
ACTS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 11), st.integers(0, 5)), max_size=40
)
SERVICES: dict[str, Any] = {
    "web": ServiceSpec(image="w", replicas=9, placement=Placement(spread=["node.labels.zone"])),
    "big": ServiceSpec(image="b", replicas=9, resources=Resources(cpu_millicores=1_700)),
}


def act(shop: Shop, kind: str, node: str, number: int) -> None:
    there = sorted(
        (one for held in shop.picture.on_node.values() for one in held.values()),
        key=lambda one: one.key,
    )
    match kind:
        case "fail" if there:
            about = there[number % len(there)]
            shop.tells(ContainerFailed, about, about.node, reason="exited", exit_code=1)
        case "cordon":
            shop.say(NodeCordoned(node=node))
        case "uncordon":
            shop.say(NodeUncordoned(node=node))
        case "lose":
            shop.say(NodeLost(node=node, silent_s=3))
        case "remove":
            shop.say(NodeRemoved(node=node))
        case "label":
            shop.say(NodeLabelled(node=node, set={"zone": f"z{number % 3}"}))
        case "join":
            shop.say(joined(node, labels={"zone": f"z{number % 3}"}))
        case _:
            service = [*SERVICES][number % 2]
            slot = shop.picture.slot("shop", service, 1 + number)
            if slot is None or slot.container is None or slot.container.ended:
                shop.ask(service, 1 + number, 1 + (slot.attempt if slot else 0))


@settings(max_examples=60)
@given(ACTS)
def test_it_decides_what_one_that_begins_now_would_decide(acts: list[tuple[str, int, int]]) -> None:
    """The same nodes, scores and reasons, whatever was kept; and nobody is overcommitted."""
    with patch.object(sampling, "FITS_LEAST", 2):
        shop = Shop(Scheduler(exact_to=0), nodes="")
        shop.say(accepted(**SERVICES))
        for number in range(12):
            shop.say(joined(f"n{number:02}", labels={"zone": f"z{number % 3}"}))
        for kind, first, second in acts:
            act(shop, kind, f"n{first:02}", second)
            fresh = Scheduler(exact_to=0)
            fresh.picture.restore(shop.picture.snapshot())
            assert shop.cores[0].decide(shop.now) == fresh.decide(shop.now)
            shop.settle()
        for name, used in shop.picture.used.items():
            if (node := shop.picture.nodes.get(name)) is not None:
                assert used.cpu_millicores <= node.facts.cpu_millicores


@settings(max_examples=60)
@given(ACTS)
def test_the_short_cut_says_what_the_filters_say(acts: list[tuple[str, int, int]]) -> None:
    shop = Shop(Scheduler(exact_to=0), nodes="")
    shop.say(accepted(**SERVICES))
    for number in range(4):
        shop.say(joined(f"n{number:02}"))
    for kind, first, second in acts:
        act(shop, kind, f"n{first % 4:02}", second)
        core = shop.cores[0]
        assert isinstance(core, Scheduler)
        for container in shop.picture.pending.values():
            spec, slot = shop.picture.spec(container), shop.slot(container.service, container.slot)
            assert spec is not None
            ask = filters.asked(shop.picture, container, spec, slot)
            for node in shop.picture.nodes.values():
                left = "node has left" if node.phase == "left" else ""
                expected = left or filters.refusal(shop.picture, ask, node)
                assert core._sampler._refusal(ask, node) == expected
        shop.settle()
