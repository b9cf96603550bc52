"""What a host is given so that it may join: where the bus is, and its own key to it, in one line.

A token is a secret: whoever has it can speak on the bus. Nothing in it is believed but its form.
"""

import base64
import binascii
import sys
import zlib
from pathlib import Path
from typing import Literal

import msgspec

from segue_cli.errors import InvalidError

_HEAD = "segue1."


class Invitation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """All that a host needs. A control host gets the part of a bus server too."""

    kind: Literal["node", "server"]
    name: str  # Of the node or of the bus server.
    url: str
    ca: str
    client_certificate: str
    client_key: str
    user: str
    password: str
    server_certificate: str = ""
    server_key: str = ""
    system_password: str = ""
    routes: list[str] = []  # Empty: the only server.


def written(invitation: Invitation) -> str:
    """Write it as one line."""
    packed = zlib.compress(msgspec.json.encode(invitation), 9)
    return _HEAD + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(text: str, kind: Literal["node", "server"]) -> Invitation:
    """Read a token: itself, `@FILE`, or `-` for standard input."""
    line = _content(text).strip()
    head, body = line[: len(_HEAD)], line[len(_HEAD) :]
    body = body if head == _HEAD else ""
    try:
        packed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        found = msgspec.json.decode(zlib.decompress(packed), type=Invitation)
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError) as error:
        hint = "`segue server token NAME` on the control host makes one; it is one line"
        raise InvalidError(f"this is no token, or not all of one: {error}", hint) from error
    if found.kind != kind:
        raise InvalidError(
            f"this token is for a {found.kind}, {found.name}, not for a {kind}",
            "`segue server init --token` takes that of a server, `segue node join` that of a node",
        )
    return found


def _content(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidError(f"{text[1:]} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{text[1:]} is no token: it is not text") from error
