"""The bus of one host: which port it gets, its configuration, and how much of the disk its log.

A port that was chosen once stays, so that whatever was told of it still finds the bus; only when
somebody else has it now, another is chosen. The server itself is `segue.bus.server`'s.
"""

import os
import shutil
import socket
from pathlib import Path

from segue.bus import Plan, ServerConfig, find_server, render

from segue_cli.datadir import DataDir
from segue_cli.errors import FailedError
from segue_cli.supervisor import Program

USUAL_PORT = 4222
LOG_BYTES_MOST, LOG_BYTES_LEAST = 4 << 30, 64 << 20
NAME = "bus"


def program(place: DataDir, port: int) -> Program:
    """Write the server's configuration and give the program to run."""
    place.bus.mkdir(parents=True, exist_ok=True)
    config = ServerConfig(store_dir=place.bus / "store", port=port, name="segue-up")
    file = place.bus / "nats.conf"
    file.write_text(render(config), encoding="utf-8")
    place.port.write_text(f"{port}\n", encoding="utf-8")
    command = [str(find_server()), "-c", str(file)]
    return Program(NAME, command, os.environ, place.log(NAME))


def choose_port(place: DataDir, wanted: int | None = None) -> int:
    """Choose where the bus listens: as wanted, as before, on 4222, or anywhere."""
    if wanted:
        if not _free(wanted):
            raise FailedError(
                f"port {wanted} on 127.0.0.1 is taken by another program",
                "name another port, or leave --port out: a free one is chosen and remembered",
            )
        return wanted
    for port in (_remembered(place.port), USUAL_PORT):
        if port and _free(port):
            return port
    with socket.socket() as any_free:
        any_free.bind(("127.0.0.1", 0))
        return int(any_free.getsockname()[1])


def _remembered(file: Path) -> int:
    try:
        said = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(said) if said.isdecimal() else 0


def _free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def plan(place: DataDir) -> Plan:
    """Give the log at most a quarter of what is free: it must refuse to grow before a full disk."""
    free = shutil.disk_usage(place.path).free
    return Plan(bytes_max=max(LOG_BYTES_LEAST, min(LOG_BYTES_MOST, free // 4)))
