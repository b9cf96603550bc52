"""A whole host by `segue up`, with a real engine: containers outlive whatever starts them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from segue.testing.engine import BUSYBOX, Engine
from segue.testing.ports import free_port
from segue_cli import processes
from segue_cli.datadir import DataDir

COMMAND = [sys.executable, "-m", "segue_cli"]
NODE = "alpha"
COMPOSE = f"""
name: shop
services:
  web:
    image: {BUSYBOX}
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    deploy: {{replicas: 2}}
"""


class Home:
    """A host: its data directory, its engine, and the commands that a person gives there."""

    def __init__(self, folder: pathlib.Path, engine: Engine, port: int) -> None:
        self.folder, self.engine = folder, engine
        self.place = DataDir(folder / "data")
        self.place.bus.mkdir(parents=True)
        self.place.port.write_text(str(port))
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
        self.env |= {"HOME": str(folder), "SEGUE_DATA": str(self.place.path)}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Give a command; it must end with `code`."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> str:
        """Start everything, detached."""
        # A gateway would set up addresses and walls where the tests run.
        engine = [
            "--no-gateway",
            "--docker",
            self.engine.url,
            "--node",
            NODE,
            "--label",
            "disk=ssd",
        ]
        return self.run("up", "--detach", *engine)

    def running(self) -> dict[str, str]:
        """Give the containers that run, by slot, from the engine itself."""
        found = {}
        for container in self.engine.containers():
            labels = container["Labels"] or {}
            if labels.get("segue.app") == "shop" and container["State"] == "running":
                found[f"{labels['segue.service']}.{labels['segue.slot']}"] = container["Id"]
        return found

    def kill_supervisor(self) -> None:
        """End `segue up` as the kernel does when memory runs out."""
        pid = self.place.holder()
        assert pid
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def home(tmp_path: pathlib.Path, docker_engine: Engine) -> Iterator[Home]:
    """Give a host of one's own; whatever runs on it is ended afterwards."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    home = Home(tmp_path, docker_engine, free_port())
    yield home
    pid = home.place.holder()
    left = [*processes.load(home.place.children), *([processes.named("up", pid)] if pid else [])]
    for process in left:
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)
    for container in home.running().values():
        docker_engine.ask("DELETE", f"/containers/{container}", force=True)


@pytest.mark.engine
def test_containers_outlive_the_control_plane_and_are_taken_over_by_the_next(home: Home) -> None:
    assert "ready in " in home.up()
    assert "2 slots" in home.run("deploy")
    first = home.running()
    assert set(first) == {"web.1", "web.2"}
    home.kill_supervisor()
    assert "ready in " in home.up()
    assert home.running() == first, "a crash of everything of ours stops no container"
    assert "nothing had to change" in home.run("deploy")
    assert home.running() == first
    assert home.run("down") == "stopped; containers go on running\n"
    assert home.running() == first
    home.up()
    compose = home.folder / "compose.yaml"
    compose.write_text(COMPOSE.replace("replicas: 2", "replicas: 3"))
    assert "3 slots" in home.run("deploy")
    assert first.items() < home.running().items()
    assert "is gone" in home.run("down", "--containers")
    assert home.running() == {}


@pytest.mark.engine
def test_the_doctor_looks_into_the_engine(home: Home) -> None:
    home.up()
    lines = home.run("doctor", "--json").splitlines()
    found = {line["what"]: line for line in map(json.loads, lines)}
    assert found[f"node {NODE}"]["seen"].startswith("up, docker ")
    assert "live-restore" in found[f"node {NODE}"]["seen"]
    assert not [line for line in found.values() if line["level"] == "fail"]
    home.run("down")
