"""A control host and a node, prepared with the commands and run as these say, nothing else."""

import pathlib
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import anyio
import msgspec
import pytest
from segue.bus import Bus, connect, settings
from segue.envelope import ERRORS, decode
from segue.events import Event
from segue.events.container import ContainerStarted
from segue.events.deploy import DeployCompleted
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.cluster import bare
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Host, Hosts
from segue_cli.backup import backup, restore
from segue_cli.invitation import read, written

pytestmark = [pytest.mark.engine, pytest.mark.hosts]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


def segue(host: Host, *words: str, code: int = 0) -> list[str]:
    """Run a command on a host; give its lines."""
    command = [*host.enter, sys.executable, "-m", "segue_cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return (done.stdout if code == 0 else done.stderr).splitlines()


def follow_the_words(host: Host, said: list[str]) -> None:
    """Run the commands that are given to be run by hand; a node's folders are the test's own."""
    for number, given in enumerate(one.strip() for one in said if one.startswith("  ")):
        if not given.endswith("&"):
            subprocess.run(shlex.split(given), check=True)
            continue
        line = given.removesuffix("&").strip().removeprefix("(").removesuffix(")")
        runner = f"--state {host.folder}/state --runtime {host.folder}/run"
        line = line.replace("/segue-node-runner", f"/segue-node-runner {runner}")
        gateway = f"--state {host.folder}/gateway --runtime {host.folder}/proxy"
        line = line.replace("/segue-gateway", f"/segue-gateway {gateway}")
        line = line.replace("/segue-fencer", f"/segue-fencer --folder {host.folder}/fence")
        name = f"by-hand-{number}"
        host.run(name, ["sh", "-c", line], {"DOCKER_HOST": host.engine.url})


@pytest.fixture
async def bus(hosts: Hosts, tmp_path: pathlib.Path) -> AsyncIterator[Bus]:
    """The bus of a control host that was prepared and started."""
    control = hosts[1]
    folders = ["--dir", f"{tmp_path}/etc", "--units", f"{tmp_path}/units"]
    said = segue(
        control, "server", "init", *folders, "--store", f"{tmp_path}/store",
        "--address", control.address,
    )  # fmt: skip
    follow_the_words(control, said)
    env = dict(line.split("=", 1) for line in (tmp_path / "etc/segue.env").read_text().splitlines())
    bus = await connect(settings(env), name="test")
    try:
        yield bus
    finally:
        await bus.close()
        for host in hosts:
            for unit in host.units:
                unit.kill()
        hosts.clear()


async def wait(bus: Bus, kind: type[Event], **fields: object) -> Event:
    with anyio.fail_after(90):
        while True:
            try:
                await bus.head()
                break
            except Exception:  # noqa: BLE001 — the first service has not made the log yet.
                await anyio.sleep(0.2)
        async for stretch in bus.follow(0):
            for stored in stretch.messages:
                try:
                    event = decode(stored).event
                except ERRORS:
                    continue
                if isinstance(event, kind) and all(
                    getattr(event, name) == value for name, value in fields.items()
                ):
                    return event
    raise AssertionError("a log has no end")


async def test_a_host_joins_with_its_token_and_runs_what_is_deployed(
    bus: Bus, hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    control, host, _ = hosts
    (token,) = segue(control, "server", "token", "node-b", "--dir", f"{tmp_path}/etc")
    words = ["node", "join", "--token", token, "--dir", f"{tmp_path}/node"]
    words += ["--units", f"{tmp_path}/node-units", "--label", "disk=ssd"]
    said = segue(host, *words)
    follow_the_words(host, said)
    joined = await wait(bus, NodeJoined)
    assert isinstance(joined, NodeJoined)
    assert (joined.node, joined.labels) == ("node-b", {"disk": "ssd"})
    led = await wait(bus, GatewayJoined)
    assert isinstance(led, GatewayJoined)
    assert (led.node, led.limits, led.names) == ("node-b", [], True)
    assert (led.address, led.mesh) == (host.address, "mtls"), "its certificate came with the token"
    service = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none"}
    compose = {"services": {"web": {**service, "deploy": {"replicas": 2}}}}
    await bus.append([Message("deploy.requested.shop", "deploy", bare(compose))])
    await wait(bus, DeployCompleted)
    assert len(host.processes()) == 2

    before = {path: path.read_bytes() for path in tmp_path.rglob("node*/**/*") if path.is_file()}
    assert "is prepared already: nothing was changed" in segue(host, *words)[0]
    assert {path: path.read_bytes() for path in before} == before
    words[words.index(f"{tmp_path}/node")] = f"{tmp_path}/second"
    refused = segue(control, *words, code=1)
    assert "a runner is at work on a node called node-b already" in refused[0]
    assert not (tmp_path / "second").exists()


async def test_a_host_that_joins_later_gets_what_is_to_run_on_each(
    bus: Bus, hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    control, first, later = hosts
    service = {"image": BUSYBOX, "command": ["sleep", "1000"], "network_mode": "none"}
    compose = {"services": {"web": {**service, "deploy": {"mode": "global"}}}}
    for host, name in ((first, "node-b"), (later, "node-c")):
        (token,) = segue(control, "server", "token", name, "--dir", f"{tmp_path}/etc")
        words = ["node", "join", "--token", token, "--dir", f"{tmp_path}/{name}"]
        follow_the_words(host, segue(host, *words, "--units", f"{tmp_path}/{name}-units"))
        await wait(bus, NodeJoined, node=name)
        if host is first:
            await bus.append([Message("deploy.requested.shop", "deploy", bare(compose))])
        await wait(bus, ContainerStarted, node=name)
        assert len(host.processes()) == 1


async def test_a_token_that_is_not_its_own_joins_nothing(
    bus: Bus, hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    control, host, _ = hosts
    (token,) = segue(control, "server", "token", "node-b", "--dir", f"{tmp_path}/etc")
    other = ["--dir", f"{tmp_path}/other", "--units", f"{tmp_path}/other-units"]
    segue(control, "server", "init", *other, "--address", control.address)
    (strange,) = segue(control, "server", "token", "node-b", "--dir", f"{tmp_path}/other")
    stale = written(msgspec.structs.replace(read(token, "node"), password="of-before"))
    for given, why in ((strange, "certificate verify failed"), (stale, "Authorization Violation")):
        said = segue(host, "node", "join", "--token", given, "--dir", f"{tmp_path}/node", code=5)
        assert len(said) == 2
        assert why in said[0]
        assert "nothing was written" in said[1]
        assert not (tmp_path / "node").exists()


async def test_three_control_hosts_are_one_bus_whose_log_comes_back_in_three_copies(
    hosts: Hosts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, log_settings: None
) -> None:
    peers = ",".join(f"{host.name}={host.address}" for host in hosts)
    for host in hosts:
        place = tmp_path / host.name
        words = ["--dir", f"{place}/etc", "--units", f"{place}/units", "--store", f"{place}/store"]
        own = ["--token", f"@{tmp_path}/host-1/etc/peers/{host.name}.token"]
        first = ["--name", host.name, "--peers", peers]
        said = segue(host, "server", "init", *words, *(first if host is hosts[1] else own))
        follow_the_words(host, [line for line in said if "mkdir" in line or "nats-server" in line])
    for line in (tmp_path / "host-1/etc/segue.env").read_text().splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    async with await connect(settings(), name="test") as bus:
        with anyio.fail_after(90):
            await bus.set_up()
        assert (await bus.append([Message("node.lost.n", "before", b"x")])).kind == "stored"
        await backup(tmp_path / "log.zip")
        assert (await bus.append([Message("node.lost.n", "after", b"x")])).kind == "stored"
        await restore(tmp_path / "log.zip", replace=True)
        found = await bus.stream("EVENTS")
        assert found is not None
        assert (found.state.last_seq, found.config["num_replicas"]) == (1, 3)
    for host in hosts:
        for unit in host.units:
            unit.kill()
