"""Keep programs running: start them, start them again when they die, end them in order.

It knows nothing of what they do. A program that dies is started again after 0.1 s, doubling to 5 s;
one that ran for 10 s begins anew. Each has a session of its own, so that Ctrl-C reaches only the
supervisor, and is tethered to it, so that none outlives it. One that says, by its exit code, that
this host lacks what it needs, is not started again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio
import anyio.abc
from segue.shell.command import UNABLE

from segue_cli import logfile, processes, tether

BACK_OFF_FIRST_S, BACK_OFF_MOST_S = 0.1, 5.0
SETTLED_AFTER_S = 10.0
STOP_WITHIN_S = 5.0
ROTATE_EVERY_S = 10.0


class Program:
    """One program and what has become of it so far."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`orphaned`: what it is sent when its supervisor has died."""
        self.name, self.command, self.env, self.log = name, list(command), dict(env), log
        self.wanted = True
        self.unable = ""  # Why it cannot run on this host, if it has said so.
        self._orphaned = orphaned
        self.starts = 0
        self.started_at = 0.0  # Of its last run, in seconds since 1970.
        self._process: anyio.abc.Process | None = None
        self._log_began_at = 0
        self._said_before: list[str] = []  # By the run before its last one.

    @property
    def pid(self) -> int:
        """The process, 0 while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else 0

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    def last_words(self, lines: int = 5) -> list[str]:
        """Give what its last run wrote last."""
        return logfile.tail(self.log, lines, after=self._log_began_at)

    def complaint(self) -> str:
        """Give what it complained of last, if neither it nor its last run has said more since."""
        return logfile.complaint(self.last_words(1) or self._said_before)

    async def start(self) -> None:
        """Start it, tethered to this process."""
        self._said_before = self.last_words(1)
        self._log_began_at = logfile.size(self.log)
        descriptor = logfile.open_for(self.log)
        words = [str(os.getpid()), str(int(self._orphaned)), *self.command]
        tethered = [sys.executable, "-I", "-S", tether.__file__, *words]
        try:
            self._process = await anyio.open_process(
                tethered,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=self.env,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self.started_at = time.time()
        self.starts += 1

    async def wait(self) -> str:
        """Wait for its end; tell how it ended."""
        assert self._process is not None, "it was started"
        code = await self._process.wait()
        if code == UNABLE:
            self.wanted = False
            self.unable = self.complaint().removeprefix("stops: ") or "it does not say why"
            return "cannot run on this host"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    async def stop(self) -> None:
        """End it, with SIGKILL when it takes longer than 5 s."""
        self.wanted = False
        process = self._process
        if process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(how)
            with anyio.move_on_after(STOP_WITHIN_S):
                await process.wait()
                return


class Supervisor:
    """Programs by name. `note` is told of every start and every unwanted end."""

    def __init__(self, record: Path, note: Callable[[Program, str], None]) -> None:
        self.programs: dict[str, Program] = {}
        self._record, self._note = record, note

    async def end_leftovers(self) -> list[str]:
        """End what an earlier supervisor has left behind; name it."""
        left = [process for process in processes.load(self._record) if process.alive]
        async with anyio.create_task_group() as tasks:
            for process in left:
                tasks.start_soon(processes.end, process, STOP_WITHIN_S)
        self._record.unlink(missing_ok=True)
        return [process.name for process in left]

    async def keep(
        self,
        program: Program,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep a program running until it is stopped."""
        self.programs[program.name] = program
        back_off_s = BACK_OFF_FIRST_S
        while program.wanted:
            began = anyio.current_time()
            try:
                await program.start()
            except OSError as error:  # No memory, no descriptors: another try may find some.
                how = f"cannot be started: {error}"
            else:
                self._write_down()
                self._note(program, f"runs as {program.pid}")
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                how = await program.wait()
            if anyio.current_time() - began > SETTLED_AFTER_S:
                back_off_s = BACK_OFF_FIRST_S
            if program.unable:
                self._note(program, how)
            if program.wanted:
                self._note(program, f"{how}; starts again in {back_off_s:g} s")
                await anyio.sleep(back_off_s)
                back_off_s = min(back_off_s * 2, BACK_OFF_MOST_S)

    def _write_down(self) -> None:
        running = [p for p in self.programs.values() if p.pid]
        processes.save(self._record, [processes.named(p.name, p.pid) for p in running])

    async def rotate_logs(self) -> None:
        """Keep the logs bounded until cancelled."""
        while True:
            await anyio.sleep(ROTATE_EVERY_S)
            for program in self.programs.values():
                await anyio.to_thread.run_sync(logfile.rotate, program.log)

    async def stop(self, names: Sequence[str]) -> None:
        """End programs, all at once."""
        async with anyio.create_task_group() as tasks:
            for name in names:
                if name in self.programs:
                    tasks.start_soon(self.programs[name].stop)
        if not any(program.pid for program in self.programs.values()):
            self._record.unlink(missing_ok=True)
