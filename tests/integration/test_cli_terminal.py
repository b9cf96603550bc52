"""What commands show on a terminal: tables that move, and what they leave behind."""

import os
import pathlib
import re
import signal
from collections.abc import Iterator

import anyio
import pytest
from segue.events.container import ContainerFailed
from segue.events.leader import LeaderElected
from segue.testing.cluster import CONTROL, running
from segue.testing.ports import free_port
from segue.testing.puppet_node import PuppetNode
from segue.testing.terminal import Terminal
from segue_cli import processes
from segue_cli.datadir import DataDir

WITHIN_S = 90.0
LATE = 'services: {stuck: {image: "x:1", scale: 3}, fails: {image: "x:1"}}'


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[DataDir]:
    """Give a data directory of one's own, nothing of which is left running."""
    place = DataDir(tmp_path / "data")
    place.bus.mkdir(parents=True)
    place.port.write_text(str(free_port()))
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
