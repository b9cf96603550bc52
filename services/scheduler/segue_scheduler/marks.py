"""Remember which nodes and slots have changed, so that whoever looks seldom catches up at once."""

from collections.abc import Hashable, Iterator
from typing import TypeVar

from segue.picture import Picture

T = TypeVar("T", bound=Hashable)


class Marks:
    """What the picture has marked, the newest last, each at its moment."""

    def __init__(self) -> None:
        self.moment = 0
        self._nodes: dict[str, int] = {}
        self._slots: dict[tuple[str, str], dict[int, int]] = {}  # By service.

    def take(self, picture: Picture) -> None:
        """Take over what the picture has marked since it was last asked."""
        if not picture.touched and not picture.touched_nodes:
            return
        self.moment += 1
        for name in picture.touched_nodes:
            _mark(self._nodes, name, self.moment)
        for service, slots in picture.touched.items():
            known = self._slots.setdefault(service, {})
            for number in slots:
                _mark(known, number, self.moment)
        picture.touched.clear()
        picture.touched_nodes.clear()

    def nodes(self, since: int) -> list[str]:
        """Give the nodes that changed after a moment."""
        return list(_after(self._nodes, since))

    def slots(self, app: str, service: str, since: int) -> list[int]:
        """Give the slots of a service that changed after a moment."""
        return list(_after(self._slots.get((app, service), {}), since))


def _mark(known: dict[T, int], what: T, moment: int) -> None:
    known.pop(what, None)  # A dictionary keeps the order in which its keys came.
    known[what] = moment


def _after(known: dict[T, int], since: int) -> Iterator[T]:
    for what in reversed(known):
        if known[what] <= since:
            return
        yield what
