"""`segue up` brings a gateway: a plain Compose file is reached at its port, whatever is killed."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import anyio
import pytest
from segue.testing.hosts import Host, Hosts
from segue.testing.load import ask
from segue_cli.datadir import DataDir

pytestmark = pytest.mark.engine
WITHIN_S = 90.0
COMPOSE = """
name: shop
services:
  web:
    image: busybox:test
    command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"]
    ports: ["8080:80"]
    deploy: {replicas: 2}
  asker:
    image: busybox:test
    command: [sleep, "1000"]
"""


class Home:
    """A person at a host: the commands that are given there."""

    def __init__(self, host: Host, folder: pathlib.Path) -> None:
        self.host, self.folder = host, folder
        self.place = DataDir(folder / "data")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
        self.env |= {"SEGUE_DATA": str(self.place.path), "DOCKER_HOST": host.engine.url}

    def run(self, *words: str, **env: str) -> str:
        """Run a program on the host; give all that it said."""
        done = subprocess.run(
            [*self.host.enter, *words],
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def segue(self, *words: str, **env: str) -> str:
        """Give a command."""
        return self.run(sys.executable, "-m", "segue_cli", *words, **env)

    async def asked(self) -> tuple[int, str]:
        """Ask the host at the published port."""
        return await ask(self.host.address, 8080)

    async def open(self) -> str:
        """Wait until the shop answers; give who does."""
        with anyio.fail_after(WITHIN_S):
            while True:
                try:
                    status, body = await self.asked()
                except OSError:
                    status, body = 0, ""
                if status == 200:
                    return body.strip()
                await anyio.sleep(0.05)

    def kill_supervisor(self) -> None:
        """End `segue up` as the kernel does when memory runs out."""
        pid = self.place.holder()
        assert pid
        os.kill(pid, signal.SIGKILL)

    def proxy(self) -> int:
        """Give the process of the proxy's master, 0 if there is none."""
        said = subprocess.run(
            ["pgrep", "-f", "haproxy -W -S /run/segue/up-"], capture_output=True, check=False
        ).stdout
        ours = [int(pid) for pid in said.split() if self._is_here(int(pid))]
        return ours[0] if ours else 0

    def _is_here(self, pid: int) -> bool:
        theirs = pathlib.Path(f"/proc/{pid}/ns/net").stat().st_ino
        place = pathlib.Path(f"/run/netns/{self.host.network.namespace(self.host.number)}")
        return theirs == place.stat().st_ino


@pytest.fixture(scope="module")
def one_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Hosts(1, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts[1]


@pytest.fixture
def home(one_host: Host, tmp_path: pathlib.Path) -> Iterator[Home]:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    home = Home(one_host, tmp_path)
    yield home
    if home.place.path.exists():
        if home.place.holder() is None:
            home.segue("up", "--detach", "--no-gateway")
        home.segue("down", "--containers")
    if pid := home.proxy():
        os.kill(pid, signal.SIGTERM)


async def test_a_plain_compose_file_is_reached_whatever_is_killed(home: Home) -> None:
    assert "gateway" not in home.segue("up", "--detach", "--timeout", "3m").replace(
        "gateway is not up yet", ""
    ), "nothing is amiss, so nothing is said"
    home.segue("deploy")
    assert len({await home.open() for _ in range(20)}) == 2, "both replicas answer"
    asked = ["wget", "-q", "-O", "-", "http://web/"]
    assert home.segue("exec", "shop/asker.1", "--", *asked).strip(), "by its name, too"
    seen = {
        one["what"]: one for one in map(json.loads, home.segue("doctor", "--json").splitlines())
    }
    [gateway] = [one for what, one in seen.items() if what.startswith("gateway ")]
    assert (gateway["level"], "names, addresses" in gateway["seen"]) == ("ok", True)
    [row] = [row for row in map(json.loads, home.segue("ls").splitlines()) if row["endpoints"]]
    assert row["endpoints"] == ["*:8080->80"]
    master = home.proxy()

    failed: list[str] = []
    over = anyio.Event()

    async def visit() -> None:
        while not over.is_set():
            try:
                status, body = await home.asked()
            except OSError as error:
                status, body = 0, repr(error)
            if status != 200:
                failed.append(f"{status} {body}")
            await anyio.sleep(0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visit)
        home.kill_supervisor()
        with anyio.fail_after(WITHIN_S):
            while home.place.holder() is not None:
                await anyio.sleep(0.02)
        await asyncio.to_thread(home.segue, "up", "--detach", "--timeout", "3m")
        over.set()
    assert failed == []
    assert home.proxy() == master, "it was taken over"

    home.run("docker", "-H", home.host.engine.url, "kill", "shop.web.1")
    assert await home.open()
    home.segue("down")
    assert home.proxy() == 0, "what is stopped in order serves nothing"
    assert home.segue("up", "--detach", "--timeout", "3m")
    assert await home.open()
    home.segue("down", "--containers")
    assert home.run("ip", "addr", "show", "label", "lo:segue") == ""
    assert "segue" not in home.run("nft", "list", "tables")


def test_without_a_proxy_everything_else_runs_and_one_line_says_so(home: Home) -> None:
    nothing = {"SEGUE_HAPROXY": "/nowhere/haproxy"}
    said = home.segue("up", "--detach", "--timeout", "3m", **nothing)
    [line] = [line for line in said.splitlines() if line.startswith("no gateway: ")]
    assert "HAProxy" in line
    assert "apt-get install haproxy" in line
    assert "published ports and host names are not served on this host" in line
    home.segue("deploy")
    rows = [json.loads(line) for line in home.segue("ls").splitlines()]
    assert {row["state"] for row in rows} == {"running"}
    home.segue("down")
    quiet = home.segue("up", "--detach", "--timeout", "3m", "--no-gateway", **nothing)
    assert "no gateway" not in quiet


def test_without_rights_it_only_publishes_ports_and_says_what_would_help(home: Home) -> None:
    words = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    command = [sys.executable, "-m", "segue_cli", "up", "--detach", "--timeout", "3m"]
    said = home.run(*words, *command)
    [line] = [line for line in said.splitlines() if line.startswith("gateway: ")]
    assert line.startswith("gateway: it lacks CAP_NET_ADMIN: run the gateway as root")
    home.segue("deploy")
    asked = ["wget", "-q", "-O", "-", "http://web/"]
    assert home.segue("exec", "shop/asker.1", "--", *asked).strip(), "names are the engine's own"
