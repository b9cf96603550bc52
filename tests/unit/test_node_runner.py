"""What a node runner owes: effects to its engine and facts to the log, and when it owes nothing."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, arg-type, union-attr"

from typing import Any

import pytest
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.deploy import RemovalAccepted, RemovalCompleted
from segue.events.image import ImagePulled, ImagePulling
from segue.events.node import NodeDegraded, NodeJoined, NodeLost, NodeRecovered
from segue.log import Fence
from segue.spec import Resources, ServiceSpec
from segue.testing.shop import Shop, accepted, joined
from segue_node_runner import news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import (
    Examine,
    GiveUp,
    GiveWay,
    List,
    Remove,
    RemoveApp,
    Start,
    Stop,
)
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity

WEB = ServiceSpec(image="shop:1", stop_grace_s=7.0)
FACTS = news.Facts(
    cpu_millicores=4_000,
    memory_bytes=8 << 30,
    disk_bytes=1,
    hostname="host",
    platform="linux/amd64",
    engine="docker",
    api_version="1.41",
    live_restore=True,
    images=["shop:0"],
)


def web(attempt: int = 1, slot: int = 1) -> Identity:
    return Identity("shop", "web", slot, attempt)


def has(identity: Identity, state: Any = "running", **more: Any) -> Found:
    return Found(
        identity=identity,
        engine_id=f"id-{identity.attempt}",
        name=identity.slot_name,
        cluster="",
        state=state,
        exit_code=0 if state == "exited" else None,
        **more,
    )


class Host(Shop):
    """Node `a` with its runner, joined and with nothing on its engine, and an app to run."""

    def __init__(self, *there: Found, session: str = "s-a", **services: ServiceSpec) -> None:
        self.core = NodeRunner("a", session)
        super().__init__(self.core)
        self.say(accepted(**(services or {"web": WEB})))
        self.hear(FACTS)
        self.shows(*there)

    def hear(self, *said: Any) -> list[Any]:
        """Tell the core some news; give what it says about it."""
        for one in said:
            self.core.hear(one, self.now)
        return self.settle()

    def shows(self, *there: Found, **more: Any) -> list[Any]:
        """Answer the newest question for all that the engine has."""
        self.settle()
        asked = [effect for effect in self.effects if isinstance(effect, List)][-1]
        return self.hear(news.Inventory(list(there), number=asked.number, **more))

    def order(self, attempt: int = 1, slot: int = 1, service: str = "web") -> ContainerAssigned:
        """Assign a container to the node."""
        event = self.assign(self.ask(service, slot, attempt))
        self.settle()
        return event

    def brought_up(self, attempt: int = 1, slot: int = 1) -> ContainerAssigned:
        """Assign a container and let it start."""
        event = self.order(attempt, slot)
        self.done(attempt, slot)
        return event

    def done(self, attempt: int = 1, slot: int = 1, **more: Any) -> list[Any]:
        """Let a start succeed."""
        identity = web(attempt, slot)
        return self.hear(news.StartDone(identity=identity, found=has(identity), **more))

    def retire(self, event: ContainerAssigned) -> None:
        self.tells(ContainerRetired, event, reason="scaled", grace_s=3.0)

    def wants(self, kind: type) -> list[Any]:
        """Give the effects of a kind that came since this was last asked."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found


# Orders.


def test_what_is_assigned_is_started_once_and_its_start_is_said() -> None:
    host = Host()
    host.order()
    [start] = host.wants(Start)
    assert (start.identity, start.node, start.runs) == (web(), "a", WEB)
    assert start.cause == host.log[-1].id
    host.settle()
    assert host.wants(Start) == []
    [said] = host.done(took_s=0.25)
    assert (said.engine_id, said.took_s, said.adopted) == ("id-1", 0.25, False)


def test_another_nodes_orders_are_nobodys_business_here() -> None:
    host = Host()
    host.say(joined("b"))
    host.assign(host.ask("web"), "b")
    host.settle()
    assert host.wants(Start) == []


def test_what_is_retired_is_stopped_with_its_grace_and_then_said_to_be_gone() -> None:
    host = Host()
    event = host.brought_up()
    host.retire(event)
    assert host.settle() == []
    [stop] = host.wants(Stop)
    assert (stop.engine_id, stop.grace_s) == ("id-1", 3.0)
    died = news.Died(identity=web(), engine_id="id-1", exit_code=137, ran_s=9.0)
    assert host.hear(died) == [], "the stop has more to tell"
    done = news.StopDone(identity=web(), exit_code=137, ran_s=9.0, killed=True)
    [said] = host.hear(done)
    assert isinstance(said, ContainerStopped)
    assert (said.exit_code, said.ran_s, said.killed) == (137, 9.0, True)


def test_what_is_retired_before_it_came_up_is_given_up_and_gone() -> None:
    host = Host()
    event = host.order()
    host.retire(event)
    assert host.settle() == []
    assert [one.identity for one in host.wants(GiveUp)] == [web()]
    failed = news.StartFailed(
        identity=web(), step="image", kind="given up", message="", passing=True
    )
    [said] = host.hear(failed)
    assert isinstance(said, ContainerStopped)
    assert host.wants(Stop) == []


def test_what_comes_up_although_it_was_given_up_is_stopped() -> None:
    host = Host()
    event = host.order()
    host.retire(event)
    host.settle()
    assert host.done() == []
    assert [one.engine_id for one in host.wants(Stop)] == ["id-1"]


def test_a_stop_that_failed_is_tried_again_after_a_while() -> None:
    host = Host()
    host.retire(host.brought_up())
    host.settle()
    host.wants(Stop)
    host.hear(news.StopFailed(identity=web(), message="no answer"))
    assert host.wants(Stop) == []
    assert host.core.wake_at == host.now + 1.0
    host.at(1.0)
    assert len(host.wants(Stop)) == 1


def test_a_newer_container_of_a_slot_waits_for_the_older_one_to_be_gone() -> None:
    host = Host()
    host.brought_up()
    host.order(attempt=2)
    assert host.wants(Start)[-1].attempt == 1
    assert [stop.attempt for stop in host.wants(Stop)] == [1], "the newer order supersedes it"
    host.hear(news.StopDone(identity=web(1), exit_code=0))
    assert [start.attempt for start in host.wants(Start)] == [2]


def test_a_start_that_may_yet_work_is_tried_again_and_said_of_nothing() -> None:
    host = Host()
    host.order()
    host.wants(Start)
    failed = news.StartFailed(
        identity=web(), step="start", kind="timeout", message="late", passing=True
    )
    assert host.hear(failed) == []
    assert host.wants(Start) == []
    host.at(1.0)
    assert len(host.wants(Start)) == 1


@pytest.mark.parametrize(
    ("step", "kind", "reason"),
    [
        ("image", "image", "image"),
        ("create", "invalid", "create"),
        ("network", "invalid", "create"),
        ("start", "invalid", "start"),
        ("policy", "forbidden", "rejected"),
    ],
)
def test_a_start_that_failed_is_said_in_the_engines_words(
    step: str, kind: str, reason: str
) -> None:
    host = Host()
    host.order()
    failed = news.StartFailed(identity=web(), step=step, kind=kind, message="no", final=True)
    [said] = host.hear(failed)
    assert isinstance(said, ContainerFailed)
    assert (said.reason, said.message, said.final) == (reason, "no", True)
    host.at(60)
    assert len(host.wants(Start)) == 1, "whether to try again is not decided here"


def test_a_node_without_room_refuses_what_it_was_assigned() -> None:
    big = ServiceSpec(image="shop:1", resources=Resources(memory_bytes=9 << 30))
    host = Host(web=big)
    host.order()
    assert host.wants(Start) == []
    [failed] = host.all(ContainerFailed)
    assert (failed.reason, failed.final) == ("rejected", False)
    assert "8192 MiB" in failed.message


# What happens by itself.


def test_a_container_that_ends_is_said_at_once_with_all_about_it() -> None:
    host = Host()
    host.brought_up()
    died = news.Died(
        identity=web(), engine_id="id-1", exit_code=3, ran_s=1.5, logs=["oops"], oom=False
    )
    [said] = host.hear(died)
    assert isinstance(said, ContainerFailed)
    assert (said.reason, said.exit_code, said.ran_s, said.logs) == ("exited", 3, 1.5, ["oops"])
    assert host.hear(news.Gone(identity=web(), engine_id="id-1")) == []


@pytest.mark.parametrize(
    ("exit_code", "oom", "kind"),
    [(0, False, ContainerFinished), (0, True, ContainerFailed), (137, True, ContainerFailed)],
)
def test_how_a_container_ended_decides_what_is_said(
    exit_code: int, *, oom: bool, kind: type
) -> None:
    host = Host()
    host.brought_up()
    [said] = host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=exit_code, oom=oom))
    assert type(said) is kind
    if oom:
        assert said.reason == "oom"


def test_a_death_before_its_start_was_answered_is_not_lost() -> None:
    host = Host()
    host.order()
    assert host.hear(news.Died(identity=web(), engine_id="id-1", exit_code=1)) == []
    [said] = host.done()
    assert isinstance(said, ContainerFailed)


def test_health_is_said_when_it_changes() -> None:
    host = Host()
    host.brought_up()
    well = news.HealthChanged(identity=web(), healthy=True)
    ill = news.HealthChanged(identity=web(), healthy=False, streak=3, output="no answer")
    assert [type(said) for said in host.hear(well)] == [ContainerHealthy]
    assert host.hear(well) == []
    [said] = host.hear(ill)
    assert isinstance(said, ContainerUnhealthy)
    assert (said.streak, said.output) == (3, "no answer")
    assert [type(said) for said in host.hear(well)] == [ContainerHealthy]


def test_health_before_its_start_was_answered_is_not_lost() -> None:
    host = Host()
    host.order()
    host.hear(news.HealthChanged(identity=web(), healthy=True))
    assert [type(said) for said in host.done()] == [ContainerStarted, ContainerHealthy]


def test_a_container_that_is_no_longer_there_has_vanished() -> None:
    host = Host()
    host.brought_up()
    host.at(10.0)
    [said] = host.shows()
    assert (type(said), said.reason) == (ContainerFailed, "vanished")


def test_a_pull_is_said_as_it_goes_and_once_when_it_is_done() -> None:
    host = Host()
    host.order()
    host.order(slot=2)
    begun = news.PullProgress(identity=web(), image="shop:1")
    assert [type(said) for said in host.hear(begun)] == [ImagePulling]
    assert host.hear(begun) == [], "nothing new"
    [said] = host.hear(news.PullProgress(identity=web(), image="shop:1", done_bytes=5))
    assert said.done_bytes == 5
    first = host.done(pulled_s=2.0)
    second = host.done(slot=2, pulled_s=2.0)
    assert [type(said) for said in [*first, *second]].count(ImagePulled) == 1


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
    assert host.wants(Start) == host.wants(Stop) == []


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
    assert host.wants(Stop) == host.wants(Remove) == []


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
    assert host.wants(Start) == host.wants(List) == []
    host.hear(news.Condition("well"))
    assert [type(said) for said in host.shows()] == [NodeRecovered]
    assert len(host.wants(Start)) == 1


def test_a_runner_that_never_reached_its_engine_says_so_of_a_node_that_is_known() -> None:
    core = NodeRunner("a", "s-2")
    host = Shop(core)
    assert host.settle() == []
    core.hear(news.Away("no such file"), host.now)
    assert [type(said) for said in host.settle()] == [NodeDegraded]


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


def test_a_runner_follows_its_nodes_part_of_the_log_only() -> None:
    subjects = follows("a")
    assert "container.assigned.*.*.*.a" in subjects
    assert "deploy.accepted.*" in subjects
    assert "node.*.a" in subjects
    assert not any(subject.startswith("container.requested") for subject in subjects)
