"""Hosts are prepared once, with files that their programs accept, and nothing is overwritten."""

import configparser
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys

import pytest
from segue.bus.server import find_server
from segue.shell.command import UNABLE
from segue_cli.invitation import read, written

UNITS = pathlib.Path(__file__).parents[2] / "deploy/systemd"
NODE = ("segue-node-runner", "segue-fencer", "segue-gateway")
HARDENED = ("NoNewPrivileges", "ProtectSystem", "SystemCallFilter", "CapabilityBoundingSet")


class Host:
    """A folder that stands for a host."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place, self.etc, self.units = place, place / "etc", place / "units"

    def segue(self, *words: object, code: int = 0) -> list[str]:
        command = [sys.executable, "-m", "segue_cli", *map(str, words), "--dir", str(self.etc)]
        if words[:2] != ("server", "token"):
            command += ["--units", str(self.units)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return (done.stdout if code == 0 else done.stderr).splitlines()

    def init(self, *words: object, code: int = 0) -> list[str]:
        return self.segue("server", "init", "--store", self.place / "store", *words, code=code)

    def files(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in self.place.rglob("*") if p.is_file()}


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    return Host(tmp_path / "a")


def check_bus(host: Host) -> None:
    """Let the server itself read what was made for it."""
    lines = (host.etc / "bus/server.env").read_text().splitlines()
    env = {k: v.strip("'") for k, _, v in (line.partition("=") for line in lines)}
    command = [str(find_server()), "-t", "-c", str(host.etc / "bus/server.conf")]
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_control_host_is_prepared_once(host: Host) -> None:
    said = host.init("--name", "bus-1", "--address", "10.9.8.7")
    check_bus(host)
    before = host.files()
    assert len([line for line in said if line.startswith("wrote ")]) == len(before)
    again = host.init("--name", "bus-1", "--address", "10.9.8.7")
    assert "is prepared already: nothing was changed" in again[0]
    assert host.files() == before
    modes = {path: pathlib.Path(path).stat().st_mode & 0o777 for path in before}
    secret = {path for path in before if re.search(r"\.(key|env)$", path)}
    assert {path for path, mode in modes.items() if mode == 0o600} == secret
    assert {modes[path] for path in set(before) - secret} == {0o644}
    assert "NATS_URL=tls://10.9.8.7:4222" in (host.etc / "segue.env").read_text()
    ssl.create_default_context(cafile=host.etc / "ca.pem").load_cert_chain(
        host.etc / "client.pem", host.etc / "client.key"
    )


def test_three_control_hosts_come_of_one(host: Host, tmp_path: pathlib.Path) -> None:
    peers = "a=10.0.0.1,b=10.0.0.2,c=10.0.0.3"
    said = host.init("--name", "a", "--peers", peers)
    other = Host(tmp_path / "b")
    token = host.etc / "peers/b.token"
    assert f"  segue server init --token @b.token   # {token}" in said
    assert token.stat().st_mode & 0o777 == 0o600
    other.init("--token", f"@{token}")
    check_bus(host)
    check_bus(other)
    envs = [(one.etc / "segue.env").read_text() for one in (host, other)]
    for env in envs:
        assert "NATS_URL=tls://10.0.0.1:4222,tls://10.0.0.2:4222,tls://10.0.0.3:4222" in env
    same = re.compile("SEGUE_BUS_(PASSWORD|SYS_PASSWORD|ROUTES)=.*")
    own = re.compile("SEGUE_BUS_(NAME|STORE_KEY)=.*")
    first, second = ((one.etc / "bus/server.env").read_text() for one in (host, other))
    assert [m[0] for m in same.finditer(first)] == [m[0] for m in same.finditer(second)]
    assert not {m[0] for m in own.finditer(first)} & {m[0] for m in own.finditer(second)}
    assert not (other.etc / "authority").exists(), "who may let hosts in stays on one host"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "a", "--peers", "a=1.1.1.1,b=1.1.1.2"], "names 2: a bus has one server or"),
        (["--name", "x", "--peers", "a=1,b=2,c=3"], "does not name this host, x"),
        (["--peers", "a=1,a=2,c=3"], "which is not NAME=ADDRESS or there twice"),
        (["--token", "nonsense"], "this is no token"),
        (["--token", "@/nowhere"], "cannot be read"),
    ],
)
def test_what_makes_no_sense_changes_nothing(host: Host, words: list[str], said: str) -> None:
    assert said in host.init(*words, code=2)[0]
    assert host.files() == {}


def test_what_an_earlier_attempt_left_is_not_built_upon(host: Host) -> None:
    host.init()
    (host.etc / "segue.env").unlink()
    before = host.files()
    said = host.init(code=1)
    assert "an earlier attempt broke off" in said[0]
    assert "nothing was changed; move" in said[1]
    assert host.files() == before


def test_a_unit_that_a_person_has_changed_is_kept(host: Host) -> None:
    host.units.mkdir(parents=True)
    mine = host.units / "segue-deployer.service"
    mine.write_text("mine")
    assert f"kept  {mine}, which was there" in host.init()
    assert mine.read_text() == "mine"


def test_a_token_is_read_as_it_was_written_and_only_for_what_it_is(
    host: Host, tmp_path: pathlib.Path
) -> None:
    host.init("--address", "10.9.8.7")
    (token,) = host.segue("server", "token", "node-b")
    found = read(token, "node")
    assert (found.name, found.url) == ("node-b", "tls://10.9.8.7:4222")
    assert "BEGIN CERTIFICATE" in found.client_certificate
    shown = host.place / "shown.pem"
    shown.write_text(found.client_certificate)
    said = subprocess.run(
        ["openssl", "x509", "-in", shown, "-noout", "-ext", "subjectAltName,extendedKeyUsage"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:*.node-b.node.segue.internal" in said, "its gateway is known by it"
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in said
    assert read(written(found), "node") == found
    other = Host(tmp_path / "b")
    assert "is for a node, node-b, not for a server" in other.init("--token", token, code=2)[0]
    for cut in (token[:-9], token[9:], token.replace("segue1", "segue2")):
        assert "this is no token" in other.init("--token", cut, code=2)[0]
    assert other.files() == {}


def test_a_node_that_cannot_reach_its_bus_is_not_prepared(
    host: Host, tmp_path: pathlib.Path
) -> None:
    host.init("--address", "127.0.0.1")
    (token,) = host.segue("server", "token", "node-b")
    node = Host(tmp_path / "n")
    said = node.segue("node", "join", "--token", token, "--server", "tls://127.0.0.1:1", code=5)
    assert "nothing was written" in said[1]
    assert node.files() == {}
    assert "neither a token nor a server" in node.segue("node", "join", code=2)[0]


# The units.


def sections(text: str) -> dict[str, dict[str, list[str]]]:
    """Read a unit strictly: each line is a comment, a section, or a key with a value."""
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if section := re.fullmatch(r"\[(Unit|Service|Install)\]", line):
            assert section[1] not in found
            current = found[section[1]] = {}
            continue
        key, equals, value = line.partition("=")
        assert equals, line
        assert re.fullmatch("[A-Z][A-Za-z]+", key), line
        current.setdefault(key, []).append(value)
    return found


SHIPPED = sorted(UNITS.glob("*.service"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_a_unit_is_restarted_for_ever_and_may_do_little(file: pathlib.Path) -> None:
    unit = sections(file.read_text())
    service = unit["Service"]
    assert service["Restart"] == ["always"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"], "no number of crashes is too many"
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]
    assert [key for key in HARDENED if key not in service] == []


def test_the_fencer_is_watched_and_comes_before_others() -> None:
    service = sections((UNITS / "segue-fencer.service").read_text())["Service"]
    assert service["Type"] == ["notify"]
    assert service["WatchdogSec"] == ["2s"]
    assert service["CPUSchedulingPolicy"] == ["fifo"]
    assert service["OOMScoreAdjust"] == ["-1000"]
    assert "CAP_KILL" in service["CapabilityBoundingSet"][0]


def test_a_gateway_outlives_its_crash_and_comes_before_what_needs_it() -> None:
    gateway = sections((UNITS / "segue-gateway.service").read_text())["Service"]
    assert gateway["KillMode"] == ["process"], "its proxy goes on"
    assert gateway["RestartPreventExitStatus"] == [str(UNABLE)]
    assert gateway["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    runner = sections((UNITS / "segue-node-runner.service").read_text())["Unit"]
    for key in ("Wants", "After"):
        assert "segue-gateway.service" in runner[key][0].split()
    assert "Requires" not in runner, "containers run without it as well"


@pytest.fixture
def prepared(host: Host) -> list[pathlib.Path]:
    """Every unit as it is written on a host that is control host and node."""
    host.init()
    for name in NODE:
        text = (UNITS / f"{name}.service").read_text()
        for program in NODE:
            path = pathlib.Path(sys.executable).with_name(program)
            text = text.replace(f"/opt/segue/bin/{program} ", f"{path} ")
        (host.units / f"{name}.service").write_text(text)
    return sorted(host.units.iterdir())


def test_systemd_accepts_every_unit(prepared: list[pathlib.Path]) -> None:
    if shutil.which("systemd-analyze") is None:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        assert len(parser.read(prepared)) == len(prepared) == 10
        return
    for file in prepared:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), file.name
