"""Show what Compose files mean: the one canonical document, or all that is wrong with them.

It needs no bus: what is shown is what `segue deploy` would ask for.
"""

import json

import msgspec

from segue_cli.compose import as_json as located
from segue_cli.compose import to_yaml
from segue_cli.files import loaded
from segue_cli.flags import AppName, EnvFiles, Files, Lenient, MoreFiles, Profiles
from segue_cli.tables import AsJson


def config(
    *files: Files,
    more: MoreFiles = None,
    app: AppName = None,
    profiles: Profiles = None,
    env_files: EnvFiles = None,
    lenient: Lenient = False,
    as_json: AsJson = False,
) -> None:
    """Check Compose files and print the canonical result."""
    found = loaded(
        [*files, *(more or [])],
        app=app,
        profiles=profiles,
        env_files=env_files,
        lenient=lenient,
        json_lines=as_json,
    )
    if not as_json:
        print(to_yaml(found.document), end="")
        return
    result = {
        "app": found.app,
        "document": found.document,
        "spec": msgspec.to_builtins(found.spec),
        "notes": [located(note) for note in found.notes],
    }
    print(json.dumps(result))
