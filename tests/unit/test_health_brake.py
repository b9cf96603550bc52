"""When many nodes fall silent at once: they are held, and given up one by one."""

import pytest
from segue.events import Event
from segue.events.node import NodeDegraded, NodeLossHeld, NodeLost, NodeRemoved, NodeSuspected
from segue.testing.ward import Ward


def lost(said: list[Event]) -> list[str]:
    return [event.node for event in said if isinstance(event, NodeLost)]


def held(said: list[Event]) -> list[tuple[list[str], int]]:
    return [(event.nodes, event.of) for event in said if isinstance(event, NodeLossHeld)]


@pytest.mark.parametrize(
    ("nodes", "silent", "brakes"),
    [
        ("ab", "ab", False),  # Of two, any loss is most of them.
        ("abc", "a", False),  # A third is not more than a third.
        ("abc", "ab", True),
        ("abcdef", "ab", False),
        ("abcde", "ab", True),
        ("abcdef", "abc", True),
        ("abcdefg", "abcdefg", True),
    ],
)
def test_more_than_a_third_and_at_least_two_are_too_many(
    nodes: str, silent: str, *, brakes: bool
) -> None:
    ward = Ward(nodes)
    said = ward.beat("".join(sorted(set(nodes) - set(silent))), for_s=10)
    if brakes:
        assert (lost(said), held(said)) == ([], [(sorted(silent), len(nodes))])
        assert {ward.phase(node) for node in silent} == {"suspected"}
    else:
        assert (lost(said), held(said)) == (sorted(silent), [])


def test_what_is_held_is_given_up_one_by_one() -> None:
    ward = Ward("abcde")
    said = ward.beat("de", for_s=3)
    assert held(said) == [(["a", "b", "c"], 5)]
    assert "`segue node rm --force`" in ward.all(NodeLossHeld)[0].words
    assert lost(ward.beat("de", for_s=29.5)) == []
    said = ward.beat("de", for_s=0.5)
    assert (lost(said), held(said)) == (["a"], [(["b", "c"], 5)])
    assert lost(ward.beat("de", for_s=9.5)) == []
    assert lost(ward.beat("de", for_s=0.5)) == ["b"]
    said = ward.beat("de", for_s=10)
    assert lost(said) == ["c"]
    assert held(ward.beat("de", for_s=60))[-1:] in ([], [([], 0)])
    over = ward.all(NodeLossHeld)[-1]
    assert (over.nodes, over.words) == ([], "")


def test_it_wants_to_be_woken_when_the_next_may_be_given_up() -> None:
    ward = Ward("abc")
    assert lost(ward.silence(60)) == ["a", "b", "c"]
    given_up = [record.time for record in ward.log if isinstance(record.event, NodeLost)]
    (began, *_) = [record.time for record in ward.log if isinstance(record.event, NodeLossHeld)]
    assert [round(at - began, 1) for at in given_up] == [30.0, 40.0, 50.0]


def test_nodes_that_come_back_end_it_and_nobody_is_lost() -> None:
    ward = Ward("abc")
    ward.beat("c", for_s=20)
    said = ward.beat("abc", for_s=60)
    assert lost(said) == []
    assert held(said)[-1] == ([], 0)
    assert {ward.phase(node) for node in "abc"} == {"up"}


def test_one_that_stays_silent_when_the_others_are_back_has_a_moment_to_follow() -> None:
    ward = Ward("abcd")
    ward.beat("d", for_s=20)
    said = ward.beat("bcd", for_s=3)
    assert (lost(said), held(said)) == ([], [([], 0)])
    assert lost(ward.beat("bcd", for_s=0.5)) == ["a"]


def test_those_that_follow_within_the_moment_are_not_lost() -> None:
    ward = Ward("abcd")
    ward.beat("d", for_s=20)
    ward.beat("bcd", for_s=2.5)
    assert lost(ward.beat("abcd", for_s=60)) == []
    assert ward.phase("a") == "up"


def test_a_clock_that_is_set_back_keeps_nobody() -> None:
    ward = Ward("abcd")
    ward.beat("d", for_s=20)
    ward.beat("bcd", for_s=0.5)
    ward.picture.state.losses_eased_at += 3_600
    assert lost(ward.beat("bcd", for_s=0.5)) == ["a"]


def test_nodes_that_are_lost_one_after_another_are_not_held() -> None:
    ward = Ward("abcdef")
    assert lost(ward.beat("bcdef", for_s=100)) == ["a"]
    assert lost(ward.beat("cdef", for_s=100)) == ["b"]
    assert lost(ward.beat("def", for_s=100)) == ["c"]
    assert ward.all(NodeLossHeld) == []


def test_a_second_wave_within_a_minute_is_held_too() -> None:
    ward = Ward("abcde")
    assert lost(ward.beat("bcde", for_s=10)) == ["a"]
    said = ward.beat("cde", for_s=10)
    assert (lost(said), held(said)) == ([], [(["b"], 5)])


def test_the_same_are_said_to_be_held_again_when_another_one_is_forgotten() -> None:
    """Under the id it had the first time the bus would drop it, and it would be owed for ever."""
    ward = Ward("abcd")
    ward.say(NodeLost(node="d", silent_s=3))
    assert held(ward.beat("bc", for_s=4)) == [(["a"], 4)]
    assert held(ward.beat("c", for_s=4)) == [(["a", "b"], 4)]
    ward.say(NodeRemoved(node="b"))
    assert held(ward.beat("c", for_s=1)) == [(["a"], 3)]
    ids = [record.id for record in ward.log if isinstance(record.event, NodeLossHeld)]
    assert len(set(ids)) == len(ids) == 3


def test_one_that_falls_silent_meanwhile_puts_nothing_off() -> None:
    ward = Ward("abcdefg")
    assert held(ward.beat("defg", for_s=3)) == [(["a", "b", "c"], 7)]
    assert lost(ward.beat("defg", for_s=24)) == []
    assert held(ward.beat("efg", for_s=3)) == [(["a", "b", "c", "d"], 7)]
    assert lost(ward.beat("efg", for_s=3)) == ["a"]


def test_who_has_been_silent_longest_is_given_up_first() -> None:
    ward = Ward("abcde")
    ward.beat("abde", for_s=1)
    ward.beat("de", for_s=31)
    assert [event.node for event in ward.all(NodeLost)] == []
    assert lost(ward.beat("de", for_s=2)) == ["c"]
    assert lost(ward.beat("de", for_s=10)) == ["a"]


def test_that_they_are_held_is_caused_by_the_newest_that_fell_silent() -> None:
    ward = Ward("abcde")
    ward.beat("de", for_s=3)
    (held_,) = [record for record in ward.log if isinstance(record.event, NodeLossHeld)]
    suspected = [record for record in ward.log if isinstance(record.event, NodeSuspected)]
    assert held_.cause in [record.id for record in suspected]


def test_a_node_that_never_joined_is_none_of_those_that_fell_silent() -> None:
    ward = Ward("abc")
    ward.say(NodeDegraded(node="z", reason="no engine"))
    assert ward.phase("z") == "lost"
    said = ward.beat("bc", for_s=5)
    assert (lost(said), held(said)) == (["a"], [])


def test_another_leader_goes_on_where_the_first_one_was() -> None:
    ward = Ward("abcde")
    ward.beat("de", for_s=20)
    other = Ward("", beats_s=0)
    for record in ward.log:
        other.now = record.time
        other.say(record.event)
    other.now = ward.now
    other.beat("de", for_s=10)
    assert lost(other.beat("de", for_s=5)) == ["a"], "30 s after it was said first"
    assert len(other.all(NodeLossHeld)) == 2
