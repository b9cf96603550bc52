"""What only the deploying machine knows is settled here: variables, profiles, contents of files.

After this the document stands for itself: `segue.compose` can convert it anywhere.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from segue_cli.compose.merging import pairs
from segue_cli.compose.nodes import Node
from segue_cli.compose.sources import Sources
from segue_cli.compose.trouble import Trouble

_SOURCES = ("file", "environment", "content")


def chosen(
    document: Node, profiles: Iterable[str], targets: Iterable[str], trouble: Trouble
) -> Node:
    """Leave out the services of which no profile is active; a target brings in its own."""
    services = document.get("services")
    if services is None or not isinstance(services.value, dict):
        return document
    active = set(profiles)
    for target in targets:
        if target not in services.value:
            trouble.wrong(services.mark, "services", f"there is no service '{target}'")
            continue
        active |= set(_names(services.value[target].get("profiles")))
    kept: dict[str, Node | None] = {}
    for name, service in services.value.items():
        own = _names(service.get("profiles"))
        if own and "*" not in active and not active & set(own):
            kept[name] = None
        elif isinstance(service.value, dict):
            kept[name] = service.but({"profiles": None})
    return document.but({"services": services.but(kept)})


def _names(node: Node | None) -> list[str]:
    if node is None:
        return []
    items = node.value if isinstance(node.value, list) else [node]
    return [text for item in items if (text := item.text())]


class Settler:
    """Settles a document with this machine's variables and files."""

    def __init__(
        self, variables: Mapping[str, str | None], sources: Sources, trouble: Trouble
    ) -> None:
        self._variables = variables
        self._sources = sources
        self._trouble = trouble

    def settled(self, document: Node) -> Node:
        """Settle everything."""
        return self._with_contents(self._with_variables(document))

    def _with_variables(self, document: Node) -> Node:
        """Give each service its whole environment and labels, those from files included."""
        services = document.get("services")
        if services is None:
            return document
        made: dict[str, Node | None] = {}
        for name, service in services.entries().items():
            if isinstance(service.value, dict):
                at = f"services.{name}"
                changed = self._environment(service, at) | self._labels(service, at)
                made[name] = service.but(changed)
        return document.but({"services": services.but(made)})

    def _environment(self, service: Node, at: str) -> dict[str, Node | None]:
        files = service.get("env_file")
        own = service.get("environment")
        given = pairs(own) if own else None
        if given is not None and isinstance(given.value, str):
            return {"env_file": None}  # The conversion says what is wrong with it.
        found = self._from_files(files, f"{at}.env_file")
        for key, entry in (given.entries() if given else {}).items():
            if not key:
                what = "has no name before the '='"
                self._trouble.wrong(entry.mark, f"{at}.environment", what)
                continue
            # A key alone takes the value of whoever deploys, and is not there without one.
            found[key] = Node(self._variables.get(key), entry.mark) if _alone(entry) else entry
            if found[key].value is None:
                self._trouble.note(
                    entry.mark,
                    f"{at}.environment.{key}",
                    "has no value here and is left out",
                    "set it, or give a value",
                )
        left = {key: entry for key, entry in found.items() if entry.value is not None}
        mark = own.mark if own else files.mark if files else service.mark
        return {"env_file": None, "environment": Node(dict(left), mark) if left else None}

    def _labels(self, service: Node, at: str) -> dict[str, Node | None]:
        files = service.get("label_file")
        if files is None:
            return {}
        own = service.get("labels")
        found = self._from_files(files, f"{at}.label_file")
        found |= pairs(own).entries() if own else {}
        return {"label_file": None, "labels": Node(dict(found), files.mark)}

    def _from_files(self, files: Node | None, at: str) -> dict[str, Node]:
        """Read files of variables; of several the last has its say."""
        found: dict[str, Node] = {}
        for where, item in _items(files, at):
            options = {key: entry.text() for key, entry in item.entries().items()}
            path = item.text() or options.get("path")
            if not path:
                self._trouble.wrong(item.mark, where, "names no file", "write path: FILE")
                continue
            self._options(item, where)
            required = (options.get("required") or "true").lower()
            if required in ("false", "no", "off") and not Path(path).exists():
                continue
            outside = {**{key: node.text() for key, node in found.items()}, **self._variables}
            raw = options.get("format") == "raw"
            read = self._sources.variables(Path(path), outside, item.mark, where, raw=raw)
            for key, entry in read.items():
                value = self._variables.get(key) if entry.value is None else entry.value
                found[key] = Node(value, entry.mark)
        return found

    def _options(self, item: Node, where: str) -> None:
        for key, entry in item.entries().items():
            if key not in ("path", "required", "format"):
                self._trouble.wrong(entry.mark, f"{where}.{key}", "unknown key", kind="unknown")
        style = item.get("format")
        if style is not None and style.value not in (None, "raw"):
            what = f"'{style.value}' is not known"
            self._trouble.wrong(style.mark, f"{where}.format", what, "use raw, or leave it out")

    def _with_contents(self, document: Node) -> Node:
        """Put digests in the place of secrets' and configs' contents; keep those aside."""
        changed: dict[str, Node | None] = {}
        for kind in ("secrets", "configs"):
            section = document.get(kind)
            if section is None or not isinstance(section.value, dict):
                continue
            used = _used(document, kind)
            made: dict[str, Node | None] = {}
            for key, entry in section.value.items():
                at = f"{kind}.{key}"
                if key not in used:
                    self._trouble.note(entry.mark, at, "is used by no service and is left out")
                    made[key] = None
                elif isinstance(entry.value, dict):
                    made[key] = self._digested(entry, at, kind)
            changed[kind] = section.but(made)
        return document.but(changed)

    def _digested(self, entry: Node, at: str, kind: str) -> Node:
        given = [key for key in _SOURCES if (found := entry.get(key)) and found.value is not None]
        if not given or (kind == "secrets" and "content" in given):
            return entry  # The conversion says what is wrong with it.
        gone: dict[str, Node | None] = dict.fromkeys(_SOURCES)
        first = entry.entries()[given[0]]
        external = entry.get("external")
        if external is not None and external.text() not in (None, "false"):
            what = "an external resource is only named"
            hint = f"remove {given[0]} or external"
            self._trouble.wrong(first.mark, f"{at}.{given[0]}", what, hint, "conflict")
            return entry.but(gone)
        for other in given[1:]:
            what = f"is given, and so is {given[0]}"
            mark = entry.entries()[other].mark
            self._trouble.wrong(mark, f"{at}.{other}", what, "keep one of them", "conflict")
        content = self._content(given[0], first, f"{at}.{given[0]}")
        # Where there is no content, the problem has been told: the digest only stands in.
        digest = "0" * 64 if content is None else self._sources.keep(content)
        return entry.but({**gone, "x-digest": Node(digest, first.mark)})

    def _content(self, key: str, node: Node, where: str) -> bytes | None:
        value = node.text()
        if value is None:
            self._trouble.wrong(node.mark, where, "must be text")
            return None
        if key == "content":
            return value.encode()
        if key == "file":
            return self._sources.content(Path(value), node.mark, where)
        found = self._variables.get(value)
        if found is None:
            what = f"the variable {value} is not set"
            self._trouble.wrong(node.mark, where, what, "set it", "variable")
            return None
        return found.encode(errors="surrogateescape")  # As the process was given it.


def _alone(entry: Node) -> bool:
    return entry.value is None


def _items(node: Node | None, at: str) -> list[tuple[str, Node]]:
    """Give the items of a list, or the one value there is, each with its place."""
    if node is None or node.value is None:
        return []
    if isinstance(node.value, list):
        return [(f"{at}[{index}]", item) for index, item in enumerate(node.value)]
    return [(at, node)]


def _used(document: Node, kind: str) -> set[str]:
    """Name the secrets or configs that some service has."""
    found: set[str] = set()
    services = document.get("services")
    for service in services.entries().values() if services else []:
        for _, item in _items(service.get(kind), ""):
            source = item.get("source")
            found.add((item.text() or (source.text() if source else "") or "").strip())
    return found
