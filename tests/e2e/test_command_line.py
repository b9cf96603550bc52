"""One host as a person runs it: up, deploy, ps, why, down, and what a supervisor's death leaves."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from segue.testing.engine import BUSYBOX, Engine

pytestmark = pytest.mark.engine

SEGUE = str(pathlib.Path(sys.executable).with_name("segue"))
COMPOSE = {
    "services": {
        "web": {
            "image": BUSYBOX,
            "command": ["sleep", "1000"],
            "network_mode": "none",
            "deploy": {"replicas": 2},
        }
    }
}


class Host:
    """A host with one Segue of its own: its data folder, its bus, its engine."""

    def __init__(self, folder: pathlib.Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NATS_", "SEGUE_"))}
        self.environment = {
            **kept,
            "DOCKER_HOST": engine.url,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "share"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        self.file = folder / "compose.json"
        self.file.write_text(json.dumps(COMPOSE))

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command on this host's bus; its exit code must be `code`."""
        environment = dict(self.environment)
        note = self.folder / "data" / "bus.url"
        if note.exists() and words[0] not in ("up", "down"):
            environment["NATS_URL"] = note.read_text().strip()
        done = subprocess.run(
            [SEGUE, *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """Run a command that prints JSON lines."""
        return [json.loads(line) for line in self.run(*words).splitlines()]

    def up(self) -> int:
        """Bring everything up; give the supervisor's process id."""
        told = self.run("up", "--detach", "--data", str(self.folder / "data"))
        found = re.search(r"process (\d+)", told)
        assert found, told
        return int(found[1])

    def cluster(self) -> list[str]:
        """Give the ids of the shop's running containers, from the engine itself."""
        return sorted(
            container["Id"]
            for container in self.engine.containers()
            if container["Labels"].get("segue.app") == "shop" and container["State"] == "running"
        )

    def wait(self, what: Callable[[], bool], within_s: float = 90.0) -> None:
        """Wait until something is so."""
        end = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < end, self.run("events", "-n", "20")
            time.sleep(0.05)


@pytest.fixture
def host(tmp_path: pathlib.Path, docker_engine: Engine) -> Iterator[Host]:
    """A host on which Segue is not up yet; whatever is left of it is ended."""
    made = Host(tmp_path, docker_engine)
    yield made
    made.run("down", "--containers", "--data", str(tmp_path / "data"))


def kill_container(host: Host, name: str) -> None:
    """Kill what fills a slot, and wait until another one runs there."""
    before = host.engine.ask("GET", f"/containers/{name}/json")["Id"]
    host.engine.ask("POST", f"/containers/{name}/kill")

    def replaced() -> bool:
        rows = host.rows("ps", "shop")
        return before not in host.cluster() and all(row["state"] == "running" for row in rows)

    host.wait(replaced)


def test_why_names_the_request_both_failures_and_every_placement(host: Host) -> None:
    host.up()
    host.run("deploy", str(host.file), "--app", "shop")
    then = host.run("ps", "shop")
    head = host.rows("events", "-n", "1")[0]["sequence"]
    kill_container(host, "shop.web.2")
    kill_container(host, "shop.web.2")
    told = host.rows("why", "shop/web.2", "--json")
    types = [row["type"] for row in told]
    assert types[:2] == ["deploy.requested", "deploy.accepted"]
    assert types.count("container.failed") == 2
    assert types.count("container.assigned") == 3
    assert types.count("container.started") == 3
    assert all(row["data"]["score"] > 0 for row in told if row["type"] == "container.assigned")
    assert host.run("ps", "shop", "--at", head) == then, "the past is as it was shown then"
    assert host.run("ps", "shop") != then


def test_a_killed_supervisor_leaves_containers_and_state_as_they_are(host: Host) -> None:
    supervisor = host.up()
    host.run("deploy", str(host.file), "--app", "shop")
    containers, rows = host.cluster(), host.rows("ps", "shop")
    os.kill(supervisor, signal.SIGKILL)
    host.up()
    assert host.cluster() == containers
    assert host.rows("ps", "shop") == rows
    asked = [
        row for row in host.rows("events", "--since", "10m") if row["type"] == "container.requested"
    ]
    assert len(asked) == 2, "nothing was asked for again"


def test_down_with_containers_leaves_no_network_behind(host: Host) -> None:
    web = {"image": BUSYBOX, "command": ["sleep", "1000"], "stop_grace_period": "1s"}
    host.file.write_text(json.dumps({"services": {"web": web}}))
    before = {one["Id"] for one in host.engine.containers()}
    host.up()
    host.run("deploy", str(host.file), "--app", "shop")
    shop = {"label": ["segue.app=shop"]}
    assert host.engine.ask("GET", "/networks", filters=shop)
    host.run("down", "--containers", "--data", str(host.folder / "data"))
    assert host.engine.ask("GET", "/networks", filters=shop) == []
    assert {one["Id"] for one in host.engine.containers()} <= before, "only another test's are left"


def test_down_leaves_containers_that_the_next_up_adopts(host: Host) -> None:
    host.up()
    host.run("deploy", str(host.file), "--app", "shop")
    containers = host.cluster()
    host.run("down", "--data", str(host.folder / "data"))
    assert host.cluster() == containers
    host.up()
    assert host.cluster() == containers
    host.run("scale", "shop/web=3")
    host.wait(lambda: len(host.cluster()) == 3)
