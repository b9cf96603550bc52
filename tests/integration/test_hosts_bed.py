"""The bed of many hosts does to them what it says, and leaves nothing behind."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from segue.bus import BusUnreachableError, Plan, Settings, connect
from segue.log import Message
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Host, Hosts
from segue.testing.nats_cluster import ACCOUNTS, ENCRYPTION, NatsCluster

pytestmark = [pytest.mark.engine, pytest.mark.hosts]
PING = ["busybox", "ping", "-c", "1", "-W", "1"]


@pytest.fixture(autouse=True)
def whole(hosts: Hosts) -> Iterator[None]:
    yield
    hosts.restore()
    hosts.clear()


def hears(host: Host, other: Host) -> bool:
    command = [*host.enter, *PING, other.address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def hears_again(host: Host, other: Host, within_s: float = 60.0) -> bool:
    """Ask until it is so: a busy machine may take longer than one question waits."""
    end = time.monotonic() + within_s
    while not (found := hears(host, other)) and time.monotonic() < end:
        pass
    return found


def listens(host: Host, port: int = 7000) -> list[str]:
    """Let a host note every datagram that reaches it."""
    program = f"""
import socket
s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("", {port})); print("ready", flush=True)
while True: print(s.recv(99).decode(), flush=True)
"""
    process = host.run(f"ear-{host.number}", ["python3", "-c", program])
    while "ready" not in process.tail():
        time.sleep(0.01)
    return [host.address, str(port)]


def tells(host: Host, where: list[str], word: str) -> None:
    program = """
import socket, sys
address, port, word = sys.argv[1:]
socket.socket(type=socket.SOCK_DGRAM).sendto(word.encode(), (address, int(port)))
"""
    subprocess.run([*host.enter, "python3", "-c", program, *where, word], check=True)


def heard(host: Host, word: str, within_s: float = 60.0) -> bool:
    end = time.monotonic() + within_s
    while not (found := word in (host.folder / f"ear-{host.number}.log").read_text().split()):
        if time.monotonic() > end:
            break
        time.sleep(0.01)
    return found


def container(host: Host, name: str) -> str:
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "Labels": {"segue.cluster": name}}
    made = host.engine.ask("POST", "/containers/create", body)
    host.engine.ask("POST", f"/containers/{made['Id']}/start")
    return str(made["Id"])


def test_a_host_that_is_cut_off_hears_nobody_and_its_own_link_looks_whole(hosts: Hosts) -> None:
    assert hears_again(hosts[1], hosts[2])
    hosts[1].cut()
    assert not hears(hosts[1], hosts[2])
    assert hears_again(hosts[2], hosts[3])
    show = [*hosts[1].enter, "ip", "-br", "link", "show", "eth0"]
    assert b" UP " in subprocess.run(show, capture_output=True, check=True).stdout
    hosts[1].mend()
    assert hears_again(hosts[1], hosts[2])


def test_faults_of_the_network_can_hold_in_one_direction_or_between_two(hosts: Hosts) -> None:
    one, two = listens(hosts[1]), listens(hosts[2])
    assert hears_again(hosts[1], hosts[2]), "each knows where the other is"
    hosts.network.mute(1)
    tells(hosts[1], two, "from-the-mute")
    tells(hosts[2], one, "to-the-mute")
    assert heard(hosts[1], "to-the-mute")
    assert not heard(hosts[2], "from-the-mute", within_s=0.2), "what was lost never tells"
    hosts[1].mend()
    hosts.network.deafen(1)
    tells(hosts[1], two, "from-the-deaf")
    tells(hosts[2], one, "to-the-deaf")
    assert heard(hosts[2], "from-the-deaf")
    assert not heard(hosts[1], "to-the-deaf", within_s=0.2)
    hosts[1].mend()
    hosts.network.part(1, 2)
    assert not hears(hosts[1], hosts[2])
    assert hears_again(hosts[1], hosts[3])
    assert hears_again(hosts[3], hosts[2])


def test_a_frozen_host_stands_still_with_its_engine_its_processes_and_containers(
    hosts: Hosts,
) -> None:
    host = hosts[2]
    made = container(host, "frozen")
    counter = host.run("count", ["sh", "-c", "while :; do echo x; sleep 0.01; done"])
    host.freeze()
    before = counter.log.stat().st_size
    with pytest.raises(TimeoutError):
        host.engine.ask("GET", "/_ping", timeout_s=0.3)
    assert counter.log.stat().st_size == before
    assert [one.container for one in host.processes()] == [made], "it can be looked at"
    host.thaw()
    host.engine.ask("GET", "/_ping")
    deadline = time.monotonic() + 60
    while counter.log.stat().st_size == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_host_loses_all_that_runs_and_starts_again_what_was_run_on_it(
    hosts: Hosts,
) -> None:
    host = hosts[3]
    made = container(host, "killed")
    service = host.run("service", ["sleep", "1000"])
    ended = host.run("ended", ["true"])
    ended.process.wait()
    old = service.process.pid
    host.kill()
    assert host.processes() == []
    with pytest.raises(OSError):
        host.engine.ask("GET", "/_ping", timeout_s=1)
    host.start()
    assert host.processes() == []
    state = host.engine.ask("GET", f"/containers/{made}/json")["State"]["Status"]
    assert (state, service.running, ended.running) == ("exited", True, False)
    assert service.process.pid != old


def test_what_runs_is_told_with_the_labels_that_the_engine_knows_nothing_of_any_more(
    hosts: Hosts,
) -> None:
    host = hosts[1]
    made = container(host, "seen")
    host.engine.kill("dockerd")
    (one,) = host.processes()
    assert (one.container, one.labels) == (made, {"segue.cluster": "seen"})
    command = pathlib.Path(f"/proc/{one.pids[0]}/cmdline").read_bytes()
    assert command.split(b"\0")[0] == b"sleep"


def test_a_container_has_begun_once_its_runtime_has_made_way_for_its_program(
    hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "init").write_text("import time; time.sleep(1000)")
    host = hosts[1]
    group = pathlib.Path("/sys/fs/cgroup")
    if not (group / "cgroup.controllers").exists():
        group /= "freezer"
    group /= f"{host.cgroup}/being-made"
    group.mkdir()
    for words, begun in ((["runc", "init"], False), (["python", "init"], True)):
        with subprocess.Popen(words, executable=sys.executable, cwd=tmp_path) as process:
            (group / "cgroup.procs").write_text(str(process.pid))
            while not pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes():
                time.sleep(0.001)
            found = host.processes()
            process.kill()
        assert [(one.container, one.begun) for one in found] == [("being-made", begun)]
    group.rmdir()


def fails_amid_its_work(hosts: Hosts, folder: pathlib.Path, seen: list[Host]) -> None:
    with Hosts(1, folder) as beds:
        seen.append(beds[1])
        container(beds[1], "left")
        beds[1].run("left", ["sleep", "1000"])
        assert not hears(beds[1], hosts[1])
        beds[1].freeze()
        raise ZeroDivisionError


def test_two_beds_stand_side_by_side_and_a_bed_leaves_nothing_even_when_its_test_fails(
    hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    seen: list[Host] = []
    with pytest.raises(ZeroDivisionError):
        fails_amid_its_work(hosts, tmp_path, seen)
    (other,) = seen
    name = other.network.name
    traces = [
        *pathlib.Path("/run/netns").glob(f"{name}*"),
        *pathlib.Path("/sys/class/net").glob(name),
        *pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}*"),
        *pathlib.Path("/sys/fs/cgroup").glob(f"{name}*"),
        *other.engine.root.parent.glob(other.engine.root.name),
    ]
    assert traces == []
    assert str(other.engine.root) not in pathlib.Path("/proc/self/mounts").read_text()
    hosts[1].engine.ask("GET", "/_ping")


async def test_the_shipped_configuration_keeps_the_log_encrypted_and_behind_a_password(
    hosts: Hosts, tmp_path: pathlib.Path
) -> None:
    options = (*ENCRYPTION, *ACCOUNTS)
    with NatsCluster(hosts, tmp_path, options=options) as servers:
        stranger = Settings(url=servers.url)
        with pytest.raises(BusUnreachableError):
            await connect(stranger, name="stranger", wait=False)
        async with await connect(servers.settings, name="test", wait=False) as bus:
            await bus.set_up(Plan(bytes_max=10**8))
            outcome = await bus.append([Message("load.x", "1", b"a-word-to-be-found")])
            assert outcome.kind == "stored"
            assert [message.data async for message in bus.read()] == [b"a-word-to-be-found"]
        servers.current()
        blocks = [file for file in tmp_path.rglob("*.blk") if "EVENTS" in str(file)]
        assert len(blocks) == 3, "each server has a copy"
        assert [file for file in blocks if b"a-word-to-be-found" in file.read_bytes()] == []


def test_hosts_that_are_mended_at_once_all_hear_again(hosts: Hosts) -> None:
    for _ in range(10):
        hosts[2].cut()
        hosts.restore()
        assert hears_again(hosts[1], hosts[2])
