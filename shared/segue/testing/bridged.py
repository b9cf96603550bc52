"""A host with an engine and app bridges, and another host outside, for tests of what passes.

    outside ── switch ── host: engine, bridges, whatever the test runs in its namespace
                            ├── sg-…  shop    containers
                            └── sg-…  blog    containers

The engine makes its own iptables rules here, as engines do, by the iptables that is asked for.
"""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar

import anyio.from_thread
from anyio.from_thread import BlockingPortal

from segue.bridges import bridge_name, search_domain
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import HostEngine
from segue.testing.network import Network

T = TypeVar("T")
Iptables = Literal["nft", "legacy", "none"]
CLUSTER, NODE = "bridged", "node-a"
_OWN = {"--ip-forward=false", "--iptables=false"}
_HOST, _OUTSIDE = 1, 2


class _FilteringEngine(HostEngine):
    """An engine that makes its iptables rules, within the host's namespace."""

    def _dockerd_arguments(self) -> list[str]:
        return [one for one in super()._dockerd_arguments() if one not in _OWN]


class Bridged:
    """The host; `portal` runs what it is given in the host's namespace."""

    def __init__(self, network: Network, engine: HostEngine, portal: BlockingPortal) -> None:
        self.network, self.engine, self.portal = network, engine, portal
        self.gateways: dict[str, str] = {}  # By network.
        self._containers: dict[str, str] = {}
        self._numbers = iter(range(1, 1_000))

    @property
    def address(self) -> str:
        """Where the outside reaches the host."""
        return self.network.address(_HOST)

    @property
    def outside_address(self) -> str:
        """Where the host reaches the outside."""
        return self.network.address(_OUTSIDE)

    def bridge(self, network: str, **options: Any) -> str:
        """Make a network as the node's runner does; give the host's address on it."""
        name = bridge_name(CLUSTER, NODE, network)
        body = {
            "Name": network,
            "Driver": "bridge",
            "Options": {"com.docker.network.bridge.name": name},
            "Labels": {"segue.cluster": CLUSTER},
        }
        self.engine.ask("POST", "/networks/create", body | options)
        self.gateways[network] = self.inspect(network)["Gateway"]
        return self.gateways[network]

    def inspect(self, network: str) -> dict[str, str]:
        """Give a network's subnet and the host's address on it."""
        found: dict[str, str] = self.engine.ask("GET", f"/networks/{network}")["IPAM"]["Config"][0]
        return found

    def container(self, network: str, command: str = "sleep 1000", **host: Any) -> str:
        """Start a container that asks for names at the bridge; give its id."""
        app = network.split("_", maxsplit=1)[0]
        settings = {
            "NetworkMode": network,
            "Dns": [self.gateways[network]],
            "DnsSearch": [search_domain(app)],
        }
        body = {
            "Image": BUSYBOX,
            "Cmd": ["sh", "-c", command],
            "Labels": {"segue.cluster": CLUSTER},
            "ExposedPorts": {port: {} for port in host.get("PortBindings", {})},
            "HostConfig": settings | host,
        }
        name = f"{app}-{next(self._numbers)}"
        made = self.engine.ask("POST", "/containers/create", body, name=name)
        self.engine.ask("POST", f"/containers/{made['Id']}/start")
        return str(made["Id"])

    def address_of(self, container: str) -> str:
        """Give a container's address."""
        found = self.engine.ask("GET", f"/containers/{container}/json")
        [on] = found["NetworkSettings"]["Networks"].values()
        return str(on["IPAddress"])

    def run_in(self, container: str, command: str) -> str:
        """Run a shell's line in a container; give what it printed, and how it ended after `=`."""
        line = f'( {command} ) </dev/null 2>&1; echo "=$?"'
        asked = {"Cmd": ["sh", "-c", line], "AttachStdout": True, "Tty": True}
        made = self.engine.ask(
            "POST", f"/containers/{container}/exec", asked | {"AttachStderr": True}
        )
        said = self.engine.ask("POST", f"/exec/{made['Id']}/start", {"Tty": True}, timeout_s=30.0)
        return str(said.decode(errors="replace")).replace("\r\n", "\n")

    def talk(self, container: str, address: str, port: int) -> str:
        """Say a word from a container to an address; give the answer, or nothing."""
        return self.talks(container, [(address, port)])[address, port]

    def talks(self, container: str, asked: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Do so with many addresses, one after the other."""
        lines = [
            f'echo "$(echo hello | timeout 3 nc -w 2 {address} {port} 2>/dev/null)"'
            for address, port in asked
        ]
        said = self.run_in(container, "; ".join(lines)).splitlines()
        return dict(zip(asked, said, strict=False))

    def talk_from_outside(self, address: str, port: int) -> str:
        """Do the same from the other host."""

        def talk() -> str:
            try:
                with socket.create_connection((address, port), timeout=2) as line:
                    line.sendall(b"hello\n")
                    return line.recv(99).decode().strip()
            except OSError:
                return ""

        return self.network.inside(_OUTSIDE, talk)

    def listen(self, address: str, port: int, words: str, *, outside: bool = False) -> None:
        """Answer every line on a connection with these words, from now on."""
        where = _OUTSIDE if outside else _HOST
        ear = self.network.inside(where, lambda: socket.create_server((address, port)))

        def converse(line: socket.socket) -> None:
            with line, line.makefile("rb") as lines:
                for _ in lines:
                    line.sendall(f"{words}\n".encode())
                    if words[-1:] != "+":  # Else the connection lasts.
                        return

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=converse, args=(ear.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def shell(self, line: str, *, outside: bool = False) -> str:
        """Run a line in the namespace of the host or the outside."""
        argv = ["sh", "-ec", line]
        where = _OUTSIDE if outside else _HOST
        return self.network.inside(
            where,
            lambda: subprocess.run(argv, capture_output=True, check=True, text=True).stdout,
        )


@contextlib.contextmanager
def bridged(folder: pathlib.Path, iptables: Iptables = "nft") -> Iterator[Bridged]:
    """Give such a host; nothing of it is left."""
    network = Network(2)
    try:
        network.build()
        namespace = network.namespace(_HOST)
        enter = [
            "nsenter",
            f"--net=/run/netns/{namespace}",
            "--",
            "env",
            f"PATH={_path(folder, iptables)}",
        ]
        kind = HostEngine if iptables == "none" else _FilteringEngine
        engine = kind(namespace, namespace, enter, live_restore=False)
        try:
            engine.start()
            engine.load_busybox()
            entered: AbstractContextManager[BlockingPortal] = (
                anyio.from_thread.start_blocking_portal()
            )
            portal = network.inside(_HOST, entered.__enter__)
            try:
                yield Bridged(network, engine, portal)
            finally:
                entered.__exit__(None, None, None)
        finally:
            engine.stop()
    finally:
        network.remove()
        network.release()


def _path(folder: pathlib.Path, iptables: Iptables) -> str:
    """Make a search path on which `iptables` is the one that is asked for."""
    base = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if iptables == "none":
        return base
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("iptables", "ip6tables"):
        program = shutil.which(f"{name}-{iptables}", path=base)
        assert program is not None, f"install iptables: {name}-{iptables} is needed"
        (folder / name).symlink_to(program)
    return f"{folder}:{base}"


def in_background(portal: BlockingPortal, run: Callable[[], Any]) -> AbstractContextManager[object]:
    """Run something that never ends in the portal's loop, for the time of a block."""
    return contextlib.closing(_Running(portal, run))


class _Running:
    def __init__(self, portal: BlockingPortal, run: Callable[[], Any]) -> None:
        self._running = portal.start_task_soon(run)

    def close(self) -> None:
        if self._running.done():
            self._running.result()
        self._running.cancel()
