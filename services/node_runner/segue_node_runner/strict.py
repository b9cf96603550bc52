"""Tell what a strict container lacks for its start, and which containers are to count as strict.

The lease that the node holds must be the one that it has joined with: what was assigned under an
earlier one is known to be over (`Container.fenced`) by all who have read that join, and only then.
"""

from collections.abc import Iterator

import msgspec
from segue.picture import Container, Picture

from segue_node_runner import news
from segue_node_runner.effects import Mark
from segue_node_runner.inventory import Found


class Strict:
    """What the lease allows one node."""

    def __init__(self, picture: Picture, node: str) -> None:
        self.guard = news.Guard()
        self._picture, self._node = picture, node
        self._marked: dict[str, bool] = {}  # By the engine's id: strict, as said under this lease.

    def hear(self, guard: news.Guard) -> None:
        """Note what the lease allows now."""
        if guard.lease != self.guard.lease:
            self._marked = {}
        self.guard = guard

    @property
    def _joined_with_it(self) -> bool:
        return self._picture.nodes[self._node].facts.lease == self.guard.lease != 0

    def lacks(self, ordered: Container) -> str:
        """Say what a container lacks for its start."""
        if not self._picture.is_strict(ordered) or self._joined_with_it:
            return ""
        return self.guard.missing or "the node has not joined with its new lease yet"

    def mark(self, ordered: Container, found: Found) -> Iterator[Mark]:
        """Have a running container die with the lease, if its service says so by now."""
        spec, known = self._picture.spec(ordered), found.engine_id in self.guard.containers
        if spec is None or not found.runs or not self._joined_with_it:
            return
        if spec.strict != known and self._marked.get(found.engine_id) is not spec.strict:
            self._marked[found.engine_id] = spec.strict
            names = msgspec.structs.asdict(found.identity)
            yield Mark(**names, engine_id=found.engine_id, strict=spec.strict)
