"""Find and kill every process of a container, by its control group alone.

The engine is not asked: it may hang. A control group's path ends with the engine's id of the
container whatever the engine's settings are, and a process cannot leave it.
"""

import contextlib
import os
import pathlib
import re
import signal

_ID = re.compile(r"[0-9a-f]{64}")
PROC = pathlib.Path("/proc")
_CAP_KILL = 5  # capabilities(7)


def may_kill() -> bool:
    """Tell whether this process may kill those of any user, as containers' processes may be."""
    status = (PROC / "self" / "status").read_text()
    (effective,) = re.findall(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(effective, 16) >> _CAP_KILL & 1)


def of_containers(ids: frozenset[str]) -> dict[int, str]:
    """Give the processes of these containers: pid → container."""
    found: dict[int, str] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (container := container_of(int(entry.name))) in ids:
            found[int(entry.name)] = str(container)
    return found


def container_of(pid: int) -> str | None:
    """Give the container that a process belongs to, None if it is in none or is no more."""
    try:
        groups = (PROC / str(pid) / "cgroup").read_bytes().decode(errors="replace")
    except OSError:
        return None
    for line in groups.splitlines():
        # A container within a container has two ids in its path: each of them holds it.
        if ids := _ID.findall(line):
            return str(ids[-1])
    return None


def kill(pid: int, container: str) -> bool:
    """Kill a process that is of this container; False if it is no more, or not ours to kill."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if container_of(pid) != container:  # The number has passed to another process.
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except PermissionError:
        return False
    else:
        return True
    finally:
        os.close(handle)
