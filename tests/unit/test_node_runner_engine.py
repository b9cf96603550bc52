"""What a node runner owes to what its engine has: adopted, left alone, tidied up."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, arg-type, union-attr"

from types import SimpleNamespace
from typing import Any

import pytest
from segue.core import Decision
from segue.events.container import (
    ContainerFailed,
    ContainerStarted,
)
from segue.events.deploy import RemovalAccepted, RemovalCompleted
from segue.events.node import NodeDegraded, NodeJoined, NodeLeft, NodeLost, NodeRecovered
from segue.log import Fence
from segue.testing.board import Board
from segue.testing.host import FACTS, Host, has, web
from segue.testing.shop import Shop, joined
from segue_cli.rows import node_condition
from segue_node_runner import facts, news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import (
    Examine,
    GiveWay,
    List,
    Remove,
    RemoveApp,
    Start,
    Stop,
)
from segue_node_runner.labels import Identity

# What the engine has.


def test_what_runs_is_adopted_after_the_runners_own_restart() -> None:
    before = Host()
    before.brought_up()
    after = NodeRunner("a", "s-2")
    host = Host.__new__(Host)
    Shop.__init__(host, after, nodes="")
    host.core = after
    for record in before.log:
        host.say(record.event, event_id=record.id)
    host.hear(FACTS)
    [said] = host.shows(has(web()))
    assert isinstance(said, NodeJoined)
    assert said.session == "s-2"
    assert [(held.slot, held.attempt, held.running) for held in said.inventory] == [(1, 1, True)]
    assert not host.wants(Start)
    assert not host.wants(Stop)


def test_what_was_started_and_not_said_is_adopted() -> None:
    host = Host(has(web()))
    host.order()
    [started] = host.all(ContainerStarted)
    assert started.adopted
    assert host.wants(Start) == []


def test_what_died_unseen_is_examined_and_said() -> None:
    host = Host()
    host.brought_up()
    host.at(10.0)
    dead = has(web(), "exited")
    assert host.shows(dead) == []
    assert [one.engine_id for one in host.wants(Examine)] == ["id-1"]
    [said] = host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=9))
    assert said.exit_code == 9


def test_what_nobody_knows_is_left_alone() -> None:
    stranger = has(Identity("other", "db", 1, 4))
    newer = has(web(attempt=9))
    host = Host(stranger, newer)
    host.order(attempt=1, slot=2)
    host.at(10.0)
    host.shows(stranger, newer)
    assert not host.wants(Stop)
    assert not host.wants(Remove)


def test_what_runs_although_its_end_stands_in_the_log_is_stopped_and_not_spoken_of() -> None:
    host = Host()
    event = host.brought_up()
    host.tells(ContainerFailed, event, reason="unhealthy")
    assert host.settle() == []
    assert [one.engine_id for one in host.wants(Stop)] == ["id-1"]
    assert host.hear(news.StopDone(identity=web(), exit_code=0)) == []


def test_of_what_ended_each_slot_keeps_the_newest_for_its_log() -> None:
    host = Host()
    for attempt in (1, 2):
        host.brought_up(attempt)
        host.hear(news.Died(identity=web(attempt), engine_id=f"id-{attempt}", exit_code=1))
    host.brought_up(3)
    host.at(10.0)
    host.shows(has(web(1), "exited"), has(web(2), "exited"), has(web(3)))
    assert [one.attempt for one in host.wants(Remove)] == [1]


def test_what_ended_and_has_not_been_said_is_not_removed() -> None:
    host = Host()
    host.brought_up(1)
    host.order(2)
    host.at(10.0)
    host.shows(has(web(1), "exited"))
    assert host.wants(Remove) == []


def test_what_a_removed_app_leaves_is_removed() -> None:
    host = Host()
    event = host.brought_up()
    host.retire(event)
    host.settle()
    host.hear(news.StopDone(identity=web(), exit_code=0))
    host.tell(RemovalAccepted(app="shop", volumes=False))
    host.shows(networks_of=["shop", "other"], volumes_of=["shop"])
    assert host.wants(RemoveApp) == []
    host.tell(RemovalCompleted(app="shop"))
    host.shows(networks_of=["shop", "other"], volumes_of=["shop"])
    assert host.wants(RemoveApp) == [RemoveApp(cluster="", app="shop", volumes=False)]
    host.at(10.0)
    host.shows(networks_of=["other"], volumes_of=["shop"])
    assert host.wants(RemoveApp) == [], "its volumes stay"


def test_a_listing_never_hides_what_happened_while_it_was_made() -> None:
    host = Host()
    host.brought_up()
    host.at(10.0)
    host.order(slot=2)
    host.done(slot=2)
    host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=5))
    assert host.shows(has(web())) == []
    assert [one.reason for one in host.all(ContainerFailed)] == ["exited"]


def test_a_listing_that_was_overtaken_is_not_believed() -> None:
    host = Host()
    host.at(10.0)
    [old] = host.wants(List)[-1:]
    host.hear(news.Resync())
    host.brought_up()
    assert host.hear(news.Inventory([], number=old.number)) == []
    assert [type(said) for said in host.shows(has(web()))] == [ContainerStarted]


# The engine and the node.


def test_while_the_engine_is_away_nothing_is_concluded() -> None:
    host = Host()
    event = host.brought_up()
    [said] = host.hear(news.Away("connection refused"))
    assert isinstance(said, NodeDegraded)
    assert said.reason == "connection refused"
    host.retire(event)
    assert host.at(60.0) == []
    assert host.wants(Stop) == []
    assert host.hear(news.Resync()) == []
    assert [type(said) for said in host.shows(has(web()))] == [NodeRecovered]
    assert len(host.wants(Stop)) == 1


def test_a_frozen_engine_is_asked_for_nothing() -> None:
    host = Host()
    assert [type(said) for said in host.hear(news.Condition("frozen", "hangs"))] == [NodeDegraded]
    host.wants(List)
    host.order()
    host.at(60.0)
    assert not host.wants(Start)
    assert not host.wants(List)
    host.hear(news.Condition("well"))
    assert [type(said) for said in host.shows()] == [NodeRecovered]
    assert len(host.wants(Start)) == 1


FULL = "its disk is full: less than 256 MiB are free at /var/lib/docker"


def test_a_full_disk_takes_nothing_new_and_what_runs_is_told_as_before() -> None:
    host = Host()
    host.brought_up()
    [said] = host.hear(news.Condition("well", full=FULL))
    assert (type(said), said.reason) == (NodeDegraded, FULL)
    assert not host.picture.nodes["a"].usable
    assert host.hear(news.Condition("well", full=FULL)) == []
    host.order(slot=2)
    [refused] = host.all(ContainerFailed)
    assert (refused.slot, refused.reason, refused.message) == (2, "rejected", FULL)
    assert host.wants(Start)[1:] == []
    [died] = host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=1))
    assert (died.slot, died.exit_code) == (1, 1)
    assert [type(said) for said in host.hear(news.Condition("well"))] == [NodeRecovered]
    host.order(attempt=2, slot=2)
    assert len(host.wants(Start)) == 1


def test_a_full_disk_is_said_of_an_engine_that_was_frozen_and_of_a_node_that_joins_again() -> None:
    host = Host()
    host.hear(news.Condition("frozen", "hangs"))
    host.hear(news.Condition("well", full=FULL))
    assert [said.reason for said in host.shows()] == [FULL]
    host.say(NodeLost(node="a", silent_s=3.0))
    assert [type(said) for said in host.settle()] == [NodeJoined, NodeDegraded]


def test_a_disk_is_full_below_a_least_and_has_room_again_at_twice_as_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def words(free: int, total: int = 100 << 30, *, was_full: bool = False) -> str:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=total, free=free))
        return facts.full("/var/lib/docker", was_full=was_full)

    assert words(256 << 20) == ""
    assert words((256 << 20) - 1) == FULL
    assert words(511 << 20, was_full=True) == FULL
    assert words(512 << 20, was_full=True) == ""
    assert words(6 << 20, 100 << 20) == ""
    assert "less than 5 MiB" in words(4 << 20, 100 << 20)


def test_of_a_disk_that_is_not_seen_from_here_nothing_is_said() -> None:
    assert facts.full("/no/such/folder", was_full=True) == ""


def test_a_runner_that_never_reached_its_engine_says_so_of_a_node_that_is_known() -> None:
    core = NodeRunner("a", "s-2")
    host = Shop(core)
    assert host.settle() == []
    core.hear(news.Away("no such file"), host.now)
    assert [type(said) for said in host.settle()] == [NodeDegraded]


@pytest.mark.parametrize("last", [None, NodeLost(node="a", silent_s=3), NodeLeft(node="a")])
def test_a_runner_that_cannot_join_for_its_engine_says_so_once_and_joins_later(last: Any) -> None:
    core = NodeRunner("a", "s-2")
    host = Shop(core, nodes="a" if last else "")
    if last:
        host.say(last)
    core.hear(news.Away("no such file"), host.now)
    [said] = host.settle()
    assert (type(said), said.reason) == (NodeDegraded, "no such file")
    me = host.picture.nodes["a"]
    state, note = node_condition(me)
    assert note == "no such file"
    assert state == (me.phase if last else "broken")
    assert not me.usable
    assert host.at(60) == []
    for one in (FACTS, news.Condition("well")):
        core.hear(one, host.now)
    host.settle()
    asked = [effect for effect in host.effects if isinstance(effect, List)][-1]
    core.hear(news.Inventory([], number=asked.number), host.now)
    assert [type(said) for said in host.settle()] == [NodeJoined]
    assert host.picture.nodes["a"].usable


def test_the_engine_is_listed_every_ten_seconds() -> None:
    host = Host()
    host.wants(List)
    assert host.core.wake_at == host.now + 10.0
    host.at(10.0)
    assert len(host.wants(List)) == 1


def test_a_node_that_was_declared_lost_only_joins_again() -> None:
    host = Host()
    event = host.brought_up()
    lost = host.say(NodeLost(node="a", silent_s=3.0))
    assert host.core.fence() == Fence("node.lost.a", lost.sequence)
    host.retire(event)
    said = host.settle()
    assert isinstance(said[0], NodeJoined)
    assert said[0].lost_seq == lost.sequence
    assert [held.running for held in said[0].inventory] == [True]
    assert len(host.wants(Stop)) == 1, "and then goes on with what it was told meanwhile"


def test_of_two_runners_under_one_name_the_older_gives_way() -> None:
    host = Host()
    host.say(joined("a", session="s-2"))
    owed = host.core.decide(host.now)
    assert owed == [GiveWay(session="s-2")]


def test_the_older_gives_way_also_when_its_own_word_was_on_its_way_as_the_newer_joined() -> None:
    """Seed 920127: it stood still, joined again, and took what the newer ran for vanished."""
    host = Host()
    host.say(joined("a", session="s-2"))
    host.say(joined("a", session="s-a"))
    assert host.core.decide(host.now) == [GiveWay(session="s-2")]


def test_a_late_word_of_the_runner_before_is_no_reason_to_give_way() -> None:
    core = NodeRunner("a", "s-2")
    board = Board(core)
    core.hear(FACTS, board.now)
    board.say(joined("a", session="s-1"))
    core.decide(board.now)
    core.hear(news.Inventory([], number=1), board.now)
    board.say(joined("a", session="s-2"))
    board.say(joined("a", session="s-1"))  # It was on its way when that runner died.
    [again] = core.decide(board.now)
    assert (type(again.event), again.event.session) == (NodeJoined, "s-2")


def of_no_use(board: Board, core: NodeRunner) -> list[Any]:
    """Let a runner decide whose engine is away; give the types of what it owes in the log."""
    return [type(one.event) for one in core.decide(board.now) if isinstance(one, Decision)]


def test_two_runners_under_one_name_do_not_quarrel_about_whether_the_engine_is_of_use() -> None:
    """Seed 1002977: one had never joined, the other did; they wrote 34,000 events in 105 s."""
    core = NodeRunner("a", "s-2")
    board = Board(core)
    board.say(joined("a", session="s-1"))
    core.hear(news.Away("cannot reach it"), board.now)
    assert of_no_use(board, core) == [NodeDegraded]
    said = board.say(NodeDegraded(node="a", reason="cannot reach it"))
    assert of_no_use(board, core) == []
    board.say(NodeRecovered(node="a"), said.as_cause())
    assert of_no_use(board, core) == [], "the other is at work, and knows better"
    assert core.wake_at == board.now + 30
    board.now += 30
    assert of_no_use(board, core) == [NodeDegraded], "it may have died since"


def test_a_late_word_of_the_runner_before_does_not_hide_that_the_engine_is_of_no_use() -> None:
    core = NodeRunner("a", "s-2")
    board = Board(core)
    before = board.say(joined("a", session="s-1"))
    core.hear(news.Away("cannot reach it"), board.now)
    board.say(NodeDegraded(node="a", reason="cannot reach it"))
    board.say(NodeRecovered(node="a"), before.as_cause())
    assert of_no_use(board, core) == [NodeDegraded]


def test_a_runner_follows_its_nodes_part_of_the_log_only() -> None:
    subjects = follows("a")
    assert "container.assigned.*.*.*.a" in subjects
    assert "deploy.accepted.*" in subjects
    assert "node.*.a" in subjects
    assert not any(subject.startswith("container.requested") for subject in subjects)
