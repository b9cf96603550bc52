"""How to reach the bus, in the words of the `nats` command: its variables and its contexts.

Each field is taken from the caller, else its `NATS_…` variable, else the context that
`NATS_CONTEXT` names or `nats context select` chose, else its default. An explicit URL without
`NATS_CONTEXT` leaves the chosen context out: its credentials belong to another server. Nothing
here connects; a wrong setting raises `BusSettingsError` naming the variable or file.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from segue.bus.errors import BusSettingsError
from segue.bus.protocol import is_subject

DEFAULT_URL = "nats://127.0.0.1:4222"
_SCHEMES = ("nats", "tls", "ws", "wss")
_VARIABLES = {
    "url": "NATS_URL",
    "creds": "NATS_CREDS",
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",  # The variable's name, not a secret.
    "nkey": "NATS_NKEY",
    "ca": "NATS_CA",
    "cert": "NATS_CERT",
    "key": "NATS_KEY",
}
_FILES = ("creds", "nkey", "ca", "cert", "key")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bus is and who we are there. `creds` to `key` are paths of files."""

    url: str = DEFAULT_URL  # Several, separated by commas, are servers of one cluster.
    creds: str = ""
    nkey: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    jetstream_domain: str = ""
    inbox_prefix: str = "_INBOX"
    tls_first: bool = False

    @property
    def urls(self) -> list[str]:
        """The servers, one by one."""
        return [url.strip() for url in self.url.split(",") if url.strip()]

    @property
    def shown_url(self) -> str:
        """The servers as they may stand in a log: without user and password."""
        return ",".join(_without_user(url) for url in self.urls)

    def __repr__(self) -> str:
        """Show no secrets: settings end up in tracebacks."""
        return f"Settings(url={self.shown_url!r})"


class _Context(msgspec.Struct, frozen=True):
    """A context file (ADR-21); fields that mean nothing to us are passed over."""

    url: str = ""
    creds: str = ""
    nkey: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    jetstream_domain: str = ""
    inbox_prefix: str = ""
    tls_first: bool = False


def settings(env: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Gather the settings; `overrides` are fields of `Settings`, None counts as not given."""
    given = {name: value for name, value in overrides.items() if value is not None}
    said = {name: env[variable] for name, variable in _VARIABLES.items() if env.get(variable)}
    explicit = "url" in given or "url" in said
    origin, context = _context(env, chosen=not explicit)
    fields = {name: value for name, value in msgspec.structs.asdict(context).items() if value}
    made = Settings(**(fields | said | given))
    for name in _FILES:
        if path := getattr(made, name):
            source = _VARIABLES[name] if name in said else origin
            _check_file(path, "the caller" if name in given else source, name)
    if bool(made.cert) != bool(made.key):
        raise BusSettingsError(
            "a client certificate needs both files: set NATS_CERT and NATS_KEY, or neither"
        )
    for url in made.urls or [""]:
        _check_url(url, "NATS_URL" if "url" in said else origin or "the caller")
    if not is_subject(made.inbox_prefix):
        raise BusSettingsError(f"inbox_prefix {made.inbox_prefix!r} in {origin} is not a subject")
    return made


def connect_options(made: Settings) -> dict[str, Any]:
    """Give the arguments of nats-py's `connect` that these settings mean."""
    options: dict[str, Any] = {
        "servers": made.urls,
        "inbox_prefix": made.inbox_prefix,
        "tls_handshake_first": made.tls_first,
    }
    if made.creds:
        options["user_credentials"] = str(Path(made.creds).expanduser())
    if made.nkey:
        options["nkeys_seed"] = str(Path(made.nkey).expanduser())
    if made.user and made.password:
        options |= {"user": made.user, "password": made.password}
    elif made.token or made.user:  # A user without a password is a token, as for `nats`.
        options["token"] = made.token or made.user
    if made.ca or made.cert:
        options["tls"] = _tls(made)
    return options


def _context(env: Mapping[str, str], *, chosen: bool) -> tuple[str, _Context]:
    """Read the context that is named, or chosen when `chosen`; with where it stands."""
    home = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".config")
    directory = Path(home) / "nats"
    name, source = env.get("NATS_CONTEXT", ""), "NATS_CONTEXT"
    if not name and chosen:
        source = str(directory / "context.txt")
        try:
            name = (directory / "context.txt").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            return "", _Context()
        except (OSError, UnicodeDecodeError) as error:
            raise BusSettingsError(f"{source} cannot be read: {error}") from error
    if not name:
        return "", _Context()
    file = directory / "context" / f"{name}.json"
    try:
        return str(file), msgspec.json.decode(file.read_bytes(), type=_Context)
    except FileNotFoundError as error:
        raise BusSettingsError(
            f"{source} names the context {name!r}, but there is no {file}; "
            "`nats context ls` lists those there are"
        ) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BusSettingsError(f"the context {file} cannot be read: {error}") from error


def _check_file(path: str, source: str, what: str) -> None:
    file = Path(path).expanduser()
    if not file.is_file() or not os.access(file, os.R_OK):
        raise BusSettingsError(
            f"{source} names {file} for `{what}`, which is not a file that can be read"
        )


def _check_url(url: str, source: str) -> None:
    scheme, _, rest = url.rpartition("://")
    host = rest.rpartition("@")[2]
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    bad_port = bool(port) and not (port.isdigit() and 0 < int(port) < 65_536)
    if (scheme and scheme not in _SCHEMES) or not host or bad_port:
        raise BusSettingsError(
            f"{source} has the server {_without_user(url)!r}; it must look like {DEFAULT_URL}"
        )


def _without_user(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://{tail}" if at and "://" in head else tail


def _tls(made: Settings) -> ssl.SSLContext:
    try:
        ca = str(Path(made.ca).expanduser()) if made.ca else None
        context = ssl.create_default_context(cafile=ca)
        if made.cert:
            context.load_cert_chain(Path(made.cert).expanduser(), Path(made.key).expanduser())
    except (ssl.SSLError, OSError) as error:
        raise BusSettingsError(
            f"the certificates in {made.ca or '-'}, {made.cert or '-'} and {made.key or '-'} "
            f"cannot be used: {error}"
        ) from error
    return context
