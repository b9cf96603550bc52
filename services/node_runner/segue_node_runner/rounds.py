"""Schedule probes, and judge them by their outcomes in a row; dials nothing and asks no clock.

    not judged ─→ passes ⇄ fails
         └──────────────────↑

A probe is asked every so often, once at a time. Readiness that has never been judged is asked more
often, so that what is ready soon is soon known to be. Before a probe has ever passed its failures
count by their time: that of `failures` rounds, and of liveness at least `start_s`.
"""

import heapq
from collections.abc import Iterable
from typing import Literal

import msgspec
from segue.spec import Probe

from segue_node_runner.effects import Asked
from segue_node_runner.labels import Identity
from segue_node_runner.news import Probed

FIRST_EVERY_S = 0.5

Name = Literal["readiness", "liveness"]


class Question(msgspec.Struct, frozen=True):
    """One probe of one container."""

    identity: Identity
    engine_id: str
    address: str  # Empty: it has none.
    name: Name
    probe: Probe


class _Course(msgspec.Struct):
    """How far one probe is."""

    question: Question
    begun_at: float
    at: float  # When it is to be asked next, or was asked last.
    under_way: bool = False
    passed: int = 0  # In a row …
    failed: int = 0  # … of either kind.
    has_passed: bool = False
    verdict: bool | None = None


class Rounds:
    """All probes of one node's containers."""

    def __init__(self) -> None:
        self._courses: dict[tuple[Identity, Name], _Course] = {}
        self._queue: list[tuple[float, int, Question]] = []
        self._queued = 0

    def want(self, asked: Iterable[Asked], now: float) -> None:
        """Probe exactly these; what is asked as before goes on as before."""
        before, self._courses = self._courses, {}
        for one in asked:
            for question in questions(one):
                key = question.identity, question.name
                known = before.get(key)
                if known is not None and known.question == question:
                    self._courses[key] = known
                else:
                    self._courses[key] = course = _Course(question, now, now)
                    self._put(course)

    def _put(self, course: _Course) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (course.at, self._queued, course.question))

    def due(self, now: float) -> list[Question]:
        """Give what is to be asked now."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            _, _, question = heapq.heappop(self._queue)
            course = self._course(question)
            if course is not None and not course.under_way:
                course.under_way, course.at = True, now
                found.append(question)
        return found

    def wake_at(self) -> float | None:
        """Give when the next is due."""
        return self._queue[0][0] if self._queue else None

    def _course(self, question: Question) -> _Course | None:
        course = self._courses.get((question.identity, question.name))
        return course if course is not None and course.question is question else None

    def heard(self, question: Question, trouble: str, now: float) -> Probed | None:
        """Take an outcome, without trouble if it is empty; say so if the verdict changes."""
        course = self._course(question)
        if course is None:
            return None  # Nobody asks this any more.
        course.under_way = False
        if trouble:
            course.passed, course.failed = 0, course.failed + 1
        else:
            course.passed, course.failed, course.has_passed = course.passed + 1, 0, True
        verdict = _judged(course, now)
        changed, course.verdict = verdict is not course.verdict, verdict
        course.at = max(now, course.at + _pause_s(course))
        self._put(course)
        if not changed or verdict is None:
            return None
        return Probed(
            identity=question.identity,
            engine_id=question.engine_id,
            probe=question.name,
            passes=verdict,
            streak=course.failed,
            output=trouble,
        )


def questions(one: Asked) -> Iterable[Question]:
    """Give the probes of a container."""
    if one.readiness is not None:
        yield Question(one.identity, one.engine_id, one.address, "readiness", one.readiness)
    if one.liveness is not None:
        yield Question(one.identity, one.engine_id, one.address, "liveness", one.liveness)


def _judged(course: _Course, now: float) -> bool | None:
    probe = course.question.probe
    if course.passed >= probe.successes:
        return True
    if not course.failed:
        return course.verdict
    if course.has_passed:
        fails = course.failed >= probe.failures
    else:
        least_s = probe.start_s if course.question.name == "liveness" else 0.0
        fails = now - course.begun_at >= max(least_s, probe.failures * probe.every_s)
    return False if fails else course.verdict


def _pause_s(course: _Course) -> float:
    every_s = course.question.probe.every_s
    hurries = course.question.name == "readiness" and course.verdict is None
    return min(every_s, FIRST_EVERY_S) if hurries else every_s
