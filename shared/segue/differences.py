"""What differs between decisions of then and of now, as data and in words.

A decision is its id, its cause and what it says. How long something took is measured, not decided,
so it is no difference. Nothing here knows how decisions come about.
"""

from typing import Any, Literal

import msgspec

from segue.events import Event

Kind = Literal["other", "only then", "only now", "sooner now", "again"]


class Said(msgspec.Struct, frozen=True):
    """A decision as plain data."""

    id: str
    cause: str  # The id of the event that caused it; empty for none.
    type: str
    subject: str
    data: dict[str, Any]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that is not the same now and then.

    `other`: the same decision with another content. `only then`: it is not owed now. `only now`:
    it is owed and was never decided. `sooner now`: it was decided later than another that came
    after it now. `again`: it is owed though the log holds it.
    """

    kind: Kind
    service: str
    sequence: int  # Of the recorded decision; else that since which it is owed.
    time: float
    recorded: Said | None = None
    now: Said | None = None
    words: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay came to."""

    first: int
    last: int
    messages: int
    decided: dict[str, int]  # Recorded decisions, by service.
    differences: list[Difference]
    partial: bool = False

    @property
    def equal(self) -> bool:
        """Everything recorded was owed, and nothing else."""
        return not self.differences


def content(event: Event) -> Event:
    """Leave out what tells how long something took: that is measured, not decided."""
    if "took_s" in event.__struct_fields__:
        return msgspec.structs.replace(event, took_s=0.0)
    return event


def said(event_id: str, cause: str, event: Event) -> Said:
    """Give a decision as plain data."""
    return Said(event_id, cause, event.type, event.subject, msgspec.to_builtins(event))


def changes(recorded: Said, now: Said) -> str:
    """Say which fields differ: then and now, where a line can hold it."""
    names = dict.fromkeys((*recorded.data, *now.data))
    told, named = ["another cause"] if recorded.cause != now.cause else [], []
    for name in names:
        then, is_ = recorded.data.get(name), now.data.get(name)
        if then == is_:
            continue
        if isinstance(then, dict | list) or isinstance(is_, dict | list):
            named.append(name)
        else:
            told.append(f"{name}: then {then}, now {is_}")
    if named:
        told.append(f"other {', '.join(named)}")
    return "; ".join(told)
