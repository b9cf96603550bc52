"""A document as a tree whose every node knows where it was written.

Nodes are never changed, so that aliases may share them; what changes a document makes new nodes.
A plain scalar stays text: what it means is decided by the attribute it stands at.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from segue.compose.values import as_text


class Mark(NamedTuple):
    """Where something was written; lines and columns are counted from 1."""

    file: str
    line: int = 1
    column: int = 1


Value: TypeAlias = "dict[str, Node] | list[Node] | str | None"


class Node(msgspec.Struct, frozen=True):
    """A value and the mark of its key, or of itself where it has none."""

    value: Value
    mark: Mark
    tag: Literal["", "reset", "override"] = ""

    def get(self, key: str) -> "Node | None":
        """Give a mapping's entry, if this is a mapping that has one."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def entries(self) -> dict[str, "Node"]:
        """Give a mapping's entries; anything else has none."""
        return self.value if isinstance(self.value, dict) else {}

    def text(self) -> str | None:
        """Give the text, if this is text."""
        return self.value if isinstance(self.value, str) else None

    def but(self, changed: Mapping[str, "Node | None"]) -> "Node":
        """Make a mapping with some entries changed; None takes one out."""
        entries = {**self.entries(), **changed}
        kept = {key: entry for key, entry in entries.items() if entry is not None}
        return msgspec.structs.replace(self, value=kept)


def plain(node: Node) -> Any:
    """Give the tree as plain Python values."""
    if isinstance(node.value, dict):
        return {key: plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def marked(value: Any, mark: Mark) -> Node:
    """Make a tree of plain values, all of it with one mark."""
    if isinstance(value, dict):
        return Node({str(key): marked(entry, mark) for key, entry in value.items()}, mark)
    if isinstance(value, list):
        return Node([marked(item, mark) for item in value], mark)
    return Node(value if value is None else as_text(value), mark)


def children(node: Node, at: str) -> Iterator[tuple[str, Node]]:
    """Give each child with its place."""
    if isinstance(node.value, dict):
        for key, entry in node.value.items():
            yield (f"{at}.{key}" if at else key), entry
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield f"{at}[{index}]", item


def marks(node: Node, at: str = "") -> dict[str, Mark]:
    """List where every place of the document was written."""
    found = {at: node.mark}
    for place, child in children(node, at):
        found |= {place: child.mark} if isinstance(child.value, str) else marks(child, place)
    return found
