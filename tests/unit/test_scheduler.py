"""Where the scheduler puts containers, and how it says why."""

from typing import Any

import msgspec
import pytest
from segue.events import Event
from segue.events.capacity import CapacityExhausted
from segue.events.container import (
    ContainerAssigned,
    ContainerFinished,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnplaceable,
)
from segue.events.node import (
    NodeCordoned,
    NodeDegraded,
    NodeJoined,
    NodeLeft,
    NodeLost,
    NodeRecovered,
    NodeReturned,
    NodeSuspected,
    NodeUncordoned,
)
from segue.spec import Placement, Port, Resources, ServiceSpec
from segue.testing.shop import GIB, Shop, accepted, joined, node_of, place, reasons, scope
from segue_scheduler.core import Scheduler

WEB = ServiceSpec(image="w")
HALF = ServiceSpec(image="h", resources=Resources(cpu_millicores=2_000, memory_bytes=GIB))
PORT = ServiceSpec(image="p", ports=[Port(target=80, published=80, mode="host")])


def stage(nodes: str = "a", **services: Any) -> Shop:
    shop = Shop(Scheduler(), nodes=nodes)
    shop.say(accepted(**services))
    return shop


# What refuses a node, and its words.


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([NodeSuspected(node="a", silent_s=2)], "node is suspected"),
        ([NodeLost(node="a", silent_s=3)], "node is lost"),
        ([NodeLeft(node="a")], "node has left"),
        ([NodeCordoned(node="a")], "node is cordoned"),
        ([NodeDegraded(node="a", reason="disk full")], "engine is not usable: disk full"),
        ([NodeDegraded(node="a", reason="")], "engine is not usable: unknown"),
    ],
)
def test_a_node_that_is_not_fit_for_work_is_passed_over(events: list[Event], reason: str) -> None:
    shop = stage("ab", web=WEB)
    shop.tell(*events)
    said = place(shop)
    assert node_of(said) == "b"
    assert reasons(said) == {reason: (1, ["a"])}


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (NodeSuspected(node="a", silent_s=2), NodeReturned(node="a", silent_s=2)),
        (NodeCordoned(node="a"), NodeUncordoned(node="a")),
        (NodeDegraded(node="a", reason="r"), NodeRecovered(node="a")),
        (NodeLost(node="a", silent_s=3), joined("a")),
        (NodeLeft(node="a"), joined("a")),
    ],
)
def test_what_waits_is_placed_as_soon_as_the_node_is_fit_again(bad: Event, good: Event) -> None:
    shop = stage(web=WEB)
    shop.tell(bad)
    assert isinstance(place(shop), ContainerUnplaceable)
    (said,) = shop.tell(good)
    assert node_of(said) == "a"


def test_returning_makes_a_lost_node_no_better() -> None:
    shop = stage(web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    place(shop)
    assert shop.tell(NodeReturned(node="a", silent_s=3)) == []


def test_a_pinned_slot_goes_to_its_node_only() -> None:
    shop = stage("abc", web=WEB)
    said = place(shop, pinned="b")
    assert node_of(said) == "b"
    assert reasons(said) == {"the slot belongs to node b": (2, ["a", "c"])}
    shop.tell(NodeCordoned(node="c"))
    assert reasons(place(shop, slot=2, pinned="c")) == {
        "the slot belongs to node c": (2, ["a", "b"]),
        "node is cordoned": (1, ["c"]),
    }


def test_constraints_and_platforms_refuse_in_their_own_words() -> None:
    ssd = Placement(constraints=["node.labels.disk == ssd"], platform="linux/amd64")
    shop = stage("", web=ServiceSpec(image="w", placement=ssd))
    shop.say(joined("a", labels={"disk": "ssd"}))
    shop.say(joined("b", labels={"disk": "hdd"}))
    shop.say(joined("c", labels={"disk": "ssd"}, platform="linux/arm64"))
    said = place(shop)
    assert node_of(said) == "a"
    assert reasons(said) == {
        "constraint node.labels.disk == ssd does not hold": (1, ["b"]),
        "platform is linux/arm64, not linux/amd64": (1, ["c"]),
    }


def test_a_corrected_constraint_frees_what_already_waits() -> None:
    """The placement makes no other container, so the one that waits is not asked for again."""
    typo = Placement(constraints=["node.labels.disk == sdd"])
    shop = stage("", web=ServiceSpec(image="w", placement=typo))
    shop.say(joined("a", labels={"disk": "ssd"}))
    assert isinstance(place(shop), ContainerUnplaceable)
    right = Placement(constraints=["node.labels.disk == ssd"])
    (said,) = shop.tell(accepted(2, web=ServiceSpec(image="w", placement=right)))
    assert node_of(said) == "a"


def test_cpu_and_memory_are_promised_once() -> None:
    shop = stage(web=HALF)
    assert [node_of(place(shop, slot=slot)) for slot in (1, 2)] == ["a", "a"]
    said = place(shop, slot=3)
    assert reasons(said) == {"not enough CPU: 2000 millicores are wanted": (1, ["a"])}


def test_memory_is_named_in_mib() -> None:
    shop = stage(web=ServiceSpec(image="w", resources=Resources(memory_bytes=9 * GIB)))
    assert reasons(place(shop)) == {"not enough memory: 9216 MiB are wanted": (1, ["a"])}


def test_the_last_byte_and_millicore_can_be_promised() -> None:
    all_of_it = Resources(cpu_millicores=4_000, memory_bytes=8 * GIB)
    shop = stage(web=ServiceSpec(image="w", resources=all_of_it))
    assert node_of(place(shop)) == "a"


def test_a_node_that_shrank_below_its_promises_takes_nothing_with_a_reservation() -> None:
    shop = stage(web=HALF, tiny=WEB)
    place(shop)
    shop.tell(joined("a", cpu_millicores=1_000))
    assert isinstance(place(shop, slot=2), ContainerUnplaceable)
    assert node_of(place(shop, "tiny")) == "a"


@pytest.mark.parametrize("kind", [ContainerFinished, ContainerStopped])
def test_room_that_a_container_leaves_is_used_at_once(
    kind: type[ContainerFinished] | type[ContainerStopped],
) -> None:
    shop = stage(web=HALF)
    first = place(shop)
    place(shop, slot=2)
    place(shop, slot=3)
    assert isinstance(first, ContainerAssigned)
    shop.tells(kind, first)
    (said,) = shop.settle()
    assert isinstance(said, ContainerAssigned)
    assert said.slot == 3


def test_what_is_on_a_lost_node_is_still_promised_there() -> None:
    """It runs on, as far as anyone knows, and counts again the moment the node is back."""
    shop = stage(web=HALF)
    place(shop)
    place(shop, slot=2)
    shop.tell(NodeLost(node="a", silent_s=3))
    shop.tell(joined("a"))
    assert isinstance(place(shop, slot=3), ContainerUnplaceable)


def test_a_host_port_is_given_once_on_each_node() -> None:
    shop = stage("ab", web=PORT)
    assert {node_of(place(shop, slot=slot)) for slot in (1, 2)} == {"a", "b"}
    assert reasons(place(shop, slot=3)) == {"port 80/tcp is taken": (2, ["a", "b"])}


def test_a_host_port_is_taken_also_by_the_same_slot_of_another_apps_namesake() -> None:
    shop = stage(web=PORT)
    shop.say(accepted(app="blog", web=PORT))
    assert node_of(place(shop)) == "a"
    assert reasons(place(shop, app="blog")) == {"port 80/tcp is taken": (1, ["a"])}


def test_a_slots_own_older_container_does_not_hold_the_port_against_it() -> None:
    shop = stage(web=PORT)
    first = place(shop)
    shop.tells(ContainerStarted, first, engine_id="e")  # type: ignore[arg-type]  # It is assigned.
    shop.ask("web", attempt=2)
    shop.say(NodeLost(node="a", silent_s=3))
    shop.say(ContainerRetired(**scope(shop.ask("web", attempt=3)), node="_", reason="replaced"))
    shop.tell(joined("a"))
    shop.say(ContainerRetired(**scope(first), node="a", reason="superseded"))  # type: ignore[arg-type]  # It is assigned.
    assert node_of(place(shop, attempt=4)) == "a"


@pytest.mark.parametrize(
    "other",
    [
        Port(target=80, published=80, mode="host", protocol="udp"),
        Port(target=80, published=81, mode="host"),
        Port(target=80, published=80),
        Port(target=80, mode="host"),
    ],
)
def test_ports_of_another_kind_do_not_collide(other: Port) -> None:
    shop = stage(web=PORT, other=ServiceSpec(image="o", ports=[other]))
    assert node_of(place(shop)) == "a"
    assert node_of(place(shop, "other")) == "a"


def test_no_more_of_a_service_than_allowed_go_to_one_node() -> None:
    shop = stage("ab", web=ServiceSpec(image="w", placement=Placement(max_per_node=2)), other=WEB)
    for slot in (1, 2, 3, 4):
        place(shop, slot=slot)
    assert [len(shop.picture.on_node[name]) for name in "ab"] == [2, 2]
    assert reasons(place(shop, slot=5)) == {
        "at most 2 of the service may run on one node": (2, ["a", "b"])
    }
    assert isinstance(place(shop, "other"), ContainerAssigned)


# When it is decided.


def test_several_placed_at_once_count_for_each_other() -> None:
    shop = stage("ab", web=HALF)
    for slot in range(1, 6):
        shop.ask("web", slot)
    said = shop.cores[0].decide(shop.now)
    placed = [d.event.node for d in said if isinstance(d.event, ContainerAssigned)]
    assert placed == ["a", "b", "a", "b"]
    assert [type(d.event) for d in said[4:]] == [ContainerUnplaceable]


def test_a_decision_counts_only_once_it_is_in_the_log() -> None:
    shop = stage(web=HALF)
    shop.ask("web")
    first = shop.cores[0].decide(shop.now)
    assert shop.picture.on_node.get("a", {}) == {}
    assert shop.container("web").node == ""
    assert [d.id for d in shop.cores[0].decide(shop.now)] == [d.id for d in first]
    shop.settle()
    assert shop.cores[0].decide(shop.now) == []


def test_the_oldest_is_placed_first_also_by_a_leader_that_began_with_a_snapshot() -> None:
    shop = stage("", aa=HALF, web=HALF)
    for number in (3, 1):
        shop.ask("web", number)
    shop.ask("aa")
    later = Scheduler()
    later.picture.restore(shop.picture.snapshot())
    shop.cores = (shop.cores[0], later)
    shop.say(joined("a"))
    ours, theirs = (core.decide(shop.now) for core in shop.cores)
    assert [d.event for d in ours] == [d.event for d in theirs]
    assert [d.event.subject for d in ours] == [
        "container.assigned.shop.web.3.a",
        "container.assigned.shop.web.1.a",
        "container.unplaceable.shop.aa.1",
    ]


def test_a_container_waits_until_its_time_and_the_clock_alone_places_it() -> None:
    shop = stage(web=WEB)
    shop.ask("web", not_before=shop.now + 5)
    shop.ask("web", 2, not_before=shop.now + 3)
    assert shop.settle() == []
    assert shop.cores[0].wake_at == shop.now + 3
    (said,) = shop.at(3)
    assert said.subject == "container.assigned.shop.web.2.a"
    assert shop.cores[0].wake_at == shop.now + 2
    assert shop.at(1.999) == []
    (said,) = shop.at(0.001)
    assert said.subject == "container.assigned.shop.web.1.a"
    assert shop.cores[0].wake_at is None


def test_a_container_that_is_retired_while_it_waits_is_forgotten() -> None:
    shop = stage("", web=WEB)
    asked = shop.ask("web")
    shop.settle()
    shop.say(ContainerRetired(**scope(asked), node="_", reason="scaled"))
    assert shop.tell(joined("a")) == []


def test_unplaceable_is_said_again_only_when_the_reasons_change() -> None:
    shop = stage("", web=HALF)
    assert reasons(place(shop)) == {"there is no node": (0, [])}
    shop.now += 60
    assert shop.tell(accepted(app="blog", x=WEB)) == []
    said, missing = shop.tell(joined("a", cpu_millicores=1_000))
    assert reasons(said) == {"not enough CPU: 2000 millicores are wanted": (1, ["a"])}
    assert isinstance(missing, CapacityExhausted)
    assert shop.tell(joined("a", cpu_millicores=1_500)) == []
    (said,) = shop.tell(joined("b", cpu_millicores=1_000))
    assert reasons(said) == {"not enough CPU: 2000 millicores are wanted": (2, ["a", "b"])}
    (said,) = shop.tell(joined("c"))
    assert node_of(said) == "c"
    assert reasons(said) == {"not enough CPU: 2000 millicores are wanted": (2, ["a", "b"])}


def test_the_reasons_that_come_back_are_said_again_each_with_an_id_of_its_own() -> None:
    shop = stage(web=WEB)
    shop.tell(NodeCordoned(node="a"))
    place(shop)
    for _ in range(3):
        assert len(shop.tell(NodeSuspected(node="a", silent_s=2))) == 1
        assert len(shop.tell(NodeReturned(node="a", silent_s=2))) == 1
    assert len(shop.all(ContainerUnplaceable)) == 7
    assert len({record.id for record in shop.log}) == len(shop.log)


def test_of_many_refused_nodes_five_are_named_and_all_counted() -> None:
    shop = stage("ihgfedcba", web=ServiceSpec(image="w", resources=Resources(memory_bytes=9 * GIB)))
    assert list(reasons(place(shop)).values()) == [(9, ["a", "b", "c", "d", "e"])]


def test_an_assignment_says_what_was_asked_and_by_whom_it_was_caused() -> None:
    shop = stage(web=WEB)
    asked = shop.ask("web", not_before=shop.now - 1)
    cause = shop.log[-1]
    (said,) = shop.settle()
    assert isinstance(said, ContainerAssigned)
    assert (said.revision, said.digest) == (asked.revision, asked.digest)
    assert said.not_before == asked.not_before
    assert shop.log[-1].cause == cause.id


def test_a_request_for_an_unknown_app_is_passed_over() -> None:
    shop = stage(web=WEB)
    ghost = ContainerRequested(
        app="ghost", service="web", slot=1, attempt=1, revision=1, digest="d"
    )
    assert shop.tell(ghost) == []
    assert isinstance(place(shop), ContainerAssigned)


def test_every_event_it_says_can_be_written_and_read() -> None:
    shop = stage("ab", web=HALF)
    for slot in range(1, 6):
        place(shop, slot=slot)
    for event in shop.all(ContainerAssigned):
        data = msgspec.json.encode(event)
        assert msgspec.json.decode(data, type=ContainerAssigned) == event
    assert isinstance(shop.log[0].event, NodeJoined)
