"""`segue up` and `segue down`: one host's control plane, and how it bears being killed."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest
from segue.bus import Bus, Settings, connect
from segue.events.leader import LeaderElected
from segue.testing.nats_server import NatsServer
from segue.testing.ports import free_port
from segue_cli import processes
from segue_cli.asking import records
from segue_cli.datadir import DataDir
from segue_cli.processes import Process

COMMAND = [sys.executable, "-m", "segue_cli"]
CONTROL = ("deployer", "scheduler", "health_monitor", "autoscaler")
WITHIN_S = 90.0


class Host:
    """A data directory, and the commands that a person gives about it."""

    def __init__(self, place: DataDir, env: dict[str, str]) -> None:
        self.place, self.env = place, env
        self.foreground: list[subprocess.Popen[str]] = []
        self.known: dict[int, Process] = {}

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Give a command and wait for its end."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.place.path)],
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        self.children()
        return done

    def up(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Run `segue up` in the foreground and wait until it is ready."""
        process = subprocess.Popen(
            [*COMMAND, "up", "--no-node", "--data", str(self.place.path), *arguments],
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.foreground.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("ready in "):
                self.children()
                return process
        raise AssertionError("".join(said))

    def children(self) -> dict[str, Process]:
        """Give the processes that run for it now; all are ended after the test."""
        found = processes.load(self.place.children)
        self.known |= {process.pid: process for process in found}
        return {process.name: process for process in found if process.alive}

    def supervisor(self) -> Process:
        """Give the process that holds the data directory."""
        pid = self.place.holder()
        assert pid, "nobody holds it"
        process = processes.named("up", pid)
        self.known[pid] = process
        return process

    async def gone(self) -> None:
        """Wait until nothing runs any more."""
        for process in self.known.values():
            assert await processes.gone(process, WITHIN_S), f"{process.name} still runs"

    def connect_to(self) -> Settings:
        """Say where its bus is."""
        return Settings(url=self.place.bus_url.read_text().strip())

    def end(self) -> None:
        """End whatever is left, by identity."""
        with contextlib.suppress(AssertionError):
            self.supervisor()
        self.children()
        for process in self.known.values():
            if process.alive:
                os.kill(process.pid, signal.SIGKILL)
        for foreground in self.foreground:
            foreground.kill()
            foreground.wait()
            if foreground.stdout is not None:
                foreground.stdout.close()


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """Give a host of one's own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    env |= {"HOME": str(tmp_path), "SEGUE_INSTANCE": "me"}
    place = DataDir(tmp_path / "data")
    place.bus.mkdir(parents=True)
    place.port.write_text(str(free_port()))  # Not 4222, where others may be.
    host = Host(place, env)
    try:
        yield host
    finally:
        host.end()


async def wait_for_leader(bus: Bus, service: str, after: int) -> int:
    with anyio.fail_after(WITHIN_S):
        async for record in records(bus, after):
            event = record.event
            if isinstance(event, LeaderElected) and event.service == service:
                return record.sequence
    raise AssertionError("a log has no end")


async def test_everything_comes_up_and_ctrl_c_stops_it_in_order(host: Host) -> None:
    process = host.up()
    assert set(host.children()) == {"bus", *CONTROL}
    async with await connect(host.connect_to(), name="test", wait=False) as bus:
        assert (await bus.head()).last >= len(CONTROL)
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN_S) == 0
    assert process.stdout is not None
    assert process.stdout.read().endswith("stopped; containers go on running\n")
    await host.gone()
    assert host.place.holder() is None
    assert not host.place.bus_url.exists()
    for name in CONTROL:
        assert "Traceback" not in host.place.log(name).read_text()


async def test_a_killed_service_is_started_again_and_leads_again(host: Host) -> None:
    process = host.up()
    async with await connect(host.connect_to(), name="test", wait=False) as bus:
        before = (await bus.head()).last
        killed = host.children()["scheduler"]
        os.kill(killed.pid, signal.SIGKILL)
        await wait_for_leader(bus, "scheduler", before)
    assert host.children()["scheduler"].pid != killed.pid
    assert process.stdout is not None
    assert process.stdout.readline().startswith("scheduler was ended by SIGKILL; starts again in 0")


async def test_a_killed_bus_comes_back_with_its_log_and_services_go_on(host: Host) -> None:
    host.up()
    deployer = host.children()["deployer"]
    async with await connect(host.connect_to(), name="test", wait=False) as bus:
        before = await bus.head()
        os.kill(host.children()["bus"].pid, signal.SIGKILL)
        await bus.until(connected=False)
        with anyio.fail_after(WITHIN_S):
            await bus.until(connected=True)
        after = await bus.head()
    assert after.last >= before.last
    assert after.cluster == before.cluster
    assert host.children()["deployer"] == deployer, "a bus that was away ends no service"


async def test_a_killed_supervisor_takes_its_children_along_and_the_next_takes_over_at_once(
    host: Host,
) -> None:
    process = host.up()
    url = host.connect_to().url
    first = host.children()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    host.up()
    second = host.children()
    assert set(second) == set(first)
    assert not any(child.alive for child in first.values())
    assert host.connect_to().url == url, "whoever was told of the bus finds it again"


async def test_one_up_holds_a_data_directory_at_a_time(host: Host) -> None:
    done = host.run("up", "--no-node", "--detach")
    assert done.returncode == 0, done
    assert re.match(r"ready in .* s: bus at nats://127\.0\.0\.1:\d+, process \d+\n", done.stdout)
    assert f"`segue down --data {host.place.path}`" in done.stdout
    pid = host.supervisor().pid
    for arguments in ((), ("--detach",)):
        again = host.run("up", "--no-node", *arguments)
        assert again.returncode == 1
        assert f"runs on {host.place.path} already, as process {pid}" in again.stderr
        assert "segue down" in again.stderr
    assert set(host.children()) == {"bus", *CONTROL}
    stopped = host.run("down")
    assert (stopped.returncode, stopped.stdout) == (0, "stopped; containers go on running\n")
    await host.gone()
    nothing = host.run("down")
    assert nothing.returncode == 0
    assert nothing.stderr == f"nothing runs on {host.place.path}\n"


async def test_a_detached_one_stays_when_its_terminal_goes(host: Host) -> None:
    assert host.run("up", "--no-node", "--detach").returncode == 0
    pid = host.supervisor().pid
    assert os.getsid(pid) == pid
    assert os.getpgid(pid) != os.getpgid(0)


@pytest.mark.parametrize("arguments", [(), ("--detach",)])
async def test_a_bus_that_cannot_start_shows_its_last_words(
    host: Host, tmp_path: pathlib.Path, arguments: tuple[str, ...]
) -> None:
    server = tmp_path / "nats-server"
    server.write_text("#!/bin/sh\necho '[FTL] no room here' >&2\nexit 1\n")
    server.chmod(0o755)
    done = host.run("up", "--no-node", *arguments, SEGUE_NATS_SERVER=str(server))
    assert done.returncode == 1
    assert "the bus does not start:\n  [FTL] no room here\n" in done.stderr
    assert f"hint: its log: {host.place.log('bus')}" in done.stderr
    assert "Traceback" not in done.stderr
    assert host.place.holder() is None


async def test_a_service_that_never_comes_up_is_named_with_its_complaint(
    host: Host, tmp_path: pathlib.Path
) -> None:
    shadow = tmp_path / "shadow" / "segue_deployer"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("")
    (shadow / "__main__.py").write_text("raise ValueError('no luck')\n")
    done = host.run(
        "up", "--no-node", "--detach", "--timeout", "25s", PYTHONPATH=str(tmp_path / "shadow")
    )
    assert done.returncode == 4, done
    assert "deployer is not up yet: ValueError: no luck" in done.stderr
    assert "it goes on trying as process" in done.stderr
    assert host.run("down").returncode == 0


async def test_one_that_is_not_waited_for_any_longer_goes_on_and_becomes_ready(host: Host) -> None:
    done = host.run("up", "--no-node", "--detach", "--timeout", "100ms")
    assert done.returncode == 4, done
    assert "it goes on trying as process" in done.stderr
    with anyio.fail_after(WITHIN_S):
        while "ready in" not in host.place.log("up").read_text():
            await anyio.sleep(0.02)
    assert set(host.children()) == {"bus", *CONTROL}
    assert host.run("down").stdout == "stopped; containers go on running\n"


async def test_a_missing_package_is_named(host: Host, tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; sys.modules['segue_scheduler'] = None\n"
        "import importlib.util; found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n: None if n == 'segue_scheduler' else found(n)\n"
        "from segue_cli.__main__ import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "up", "--no-node", "--data", str(tmp_path / "other")],
        env=host.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "the package segue-scheduler is not installed here" in done.stderr
    assert "segue[all]" in done.stderr


async def test_an_existing_bus_is_used_and_left_alone(host: Host, nats: NatsServer) -> None:
    process = host.up(NATS_URL=nats.url)
    assert set(host.children()) == set(CONTROL)
    assert not host.place.bus_url.exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(WITHIN_S) == 0
    async with await connect(Settings(url=nats.url), name="test", wait=False) as bus:
        assert (await bus.head()).last >= len(CONTROL)


async def test_other_commands_find_the_bus_of_this_host(host: Host) -> None:
    host.up()
    done = subprocess.run(
        [*COMMAND, "doctor", "--json"],
        env=host.env | {"SEGUE_DATA": str(host.place.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {line["what"]: line["level"] for line in map(json.loads, done.stdout.splitlines())}
    assert found == {
        "bus": "ok",
        "permissions": "ok",
        "log": "ok",
        "log settings": "ok",
        "sync": "ok",
        "disk": found["disk"],
        "clock": "ok",
        **dict.fromkeys(CONTROL, "ok"),
        "nodes": "fail",
    }


async def test_a_supervisor_that_stands_still_stops_no_service(host: Host) -> None:
    process = host.up()
    async with await connect(host.connect_to(), name="test", wait=False) as bus:
        process.send_signal(signal.SIGSTOP)
        try:
            assert (await bus.ask("rpc.deployer.what_if", b'{"events":[]}', timeout_s=60)).strip()
        finally:
            process.send_signal(signal.SIGCONT)
