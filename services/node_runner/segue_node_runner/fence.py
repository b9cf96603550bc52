"""Keep the node's lease and tell the fencer by when strict containers must be dead.

The sheet is written to the fencer's folder as two files, before anything follows from it: the
containers with their deadline, and those whose lease is over, whose time is always over.
"""

import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import structlog
from segue.bus import BusError
from segue.bus.leases import Leases

from segue_node_runner import news
from segue_node_runner.errors import EngineError
from segue_node_runner.lease import GONE_S, Holder, Look, Renew, Sheet

EVERY_S = 0.1  # As often as a fencer looks.
FRESH_S = 2.0
FOLDER = "/run/segue/fence"  # As the fencer's own.
_ALIVE_FILE = "fencer.alive"

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.node_runner")


def boot_s() -> float:
    """Tell the time that the fencer goes by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _File(msgspec.Struct):
    deadline: float = 0.0
    containers: tuple[str, ...] = ()
    session: str = ""
    lease: int = 0


class Files:
    """One runner's files in the fencer's folder."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self._alive = folder / _ALIVE_FILE
        self._now, self._over = folder / f"{name}.json", folder / f"{name}.over.json"
        self._kept: Sheet | None = None

    def load(self) -> Sheet:
        """Read what the runner before this one has left."""
        now, over = _read(self._now), _read(self._over)
        return Sheet(now.session, now.lease, now.deadline, now.containers, over.containers)

    def keep(self, sheet: Sheet) -> None:
        """Write what has changed; raises `OSError`, also where another runner has taken over."""
        if sheet == self._kept:
            return
        there = _read(self._now).session
        if self._kept is not None and there not in (self._kept.session, sheet.session):
            raise FileExistsError(f"another runner of this node writes it (session {there[:8]})")
        if self._kept is None or sheet.over != self._kept.over:
            _write(self._over, _File(containers=sheet.over))
        _write(self._now, _File(sheet.deadline, sheet.containers, sheet.session, sheet.lease))
        self._kept = sheet

    def sign(self) -> float:
        """Give the fencer's sign of life, another one each time it looked; 0: there is none."""
        try:
            return self._alive.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def fresh(self) -> bool:
        """A fencer seems to be at work."""
        return abs(time.time() - self.sign()) < FRESH_S


def _read(path: pathlib.Path) -> _File:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _File()
    return found if math.isfinite(found.deadline) else _File()


def _write(path: pathlib.Path, content: _File) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(content))
    fresh.replace(path)


class Fence:
    """One runner's lease at work. `tell` hears what it allows, whenever that changes."""

    def __init__(
        self, leases: Leases, node: str, holder: Holder, files: Files, tell: Callable[[Any], None]
    ) -> None:
        self._leases, self._node, self._holder, self._files = leases, node, holder, files
        self._tell = tell
        self._told = news.Guard()
        self._answered, self._begun = anyio.Event(), anyio.Event()
        self._complaint = ""

    async def run(self) -> None:
        """Keep the lease until cancelled; containers then live on until the deadline."""
        async with anyio.create_task_group() as tasks:
            while True:
                act = self._holder.step(boot_s(), self._files.sign())
                if self._kept() and act is not None:
                    tasks.start_soon(self._ask, act)
                elif act is not None:
                    self._holder.unheard(self._complaint, boot_s())
                self._say()
                self._answered = anyio.Event()
                with anyio.move_on_after(EVERY_S):
                    await self._answered.wait()

    async def settled(self) -> None:
        """Wait a moment for a first lease where a fencer is at work."""
        with anyio.move_on_after(FRESH_S if self._files.fresh else 0):
            await self._begun.wait()

    async def _ask(self, act: Look | Renew) -> None:
        try:
            if isinstance(act, Renew):
                outcome = await self._leases.claim(self._node, act.claim, act.after)
                self._holder.claimed(outcome, boot_s())
            else:
                self._holder.looked(await self._leases.look(self._node), boot_s())
        except BusError as error:
            self._holder.unheard(str(error), boot_s())
        self._kept()
        self._answered.set()

    def _kept(self) -> bool:
        try:
            self._files.keep(self._holder.sheet)
        except OSError as error:
            words = f"the fencer's folder cannot be written: {error}"
            if words != self._complaint:
                log.warning(words)
            self._complaint = words
            return False
        self._complaint = ""
        return True

    def _say(self) -> None:
        now = boot_s()
        missing = self._complaint or self._holder.missing(now, GONE_S)
        lease = 0 if missing else self._holder.held(now)
        guard = news.Guard(lease, missing, frozenset(self._holder.sheet.containers))
        if guard != self._told:
            if (guard.lease, guard.missing) != (self._told.lease, self._told.missing):
                log.info("lease", held=bool(guard.lease), missing=guard.missing)
            self._told = guard
            self._tell(guard)
            if guard.lease:
                self._begun.set()

    def admit(self, container: str, lease: int) -> None:
        """Put a container on the fencer's list before it is started, or raise `EngineError`."""
        self._holder.notice(boot_s(), self._files.sign())
        words = self._holder.admit(container, lease, boot_s())
        if not words and not self._kept():
            words = self._complaint
        if words:
            raise EngineError("unfenced", words)

    def mark(self, container: str, *, strict: bool) -> None:
        """Count a running container as strict, or no more."""
        if strict:
            self._holder.keep(container)
        else:
            self._holder.let_go(frozenset((container,)))
        self._kept()

    def listed(self) -> frozenset[str]:
        """Give the containers on the fencer's lists."""
        return frozenset((*self._holder.sheet.containers, *self._holder.sheet.over))

    def let_go(self, gone: frozenset[str]) -> None:
        """Take containers off that are there no more."""
        self._holder.let_go(gone)
        self._kept()

    def killed(self, container: str) -> bool:
        """Tell whether a container that died just now was killed because a lease was over."""
        return self._holder.killed(container, boot_s())
