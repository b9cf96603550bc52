"""What a node runner owes to orders and to what happens: effects to its engine, or facts."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, arg-type, union-attr"

import pytest
from segue.events import Event
from segue.events.container import (
    Address,
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
)
from segue.events.gateway import GatewayJoined, GatewayLeft
from segue.events.image import ImagePulled, ImagePulling
from segue.spec import Resources, ServiceSpec
from segue.testing.board import Board
from segue.testing.host import FACTS, WEB, Host, has, web
from segue.testing.shop import joined
from segue_node_runner import news
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.effects import (
    GiveUp,
    GiveWay,
    List,
    Start,
    Stop,
)

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


def test_what_starts_asks_the_gateway_of_its_own_node_while_that_answers_names() -> None:
    def asks_a_gateway(*events: Event) -> bool:
        host = Host()
        for event in events:
            host.say(event)
        host.order()
        [start] = host.wants(Start)
        return start.names

    joined_here = GatewayJoined(node="a", session="g", address="", names=True)
    assert not asks_a_gateway()
    assert asks_a_gateway(joined_here)
    assert not asks_a_gateway(GatewayJoined(node="b", session="g", address="", names=True))
    assert not asks_a_gateway(
        GatewayJoined(node="a", session="g", address="", limits=["no rights"])
    )
    assert not asks_a_gateway(joined_here, GatewayLeft(node="a"))


def test_the_runner_hears_of_its_own_nodes_gateway() -> None:
    assert {"gateway.joined.a", "gateway.left.a"} <= set(follows("a"))


def test_where_it_is_reached_is_said_with_its_start_and_again_when_that_changes() -> None:
    host = Host()
    host.order()
    host.wants(Start)
    here, there = Address("shop", "10.0.0.2", 24, "10.0.0.1"), Address("shop", "10.0.0.3", 24)
    [said] = host.hear(news.StartDone(identity=web(), found=has(web(), addresses=[here])))
    assert said.addresses == [here]
    for address in (there, here, there):
        host.at(10.0)
        [again] = host.shows(has(web(), addresses=[address]))
        assert isinstance(again, ContainerStarted)
        assert (again.addresses, again.adopted) == ([address], True)
    host.at(10.0)
    assert host.shows(has(web(), addresses=[there])) == []


def test_what_is_healthy_stays_so_when_its_addresses_are_said_again() -> None:
    host = Host()
    host.brought_up()
    address = Address("shop", "10.0.0.2", 24, "10.0.0.1")
    seen = has(web(), addresses=[address], health="healthy")
    host.at(10.0)
    moved, healthy = host.shows(seen)
    assert isinstance(moved, ContainerStarted)
    assert isinstance(healthy, ContainerHealthy)
    host.at(10.0)
    assert host.shows(has(web(), health="healthy"))[0].addresses == []
    known = host.core.picture.container("shop", "web", 1, 1)
    assert (known.phase, known.addresses) == ("healthy", [])


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
    host.hear(news.Inventory([], number=host.wants(List)[-1].number))
    host.at(1.0)
    assert len(host.wants(Start)) == 1


def test_what_may_have_started_is_looked_for_before_it_is_said_to_be_gone() -> None:
    """It would run on beside its successor elsewhere."""
    host = Host()
    ordered = host.order()
    host.wants(Start)
    host.retire(ordered)
    failed = news.StartFailed(
        identity=web(), step="start", kind="timeout", message="late", passing=True
    )
    assert host.hear(failed) == [], "nobody knows yet"
    listing = host.wants(List)[-1]
    assert host.hear(news.Inventory([has(web())], number=listing.number)) == []
    host.at(1.0)
    assert [stop.attempt for stop in host.wants(Stop)] == [1]


def test_what_another_attempt_is_still_in_the_way_of_waits_and_is_said_of_nothing() -> None:
    """A runner that was killed amid a start: the engine goes on with it, unseen by the next."""
    host = Host()
    host.order()
    host.wants(Start)
    failed = news.StartFailed(
        identity=web(), step="create", kind="occupied", message="attempt 0 runs", passing=True
    )
    host.wants(List)
    assert host.hear(failed) == []
    assert len(host.wants(List)) == 1, "what was seen of the engine is not so any more"
    assert host.wants(Start) == []


def test_a_start_that_a_runner_before_has_begun_is_looked_at_once_it_is_done() -> None:
    host = Host(has(web(), state="created"))
    host.wants(List)
    host.hear(news.Running(identity=web()))
    assert len(host.wants(List)) == 1


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


def test_a_pull_that_is_begun_again_says_only_what_is_new() -> None:
    host = Host()
    host.order()
    seen = [news.PullProgress(identity=web(), image="shop:1", done_bytes=n) for n in (0, 10, 50)]
    assert len(host.hear(seen[0])) == len(host.hear(seen[1])) == len(host.hear(seen[2])) == 1
    broken = news.StartFailed(identity=web(), step="image", kind="away", message="", passing=True)
    host.hear(broken)
    host.at(2.0)
    assert host.hear(*seen) == [], "the log holds all of it"
    [said] = host.hear(news.PullProgress(identity=web(), image="shop:1", done_bytes=60))
    assert said.done_bytes == 60


def test_what_an_earlier_run_said_of_a_pull_does_not_hold_up_the_next() -> None:
    host = Host()
    host.order()
    begun = news.PullProgress(identity=web(), image="shop:1", done_bytes=10)
    assert [type(said) for said in host.hear(begun)] == [ImagePulling]
    host.core = NodeRunner("a", "s-b")
    host.cores = (host.core,)
    for record in host.log:
        host.core.fold(record)
    host.hear(FACTS)
    host.shows()
    assert [type(said) for said in host.hear(begun)] == [ImagePulling], "with an id of its own"


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


def test_a_runner_that_was_replaced_while_it_stood_still_gives_way() -> None:
    core = NodeRunner("a", "old")
    board = Board(core)
    core.hear(FACTS, board.now)
    board.say(joined("a", session="old"))
    board.say(joined("a", session="new"))  # It reads both at once, when it goes on.
    [effect] = core.decide(board.now)
    assert effect == GiveWay(session="new")
