"""A bus of several servers, one on each host, as deploy/nats configures it.

A test kills, freezes and starts one of them, or the one that leads the log's stream; who leads is
asked of the servers themselves, not of the connection that is under test.
"""

import http.client
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from segue.bus import BusError, BusRefusedError, Settings, settings
from segue.bus.connection import Connection
from segue.bus.jetstream import EVENTS, NO_STREAM, Answer, call
from segue.bus.leases import LEASES
from segue.bus.stream import BUCKETS
from segue.testing import certificates
from segue.testing.hosts import Host
from segue.testing.nats_server import NatsServer

SHIPPED = Path(__file__).parents[3] / "deploy/nats"
TLS, ENCRYPTION, ACCOUNTS = (
    ("tls.conf", "routes-tls.conf"),
    ("encryption.conf",),
    ("accounts.conf",),
)
CLIENT_PORT, MONITOR_PORT = 4222, 8222
STORE_BYTES = 8 << 30
_PASSWORD = "only for tests"

T = TypeVar("T")


class HostedServer(NatsServer):
    """One server of a bus, on a host; `options` are files of deploy/nats to be included."""

    def __init__(
        self, host: Host, folder: Path, options: Iterable[str], environment: Mapping[str, str]
    ) -> None:
        super().__init__(folder, port=CLIENT_PORT)
        self.host, self.options = host, list(options)
        self.name = f"bus-{host.number}"
        self.enter = host.enter
        self.environment = {
            **environment,
            "SEGUE_BUS_NAME": self.name,
            "SEGUE_BUS_STORE": json.dumps(str(folder / "store")),
            "SEGUE_BUS_BYTES": str(STORE_BYTES),
        }

    @property
    def url(self) -> str:
        """Where clients connect."""
        scheme = "tls" if TLS[0] in self.options else "nats"
        return f"{scheme}://{self.host.address}:{self.port}"

    def configure(self) -> Path:
        """Take the files that are shipped, with the options' lines in force."""
        for file in SHIPPED.glob("*.conf"):
            text = file.read_text()
            for option in self.options:
                text = text.replace(f'# include "{option}"', f'include "{option}"')
            (self.directory / file.name).write_text(text)
        return self.directory / "server.conf"

    def monitor(self, path: str) -> Any:
        """Ask it about itself, past its clients; None if it does not answer."""
        line = http.client.HTTPConnection("127.0.0.1", MONITOR_PORT, timeout=1)
        try:
            self.host.network.inside(self.host.number, line.connect)
            line.request("GET", f"/{path}")
            return json.loads(line.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            line.close()


class NatsCluster:
    """Servers of one bus. Use it in `with`; `options` are TLS, ENCRYPTION, ACCOUNTS or sums."""

    def __init__(self, hosts: Iterable[Host], folder: Path, *, options: Sequence[str] = ()) -> None:
        hosts = list(hosts)
        self.folder, self.options = folder, options
        routes = [f"nats://{host.address}:6222" for host in hosts]
        environment = {
            "SEGUE_BUS_ROUTES": json.dumps(routes),
            "SEGUE_BUS_STORE_KEY": json.dumps(os.urandom(32).hex()),
            "SEGUE_BUS_CA": json.dumps(str(self._certificates / "ca.pem")),
            "SEGUE_BUS_CERT": json.dumps(str(self._certificates / "server.pem")),
            "SEGUE_BUS_KEY": json.dumps(str(self._certificates / "server.key")),
            "SEGUE_BUS_PASSWORD": json.dumps(_PASSWORD),
            "SEGUE_BUS_SYS_PASSWORD": json.dumps(_PASSWORD),
        }
        self.servers = [
            HostedServer(host, folder / host.name, options, environment) for host in hosts
        ]

    @property
    def url(self) -> str:
        """Where clients connect: every server."""
        return ",".join(server.url for server in self.servers)

    @property
    def environment(self) -> dict[str, str]:
        """What a service is told of the bus."""
        told = {"NATS_URL": self.url}
        if TLS[0] in self.options:
            files = {"NATS_CA": "ca.pem", "NATS_CERT": "client.pem", "NATS_KEY": "client.key"}
            told |= {name: str(self._certificates / file) for name, file in files.items()}
        if ACCOUNTS[0] in self.options:
            told |= {"NATS_USER": "segue", "NATS_PASSWORD": _PASSWORD}
        return told

    @property
    def settings(self) -> Settings:
        """What a test connects with: the same as a service."""
        return settings(self.environment)

    def __enter__(self) -> Self:
        """Start all servers."""
        if TLS[0] in self.options:
            certificates.make(self._certificates, [s.host.address for s in self.servers])
        try:
            for server in self.servers:
                server.directory.mkdir(parents=True, exist_ok=True)
                server.host.units.append(server)
                server.start()
            self.formed()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill all servers."""
        self._end()

    def __getitem__(self, number: int) -> HostedServer:
        """Give the server on a host, by the host's number."""
        return next(server for server in self.servers if server.host.number == number)

    def restore(self) -> None:
        """Undo every fault of servers: thaw the frozen, start the dead."""
        for server in self.servers:
            if server.running:
                server.thaw()
            else:
                server.kill()  # It may have been ended with its host.
                server.start()

    def formed(self, within_s: float = 60.0) -> None:
        """Wait until the servers have a leader among themselves that has heard of all."""
        _until(self._is_formed, within_s, "the servers have not formed a cluster")

    def leader(self, stream: str = EVENTS, within_s: float = 60.0) -> HostedServer:
        """Give the server that leads a stream, as most servers have it."""
        return _until(lambda: self._elected(stream), within_s, f"nobody leads {stream}")

    def followers(self, stream: str = EVENTS) -> list[HostedServer]:
        """Give the servers that do not lead a stream."""
        leader = self.leader(stream)
        return [server for server in self.servers if server is not leader]

    def current(self, stream: str = EVENTS, within_s: float = 60.0) -> None:
        """Wait until every server's copy of a stream is complete."""
        _until(lambda: self._is_current(stream), within_s, f"a copy of {stream} lags behind")

    async def lead(self, number: int, stream: str = EVENTS) -> None:
        """Let the server on a host lead a stream; all servers must be well."""
        body = {"placement": {"preferred": self[number].name}}
        connection = await Connection.open(self.settings, name="test")
        try:
            while await anyio.to_thread.run_sync(self.leader, stream) is not self[number]:
                with suppress(BusError):  # Perhaps an election is under way.
                    await call(connection, f"STREAM.LEADER.STEPDOWN.{stream}", body, Answer)
        finally:
            await connection.close()

    @staticmethod
    async def _delete(connection: Connection, stream: str) -> None:
        with anyio.fail_after(60):
            while True:
                try:
                    await call(connection, f"STREAM.DELETE.{stream}", None, Answer)
                except BusRefusedError as error:
                    if error.code == NO_STREAM:
                        return
                    if error.lasting:
                        raise
                    await anyio.sleep(0.2)  # An election is under way.
                except BusError:
                    await anyio.sleep(0.2)
                else:
                    return

    async def forget(self) -> None:
        """Delete the log, the buckets and the leases: the next test begins anew."""
        connection = await Connection.open(self.settings, name="test")
        try:
            for name in (EVENTS, LEASES, *(f"OBJ_{bucket}" for bucket in BUCKETS)):
                await self._delete(connection, name)
        finally:
            await connection.close()

    @property
    def _certificates(self) -> Path:
        return self.folder / "certificates"

    def _is_formed(self) -> bool:
        states = [(server.monitor("jsz") or {}).get("meta_cluster", {}) for server in self.servers]
        everyone = len(self.servers)
        return all(s.get("leader") and s.get("cluster_size") == everyone for s in states)

    def _elected(self, stream: str) -> HostedServer | None:
        """Find who leads by the word of most servers and by its own."""
        states = self._states(stream)
        votes = Counter(state.get("leader", "") for state in states.values())
        for server in self.servers:
            own = states.get(server.name, {}).get("leader")
            if own == server.name and votes[server.name] > len(self.servers) // 2:
                return server
        return None

    def _is_current(self, stream: str) -> bool:
        """Tell whether some server, which leads, knows the copies of all others to be complete."""
        for state in self._states(stream).values():
            copies = state.get("replicas", [])
            if len(copies) == len(self.servers) - 1 and all(
                copy["current"] and not copy.get("offline") and not copy.get("lag")
                for copy in copies
            ):
                return True
        return False

    def _states(self, stream: str) -> dict[str, dict[str, Any]]:
        """Give what each server that answers knows of the stream's copies."""
        return {
            server.name: detail.get("cluster") or {}
            for server in self.servers
            if server.running
            for account in (server.monitor("jsz?streams=true") or {}).get("account_details") or []
            for detail in account.get("stream_detail") or []
            if detail["name"] == stream
        }

    def _end(self) -> None:
        for server in self.servers:
            server.kill()
            if server in server.host.units:
                server.host.units.remove(server)


def _until(look: Callable[[], T | None], within_s: float, otherwise: str) -> T:
    """Look again and again until there is something."""
    end = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"{otherwise} within {within_s:g} s")
        time.sleep(0.02)
    return found
