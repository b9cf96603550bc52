"""Compose files on the command line: which are meant, and how what is wrong with them is shown.

Every problem is shown at once, and nothing is done while there is one.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from segue_cli.amounts import count
from segue_cli.compose import Loaded, as_json, default_files, load, render
from segue_cli.errors import INVALID, InvalidError, Silent


def loaded(
    files: Sequence[Path] | None,
    *,
    app: str | None = None,
    profiles: Sequence[str] | None = None,
    env_files: Sequence[Path] | None = None,
    lenient: bool = False,
    json_lines: bool = False,
    code: int = INVALID,
) -> Loaded:
    """Load what is meant; problems are shown and end the command with `code`."""
    chosen = list(files or default_files(Path(), os.environ))
    if not chosen:
        raise InvalidError(
            f"there is no compose.yaml in {Path().absolute()} or above", "name a file: FILE, or -f"
        )
    found = load(
        chosen,
        environ=os.environ,
        app=app,
        profiles=profiles or (),
        env_files=env_files or (),
        lenient=lenient,
    )
    if not json_lines:
        for note in found.notes:
            print(f"note: {render(note)}", file=sys.stderr)
    if found.problems:
        _show_problems(found, json_lines=json_lines)
        raise Silent(code)
    return found


def _show_problems(found: Loaded, *, json_lines: bool) -> None:
    if json_lines:
        print(json.dumps({"problems": [as_json(one) for one in found.problems]}))
        return
    for one in found.problems:
        print(render(one), file=sys.stderr)
    print(f"segue: {count(len(found.problems), 'problem')}; nothing was done", file=sys.stderr)
