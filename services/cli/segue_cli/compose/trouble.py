"""Problems and notes with the line they were found at, and how they are shown."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from segue.events.deploy import Problem

from segue_cli.compose.nodes import Mark


class Located(msgspec.Struct, frozen=True):
    """A problem or note, and where it was written."""

    mark: Mark
    problem: Problem


class Trouble:
    """What was found so far: nothing stops at the first problem."""

    def __init__(self) -> None:
        self.problems: list[Located] = []
        self.notes: list[Located] = []

    def wrong(
        self, mark: Mark, where: str, what: str, hint: str = "", kind: str = "invalid"
    ) -> None:
        """Add a problem."""
        _add(self.problems, Located(mark, Problem(where=where, what=what, hint=hint, kind=kind)))

    def note(self, mark: Mark, where: str, what: str, hint: str = "", kind: str = "") -> None:
        """Add a note."""
        _add(self.notes, Located(mark, Problem(where=where, what=what, hint=hint, kind=kind)))

    def merge(
        self,
        problems: Iterable[Problem],
        notes: Iterable[Problem],
        marks: Mapping[str, Mark],
    ) -> None:
        """Add what was found in a converted document."""
        # What could not be filled in has been told, and is not judged as it stands.
        told = {one.problem.where for one in self.problems if one.problem.where}
        for problem in problems:
            if problem.where not in told:
                _add(self.problems, Located(_nearest(problem.where, marks), problem))
        for note in notes:
            _add(self.notes, Located(_nearest(note.where, marks), note))


def _add(to: list[Located], found: Located) -> None:
    if found not in to:
        to.append(found)


def _nearest(where: str, marks: Mapping[str, Mark]) -> Mark:
    """Find the mark of a place, or of the nearest one around it."""
    while where not in marks and where:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return marks[where]


def in_order(found: Iterable[Located]) -> list[Located]:
    """Sort by where it was written."""
    return sorted(found, key=lambda one: (one.mark, one.problem.where, one.problem.what))


def render(located: Located) -> str:
    """Say it on one line: `compose.yaml:14:5 services.web.links: not supported [unsupported]`."""
    mark, problem = located.mark, located.problem
    where = f" {problem.where}:" if problem.where else ""
    kind = f" [{problem.kind}]" if problem.kind else ""
    return f"{mark.file}:{mark.line}:{mark.column}{where} {sentence(problem)}{kind}"


def sentence(problem: Problem) -> str:
    """Join what is wrong and what to do."""
    if not problem.hint:
        return problem.what
    join = ". " if problem.hint[0].isupper() else "; "
    return f"{problem.what}{join}{problem.hint}"


def as_json(located: Located) -> dict[str, Any]:
    """Give it as a program wants it."""
    mark: dict[str, Any] = {"file": located.mark.file}
    mark |= {"line": located.mark.line, "column": located.mark.column}
    found: dict[str, Any] = msgspec.to_builtins(located.problem)
    return mark | found
