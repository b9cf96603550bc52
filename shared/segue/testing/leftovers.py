"""Ending what a test engine leaves behind, by identity and never by a name that others share.

A process is known by pid and start time, a shim by the path of its engine's own socket, a
container's processes by the engine's own cgroup, bridges and iptables rules by its own subnet.
"""

import contextlib
import ipaddress
import json
import os
import pathlib
import shlex
import signal
import subprocess
import time

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_GONE_WITHIN_S = 30.0


def start_time(pid: int) -> str:
    """When the process began, in ticks since boot: with the pid it names one process for ever."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rsplit(")", 1)[1].split()[19]


def end_process(record: pathlib.Path) -> None:
    """Kill the process whose pid and start time `record` holds, if it still runs."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid, began = record.read_text().split()
        if start_time(int(pid)) == began:
            _kill([int(pid)])


def end_shims(containerd_socket: str) -> None:
    """Kill the shims that serve the containerd at this socket."""
    shims = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"-address" in words and containerd_socket.encode() in words:
                    shims.append(int(entry.name))
    _kill(shims)


def clear_cgroup(name: str) -> None:
    """Kill every process below the cgroup `name` and remove it from all hierarchies."""
    trees = [path for path in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")) if path.is_dir()]
    for tree in trees:
        pids = {int(pid) for file in tree.rglob("cgroup.procs") for pid in _lines(file)}
        _kill(sorted(pids))
    end = time.monotonic() + _GONE_WITHIN_S
    while not all(_removed(tree) for tree in trees) and time.monotonic() < end:
        time.sleep(0.01)  # The kernel takes a moment to see that the last process is gone.


def _removed(tree: pathlib.Path) -> bool:
    for folder in sorted(tree.rglob("*/"), key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        tree.rmdir()
    return not tree.exists()


def clear_network(subnet: str, bridge: str) -> None:
    """Remove the bridges that have an address in `subnet` and every iptables rule about them."""
    ours = ipaddress.ip_network(subnet)
    shown = subprocess.run(["ip", "-json", "addr"], capture_output=True, check=True)
    names = {bridge} | {
        link["ifname"]
        for link in json.loads(shown.stdout)
        for address in link["addr_info"]
        if ipaddress.ip_address(address["local"]) in ours
    }
    for table in ("filter", "nat"):
        save = subprocess.run(["iptables-save", "-t", table], capture_output=True, check=False)
        for line in save.stdout.decode().splitlines():
            words = shlex.split(line)
            if words[:1] == ["-A"] and (names & set(words) or _mentions(words, ours)):
                rule = ["iptables", "-w", "-t", table, "-D", *words[1:]]
                subprocess.run(rule, check=False, capture_output=True)
    for name in names:
        if pathlib.Path("/sys/class/net", name).exists():
            subprocess.run(["ip", "link", "del", name], check=False)


def _mentions(words: list[str], subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    for word in words:
        with contextlib.suppress(ValueError):
            if ipaddress.ip_interface(word).ip in subnet:
                return True
    return False


def _lines(file: pathlib.Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _kill(pids: list[int], limit_s: float = 30.0) -> None:
    """Kill, and wait until they are gone: what they hold is removed next."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + limit_s
    while any(_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.005)


def _alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
