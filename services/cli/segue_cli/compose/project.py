"""From the files an operator names to an app that can be deployed, or to all that is wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from segue.compose import convert
from segue.ids import is_token, token
from segue.spec import AppSpec

from segue_cli.compose.composing import Composer, Project
from segue_cli.compose.interpolation import interpolate
from segue_cli.compose.nodes import Mark, Node, marks, plain
from segue_cli.compose.settling import Settler, chosen
from segue_cli.compose.sources import Sources
from segue_cli.compose.trouble import Located, Trouble, in_order

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An app as it would be deployed; `spec` is there exactly when there are no problems."""

    app: str
    document: dict[str, Any]  # Canonical: what `deploy.requested` carries.
    spec: AppSpec | None
    files: dict[str, bytes]  # Contents of secrets and configs, by digest.
    problems: list[Located]
    notes: list[Located]


def default_files(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Find the files to use where none are named: `COMPOSE_FILE`, or in a folder or above it."""
    if named := environ.get("COMPOSE_FILE"):
        separator = environ.get("COMPOSE_PATH_SEPARATOR", ":")
        return [folder / part for part in named.split(separator) if part]
    for place in (folder, *folder.absolute().parents):
        for name in _NAMES:
            if (place / name).is_file():
                found = [place / over for over in _OVERRIDES if (place / over).is_file()]
                return [place / name, *found[:1]]
    return []


def load(
    files: Sequence[Path],
    *,
    environ: Mapping[str, str],
    app: str | None = None,
    profiles: Sequence[str] = (),
    env_files: Sequence[Path] = (),
    targets: Sequence[str] = (),
    lenient: bool = False,
) -> Loaded:
    """Load an app from Compose files.

    `app` names it whatever the files say; services named by `targets` have their profiles
    activated; `lenient` leaves out what is not supported, with a note.
    """
    trouble = Trouble()
    first = files[0] if files else Path("compose.yaml")
    sources = Sources(first, trouble)
    folder = first.parent
    variables = _variables(folder, env_files, environ, sources)
    app = app or _name(list(files), folder, variables, sources, trouble)
    variables = {**variables, "COMPOSE_PROJECT_NAME": app}
    if not files:
        trouble.wrong(Mark(str(first)), "", "there is no Compose file", "name one with -f", "file")
    composer = Composer(sources, trouble)
    found = composer.document(list(files), Project(folder, variables))
    document = found or Node({}, Mark(sources.shown(first)))
    active = [*profiles, *(variables.get("COMPOSE_PROFILES") or "").replace(" ", "").split(",")]
    document = chosen(document, filter(None, active), targets, trouble)
    document = Settler(variables, sources, trouble).settled(document)
    result = convert(plain(document), app=app, lenient=lenient)
    if found is not None and not sources.broken:
        kept = [problem for problem in result.problems if not composer.explains(problem)]
        trouble.merge(kept, result.notes, marks(document))
    return Loaded(
        app=app,
        document=result.canonical,
        spec=None if trouble.problems else result.spec,
        files=sources.contents,
        problems=in_order(trouble.problems),
        notes=in_order(trouble.notes),
    )


def _variables(
    folder: Path, env_files: Sequence[Path], environ: Mapping[str, str], sources: Sources
) -> dict[str, str | None]:
    """Read the variables that files are filled in with; those of the process come first."""
    found: dict[str, str | None] = {}
    default = folder / ".env"
    for path in env_files or ([default] if default.is_file() else []):
        mark = Mark(sources.shown(path))
        outside: dict[str, str | None] = {**found, **environ}
        read = sources.variables(path, outside, mark, "")
        found |= {key: entry.value for key, entry in read.items()}
    return {**found, **environ}


def _name(
    files: list[Path],
    folder: Path,
    variables: Mapping[str, str | None],
    sources: Sources,
    trouble: Trouble,
) -> str:
    """Name the app: as the environment says, as the last file says, or after the folder."""
    if given := variables.get("COMPOSE_PROJECT_NAME"):
        return given
    named: Node | None = None
    for path in files:
        for document in sources.documents(path):
            named = document.get("name") or named
    if named is not None and named.text():
        filled = interpolate(Node({"name": named}, named.mark), variables, trouble)
        name = filled.entries()["name"].text() or ""
        if is_token(name):
            return name
    return token(folder.absolute().name).strip("_-") or "app"
