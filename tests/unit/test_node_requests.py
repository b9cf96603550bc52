"""What people may ask of nodes, and what they are told when it cannot be."""

from typing import Any

import msgspec
import pytest
from segue.events.base import Event
from segue.events.container import ContainerRequested
from segue.events.deploy import Problem
from segue.events.node import (
    Held,
    NodeDegraded,
    NodeDrainRequested,
    NodeDrainStarted,
    NodeLabelled,
    NodeLabelRequested,
    NodeLeft,
    NodeLost,
    NodeRemovalRequested,
    NodeRemoved,
    NodeRequestRejected,
    NodeSuspected,
    NodeUncordoned,
)
from segue.spec import Mount, Placement, ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w")
DB = ServiceSpec(image="d", mounts=[Mount(kind="volume", source="data", target="/d")])
LOOSE = ServiceSpec(image="d", strict=False, mounts=DB.mounts)
AGENT = ServiceSpec(image="a", mode="global")


def answer(shop: Shop, request: Event) -> Event:
    return shop.tell(request)[0]


def problems(shop: Shop, request: Any) -> list[Problem]:
    said = answer(shop, request)
    assert isinstance(said, NodeRequestRejected), said
    assert said.node == request.node
    return said.problems


def rejected(shop: Shop, request: Event) -> tuple[str, str]:
    """Give what is said of the node as a whole, and what to do instead."""
    (problem,) = problems(shop, request)
    assert problem.where == "node"
    return problem.what, problem.hint


# Draining.


def test_a_drain_begins_with_its_deadline() -> None:
    shop = Shop(Deployer())
    assert answer(shop, NodeDrainRequested(node="a", deadline_s=5.0)) == NodeDrainStarted(
        node="a", deadline_s=5.0
    )
    node = shop.picture.nodes["a"]
    assert node.cordoned
    assert node.drain is not None
    assert node.drain.deadline_at == shop.now + 5.0
    shop.tell(NodeUncordoned(node="a"))
    assert node.drain is None
    assert not node.cordoned


@pytest.mark.parametrize("deadline_s", [-1.0, 1e9, float("inf")])
def test_a_deadline_is_between_now_and_a_week(deadline_s: float) -> None:
    asked = NodeDrainRequested(node="a", deadline_s=deadline_s)
    what = f"{deadline_s:g} s is no deadline; from 0 s to a week are possible"
    assert problems(Shop(Deployer()), asked) == [Problem(where="deadline_s", what=what)]


@pytest.mark.parametrize("deadline_s", [0, 7 * 86_400])
def test_a_drain_may_take_from_no_time_to_a_whole_week(deadline_s: float) -> None:
    asked = NodeDrainRequested(node="a", deadline_s=deadline_s)
    assert isinstance(answer(Shop(Deployer()), asked), NodeDrainStarted)


# Labels.


def label(**set_: str) -> NodeLabelRequested:
    return NodeLabelRequested(node="a", set=set_)


def test_labels_outweigh_those_of_the_runner_also_when_it_joins_again() -> None:
    shop = Shop(Deployer(), nodes="")
    shop.say(joined("a", labels={"zone": "z1", "disk": "hdd"}))
    asked = NodeLabelRequested(node="a", set={"zone": "z2"}, remove=["disk", "other"])
    assert answer(shop, asked) == NodeLabelled(
        node="a", set={"zone": "z2"}, removed=["disk", "other"]
    )
    node = shop.picture.nodes["a"]
    assert node.labels == {"zone": "z2"}
    assert node.labelled == {"zone": "z2", "disk": None}
    shop.tell(joined("a", session="s-2", labels={"zone": "z1", "rack": "r"}))
    assert node.labels == {"zone": "z2", "rack": "r"}


def test_a_label_gives_a_node_a_slot_of_a_global_service() -> None:
    shop = Shop(Deployer())
    shop.deploy(
        agent=ServiceSpec(
            image="a", mode="global", placement=Placement(constraints=["node.labels.gpu == yes"])
        )
    )
    assert [type(event) for event in shop.tell(label(gpu="yes"))] == [
        NodeLabelled,
        ContainerRequested,
    ]


LETTERS = "letters, digits, '.', '_', '-' and '/'; values of at most 256"


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (
            NodeLabelRequested(node="a"),
            Problem(where="set", what="nothing is to be set, and nothing removed"),
        ),
        (label(**{"a b": "c"}), Problem(where="set.a b", what="is no label", hint=LETTERS)),
        (label(a="x" * 257), Problem(where="set.a", what="is no label", hint=LETTERS)),
        (
            label(**{"x" * 129: ""}),
            Problem(where="set." + "x" * 96, what="is no label", hint=LETTERS),
        ),
        (
            NodeLabelRequested(node="a", set={"a": "b"}, remove=["a"]),
            Problem(where="remove.a", what="is to be set, too"),
        ),
        (
            NodeLabelRequested(node="a", set={"x" * 128: "b"}, remove=["x" * 128]),
            Problem(where="remove." + "x" * 93, what="is to be set, too"),
        ),
        (
            label(**{f"k{n}": "" for n in range(101)}),
            Problem(where="set", what="a node can be given 100 labels", hint="remove some first"),
        ),
    ],
)
def test_what_is_no_label_is_rejected(asked: NodeLabelRequested, problem: Problem) -> None:
    assert problems(Shop(Deployer()), asked) == [problem]


def test_of_many_wrong_labels_the_first_twenty_are_named() -> None:
    said = problems(Shop(Deployer()), label(**{f"k {n}": "" for n in range(30)}))
    assert [problem.where for problem in said] == [f"set.k {n}" for n in range(20)]


def test_a_node_can_be_given_a_hundred_labels_and_keep_them() -> None:
    shop = Shop(Deployer())
    told = {f"k{n}": "x" * 256 for n in range(100)}
    assert answer(shop, label(**told)) == NodeLabelled(node="a", set=told, removed=[])
    assert isinstance(answer(shop, label(k0="other")), NodeLabelled)
    assert isinstance(answer(shop, NodeLabelRequested(node="a", remove=["k1"])), NodeLabelled)
    assert isinstance(answer(shop, label(more="")), NodeLabelled)
    assert isinstance(answer(shop, label(still_more="")), NodeRequestRejected)


# Removal.


def remove(*, force: bool = False, node: str = "a") -> NodeRemovalRequested:
    return NodeRemovalRequested(node=node, force=force)


def test_a_lost_node_is_forgotten_and_its_slots_are_filled_elsewhere() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    shop.say(NodeLost(node="a", silent_s=3))
    (asked,) = shop.settle()
    assert isinstance(asked, ContainerRequested)
    shop.run(asked, "b")
    assert answer(shop, remove()) == NodeRemoved(node="a")
    picture = shop.picture
    assert "a" not in picture.nodes
    assert "a" not in picture.on_node
    assert shop.slot("web").leaving == {}
    assert shop.settle() == []


def test_what_comes_back_after_it_was_forgotten_begins_from_its_last_loss() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    lost = shop.say(NodeLost(node="a", silent_s=3))
    shop.tell(remove())
    held = Held(APP, "web", 1, 1, running=True)
    shop.tell(joined("a", session="s-2", inventory=[held]))
    assert shop.picture.nodes["a"].lost_seq == lost.sequence
    assert shop.picture.state.removed == {}


def test_what_ended_with_a_forgotten_node_is_no_stranger_when_the_node_comes_back() -> None:
    """Its runner knows that it is over, stops it, and has nobody to tell."""
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    shop.say(NodeLost(node="a", silent_s=3))
    shop.tell(remove())
    held = Held(APP, "web", 1, 1, running=True)
    for inventory in ([held], [held], []):
        shop.tell(joined("a", session="s-2", inventory=inventory))
        assert shop.picture.strangers(APP, "web", 1) == {}
    shop.tell(joined("a", session="s-3", inventory=[held]))
    assert list(shop.picture.strangers(APP, "web", 1)) == ["a"]


def test_what_was_declared_lost_after_it_was_forgotten_begins_from_there() -> None:
    """Both were on their way at once; a runner that fenced with another loss is never heard."""
    shop = Shop(Deployer(), nodes="ab")
    shop.tell(NodeRemoved(node="a"))
    lost = shop.say(NodeLost(node="a", silent_s=3))
    assert shop.picture.state.removed["a"].lost_seq == lost.sequence
    shop.tell(joined("a", session="s-2", lost_seq=lost.sequence))
    assert shop.picture.nodes["a"].lost_seq == lost.sequence


def test_what_comes_back_with_a_useless_engine_begins_from_its_last_loss_too() -> None:
    """Else the runner would fence with a loss that never was, and never be heard again."""
    shop = Shop(Deployer(), nodes="ab")
    lost = shop.say(NodeLost(node="a", silent_s=3))
    shop.tell(remove())
    shop.tell(NodeDegraded(node="a", reason="no answer"))
    assert shop.picture.nodes["a"].lost_seq == lost.sequence
    assert shop.picture.state.removed == {}


@pytest.mark.parametrize("force", [True, False])
def test_a_node_that_is_at_work_is_never_forgotten(*, force: bool) -> None:
    what, hint = rejected(Shop(Deployer()), remove(force=force))
    assert what == "node a is at work"
    assert hint == "drain it and stop its runner first"


def test_a_silent_node_is_forgotten_at_once_only_by_force() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    shop.say(NodeSuspected(node="a", silent_s=1.5))
    what, hint = rejected(shop, remove())
    assert what == "node a has only just fallen silent"
    assert hint == "wait until it is lost; force gives it up at once"
    said = shop.tell(remove(force=True))
    assert isinstance(said[0], NodeRemoved)
    assert [event.attempt for event in said if isinstance(event, ContainerRequested)] == [2]


@pytest.mark.parametrize(
    "silent",
    [NodeLeft(node="a"), NodeSuspected(node="a", silent_s=1.5), NodeLost(node="a", silent_s=3)],
)
def test_what_may_never_run_twice_is_not_given_up_by_force(silent: Event) -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(one=ServiceSpec(image="o", strict=True))
    shop.say(silent)
    what, hint = rejected(shop, remove(force=True))
    assert what == "shop/one.1 may still run there, and must never run twice"
    assert hint == "ask again once the node's lease is over"


def test_data_are_given_up_only_by_force() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(db=LOOSE)
    shop.tell(NodeLost(node="a", silent_s=3))
    what, hint = rejected(shop, remove())
    assert what == "node a has the data of shop/db.1"
    assert hint == "force gives them up, and they begin with empty volumes"
    shop.tell(remove(force=True))
    assert shop.slot("db").home == ""


def test_what_still_runs_on_a_node_that_was_left_is_given_up_only_by_force() -> None:
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=WEB)
    shop.say(NodeLeft(node="a"))
    what, hint = rejected(shop, remove())
    assert what == "shop/web.1 may still run on node a, whose runner was stopped"
    assert hint == "drain it while its runner works; force gives them up"
    assert isinstance(answer(shop, remove(force=True)), NodeRemoved)


def test_of_many_that_are_in_the_way_five_are_named_and_the_others_counted() -> None:
    for replicas, more in ((5, ""), (7, " and 2 more")):
        shop = Shop(Deployer())
        shop.deploy(web=msgspec.structs.replace(WEB, replicas=replicas))
        shop.say(NodeLeft(node="a"))
        names = ", ".join(f"shop/web.{number}" for number in range(1, 6)) + more
        what, _ = rejected(shop, remove())
        assert what == f"{names} may still run on node a, whose runner was stopped"


def test_of_many_slots_whose_data_are_on_a_node_too() -> None:
    for replicas, more in ((5, ""), (7, " and 2 more")):
        shop = Shop(Deployer())
        shop.deploy(db=msgspec.structs.replace(LOOSE, replicas=replicas))
        shop.tell(NodeLost(node="a", silent_s=3))
        names = ", ".join(f"shop/db.{number}" for number in range(1, 6)) + more
        assert rejected(shop, remove())[0] == f"node a has the data of {names}"


def test_a_slot_of_a_forgotten_node_goes_to_the_next_new_one() -> None:
    """Else a cluster whose hosts come and go would remember more and more slots."""
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(agent=AGENT)
    shop.say(NodeLost(node="a", silent_s=3))
    shop.tell(remove())
    (asked,) = shop.tell(joined("c"))
    assert isinstance(asked, ContainerRequested)
    assert (asked.slot, asked.attempt, asked.pinned) == (1, 2, "c")


def test_the_number_of_forgotten_nodes_that_are_remembered_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segue.picture.fold_node.REMOVED_KEPT", 1)
    shop = Shop(Deployer(), nodes="ab")
    for node in "ab":
        shop.say(NodeLost(node=node, silent_s=3))
        shop.tell(remove(node=node))
    assert list(shop.picture.state.removed) == ["b"]


def test_a_request_about_nobody_is_answered_with_who_there_is() -> None:
    requests: list[Any] = [NodeDrainRequested, NodeLabelRequested, NodeRemovalRequested]
    for kind in requests:
        what, hint = rejected(Shop(Deployer()), kind(node="x"))
        assert (what, hint) == ("there is no node called x", "there are: a")
    nobody = Shop(Deployer(), nodes="")
    assert rejected(nobody, remove(node="x"))[1] == "there are: none"
    names = [f"n{number:02}" for number in range(30)]
    many = Shop(Deployer(), nodes="")
    for name in reversed(names):
        many.say(joined(name))
    assert rejected(many, remove(node="x"))[1] == f"there are: {', '.join(names[:20])}"


def test_of_two_requests_the_second_is_answered_from_what_the_first_led_to() -> None:
    shop = Shop(Deployer())
    shop.say(accepted(web=WEB))
    shop.say(NodeLost(node="a", silent_s=3))
    shop.say(remove())
    said = shop.tell(remove())
    assert [type(event) for event in said if "node" in event.type] == [
        NodeRemoved,
        NodeRequestRejected,
    ]
