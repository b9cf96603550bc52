"""The node's own last word on what may run on it: a local file, never the bus.

A forged or careless order must still pass it. Refused unless the file allows it by name: whatever
makes a container's root the host's root.
"""

import os
import pathlib
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

FILE = "/etc/segue/node-policy.toml"
_NAMESPACES = {
    "NetworkMode": "network",
    "PidMode": "pid",
    "IpcMode": "ipc",
    "UTSMode": "uts",
    "UsernsMode": "userns",
    "CgroupnsMode": "cgroup",
}
_ENGINE_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
_NEVER = {"CgroupParent": "cgroup_parent", "VolumesFrom": "volumes_from"}
_HOST_FOLDERS = ("/proc", "/sys", "/dev")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this node allows. The defaults allow nothing that reaches the host."""

    file: str = FILE  # Where it stands, for those who are refused.
    everything: bool = False  # Trust every order: for a machine of one's own.
    privileged: bool = False
    capabilities: tuple[str, ...] = ("CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID")
    namespaces: list[str] = []  # Of the host: network, pid, ipc, uts, userns, cgroup.
    binds: list[str] = []  # Folders of the host below which anything may be mounted.
    devices: list[str] = []
    sysctls: list[str] = []
    security_opts: list[str] = []  # Beyond `no-new-privileges`.
    runtimes: list[str] = []


class PolicyError(Exception):
    """The policy file cannot be used."""


def read(path: pathlib.Path) -> Policy:
    """Read the policy file; without one the defaults hold."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), Policy)
    except FileNotFoundError:
        found = Policy()
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: {error}") from error
    return msgspec.structs.replace(found, file=str(path))


def forbidden(body: dict[str, Any], policy: Policy, ours: pathlib.Path) -> list[str]:
    """Say all that the policy does not allow in a create call; `ours` holds the runner's files."""
    host = body["HostConfig"]
    if policy.everything:
        return []
    problems = [
        f"{words}: add `{value}` to `{field}`"
        for field, value, words in _demands(host)
        if value not in getattr(policy, field)
    ]
    if host.get("Privileged") and not policy.privileged:
        problems.append("privileged: set `privileged = true`")
    for key, words in _NEVER.items():
        if host.get(key):
            problems.append(f"{words}: only `everything = true` allows it")
    binds = (_unbindable(source, policy, ours) for source in _bound(host))
    return [*problems, *(why for why in binds if why)]


def _demands(host: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give what must stand in one of the policy's lists: which list, what, and what for."""
    for capability in host.get("CapAdd") or []:
        yield "capabilities", capability.upper().removeprefix("CAP_"), f"cap_add {capability}"
    for key, name in _NAMESPACES.items():
        mode = str(host.get(key) or "")
        if mode == "host" or mode.startswith("container:"):
            yield "namespaces", name, f"the {name} namespace `{mode}`"
    for option in host.get("SecurityOpt") or []:
        if not option.startswith("no-new-privileges"):
            yield "security_opts", option, "security_opt"
    for name in host.get("Sysctls") or {}:
        yield "sysctls", name, "sysctl"
    if runtime := host.get("Runtime"):
        yield "runtimes", runtime, "runtime"
    yield from _demanded_devices(host)


def _demanded_devices(host: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for device in host.get("Devices") or []:
        yield "devices", device.get("PathOnHost", ""), "device"
    for rule in host.get("DeviceCgroupRules") or []:
        yield "devices", rule, "device rule"
    for request in host.get("DeviceRequests") or []:
        yield "devices", request.get("Driver") or "gpu", "device request"


def _bound(host: dict[str, Any]) -> Iterator[str]:
    for mount in host.get("Mounts") or []:
        if mount["Type"] == "bind":
            yield mount["Source"]
        driver = (mount.get("VolumeOptions") or {}).get("DriverConfig") or {}
        if device := (driver.get("Options") or {}).get("device"):
            yield device
    for bind in host.get("Binds") or []:
        if bind.startswith("/"):
            yield bind.split(":", 1)[0]


def _unbindable(source: str, policy: Policy, ours: pathlib.Path) -> str | None:
    """Say why a path of the host may not be mounted; links are followed first."""
    path = pathlib.Path(os.path.realpath(source))
    if path.is_relative_to(os.path.realpath(ours)):
        return None
    roots = [pathlib.Path(os.path.realpath(root)) for root in policy.binds]
    if path in roots:
        return None  # Named exactly: whoever wrote the file meant it.
    if path.name in _ENGINE_SOCKETS:
        return f"the engine's socket {source}: whoever has it has the host; name it in `binds`"
    for folder in _HOST_FOLDERS:
        if path.is_relative_to(folder):
            return f"{source} of the host: name exactly this path in `binds`"
    if any(path.is_relative_to(root) for root in roots):
        return None
    return f"{source} of the host: add it, or a folder above it, to `binds`"
