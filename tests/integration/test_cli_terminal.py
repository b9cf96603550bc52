"""What commands show on a terminal: tables that move, and what they leave behind."""

import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import anyio
import pytest
from segue.events.container import ContainerFailed
from segue.events.leader import LeaderElected
from segue.testing.cluster import CONTROL, running
from segue.testing.puppet_node import PuppetNode
from segue_cli import processes
from segue_cli.datadir import DataDir

COMMAND = [sys.executable, "-m", "segue_cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WITHIN_S = 40.0
LATE = 'services: {stuck: {image: "x:1", scale: 3}, fails: {image: "x:1"}}'


class Terminal:
    """A command on a terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments: str, cwd: pathlib.Path, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        own = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=own | {"TERM": "xterm-256color"} | env,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self.written = ""

    async def shows(self, *texts: str) -> str:
        """Wait until all of these have been written since the start; give everything so far."""
        give_up_at = time.monotonic() + WITHIN_S
        while any(text not in self.written for text in texts):
            assert time.monotonic() < give_up_at, f"waited for {texts} in:\n{self.written}"
            with anyio.move_on_after(0.5):
                await anyio.wait_readable(self._ours)
            if not self._read() and self.process.poll() is not None:
                break
        assert not [text for text in texts if text not in self.written], self.written
        return self.written

    async def ended(self) -> int:
        """Wait for its end."""
        code = await anyio.to_thread.run_sync(self.process.wait)
        while self._read():
            pass
        return code

    def _read(self) -> bool:
        try:
            piece = os.read(self._ours, 65_536)
        except OSError:
            return False
        self.written += ESCAPES.sub("", piece.decode("utf-8", "replace"))
        return bool(piece)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def place(tmp_path: pathlib.Path, free_tcp_port: int) -> Iterator[DataDir]:
    """Give a data directory of one's own, nothing of which is left running."""
    place = DataDir(tmp_path / "data")
    place.bus.mkdir(parents=True)
    place.port.write_text(str(free_tcp_port))
    yield place
    for process in processes.load(place.children):
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)


async def test_up_shows_its_processes_and_what_becomes_of_them(place: DataDir) -> None:
    terminal = Terminal(
        "up", "--no-node", "--data", str(place.path), cwd=place.path, env={"SEGUE_INSTANCE": "me"}
    )
    try:
        shown = await terminal.shows("ready in", "READ TO", "me leads", "Ctrl-C stops this")
        assert re.search(r"deployer +\d+ +\d+s +0 +me leads", shown)
        children = {process.name: process for process in processes.load(place.children)}
        os.kill(children["deployer"].pid, signal.SIGKILL)
        shown = await terminal.shows("deployer was ended by SIGKILL; starts again in 0.1 s")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ended() == 0
        assert terminal.written.rstrip().endswith("stopped; containers go on running")
        assert "Traceback" not in terminal.written
    finally:
        terminal.close()
    for child in children.values():
        assert await processes.gone(child, WITHIN_S)


async def test_a_deploy_shows_what_is_up_and_leaves_bad_news_behind(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "compose.yaml").write_text(LATE)
    async with running(tmp_path / "cluster") as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        await tasks.start(PuppetNode(cluster.bus, "a", fails=["fails"], stuck=["stuck"]).run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        env = {"NATS_URL": cluster.server.url}
        terminal = Terminal("deploy", "--app", "late", cwd=tmp_path, env=env)
        try:
            await terminal.shows("late  revision 1  0 of 4 up", "starting on a, 3 times")
            await cluster.wait_event(ContainerFailed, app="late")
            await terminal.shows("exited with code 1", "| cannot open the database")
            terminal.process.send_signal(signal.SIGINT)
            assert await terminal.ended() == 130
            last = terminal.written.rstrip().splitlines()[-2:]
            assert last[0].endswith("segue: not followed any longer; the deploy goes on")
            assert last[1] == "hint: `segue ps late` shows how far it is"
        finally:
            terminal.close()
        tasks.cancel_scope.cancel()
