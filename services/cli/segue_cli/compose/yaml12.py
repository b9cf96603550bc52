"""YAML 1.2 as Compose means it: parsed into marked nodes, all scalars as text.

Only `null`, `~` and nothing at all are null; whether `012`, `yes` or `22:22` is a number is for
the attribute to say. Duplicate keys are a problem, merge keys are resolved, `!reset` and
`!override` are kept as tags, and aliases have a budget, so that no file can grow without bound.
"""

from typing import Any, Final, Literal

import yaml

from segue_cli.compose.nodes import Mark, Node
from segue_cli.compose.trouble import Trouble

NODES_MAX: Final = 100_000  # With every alias written out.
DEPTH_MAX: Final = 64
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_CORE_TAGS: Final = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
}
_TAGS: Final[dict[str, Literal["reset", "override"]]] = {
    "!reset": "reset",
    "!override": "override",
}
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})


class _Loader(yaml.CSafeLoader):
    """A loader that gives no scalar a type: this module does."""

    yaml_implicit_resolvers: dict[str, Any] = {}


class _Stop(Exception):  # noqa: N818 — an answer to the author, not a fault.
    """The rest of the file cannot be read."""

    def __init__(self, what: str, hint: str = "", mark: Mark | None = None) -> None:
        super().__init__(what)
        self.hint = hint
        self.mark = mark


def parse(text: str, file: str, trouble: Trouble) -> list[Node] | None:
    """Parse every document of a file; None where it cannot be read to its end."""
    documents: list[Node] = []
    reader = _Reader(text, file, trouble)
    try:
        while (document := reader.document()) is not None:
            documents.append(document)
    except _Stop as stop:
        trouble.wrong(stop.mark or reader.here, "", str(stop), stop.hint, "yaml")
        return None
    except yaml.YAMLError as error:
        mark, what = _said(error, file)
        trouble.wrong(mark, "", what, kind="yaml")
        return None
    return documents


def _said(error: yaml.YAMLError, file: str) -> tuple[Mark, str]:
    """Put what the parser says into one line."""
    at = getattr(error, "problem_mark", None)
    mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file)
    what = getattr(error, "problem", None) or getattr(error, "context", None)
    if isinstance(error, yaml.reader.ReaderError):
        what = f"has a character that YAML forbids: {error.character!r}"
    if at and "cannot start any token" in str(what):
        what = "has a character that cannot begin a value: is it a tab, '@' or '`'?"
    return mark, str(what or "is not YAML")


class _Reader:
    """Events of the parser, read into nodes."""

    def __init__(self, text: str, file: str, trouble: Trouble) -> None:
        self._events = yaml.parse(text, Loader=_Loader)
        self._file = file
        self._trouble = trouble
        self._anchors: dict[str, Node | None] = {}
        self._sizes: dict[int, int] = {}  # By identity: nodes of anchors live on in `_anchors`.
        self._count = 0
        self.here = Mark(file)

    def document(self) -> Node | None:
        """Read the next document, or None at the end."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                return self._node(self._next(), 1)
        return None

    def _next(self) -> Any:
        event = next(self._events)
        self.here = self._mark(event)
        return event

    def _mark(self, event: Any) -> Mark:
        return Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int, key: Mark | None = None) -> Node:
        mark = key or self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        if depth > DEPTH_MAX:
            raise _Stop(f"is nested more than {DEPTH_MAX} deep")
        before = self._count
        self._spend(1)
        if event.anchor:
            self._anchors[event.anchor] = None
        tag = self._tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event), mark, tag)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._items(depth), mark, tag)
        else:
            node = Node(self._entries(depth), mark, tag)
        if event.anchor:
            self._anchors[event.anchor] = node
            self._sizes[id(node)] = self._count - before
        return node

    def _spend(self, nodes: int) -> None:
        self._count += nodes
        if self._count > NODES_MAX:
            raise _Stop(
                f"has more than {NODES_MAX} values once its aliases are written out",
                "split it, or use fewer aliases of aliases",
            )

    def _alias(self, event: Any, mark: Mark) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            known = event.anchor in self._anchors
            what = "stands inside what it names" if known else "names no anchor of this document"
            raise _Stop(f"the alias '*{event.anchor}' {what}", mark=self._mark(event))
        self._spend(self._sizes[id(node)])
        # What an alias brings in is found at its anchor; the key that it stands at is its own.
        return Node(node.value, mark, node.tag)

    def _tag(self, event: Any) -> Literal["", "reset", "override"]:
        tag = event.tag
        if tag is None or tag == "!" or tag in _CORE_TAGS:
            return ""
        if tag not in _TAGS:
            self._trouble.wrong(
                self._mark(event), "", f"the tag '{tag}' is not known", "use !reset or !override"
            )
            return ""
        return _TAGS[tag]

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return items

    def _entries(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            mark = self._mark(event)
            key = self._node(event, depth + 1)
            entry = self._node(self._next(), depth + 1, key=mark)
            if getattr(event, "value", "") == "<<" and event.implicit[0]:
                merged |= {k: v for k, v in self._merged(entry).items() if k not in merged}
            elif not isinstance(event, yaml.ScalarEvent) or not isinstance(key.value, str):
                self._trouble.wrong(mark, "", "a key must be text", kind="yaml")
            elif key.value in entries:
                first = entries[key.value].mark.line
                self._trouble.wrong(
                    mark,
                    "",
                    f"the key '{key.value}' stands here twice, first on line {first}",
                    "remove one of them",
                    "yaml",
                )
            else:
                entries[key.value] = entry
        return {k: v for k, v in merged.items() if k not in entries} | entries

    def _merged(self, node: Node) -> dict[str, Node]:
        """Give what a merge key brings in: of several mappings the first has its say."""
        sources = node.value if isinstance(node.value, list) else [node]
        found: dict[str, Node] = {}
        for source in sources:
            if not isinstance(source.value, dict):
                self._trouble.wrong(
                    source.mark, "", "a merge key takes mappings", "write <<: *anchor", "yaml"
                )
            found |= {k: v for k, v in source.entries().items() if k not in found}
        return found


def _scalar(event: Any) -> str | None:
    value: str = event.value
    is_plain = bool(event.implicit[0])
    if event.tag == _TEXT_TAG:
        return value
    return None if is_plain and value in _NULL else value
