"""What events make of nodes, leaders and the picture as a whole; snapshots of it."""

from typing import Any

import msgspec
import pytest
from segue.envelope import Record, Unreadable
from segue.events import Event
from segue.events.container import ContainerRequested, ContainerStopped
from segue.events.deploy import (
    DeployRequested,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.event import EventRejected
from segue.events.image import ImagePulled
from segue.events.leader import LeaderElected
from segue.events.node import (
    NodeCordoned,
    NodeDegraded,
    NodeLeft,
    NodeLost,
    NodeRecovered,
    NodeReturned,
    NodeSuspected,
    NodeUncordoned,
)
from segue.events.service import ServiceFlapping, ServiceSteady
from segue.picture import Picture
from segue.picture.fold_node import IMAGES_KEPT
from segue.picture.picture import SHAPE
from segue.spec import AppSpec, Resources, ServiceSpec, digest
from segue.testing.shop import APP, GIB, Shop, accepted, joined, plain, scope
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w", resources=Resources(cpu_millicores=500, memory_bytes=GIB))
TWO = AppSpec(services={"web": ServiceSpec(image="w:2", resources=WEB.resources)})
JOINED = joined("a")
SUSPECTED, LOST = NodeSuspected(node="a", silent_s=2), NodeLost(node="a", silent_s=3)
RETURNED, LEFT = NodeReturned(node="a", silent_s=2), NodeLeft(node="a")


def log(nodes: str = "ab", **services: Any) -> Shop:
    made = Shop(Deployer(), nodes=nodes)
    made.say(accepted(**(services or {"web": WEB})))
    return made


# Nodes.


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([SUSPECTED], "suspected"),
        ([SUSPECTED, RETURNED], "up"),
        ([SUSPECTED, LOST], "lost"),
        ([LOST, RETURNED], "lost"),
        ([LOST, SUSPECTED], "lost"),
        ([LOST, LEFT], "lost"),
        ([LEFT], "left"),
        ([LEFT, SUSPECTED], "left"),
        ([LEFT, RETURNED], "left"),
        ([LEFT, LOST], "lost"),
        ([LOST, JOINED], "up"),
        ([LEFT, JOINED], "up"),
        ([SUSPECTED, JOINED], "up"),
        ([RETURNED], "up"),
    ],
)
def test_a_nodes_state_goes_forward_and_only_joining_begins_it_anew(
    events: list[Event], phase: str
) -> None:
    made = log()
    for event in events:
        made.say(event)
    assert made.picture.nodes["a"].phase == phase


def test_the_newest_loss_of_a_node_is_known_by_its_sequence_whatever_its_state() -> None:
    """It is the fence of what the node says: a runner that does not know it is never heard."""
    made = log()
    for _ in range(2):
        record = made.say(LOST)
        assert made.picture.nodes["a"].lost_seq == record.sequence


def test_cordons_and_a_useless_engine_are_independent_of_each_other_and_of_beats() -> None:
    made = log()
    node = made.picture.nodes["a"]
    made.say(NodeCordoned(node="a"))
    made.say(NodeDegraded(node="a", reason="disk"))
    made.say(SUSPECTED)
    made.say(RETURNED)
    assert (node.cordoned, node.degraded, node.usable) == (True, "disk", False)
    made.say(NodeRecovered(node="a"))
    assert not node.usable
    made.say(NodeUncordoned(node="a"))
    assert node.usable


def test_joining_again_keeps_the_cordon_and_takes_the_new_facts() -> None:
    made = log()
    made.say(NodeCordoned(node="a"))
    made.say(NodeDegraded(node="a", reason="disk"))
    made.say(joined("a", cpu_millicores=9_000, images=["x"]))
    node = made.picture.nodes["a"]
    assert (node.cordoned, node.degraded) == (True, "")
    assert (node.facts.cpu_millicores, list(node.images)) == (9_000, ["x"])


def test_only_so_many_images_of_a_node_are_remembered_the_newest() -> None:
    made = log()
    for number in range(IMAGES_KEPT + 5):
        made.say(ImagePulled(node="a", image=f"i{number}"))
    images = list(made.picture.nodes["a"].images)
    assert len(images) == IMAGES_KEPT
    assert images[-1] == f"i{IMAGES_KEPT + 4}"


def test_a_verdict_on_a_node_has_everything_that_stands_on_it_looked_at() -> None:
    made = log(web=WEB, other=WEB)
    made.run(made.ask("web"), "a")
    made.run(made.ask("other"), "b")
    made.settle()
    made.picture.touched.clear()
    made.say(LOST)
    assert list(made.picture.touched) == [(APP, "web")]


def test_what_stands_on_a_lost_node_is_gone_and_on_a_suspected_or_left_one_is_not() -> None:
    made = log()
    made.run(made.ask("web"), "a")
    container = made.container("web")
    for event, gone in ((SUSPECTED, False), (LOST, True), (JOINED, False), (LEFT, False)):
        made.say(event)
        assert made.picture.is_gone(container) is gone


# Leaders, services, what cannot be read.


def test_the_newest_election_counts() -> None:
    made = log()
    for instance in "xyx":
        record = made.say(LeaderElected(service="scheduler", instance=instance))
    leader = made.picture.leaders["scheduler"]
    assert (leader.instance, leader.term) == ("x", record.sequence)


def test_a_service_that_flaps_is_remembered_until_it_is_steady_or_removed() -> None:
    made = log()
    service = made.picture.apps[APP].services["web"]
    flapping = ServiceFlapping(
        app=APP, service="web", slot=1, failures=5, within_s=9, last_reason="r"
    )
    made.say(flapping)
    since = service.flapping_since
    made.now += 5
    made.say(flapping)
    assert service.flapping_since == since == made.now - 5
    made.say(ServiceSteady(app=APP, service="web", quiet_s=300))
    assert not service.flapping_since
    made.say(flapping)
    made.say(RemovalAccepted(app=APP))
    made.say(RemovalCompleted(app=APP))
    assert not service.flapping_since


def test_what_cannot_be_read_is_remembered_until_its_rejection_is_in_the_log() -> None:
    made = log()
    made.picture.unreadable(Unreadable(90, 1.0, "x.y", "not JSON"))
    assert made.picture.state.sequence == 90
    assert made.picture.state.unreadable == {90: ("x.y", "not JSON")}
    rejected = EventRejected(sequence=90, on="x.y", reason="not JSON")
    made.picture.fold(record(91, rejected))
    assert made.picture.state.unreadable == {}


def record(sequence: int, event: Event) -> Record:
    name = f"id-{sequence}"
    return Record(sequence=sequence, time=5.0, event=event, id=name, source="/t", correlation=name)


def test_an_event_that_was_folded_before_changes_nothing() -> None:
    picture = Picture()
    picture.fold(record(5, JOINED))
    picture.fold(record(6, LOST))
    before = plain(picture)
    picture.fold(record(5, JOINED))
    picture.fold(record(6, JOINED))
    assert plain(picture) == before


def test_the_logs_time_never_goes_back() -> None:
    picture = Picture()
    picture.fold(record(1, JOINED))
    picture.fold(msgspec.structs.replace(record(2, LOST), time=1.0))
    assert picture.state.time == 5.0


# What is promised.


def test_a_node_is_promised_what_stands_on_it_until_it_ends() -> None:
    made = log()
    for slot in (1, 2):
        made.run(made.ask("web", slot), "a")
    used = made.picture.used["a"]
    assert (used.cpu_millicores, used.memory_bytes) == (1_000, 2 * GIB)
    made.tells(ContainerStopped, made.container("web", 2))
    made.say(LOST)
    assert made.picture.used["a"] == Resources(cpu_millicores=500, memory_bytes=GIB)


def test_a_promise_is_taken_back_as_it_was_given_whatever_was_deployed_since() -> None:
    made = log()
    made.run(made.ask("web"), "a")
    double = Resources(cpu_millicores=1_000, memory_bytes=2 * GIB)
    made.say(accepted(2, web=ServiceSpec(image="w", resources=double)))
    made.say(accepted(3, web=ServiceSpec(image="v", resources=double)))
    made.tells(ContainerStopped, made.container("web"))
    assert made.picture.used["a"] == Resources()


def test_a_promise_of_something_unknown_is_no_other_after_a_restart() -> None:
    """An assignment may stand in the log before the revision that says what it reserves."""
    made = log()
    made.assign(
        ContainerRequested(
            app=APP, service="web", slot=1, attempt=1, revision=2, digest=digest(TWO, "web")
        )
    )
    made.say(accepted(2, web=TWO.services["web"]))
    again = Picture()
    again.restore(made.picture.snapshot())
    assert plain(again) == plain(made.picture)
    assert "a" not in again.used


# Snapshots.


def rich() -> Shop:
    """Make a picture with something of everything in it."""
    made = log("abc", web=WEB, other=WEB)
    made.run(made.ask("web", 2), "a")
    made.run(made.ask("web", 1), "b")
    made.ask("other", 3)
    made.ask("web", 3)
    made.fail(made.container("web", 1))
    made.say(LOST)
    made.ask("web", 2, attempt=2, not_before=made.now + 9)
    made.say(DeployRequested(app="blog", compose={"services": {"x": {"image": "x"}}}))
    made.say(LeaderElected(service="scheduler", instance="i"))
    made.say(NodeCordoned(node="c"))
    made.picture.unreadable(Unreadable(len(made.log) + 1, 1.0, "x.y", "why"))
    return made


def test_a_snapshot_holds_all_and_the_indexes_follow_from_it() -> None:
    picture = rich().picture
    again = Picture()
    again.restore(picture.snapshot())
    assert plain(again) == plain(picture)
    assert again.pending.keys() == picture.pending.keys()
    assert list(again.pending) == list(picture.pending), "who waited longest is first"
    assert again.nodes_changed
    assert again.snapshot() == picture.snapshot()
    for name, held in again.on_node.items():
        for container in held.values():
            assert container is again.container(*container.key)
            assert container.node == name


def test_a_restored_picture_forgets_what_it_knew() -> None:
    picture = rich().picture
    picture.restore(Picture().snapshot())
    assert plain(picture) == plain(Picture())
    assert picture.touched == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: SHAPE,
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"web", b"w\xff\xfe"),
        lambda data: data.replace(b'"replicas":1', b'"replicas":[]'),
        lambda data: SHAPE + b"[" * 100_000,
        lambda data: b"\0" * 32 + data[32:],
    ],
)
def test_a_damaged_snapshot_is_refused_in_one_way_and_leaves_the_picture_as_it_was(
    damage: Any,
) -> None:
    picture = rich().picture
    before = plain(picture)
    with pytest.raises(msgspec.ValidationError):
        picture.restore(damage(picture.snapshot()))
    assert plain(picture) == before


def test_a_follower_that_sees_only_its_nodes_events_knows_what_it_is_to_run() -> None:
    made = log()
    asked = made.ask("web")
    made.run(asked, "b")
    own = Picture()
    for told in made.log:
        event = told.event
        if getattr(event, "node", "") == "b" or not isinstance(event, ContainerRequested):
            own.fold(told)
    (container,) = own.on_node["b"].values()
    assert scope(container) == scope(asked)
    assert container.phase == "started"
    assert own.spec(container) == WEB
    assert container.cause == made.log[-1].as_cause()


def test_what_was_never_counted_on_a_node_is_not_taken_off_again() -> None:
    """An order that crosses its app's removal is of a revision that nobody has any more."""
    shop = Shop(Deployer(), nodes="a")
    web = ServiceSpec(image="w", resources=Resources(cpu_millicores=500))
    shop.say(accepted(web=web))
    (asked,) = shop.settle()
    assert isinstance(asked, ContainerRequested)
    shop.say(RemovalRequested(app="shop"))
    shop.up(*shop.settle())
    shop.assign(asked)
    shop.deploy(web=web)
    assert [c.attempt for c in shop.picture.on_node["a"].values()] == [2]
    assert shop.picture.used["a"].cpu_millicores == 500
