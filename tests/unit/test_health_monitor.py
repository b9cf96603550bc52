"""Which nodes the health monitor takes for dead, and when."""

import itertools

import pytest
from segue.beats import NodeBeat
from segue.core import BusReturned
from segue.events.node import (
    NodeDegraded,
    NodeLeft,
    NodeLost,
    NodeRemoved,
    NodeReturned,
    NodeSuspected,
)
from segue.testing.shop import joined
from segue.testing.ward import Ward
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.nodes import GRACE_S, LEFT_LOST_AFTER_S


def test_a_node_that_beats_is_left_alone() -> None:
    ward = Ward("ab")
    assert ward.beat("ab", for_s=60) == []


def test_a_silent_node_is_suspected_after_one_and_a_half_and_lost_after_three_seconds() -> None:
    ward = Ward("ab")
    heard_at = ward.now
    (suspected,) = ward.beat("b", for_s=1.5)
    assert isinstance(suspected, NodeSuspected)
    assert suspected.silent_s == ward.now - heard_at == 1.5
    (lost,) = ward.beat("b", for_s=1.5)
    assert isinstance(lost, NodeLost)
    assert lost.silent_s == ward.now - heard_at == 3.0
    assert ward.beat("b", for_s=30) == [], "once"


def test_it_wants_to_be_woken_exactly_when_a_node_becomes_suspect_and_lost() -> None:
    ward = Ward()
    heard_at = ward.now
    ward.silence(1.49)
    assert ward.monitor.wake_at == pytest.approx(heard_at + 1.5, abs=0.011)
    assert ward.phase("a") == "up"
    ward.silence(0.03)
    assert ward.phase("a") == "suspected"
    ward.silence(1.4)
    assert ward.phase("a") == "suspected"
    assert ward.monitor.wake_at == pytest.approx(heard_at + 3.0, abs=0.011)
    ward.silence(0.1)
    assert ward.phase("a") == "lost"


def test_a_suspected_node_that_is_heard_returns_at_once() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2)
    ward.monitor.hear(NodeBeat("a", "s-a"), ward.now)
    (back,) = ward.settle()
    assert isinstance(back, NodeReturned)
    assert ward.phase("a") == "up"


def test_a_lost_node_must_join_again() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=4)
    assert ward.beat("ab", for_s=5) == []
    assert ward.phase("a") == "lost"
    ward.tell(joined("a"))
    assert ward.beat("ab", for_s=5) == []
    assert ward.phase("a") == "up"
    assert len(ward.beat("b", for_s=4)) == 2


def test_each_verdict_on_one_node_has_an_id_and_a_cause_of_its_own() -> None:
    ward = Ward("ab")
    for _ in range(3):
        ward.beat("b", for_s=2)
        ward.beat("ab", for_s=1)
    verdicts = [r for r in ward.log if isinstance(r.event, NodeSuspected | NodeReturned)]
    assert len(verdicts) == 6
    assert len({record.id for record in verdicts}) == 6
    for before, after in itertools.pairwise(verdicts):
        assert after.cause == before.id


def test_a_node_that_joined_and_was_never_heard_is_lost_as_well() -> None:
    ward = Ward("b")
    ward.tell(joined("a"))
    assert [type(event) for event in ward.beat("b", for_s=3)] == [NodeSuspected, NodeLost]


def test_all_nodes_that_fall_silent_together_are_judged_in_the_order_of_their_names() -> None:
    ward = Ward("cab")
    said = ward.silence(2)
    assert [(event.type, event.node) for event in said if isinstance(event, NodeSuspected)] == [
        (NodeSuspected.type, name) for name in "abc"
    ]


def test_a_degraded_node_that_beats_is_not_lost() -> None:
    ward = Ward("ab")
    ward.tell(NodeDegraded(node="a", reason="engine"))
    assert ward.beat("ab", for_s=10) == []


def test_a_node_whose_runner_was_stopped_has_time_to_be_started_again() -> None:
    ward = Ward("ab")
    ward.tell(NodeLeft(node="a"))
    assert ward.beat("b", for_s=LEFT_LOST_AFTER_S - 1) == []
    ward.tell(joined("a"))
    assert ward.beat("ab", for_s=60) == []


def test_a_node_that_left_and_stays_away_is_lost() -> None:
    """A host that is shut down in good order must not keep its containers for ever."""
    ward = Ward("ab")
    ward.tell(NodeLeft(node="a"))
    (lost,) = ward.beat("b", for_s=LEFT_LOST_AFTER_S + 1)
    assert isinstance(lost, NodeLost)
    assert ward.phase("a") == "lost"


# When silence means nothing.


def test_after_its_own_start_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab", beats_s=0)
    assert ward.silence(GRACE_S - 0.01) == []
    assert ward.monitor.wake_at == ward.log[0].time + GRACE_S
    assert {type(event) for event in ward.silence(0.02)} >= {NodeSuspected}


def test_after_the_bus_was_away_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab")
    ward.now += 20
    ward.monitor.hear(BusReturned(), ward.now)
    assert ward.silence(GRACE_S - 0.1) == []
    assert len(ward.beat("ab", for_s=5)) == 0


def test_after_its_own_absence_nobody_is_judged_before_the_grace_is_over() -> None:
    ward = Ward("ab")
    ward.now += 60
    assert ward.settle() == []
    assert ward.beat("ab", for_s=20) == []


def test_its_own_absence_is_noticed_also_when_news_comes_before_the_first_beat() -> None:
    ward = Ward("ab")
    ward.now += 60
    ward.tell(NodeDegraded(node="a", reason="engine"))
    assert ward.beat("ab", for_s=20) == []


def test_sleeping_until_the_planned_time_is_no_absence() -> None:
    ward = Ward("a")
    assert [type(event) for event in ward.silence(3.1)] == [NodeSuspected, NodeLost]


def test_a_clock_that_is_set_back_blinds_it_for_the_grace_and_no_longer() -> None:
    ward = Ward("ab")
    ward.now -= 3_600
    assert ward.beat("b", for_s=GRACE_S) == []
    assert [type(event) for event in ward.beat("b", for_s=5)] == [NodeSuspected, NodeLost]


def test_a_clock_that_is_set_forward_blinds_it_for_the_grace() -> None:
    ward = Ward("ab")
    ward.now += 3_600
    assert ward.beat("ab", for_s=30) == []


def test_a_suspected_node_that_is_heard_during_the_grace_returns_at_once() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2)
    ward.monitor.hear(BusReturned(), ward.now)
    assert ward.silence(1) == [], "being blind is no proof of life"
    (back,) = ward.beat("ab", for_s=0.5)
    assert isinstance(back, NodeReturned)


def test_a_monitor_that_takes_over_knows_who_beat_while_another_led() -> None:
    ward = Ward("ab")
    fellow = HealthMonitor()
    for record in ward.log:
        fellow.fold(record)
    start = ward.now
    for tick in range(40):
        ward.now = start + tick / 2
        fellow.hear(NodeBeat("b", "s-b"), ward.now)
    (verdict,) = fellow.decide(ward.now)
    assert isinstance(verdict.event, NodeSuspected)
    assert verdict.event.node == "a"


def test_beats_of_a_node_that_nobody_knows_are_harmless() -> None:
    ward = Ward("a")
    assert ward.beat("az", for_s=10) == []


# What counts as silence, and whose.


def test_a_node_that_just_joined_has_as_long_as_any_other_for_its_first_beat() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=1)
    ward.tell(joined("c"))
    (suspected,) = ward.beat("b", for_s=0.5)
    assert isinstance(suspected, NodeSuspected)
    assert suspected.node == "a", "c is there for half a second"
    assert [(event.type, event.node) for event in ward.beat("b", for_s=1)] == [  # type: ignore[attr-defined]  # Verdicts.
        (NodeSuspected.type, "c")
    ]


def test_who_leaves_has_its_time_from_when_it_said_so() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2.5)
    ward.tell(NodeLeft(node="a"))
    assert ward.beat("b", for_s=LEFT_LOST_AFTER_S - 0.5) == []
    (lost,) = ward.beat("b", for_s=0.5)
    assert isinstance(lost, NodeLost)
    assert lost.silent_s == LEFT_LOST_AFTER_S


def test_who_left_before_the_bus_was_away_has_its_time_once_it_could_be_heard() -> None:
    ward = Ward("ab")
    ward.tell(NodeLeft(node="a"))
    ward.now += 120
    ward.monitor.hear(BusReturned(), ward.now)
    assert ward.beat("b", for_s=LEFT_LOST_AFTER_S - 0.5) == []
    (lost,) = ward.beat("b", for_s=0.5)
    assert isinstance(lost, NodeLost)


def test_silence_is_told_as_long_as_it_could_have_been_broken() -> None:
    ward = Ward("ab")
    ward.now += 120
    ward.monitor.hear(BusReturned(), ward.now)
    ward.beat("b", for_s=GRACE_S)
    assert [event.silent_s for event in ward.all(NodeSuspected)] == [GRACE_S]
    assert [event.silent_s for event in ward.all(NodeLost)] == [GRACE_S]


def test_a_node_that_returns_tells_how_long_it_was_silent() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=2.5)
    (back,) = ward.beat("ab", for_s=0.5)
    assert isinstance(back, NodeReturned)
    assert back.silent_s == 3.0


def test_silence_is_told_to_the_millisecond() -> None:
    ward = Ward("ab")
    heard_at = ward.now
    for later_s, node in ((1.1, "b"), (1.70006, "b"), (2.40006, "a")):
        ward.now = heard_at + later_s
        ward.monitor.hear(NodeBeat(node, f"s-{node}"), ward.now)
        ward.settle()
    assert [event.silent_s for event in ward.all(NodeSuspected)] == [1.7]
    assert [event.silent_s for event in ward.all(NodeReturned)] == [2.4]


def test_a_verdict_on_one_node_keeps_none_from_another() -> None:
    ward = Ward("abcdef")
    ward.beat("bcdef", for_s=4)
    assert ward.phase("a") == "lost"
    assert [type(event) for event in ward.beat("bdef", for_s=3)] == [NodeSuspected, NodeLost]
    assert ward.phase("c") == "lost"


def test_who_is_heard_during_the_grace_returns_though_another_is_still_silent() -> None:
    ward = Ward("abc")
    ward.beat("c", for_s=2)
    ward.monitor.hear(BusReturned(), ward.now)
    (back,) = ward.beat("bc", for_s=0.5)
    assert isinstance(back, NodeReturned)
    assert (back.node, ward.phase("a")) == ("b", "suspected")
    assert back.silent_s == 1.5, "so long at least"


def test_a_verdict_counts_only_once_it_is_in_the_log() -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=1)
    ward.now += 0.5
    first = ward.monitor.decide(ward.now)
    assert [type(decision.event) for decision in first] == [NodeSuspected]
    assert ward.phase("a") == "up"
    assert [decision.id for decision in ward.monitor.decide(ward.now)] == [d.id for d in first]


@pytest.mark.parametrize(("late_s", "verdicts"), [(0.9, 1), (1.3, 0)])
def test_its_own_absence_begins_a_second_after_it_wanted_to_be_awake(
    late_s: float, verdicts: int
) -> None:
    ward = Ward("ab")
    ward.beat("b", for_s=1)
    wake_at = ward.monitor.wake_at
    assert wake_at == pytest.approx(ward.now + 0.5)
    ward.now += 0.5 + late_s
    assert len(ward.settle()) == verdicts


def test_only_nodes_that_there_are_are_remembered() -> None:
    ward = Ward("ab")
    ward.beat("abx", for_s=1)
    assert ward.monitor._nodes.heard_at.keys() == {"a", "b"}
    ward.tell(NodeRemoved(node="b"))
    ward.beat("a", for_s=5)
    assert ward.monitor._nodes.heard_at.keys() == {"a"}
