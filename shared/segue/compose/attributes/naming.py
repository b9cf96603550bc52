"""What names and labels an author may choose."""

from typing import Any

from segue.compose.findings import ABSENT, Place
from segue.compose.forms import matching, pairs
from segue.compose.values import Invalid, as_text
from segue.ids import is_token, token

_RESERVED = ("segue.", "com.docker.compose.")

engine_name = matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", "a name that the engine accepts")
digest = matching(r"[0-9a-f]{64}", "a sha256 in hexadecimal")
host_name = matching(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?", "a host name")


def app_name(value: object) -> str:
    """Read an app's name, which stands in subjects of the bus."""
    name = as_text(value)
    if not is_token(name):
        raise Invalid(f"'{name[:80]}' cannot be an app's name", _advice(name))
    return name


def is_service_name(place: Place, name: str) -> bool:
    """Refuse a service's name that cannot stand in a subject of the bus."""
    if not is_token(name):
        place.wrong(f"'{name[:80]}' cannot be a service's name", _advice(name))
    return is_token(name)


def _advice(name: str) -> str:
    return f"use at most 63 of a-z, 0-9, '_' and '-', such as '{token(name)}'"


def labels(place: Place, value: Any) -> Any:
    """Read labels, and refuse those whose prefix belongs to Segue or to Compose."""
    found = pairs(place, value)
    if found is ABSENT:
        return ABSENT
    for key in list(found):
        if key.startswith(_RESERVED):
            prefix = next(prefix for prefix in _RESERVED if key.startswith(prefix))
            place.findings.at(f"{place.at}.{key}").wrong(
                f"labels that begin with '{prefix}' are reserved", "choose another prefix"
            )
            del found[key]
    return found or ABSENT
