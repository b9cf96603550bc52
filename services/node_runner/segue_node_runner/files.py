"""Secrets and configs as files: bytes by digest, written where only root looks, mounted read-only.

The folder belongs on a file system in memory (`/run`); it goes with its container and never
outlives a reboot. Content reaches the disk of no engine and no event.
"""

import errno
import os
import pathlib
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import anyio
import anyio.to_thread
from segue.spec import FileRef, FileSpec

from segue_node_runner.effects import Start
from segue_node_runner.errors import EngineError
from segue_node_runner.labels import Identity

Fetch = Callable[[str], Awaitable[bytes]]


class Files:
    """The files that this node's containers get."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    async def mounts(self, order: Start, fetch: Fetch) -> list[dict[str, Any]]:
        """Write the ordered container's files; give the mounts that show them to it."""
        found = list(_wanted(order))
        if not found:
            return []
        contents = [await fetch(spec.digest or spec.name) for _, spec in found]
        folder = self._folder(order.identity)

        def write() -> list[dict[str, Any]]:
            shutil.rmtree(folder, ignore_errors=True)
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            return [
                _mount(_written(folder / str(number), ref, contents[number]), ref)
                for number, (ref, _) in enumerate(found)
            ]

        try:
            return await anyio.to_thread.run_sync(write)
        except OSError as error:
            is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            words = f"secrets and configs in {self.root}: {error}"
            raise EngineError("full" if is_full else "broken", words) from error

    async def remove(self, identity: Identity) -> None:
        """Remove the files of a container that is gone."""
        folder = self._folder(identity)
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def keep_only(self, identities: Collection[Identity]) -> None:
        """Remove the files of every container but these."""
        kept = {self._folder(identity).name for identity in identities}

        def sweep() -> None:
            for folder in self.root.glob("*"):
                if folder.name not in kept:
                    shutil.rmtree(folder, ignore_errors=True)

        await anyio.to_thread.run_sync(sweep)

    def _folder(self, identity: Identity) -> pathlib.Path:
        return self.root / identity.past_name


def _wanted(order: Start) -> Iterator[tuple[FileRef, FileSpec]]:
    service, app = order.runs, order.spec
    for kind, refs, specs in (
        ("secret", service.secrets, app.secrets),
        ("config", service.configs, app.configs),
    ):
        for ref in refs:
            if ref.source not in specs:
                words = f"the app has no {kind} {ref.source}, which {order.service} uses"
                raise EngineError("invalid", words, final=True)
            yield ref, specs[ref.source]


def _written(path: pathlib.Path, ref: FileRef, content: bytes) -> pathlib.Path:
    path.write_bytes(content)
    if os.geteuid() == 0:
        os.chown(path, int(ref.uid), int(ref.gid))
    path.chmod(ref.mode)
    return path


def _mount(path: pathlib.Path, ref: FileRef) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(path), "Target": ref.target, "ReadOnly": True}
