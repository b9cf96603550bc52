"""How a runner holds its node's lease: the clock, the fencer and the bus are played by hand."""

import itertools

import pytest
from segue.leases import Claim, Standing, terms
from segue.log import Outcome
from segue_node_runner.lease import GONE_S, HEARD_S, Holder, Look, Renew, Sheet

TERMS = terms(1)  # 6 s, renewed each 2 s, given up 1 s earlier.
REFUSED, UNKNOWN = Outcome("refused"), Outcome("unknown", reason="no answer")
OTHERS = Standing(40, Claim("other", 6.0))
ONE, TWO = "1" * 64, "2" * 64


class Play:
    """A holder, its clock, a fencer that looks each 0.1 s unless it is dead, and a bus by hand."""

    def __init__(self, sheet: Sheet = Sheet(), *, fencer: bool = True, session: str = "me") -> None:  # noqa: B008 — frozen.
        self.now, self.fencer = 100.0, fencer
        self.sign = 5.0 if fencer else 0.0
        self.holder = Holder(session, TERMS, sheet)

    def step(self, for_s: float = 0.1) -> Look | Renew | None:
        """Let time pass until something is asked, at most so long."""
        for _ in range(max(1, round(for_s * 10))):
            self.now = round(self.now + 0.1, 3)
            self.sign += 0.1 if self.fencer else 0.0
            if asked := self.holder.step(self.now, self.sign):
                return asked
        return None

    def looks(self, standing: Standing = Standing()) -> None:  # noqa: B008 — frozen.
        assert self.step(1.0) == Look()
        self.holder.looked(standing, self.now)

    def claims(self, after: int, outcome: Outcome, within_s: float = 3.0) -> float:
        """Let it claim; give when it sent that."""
        asked = self.step(within_s)
        assert isinstance(asked, Renew)
        assert asked.after == after
        sent_at = self.now
        self.now += 0.05
        self.holder.claimed(outcome, self.now)
        return sent_at

    def begins(self, sequence: int = 7) -> "Play":
        self.looks()
        self.claims(0, Outcome("stored", sequence))
        return self

    def missing(self) -> str:
        return self.holder.missing(self.now)


def test_a_lease_is_looked_up_begun_and_renewed_in_time() -> None:
    play = Play()
    play.looks()
    begun_at = play.claims(0, Outcome("stored", 7))
    assert play.holder.held(play.now) == 7
    assert play.holder.sheet == Sheet("me", 7, begun_at + 5.0)
    renewed_at = play.claims(7, Outcome("stored", 9))
    assert renewed_at - begun_at == pytest.approx(2.0, abs=0.11)
    assert play.holder.sheet.deadline == renewed_at + 5.0, "counted from when it was sent"
    assert play.holder.held(play.now) == 7, "it is the same lease"


def test_without_a_fencer_none_is_begun() -> None:
    play = Play(fencer=False)
    play.looks()
    assert play.step(10) is None
    assert "start segue-fencer" in play.missing()
    play.fencer, play.sign = True, 1.0
    play.claims(0, Outcome("stored", 3))
    assert play.missing() == ""


def test_a_stale_sign_of_a_fencer_that_is_dead_is_none() -> None:
    play = Play(fencer=False)
    play.sign = 77.0
    play.looks()
    assert play.step(10) is None


def test_a_fencer_that_dies_is_missed_after_a_second_and_the_lease_is_kept() -> None:
    play = Play().begins()
    play.fencer = False
    play.claims(7, Outcome("stored", 8))
    assert "no fencer" in play.missing()
    assert not play.holder.missing(play.now, GONE_S), "not at once for good"
    play.claims(8, Outcome("stored", 9))
    assert "no fencer" in play.holder.missing(play.now, GONE_S)
    assert play.holder.held(play.now) == 7, "what runs may live"


def test_an_unanswered_claim_moves_no_deadline_and_is_tried_again() -> None:
    play = Play().begins()
    deadline = play.holder.sheet.deadline
    for _ in range(8):
        play.claims(7, UNKNOWN)
    assert play.holder.sheet.deadline == deadline
    play.step(1.0)
    play.now = deadline
    assert not play.holder.held(play.now)
    assert "no answer" in play.missing()


def test_a_refused_claim_that_was_ones_own_goes_on_from_there() -> None:
    play = Play().begins()
    play.claims(7, UNKNOWN)
    play.claims(7, REFUSED)
    play.looks(Standing(8, Claim("me", 6.0)))
    play.claims(8, Outcome("stored", 9))
    assert play.holder.held(play.now) == 7


def test_a_beginning_whose_answer_was_lost_is_ones_own_too() -> None:
    play = Play()
    play.looks()
    play.claims(0, UNKNOWN)
    play.claims(0, REFUSED)
    play.looks(Standing(5, Claim("me", 6.0)))
    play.claims(5, Outcome("stored", 6))
    assert play.holder.held(play.now) == 6


@pytest.mark.parametrize("stands", [Standing(), Standing(12, None), OTHERS])
def test_a_lease_that_ended_ends_all_that_ran_under_it(stands: Standing) -> None:
    play = Play().begins()
    assert play.holder.admit(ONE, 7, play.now) == ""
    play.claims(7, REFUSED)
    play.looks(stands)
    assert play.holder.sheet == Sheet("me", over=(ONE,))
    assert play.holder.held(play.now) == 0
    assert play.holder.killed(ONE, play.now)


def test_the_next_lease_begins_only_after_a_fencer_has_looked() -> None:
    play = Play().begins()
    play.holder.admit(ONE, 7, play.now)
    play.claims(7, REFUSED)
    play.fencer = False
    play.looks(Standing(12, None))
    assert play.step(5) is None
    play.fencer = True
    before = play.now
    play.claims(12, Outcome("stored", 20))
    assert play.now - before >= 0.2, "one look may have begun before it was written"
    assert play.holder.held(play.now) == 20
    assert play.holder.sheet.over == (ONE,), "should it start only now"
    play.holder.keep(ONE)
    assert not play.holder.sheet.containers


def test_the_lease_of_another_is_waited_for() -> None:
    play = Play()
    for _ in range(3):
        play.looks(OTHERS)
    assert "another runner of this node holds it" in play.missing()
    play.looks(Standing(41, None))
    play.claims(41, Outcome("stored", 42))


def test_the_next_runner_on_the_host_goes_on_with_the_lease() -> None:
    first = Play().begins()
    first.holder.admit(ONE, 7, first.now)
    second = Play(first.holder.sheet, session="next")
    assert second.holder.held(second.now) == 0, "the host may have been started again since"
    second.looks(Standing(7, Claim("me", 6.0)))
    second.claims(7, Outcome("stored", 8))
    assert second.holder.held(second.now) == 7
    sheet = second.holder.sheet
    assert (sheet.session, sheet.lease, sheet.containers) == ("next", 7, (ONE,))
    first.claims(7, REFUSED)
    first.looks(Standing(8, Claim("next", 6.0)))
    assert first.holder.held(first.now) == 0, "the older one has lost it"


def test_the_next_runner_finds_that_the_lease_is_over() -> None:
    first = Play().begins()
    first.holder.admit(ONE, 7, first.now)
    second = Play(first.holder.sheet, session="next")
    second.looks(Standing(30, None))
    assert second.holder.sheet == Sheet("next", over=(ONE,))
    third = Play(second.holder.sheet, session="third")
    third.looks(Standing(30, None))
    before = third.now
    third.claims(30, Outcome("stored", 31))
    assert third.now - before >= 0.2, "it looks again, whatever the one before it had seen"


def test_what_is_admitted_needs_lease_and_fencer_and_the_right_lease() -> None:
    play = Play().begins()
    assert "is over" in play.holder.admit(ONE, 6, play.now)
    play.holder.notice(play.now + 1.1, play.sign)
    assert "no fencer" in play.holder.admit(ONE, 7, play.now + 1.2)
    assert not play.holder.sheet.containers
    assert play.holder.admit(ONE, 7, play.now) == ""
    assert play.holder.sheet.containers == (ONE,)
    play.fencer = True
    late = play.holder.sheet.deadline
    play.holder.notice(late, play.sign + 1)
    assert "holds no lease" in play.holder.admit(TWO, 7, late)


def test_what_is_gone_or_strict_no_more_is_let_go() -> None:
    play = Play().begins()
    play.holder.keep(ONE)
    play.holder.keep(ONE)
    play.holder.keep(TWO)
    assert list(play.holder.sheet.containers) == [ONE, TWO]
    play.holder.let_go(frozenset((ONE,)))
    assert play.holder.sheet.containers == (TWO,)


def test_a_death_in_time_is_no_fencing() -> None:
    play = Play().begins()
    play.holder.keep(ONE)
    assert not play.holder.killed(ONE, play.now)
    assert play.holder.killed(ONE, play.holder.sheet.deadline)
    assert not play.holder.killed(TWO, play.holder.sheet.deadline)


def test_who_was_to_die_before_a_late_renewal_is_known_though_its_death_is_heard_after_it() -> None:
    play = Play().begins()
    play.holder.admit(ONE, 7, play.now)
    while play.now < play.holder.sheet.deadline:
        play.claims(7, UNKNOWN)
    play.claims(7, Outcome("stored", 8))
    assert play.holder.held(play.now) == 7
    assert play.holder.killed(ONE, play.now)
    assert not play.holder.killed(TWO, play.now)
    play.claims(8, Outcome("stored", 9))
    assert play.holder.killed(ONE, play.now), "a loaded engine tells of it seconds later"
    late_by = play.now + HEARD_S
    for sequence in itertools.count(9):
        play.claims(sequence, Outcome("stored", sequence + 1))
        if play.now >= late_by:
            break
    assert not play.holder.killed(ONE, play.now), "it has lived on"


def test_a_renewal_in_time_lets_nobody_die() -> None:
    play = Play().begins()
    play.holder.admit(ONE, 7, play.now)
    play.claims(7, Outcome("stored", 8))
    assert not play.holder.killed(ONE, play.now)


@pytest.mark.parametrize("replicas", [1, 3])
def test_drift_of_2_percent_on_both_sides_and_a_look_fit_into_the_margin(replicas: int) -> None:
    held = terms(replicas)
    dead_by = (held.ttl_s - held.margin_s) / 0.98 + 0.2
    assert dead_by < held.ttl_s / 1.02


def test_each_hold_asks_one_thing_at_a_time() -> None:
    play = Play()
    assert play.step() == Look()
    assert all(play.step() is None for _ in itertools.repeat(None, 20))
