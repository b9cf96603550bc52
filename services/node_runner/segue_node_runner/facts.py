"""What there is to know of a node: its host and its engine."""

import pathlib
import platform
import shutil
import socket
from typing import Any

import anyio
from docker import APIClient

from segue_node_runner import labels
from segue_node_runner.errors import EngineError
from segue_node_runner.news import Condition, Facts
from segue_node_runner.sdk import Calls

IMAGES_MOST = 200
FULL_BYTES = 256 << 20  # With less than this, or than a twentieth of a small disk, it is full …
ROOMY_TIMES = 2  # … until so many times as much is free.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


async def facts(calls: Calls) -> Facts:
    """Ask the engine and the host what they are."""

    def look(api: APIClient) -> Facts:
        info = api.info()
        architecture = info.get("Architecture") or platform.machine()
        return Facts(
            cpu_millicores=info["NCPU"] * 1000,
            memory_bytes=info["MemTotal"],
            disk_bytes=_disk_bytes(info.get("DockerRootDir", "/")),
            hostname=socket.gethostname(),
            platform=f"{info.get('OSType', 'linux')}/"
            f"{_ARCHITECTURES.get(architecture, architecture)}",
            engine=f"docker {info['ServerVersion']}, API {api.api_version}",
            api_version=api.api_version,
            live_restore=info.get("LiveRestoreEnabled", False),
            images=sorted(_names(api.images()))[:IMAGES_MOST],
        )

    return await calls.quick(look)


async def condition(calls: Calls, cluster: str, *, was_full: bool = False) -> Condition:
    """Ask for what only a working engine can tell: a ping is answered by a frozen one too.

    `info` reaches containerd, `top` a running container's shim. One shim that hangs says nothing
    of the engine; two that hang at once do.
    """
    wanted = {"label": [f"{labels.CLUSTER}={cluster}"], "status": ["running"]}
    found = Condition("well")
    try:
        running = await calls.probe(lambda api: api.containers(limit=2, filters=wanted))
    except EngineError as error:
        return _unwell(error, answers=False)
    hanging: list[EngineError] = []

    async def ask_info() -> None:
        nonlocal found
        try:
            info = await calls.probe(lambda api: api.info())
            if _has_containerd(info):
                found = Condition(
                    "well", full=full(info.get("DockerRootDir", ""), was_full=was_full)
                )
            else:
                found = Condition("frozen", "the engine has lost its containerd: start it again")
        except EngineError as error:
            found = _unwell(error, answers=True)

    async def ask_shim(container: str) -> None:
        try:
            await calls.probe(lambda api: api.top(container))
        except EngineError as error:
            if error.kind == "timeout":
                hanging.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_info)
        for container in running:
            tasks.start_soon(ask_shim, container["Id"])
    if found.state == "well" and len(hanging) == 2:
        return _unwell(hanging[0], answers=True)
    return found


def _unwell(error: EngineError, *, answers: bool) -> Condition:
    if error.kind == "timeout" or (answers and "containerd" in error.message):
        words = f"the engine is frozen: it listens and does not work ({error.message})"
        return Condition("frozen", words)
    return Condition("away", error.message)


def _has_containerd(info: dict[str, Any]) -> bool:
    return (info.get("ContainerdCommit") or {}).get("ID") not in {None, "", "N/A"}


def _names(images: list[dict[str, Any]]) -> set[str]:
    tagged = (name for image in images for name in image.get("RepoTags") or [])
    return {name for name in tagged if name != "<none>:<none>"}


def full(folder: str, *, was_full: bool) -> str:
    """Say that the disk on which the engine keeps its data is full; nothing of one not seen."""
    try:
        disk = shutil.disk_usage(folder)
    except OSError:
        return ""
    least = min(FULL_BYTES, disk.total // 20)
    if disk.free >= least * (ROOMY_TIMES if was_full else 1):
        return ""
    return f"its disk is full: less than {least >> 20} MiB are free at {folder}"


def _disk_bytes(folder: str) -> int:
    path = pathlib.Path(folder)
    return shutil.disk_usage(path if path.exists() else "/").total
