"""What reading a document found: every problem and note, each with its place, in one pass.

A problem makes the document unusable; a note says what was accepted without the effect that one
might expect. Reading goes on after both.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from segue.compose.values import Invalid
from segue.events.deploy import Problem

MOST: Final = 500  # Problems and notes that are listed: an answer must fit into an event.
LONGEST: Final = 400  # Characters of a place or a sentence.

Stand = Literal["honour", "note", "refuse", "client"]  # Client: the command line resolves it.


class Absent:
    """The type of `ABSENT`."""


ABSENT: Final = Absent()  # A value that was refused, or says nothing: it is left out.

Form = Callable[["Place", Any], Any]  # Gives the canonical value, or ABSENT.


def same(value: Any) -> Any:
    """Give the canonical value as it is."""
    return value


class Row(NamedTuple):
    """What Segue does with one attribute."""

    path: str  # `*` stands for a name, `[]` for an item of a list.
    stand: Stand
    form: Form
    engine: str = ""  # Where it goes in the engine's create call.
    says: str = ""  # The note, or what to do instead.
    to: Callable[[Any], Any] = same  # From the canonical value to the engine's.
    field: str = ""  # Where it goes in the canonical spec.
    neutral: Any = None  # A value that asks for nothing.


Table = Mapping[str, Mapping[str, Row]]  # Path of a mapping → its keys.


class Findings:
    """Problems and notes in the order they were met."""

    def __init__(self, *, lenient: bool = False) -> None:
        self.lenient = lenient  # What is not supported is left out with a note.
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.failed: set[str] = set()  # Places that have been judged: say no more of them.
        self.items = 0  # Of lists of sections, in the whole document.
        self.builds: set[str] = set()  # Services that would be built.
        self.origins: dict[str, str] = {}  # Canonical place → place in the document.

    def wrong(self, at: str, what: str, hint: str = "", kind: str = "invalid") -> None:
        """Add a problem at `at`, a place in the document."""
        found = Problem(where=at[:LONGEST], what=what[:LONGEST], hint=hint, kind=kind)
        self.failed.add(at)
        self.notes = [note for note in self.notes if note.where != at]
        left_out = kind == "unsupported" and self.lenient
        self._add(self.notes if left_out else self.problems, found)

    def note(self, at: str, what: str, hint: str = "", kind: str = "") -> None:
        """Add a note."""
        found = Problem(where=at[:LONGEST], what=what[:LONGEST], hint=hint, kind=kind)
        self._add(self.notes, found)

    def at(self, canonical: str) -> "Place":
        """Find the spot in the document that a place of the canonical form comes from."""
        return Place("", self._origin(canonical), self, {})

    def _origin(self, at: str) -> str:
        head, tail = at, ""
        while head:
            if head in self.origins:
                return self.origins[head] + tail
            cut = max(head.rfind("."), head.rfind("["), 0)
            head, tail = head[:cut], head[cut:] + tail
        return at

    @property
    def full(self) -> bool:
        """Tell whether there are more problems than anyone reads."""
        return len(self.problems) > MOST

    @staticmethod
    def _add(to: list[Problem], found: Problem) -> None:
        if len(to) == MOST:
            found = Problem(where="", what=f"and more: only the first {MOST} are listed")
        if len(to) <= MOST and found not in to[-64:]:
            to.append(found)


class Place(NamedTuple):
    """A spot in the document that is being read."""

    path: str  # In the table.
    at: str  # In the document.
    findings: Findings
    table: Table

    def key(self, key: str, *, name: bool = False) -> "Place":
        """Go to a key; `name` says that it is a name the author chose."""
        path = f"{self.path}.{'*' if name else key}".lstrip(".")
        return self._replace(path=path, at=f"{self.at}.{key}".lstrip("."))

    def item(self, index: int) -> "Place":
        """Go to an item of a list."""
        return self._replace(path=f"{self.path}[]", at=f"{self.at}[{index}]")

    def wrong(self, what: str, hint: str = "", kind: str = "invalid") -> Absent:
        """Add a problem here; the value is left out."""
        self.findings.wrong(self.at, what, hint, kind)
        return ABSENT

    def note(self, what: str, hint: str = "", kind: str = "") -> None:
        """Add a note here."""
        self.findings.note(self.at, what, hint, kind)

    def invalid(self, error: Invalid) -> Absent:
        """Add what a reader of values refused."""
        return self.wrong(error.what, error.hint)
