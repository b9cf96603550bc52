"""Several files become one document: filled in, extended, merged, and with what they include."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from segue.compose.resources import KINDS
from segue.events.deploy import Problem

from segue_cli.compose.interpolation import interpolate
from segue_cli.compose.merging import merge, without_tags
from segue_cli.compose.nodes import Mark, Node, plain
from segue_cli.compose.sources import Sources
from segue_cli.compose.trouble import Trouble

_REMOTE = ("http://", "https://", "git@", "git://", "ssh://", "oci://", "github.com/")
_HERE = "Segue reads local files only: fetch it first and name the copy."


class Project(NamedTuple):
    """What paths and variables of a document refer to."""

    folder: Path
    variables: Mapping[str, str | None]


class _Home(NamedTuple):
    """The file that a service stands in, and the services that led here."""

    path: Path
    project: Project
    chain: tuple[tuple[Path, str], ...] = ()


class Composer:
    """Makes one document of many; see `document`."""

    def __init__(self, sources: Sources, trouble: Trouble) -> None:
        self._sources = sources
        self._trouble = trouble
        self._partial: set[str] = set()  # Services whose base is missing.

    def explains(self, problem: Problem) -> bool:
        """Tell whether a problem only follows from one that has been told."""
        return problem.where in self._partial

    def document(
        self,
        paths: list[Path],
        project: Project,
        *,
        mark: Mark | None = None,
        where: str = "",
        chain: tuple[Path, ...] = (),
    ) -> Node | None:
        """Merge the documents of several files, then bring in what they include."""
        merged: Node | None = None
        for path in paths:
            for parsed in self._sources.documents(path, mark, where):
                extended = self._extended(self._filled(parsed, project), path, project)
                merged = extended if merged is None else merge(merged, extended, self._trouble)
        if merged is None:
            return None
        merged = without_tags(merged)
        return self._with_included(merged, project, (*chain, *map(_real, paths)))

    def _filled(self, document: Node, project: Project) -> Node:
        filled = interpolate(document, project.variables, self._trouble)
        return with_paths(filled, project.folder)

    def _extended(self, document: Node, path: Path, project: Project) -> Node:
        services = document.get("services")
        if services is None:
            return document
        home = _Home(path, project)
        made: dict[str, Node | None] = {
            name: self._service(services, name, home) for name in services.entries()
        }
        return document.but({"services": services.but(made)})

    def _service(self, services: Node, name: str, home: _Home) -> Node:
        """Give a service on top of the one it extends."""
        service = services.entries()[name]
        extends = service.get("extends")
        if extends is None or extends.value is None:
            return service
        where = f"services.{name}.extends"
        service = service.but({"extends": None})
        here = (home.path.resolve(), name)
        if here in home.chain:
            circle = [each for _, each in home.chain[home.chain.index(here) :]]
            what = f"extends itself: {' → '.join([*circle, name])}"
            self._wrong(extends.mark, where, what, "break the circle")
            self._partial.add(f"services.{name}")
            return service
        home = home._replace(chain=(*home.chain, here))
        base = self._base(services, extends, where, home)
        if base is None:
            self._partial.add(f"services.{name}")
            return service
        return merge(without_tags(base), service, self._trouble, f"services.{name}")

    def _base(self, services: Node, extends: Node, where: str, home: _Home) -> Node | None:
        self._unknown(extends, where, {"service", "file"})
        named = extends if extends.text() is not None else extends.get("service")
        name = named.text() if named else None
        if not name:
            self._wrong(extends.mark, where, "names no service", "write service: NAME")
            return None
        file = extends.get("file")
        if file is not None and file.value is not None:
            path = self._local(file, f"{where}.file", home.project)
            if path is None:
                return None
            project = Project(path.parent, home.project.variables)
            home = _Home(path, project, home.chain)
            found = self._services(file.mark, f"{where}.file", home)
            if found is None:
                return None
            services = found
        if name not in services.entries():
            shown = self._sources.shown(home.path)
            self._wrong(extends.mark, where, f"there is no service '{name}' in {shown}")
            return None
        return self._service(services, name, home)

    def _services(self, mark: Mark, where: str, home: _Home) -> Node | None:
        """Read the services of another file, which nothing else of it comes with."""
        merged: Node | None = None
        for parsed in self._sources.documents(home.path, mark, where):
            filled = self._filled(parsed, home.project)
            merged = filled if merged is None else merge(merged, filled, self._trouble)
        if merged is None:
            return None
        return merged.get("services") or Node({}, merged.mark)

    def _unknown(self, node: Node, where: str, known: set[str]) -> None:
        for key, entry in node.entries().items():
            if key not in known:
                self._wrong(entry.mark, f"{where}.{key}", "unknown key", "", "unknown")

    def _local(self, named: Node, where: str, project: Project) -> Path | None:
        text = named.text() or ""
        if text.startswith(_REMOTE):
            self._wrong(named.mark, where, f"'{text}' is not a local file", _HERE, "unsupported")
            return None
        return project.folder / text

    def _with_included(self, document: Node, project: Project, chain: tuple[Path, ...]) -> Node:
        include = document.get("include")
        if include is None:
            return document
        document = document.but({"include": None})
        entries = include.value if isinstance(include.value, list) else [include]
        for index, entry in enumerate(entries if include.value is not None else []):
            where = f"include[{index}]"
            included = self._included(entry, where, project, chain)
            if included is not None:
                document = self._joined(document, included, entry.mark, where)
        return document

    def _included(
        self, entry: Node, where: str, project: Project, chain: tuple[Path, ...]
    ) -> Node | None:
        """Compose what is included as a project of its own."""
        self._unknown(entry, where, {"path", "project_directory", "env_file"})
        named = entry if entry.text() is not None else entry.get("path")
        paths = [self._local(one, where, project) for one in _each(named)]
        known = [path for path in paths if path is not None]
        if not known:
            if not paths:
                self._wrong(entry.mark, where, "names no file", "write path: FILE")
            return None
        if again := [path for path in known if _real(path) in chain]:
            shown = self._sources.shown(again[0])
            self._wrong(entry.mark, where, f"{shown} includes itself", "break the circle")
            return None
        folder = known[0].parent
        if (own := entry.get("project_directory")) is not None and own.text():
            folder = project.folder / (own.text() or "")
        variables = self._own_variables(entry, where, folder, project)
        return self.document(
            known, Project(folder, variables), mark=entry.mark, where=where, chain=chain
        )

    def _own_variables(
        self, entry: Node, where: str, folder: Path, project: Project
    ) -> Mapping[str, str | None]:
        """Read the included project's own defaults; the including project has the last word."""
        found: dict[str, str | None] = {}
        env_file = entry.get("env_file")
        files = [project.folder / (one.text() or "") for one in _each(env_file)]
        if env_file is None and (folder / ".env").is_file():
            files = [folder / ".env"]
        for file in files:
            outside = {**found, **project.variables}
            read = self._sources.variables(file, outside, entry.mark, f"{where}.env_file")
            found |= {key: each.value for key, each in read.items()}
        return {**found, **project.variables}

    def _joined(self, document: Node, included: Node, mark: Mark, where: str) -> Node:
        """Copy what is included into the document; two of one name must be equal."""
        for kind in ("services", *KINDS):
            ours = document.get(kind)
            theirs = included.get(kind)
            if theirs is None or not theirs.entries():
                continue
            known = ours.entries() if ours else {}
            for key, entry in theirs.entries().items():
                if key in known and plain(known[key]) != plain(entry):
                    at = known[key].mark
                    self._wrong(
                        mark,
                        where,
                        f"{kind}.{key} is defined here and at {at.file}:{at.line}",
                        "rename one of them",
                        "conflict",
                    )
            both = {**theirs.entries(), **known}
            document = document.but({kind: Node(dict(both), (ours or theirs).mark)})
        return document

    def _wrong(
        self, mark: Mark, where: str, what: str, hint: str = "", kind: str = "reference"
    ) -> None:
        self._trouble.wrong(mark, where, what, hint, kind)


def _each(node: Node | None) -> list[Node]:
    """Give the items of a list, or the one value there is."""
    if node is None or node.value is None:
        return []
    return node.value if isinstance(node.value, list) else [node]


def with_paths(document: Node, folder: Path) -> Node:
    """Make the paths of files that the command line reads absolute, from the document's folder."""

    def one(node: Node) -> Node:
        text = node.text()
        return Node(str(folder.absolute() / text), node.mark, node.tag) if text else node

    def listed(node: Node) -> Node:
        if isinstance(node.value, list):
            return Node([listed(item) for item in node.value], node.mark, node.tag)
        path = node.get("path")
        return node.but({"path": one(path)}) if path else one(node)

    def below(parent: Node, keys: tuple[str, ...]) -> Node:
        return parent.but({key: listed(found) for key in keys if (found := parent.get(key))})

    changed: dict[str, Node | None] = {}
    for kind, keys in (
        ("services", ("env_file", "label_file")),
        ("secrets", ("file",)),
        ("configs", ("file",)),
    ):
        section = document.get(kind)
        if section and isinstance(section.value, dict):
            made = {
                name: below(entry, keys) if isinstance(entry.value, dict) else entry
                for name, entry in section.value.items()
            }
            changed[kind] = Node(made, section.mark, section.tag)
    return document.but(changed)


def _real(path: Path) -> Path:
    """Find the file itself; why it cannot be read is told where it is read."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path
