"""What the shell's machine does with a log: lead, decide, be refused, repeat, go on."""

import msgspec
import pytest
from segue.core import BusReturned
from segue.envelope import encode
from segue.events.deploy import RemovalRejected
from segue.events.leader import LeaderElected
from segue.log import Head, Message, Outcome
from segue.shell.commands import Append
from segue.shell.errors import LogReplacedError, OutdatedError
from segue.shell.machine import Machine
from segue.testing.echo import Echo
from segue.testing.echo import EchoStage as Stage


def test_alone_it_stands_at_once_and_decides_after_its_own_election() -> None:
    stage = Stage("a")
    stage.request("shop")
    stage.settle("a")
    assert stage.subjects() == [
        "removal.requested.shop",
        "leader.elected.echo",
        "removal.rejected.shop",
    ]
    assert stage.machines["a"].term == 2


def test_a_decision_is_fenced_by_the_term() -> None:
    stage = Stage("a")
    stage.request("shop")
    stage.turn("a")
    (decision,) = stage.turn("a")
    assert decision.fence is not None
    assert (decision.fence.subject, decision.fence.sequence) == ("leader.elected.echo", 2)


def test_of_two_that_stand_at_once_one_wins() -> None:
    stage = Stage("a", "b")
    stage.read("a")
    stage.read("b")
    (first,) = [c for c in stage.machines["a"].step(stage.now) if isinstance(c, Append)]
    (second,) = [c for c in stage.machines["b"].step(stage.now) if isinstance(c, Append)]
    assert stage.write("a", first).kind == "stored"
    assert stage.write("b", second).kind == "refused"
    stage.settle("a")
    stage.settle("b")
    assert [stage.machines[name].leading for name in "ab"] == [True, False]


def test_a_follower_stands_when_the_leader_has_been_silent() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.machines["b"] = stage.machine("b")
    stage.settle("b")
    assert not stage.machines["b"].leading
    for _ in range(20):
        stage.now += 0.25
        stage.turn("a")
        stage.machines["b"].heard_leader(stage.beats[-1], stage.now)
        stage.settle("b")
    assert not stage.machines["b"].leading, "the leader beats"
    stage.now += 1.4
    stage.settle("b")
    assert stage.machines["b"].leading


def test_a_deposed_leaders_late_decision_is_refused_and_it_steps_down() -> None:
    stage = Stage("a", "b")
    stage.settle("a")
    stage.settle("b")
    stage.request("shop")
    stage.read("a")
    (late,) = [c for c in stage.machines["a"].step(stage.now) if isinstance(c, Append)]
    stage.now += 5
    stage.turn("b")  # It stands and wins.
    assert stage.write("a", late).kind == "refused"
    assert not stage.machines["a"].leading
    stage.settle("b")
    stage.settle("a")
    assert stage.machines["b"].leading
    assert stage.subjects().count("removal.rejected.shop") == 1


def test_what_two_leaders_decide_from_the_same_cause_is_one_event() -> None:
    stage = Stage("a", "b")
    stage.settle("a")
    stage.settle("b")
    stage.request("shop")
    stage.read("a")
    (late,) = [c for c in stage.machines["a"].step(stage.now) if isinstance(c, Append)]
    stage.now += 5
    stage.settle("b")
    assert stage.write("a", late).duplicate
    assert stage.subjects().count("removal.rejected.shop") == 1


def test_an_instance_that_led_last_leads_again_at_once_after_a_restart() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.machines["a"] = stage.machine("a", "run-2")
    stage.settle("a")
    assert stage.machines["a"].leading


def test_a_write_without_an_answer_is_repeated_with_the_same_ids_and_stored_once() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.request("shop")
    stage.read("a")
    machine = stage.machines["a"]
    (first,) = [c for c in machine.step(stage.now) if isinstance(c, Append)]
    stage.log.append(first.messages, first.fence, stage.now + 1000)  # Stored; the answer is lost.
    machine.wrote(first.number, Outcome("unknown"), stage.now)
    assert not [c for c in machine.step(stage.now) if isinstance(c, Append)], "not at once"
    stage.now += 1
    (again,) = [c for c in machine.step(stage.now) if isinstance(c, Append)]
    assert [m.id for m in again.messages] == [m.id for m in first.messages]
    stage.write("a", again)
    stage.settle("a")
    assert stage.subjects().count("removal.rejected.shop") == 1
    assert machine.repeats == 0


def test_what_the_log_shows_needs_no_answer() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.request("shop")
    stage.read("a")
    machine = stage.machines["a"]
    (first,) = [c for c in machine.step(stage.now) if isinstance(c, Append)]
    stage.log.append(first.messages, first.fence, stage.now + 1000)
    stage.request("other")
    (second,) = stage.turn("a")
    assert second.number > first.number, "it goes on although the first was never answered"
    machine.wrote(first.number, Outcome("unknown"), stage.now)  # Late news is nothing.
    stage.settle("a")
    assert len(stage.subjects()) == 5


def test_a_decision_whose_log_was_lost_after_its_answer_is_made_again() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.request("shop")
    stage.read("a")
    (append,) = [c for c in stage.machines["a"].step(stage.now) if isinstance(c, Append)]
    machine = stage.machines["a"]
    machine.wrote(append.number, Outcome("stored", machine.read_to + 1), stage.now)
    stage.request("blog")  # Stands where the decision stood in the log that was restored older.
    stage.settle("a")
    assert stage.subjects()[-2:] == ["removal.rejected.shop", "removal.rejected.blog"]
    assert machine.repeats == 0


def test_nothing_is_decided_before_the_log_is_caught_up() -> None:
    stage = Stage()
    stage.request("shop")
    assert stage.machine("a").step(stage.now) == []


def test_an_unreadable_message_costs_itself_only() -> None:
    stage = Stage("a")
    stage.log.append([Message("removal.requested.x", "bad", b"\xff{")], None, 0)
    stage.request("shop")
    stage.settle("a")
    assert "removal.rejected.shop" in stage.subjects()
    assert list(stage.machines["a"].core.picture.state.unreadable) == [1]


def test_a_newer_segues_event_stops_it() -> None:
    stage = Stage("a")
    data = b'{"specversion":"1.0","id":"1","source":"/segue/x/y","type":"container.teleported"}'
    stage.log.append([Message("container.teleported.a", "1", data)], None, 0)
    with pytest.raises(OutdatedError, match="update this one"):
        stage.turn("a")


def test_a_log_that_shrank_stops_it() -> None:
    stage = Stage("a")
    stage.settle("a")
    with pytest.raises(LogReplacedError, match="lost or restored"):
        stage.machines["a"].connected(Head(1, 0, 0.0, "sim"), stage.now)
    with pytest.raises(LogReplacedError, match="cluster other"):
        stage.machines["a"].connected(Head(1, 99, 0.0, "other"), stage.now)


def test_what_is_read_while_the_logs_end_is_asked_for_is_no_lost_log() -> None:
    stage = Stage("a")
    stage.settle("a")
    machine = stage.machines["a"]
    asked_at, head = machine.read_to, stage.log.head(stage.now + 1000)
    stage.request("shop")
    stage.read("a")
    assert machine.read_to > head.last, "the follower was faster than the answer"
    machine.connected(head, stage.now, asked_at)
    assert machine.caught_up
    with pytest.raises(LogReplacedError, match="lost or restored"):
        machine.connected(head, stage.now, asked_at + 1)


def test_after_the_bus_was_away_the_core_is_told_and_nobody_stands_at_once() -> None:
    stage = Stage("a", "b")
    stage.settle("a")
    stage.settle("b")
    b = stage.machines["b"]
    b.away()
    stage.now += 30
    b.connected(stage.log.head(stage.now + 1000), stage.now)
    assert [type(n) for n in b.core.news] == [BusReturned]  # type: ignore[attr-defined]  # An Echo.
    stage.settle("b")
    assert not b.leading


def test_a_fold_that_breaks_costs_one_event() -> None:
    stage = Stage("a")
    core = stage.machines["a"].core
    fold = core.fold

    def broken(record: object) -> None:
        if getattr(record, "sequence", 0) == 1:
            raise KeyError("planted")
        fold(record)  # type: ignore[arg-type]  # It is a record.

    core.fold = broken  # type: ignore[method-assign]  # The planted mistake.
    stage.request("one")
    stage.request("two")
    stage.settle("a")
    assert "removal.rejected.two" in stage.subjects()
    assert any("broke the fold" in note.text for note in stage.notes)


def test_a_snapshot_carries_who_led() -> None:
    stage = Stage("a")
    stage.settle("a")
    fresh = Machine(Echo(), instance="b", session="s")
    fresh.restore(stage.machines["a"].core.picture.snapshot(), "sim")
    fresh.connected(stage.log.head(stage.now), stage.now)
    assert fresh.newest_term == 1
    assert fresh.read_to == 1
    assert not [c for c in fresh.step(stage.now) if isinstance(c, Append)], "a leads"


def test_elections_have_ids_of_their_own() -> None:
    stage = Stage("a")
    stage.settle("a")
    event = LeaderElected(service="echo", instance="x", after=1)
    stage.log.append([encode(event, id="x1", source="/t", time=0)], None, 0)
    stage.settle("a")
    stage.now += 10
    stage.settle("a")
    assert stage.machines["a"].leading
    assert len({stored.data for stored in stage.log.stored}) == len(stage.log.stored)


def test_what_is_owed_no_more_after_the_bus_was_away_is_not_written_again() -> None:
    stage = Stage("a")
    stage.settle("a")
    stage.request("shop")
    stage.read("a")
    machine = stage.machines["a"]
    assert [c for c in machine.step(stage.now) if isinstance(c, Append)], "it is on its way"
    machine.away()
    answer = RemovalRejected(app="shop", problems=[])
    (request,) = machine.core.picture.state.requests.values()
    by_another = encode(answer, id="other", source="/t", time=0, cause=request.cause)
    stage.log.append([by_another], None, stage.now + 1000)
    stage.now += 5
    machine.connected(stage.log.head(stage.now + 1000), stage.now)
    stage.settle("a")
    assert stage.subjects().count("removal.rejected.shop") == 1


def test_a_term_outlives_the_retention_of_its_election() -> None:
    stage = Stage("a")
    stage.settle("a")
    machine = stage.machines["a"]
    head = stage.log.head(stage.now + 1000)
    machine.connected(msgspec.structs.replace(head, first=head.last + 1), stage.now)
    stage.log.last_on.clear()  # As a server answers that has dropped the election.
    stage.request("shop")
    (decision,) = stage.turn("a")
    assert decision.fence is not None
    assert decision.fence.sequence == 0
    assert "removal.rejected.shop" in stage.subjects()


def test_a_refusal_for_a_message_that_was_trimmed_away_ends_no_term() -> None:
    stage = Stage("a")
    stage.settle("a")
    machine, term = stage.machines["a"], stage.machines["a"].term
    stage.log.last_on.clear()  # Trimmed just now: nobody knows yet.
    stage.request("shop")
    stage.read("a")
    (decision,) = [c for c in machine.step(stage.now) if isinstance(c, Append)]
    outcome = stage.log.append(decision.messages, decision.fence, stage.now + 1000)
    assert outcome.kind == "refused"
    head = stage.log.head(stage.now + 1000)
    machine.connected(msgspec.structs.replace(head, first=head.last), stage.now)
    machine.wrote(decision.number, outcome, stage.now)
    (again,) = stage.turn("a")
    assert [m.id for m in again.messages] == [m.id for m in decision.messages]
    assert machine.term == term
    assert "removal.rejected.shop" in stage.subjects()


def test_one_event_that_is_never_taken_keeps_no_other_out_of_the_log() -> None:
    stage = Stage("a")
    stage.settle("a")
    for app in ("large", "shop", "store"):
        stage.request(app)
    machine, sizes = stage.machines["a"], []
    for _ in range(6):
        stage.read("a")
        for append in [c for c in machine.step(stage.now) if isinstance(c, Append)]:
            sizes.append(len(append.messages))
            if any(message.subject.endswith(".large") for message in append.messages):
                machine.wrote(append.number, Outcome("invalid", reason="too large"), stage.now)
            else:
                stage.write("a", append)
    assert sizes == [3, 1, 2]
    assert {"removal.rejected.shop", "removal.rejected.store"} <= set(stage.subjects())
