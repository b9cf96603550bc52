"""Flags that several commands share, spelt once. What no command reads is no flag."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Within = Annotated[
    str, Parameter("--timeout", show_default=True, help="How long to wait, such as 30s or 5m.")
]
Files = Annotated[
    Path,
    Parameter(
        help="Compose files; a later one overrides the earlier (default: compose.yaml here).",
    ),
]
MoreFiles = Annotated[
    list[Path] | None,
    Parameter(("--file", "-f"), help="The same, as `docker compose` spells it."),
]
AppName = Annotated[
    str | None,
    Parameter(
        ("--app", "--project-name", "-p"),
        help="The app's name (default: as the files say, else the folder's).",
    ),
]
Profiles = Annotated[list[str] | None, Parameter("--profile", help="Activate a profile.")]
EnvFiles = Annotated[
    list[Path] | None,
    Parameter("--env-file", help="Variables for the files (default: .env)."),
]
Lenient = Annotated[
    bool,
    Parameter(
        "--ignore-unsupported",
        help="Leave out what is not supported, with a note, instead of refusing it.",
    ),
]
