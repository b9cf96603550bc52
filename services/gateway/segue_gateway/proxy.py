"""Have the host's HAProxy do what the table says, without losing a connection.

- The topology takes a new file, its check, and a reload: the old worker ends what it has begun.
- A container that comes or goes is told to the running worker; if that refuses, a reload says it.
- A file that HAProxy refuses changes nothing: the old worker goes on, and the words are told.
- A port that is somebody else's is left out and told; all else goes on. It is tried again.
- What is connected to a node whose gateway has not answered for `SILENT_S` is let go: whoever waits
  there for an answer may be asking a host that has vanished without a word.
- The master outlives this process: who comes after takes it over by its socket.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable

import anyio
import msgspec
import structlog

from segue_gateway import runtime, traffic
from segue_gateway.certificates import Certificates, of_itself
from segue_gateway.commands import CommandError, run
from segue_gateway.hold import hold_name
from segue_gateway.render import NODES, Setting, Text, backend_name, render
from segue_gateway.runtime import (
    COUNTS,
    SESSIONS_OF_SERVERS,
    Processes,
    RuntimeAwayError,
)
from segue_gateway.table import Table
from segue_gateway.tell import Pair, Refused, cut, followed, forgotten

RELOAD_EVERY_S = 0.25  # Changes of the topology that come closer together are one reload.
TRY_AGAIN_S = 30.0  # A port that was somebody else's.
WATCH_EVERY_S = 1.0
SILENT_S = 5.0  # After it is known to be down, which takes 1 to 3 s.
_FEW = 8  # Backends that are asked for one by one.
_LOADS_WITHIN_S, _ENDS_WITHIN_S = 30.0, 10.0
_BIND = re.compile(r"(?:Starting|Binding).*?(?:frontend|proxy) (\S+?):? .*cannot bind.*:(\d+)\]")

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.gateway")


class ProxyError(Exception):
    """HAProxy does not do what it was told; it goes on with what it was told before."""


class Proxy:
    """The HAProxy of one host: a master with its workers, and the files that they read."""

    def __init__(self, binary: str, setting: Setting, certificates: Certificates) -> None:
        self.binary, self.setting, self.certificates = binary, setting, certificates
        self.folder = pathlib.Path(setting.folder)
        self.reloads = 0
        self._text: Text | None = None  # What the worker does; None: that is not known.
        self._table: Table | None = None
        self._leaving: dict[Pair, float] = {}  # Gone from the table, still connected, since when.
        self._silent: dict[str, float] = {}  # Nodes whose gateways do not answer, since when.
        self._shut: dict[str, str] = {}  # Listeners whose ports are somebody else's, and the words.
        self._shut_at = self._reloaded_at = 0.0
        self._lock = anyio.Lock()
        self._master: subprocess.Popen[bytes] | None = None  # If it was started here.

    async def apply(self, table: Table) -> list[str]:
        """Do what the table says; tell what could not be done. Raises ProxyError."""
        async with self._lock:
            self._table = table
            return await self._apply(table)

    async def _apply(self, table: Table) -> list[str]:
        files, problems = await self.certificates.files(table)
        problems += await self._can_hold(table)
        if self._shut and time.monotonic() - self._shut_at >= TRY_AGAIN_S:
            self._shut = {}
        text = render(table, self.setting, files, self._shut)
        if self._text is None or not text.is_topology_of(self._text):
            await self._reload(table, text, files)
        else:
            try:
                await self._tell(text, self._text)
            except (Refused, RuntimeAwayError) as error:
                log.warning("the proxy is loaded anew", why=str(error))
                await self._reload(table, text, files)
        return [*problems, *self._shut.values()]

    async def _can_hold(self, table: Table) -> list[str]:
        """Have what it takes to hold requests; tell what is in the way."""
        if self.setting.hold or not any(route.held for route in table.routes):
            return []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            pem = await of_itself(self.folder)
        except (CommandError, OSError) as error:
            return [f"nothing waits for services without replicas: {error}: install openssl"]
        self.setting = msgspec.structs.replace(self.setting, hold=pem)
        return []

    async def in_flight(self) -> dict[tuple[str, str], int]:
        """Count the connections to each drained endpoint, by route and endpoint, over all workers.

        Raises RuntimeAwayError.
        """
        table = self._table
        wanted = {
            (backend_name(route, port.number), one.name): (route.name, one.name)
            for route in (table.routes if table else [])
            for port in route.ports
            for one in route.endpoints
            if one.draining
        }
        if not wanted:
            return {}
        said = (await self._ask_workers(SESSIONS_OF_SERVERS)).values()
        counts = dict.fromkeys(wanted.values(), 0)
        for one in said:
            for key, used in runtime.read_sessions(one).items():
                if key in wanted:
                    counts[wanted[key]] += used
        return counts

    async def traffic(self) -> tuple[list[traffic.Backends], dict[int, traffic.Worker]]:
        """Give each service's backends, and what each worker counts. Raises RuntimeAwayError."""
        services = [
            traffic.Backends(
                route.app,
                route.service,
                [backend_name(route, port.number) for port in route.ports],
            )
            for route in (self._table.routes if self._table else [])
        ]
        said = await self._ask_workers(COUNTS)
        return services, {pid: traffic.read(one) for pid, one in said.items()}

    async def waiting(self) -> dict[str, int]:
        """Count what waits for services that nothing leads to, by app and service.

        Raises RuntimeAwayError.
        """
        routes = [one for one in (self._table.routes if self._table else []) if one.waits]
        names = {
            hold_name(backend_name(one, port.number)): one.name
            for one in routes
            for port in one.ports
        }
        if not names or self._text is None:
            return {}
        few = len(names) <= _FEW
        lines = [f"show stat {name} 2 -1" for name in names] if few else [COUNTS]
        found: dict[str, int] = {}
        for said in await runtime.ask_worker(self._worker_socket, lines):
            for name, counted in traffic.read(said).items():
                if name in names and counted.inflight:
                    found[names[name]] = found.get(names[name], 0) + counted.inflight
        return found

    async def _ask_workers(self, line: str) -> dict[int, str]:
        """Ask every worker; old ones may be gone by then. Raises RuntimeAwayError."""
        there = await runtime.processes(self._master_socket)
        [current] = await runtime.ask_worker(self._worker_socket, [line])
        said = {there.worker: current}
        for pid in there.old:
            with contextlib.suppress(RuntimeAwayError):
                said[pid] = await runtime.ask_master(self._master_socket, f"@!{pid} {line}")
        return said

    async def unreached(self) -> dict[str, str]:
        """Tell which nodes' gateways do not answer, and how. Raises RuntimeAwayError."""
        near = {one.node for one in self._table.neighbours} if self._table else set()
        if not near or not self.setting.certificate:
            return {}
        [said] = await runtime.ask_worker(self._worker_socket, [f"show stat {NODES} 4 -1"])
        return {node: how for node, how in runtime.read_down(said).items() if node in near}

    async def run(self) -> None:
        """See to it that it runs, tidy up behind it, and try again what did not work."""
        while True:
            await anyio.sleep(WATCH_EVERY_S)
            async with self._lock:
                if self._table is None:
                    continue
                with contextlib.suppress(RuntimeAwayError, ProxyError):
                    await self._look_after(self._table)

    async def _look_after(self, table: Table) -> None:
        try:
            there = await runtime.processes(self._master_socket)
        except RuntimeAwayError:
            there = None
        if there is None or not there.worker:
            log.error("the proxy has ended; it is started again")
            self._text = None
            await self._apply(table)
        elif self._shut and time.monotonic() - self._shut_at >= TRY_AGAIN_S:
            await self._apply(table)
        else:
            await self._let_go(table)
            if self._leaving:
                await forgotten(self._worker_socket, self._leaving)

    async def _let_go(self, table: Table) -> None:
        """Cut what is connected to nodes that have been silent for too long."""
        now = time.monotonic()
        self._silent = {node: self._silent.get(node, now) for node in await self.unreached()}
        gone = {node for node, since in self._silent.items() if now >= since + SILENT_S}
        if not gone:
            return
        self._silent.update(dict.fromkeys(gone, now))
        await cut(
            self._worker_socket,
            {
                (backend_name(route, port.number), one.name)
                for route in table.routes
                for port in route.ports
                for one in route.endpoints
                if one.node in gone and not one.local
            },
        )

    async def stop(self) -> None:
        """End it with every connection it has."""
        with contextlib.suppress(RuntimeAwayError, ProcessLookupError):
            there = await runtime.processes(self._master_socket)
            pids = [there.master, there.worker, *there.old]
            os.kill(there.master, signal.SIGTERM)
            with anyio.move_on_after(_ENDS_WITHIN_S):
                while True:
                    await runtime.processes(self._master_socket)
                    await anyio.sleep(0.05)
            for pid in filter(None, pids):  # It is stuck.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._master is not None:
            self._master.terminate()
            with anyio.move_on_after(_ENDS_WITHIN_S):
                while self._master.poll() is None:  # noqa: ASYNC110 — nothing tells it.
                    await anyio.sleep(0.02)
                return
            os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait()

    # Telling the worker.

    async def _tell(self, text: Text, before: Text) -> None:
        await followed(self._worker_socket, text, before, self._leaving, self.folder)
        self._text = msgspec.structs.replace(
            text,
            draining={
                backend: names & (set(before.servers.get(backend, {})) | before.draining[backend])
                for backend, names in text.draining.items()
            },
        )

    # Loading a file.

    @property
    def _master_socket(self) -> str:
        return str(self.folder / "master.sock")

    @property
    def _worker_socket(self) -> str:
        return str(self.folder / "worker.sock")

    async def _reload(self, table: Table, text: Text, files: dict[str, str]) -> None:
        """Load the file; leave out, one by one, listeners whose ports are somebody else's."""
        await anyio.sleep(max(0.0, self._reloaded_at + RELOAD_EVERY_S - time.monotonic()))
        while True:
            words = await self._load(text)
            self._reloaded_at = time.monotonic()
            if not words:
                self._text, self._leaving = msgspec.structs.replace(text, draining={}), {}
                self._text.draining.update({backend: set() for backend in text.draining})
                return
            found = {_listener(match) for match in _BIND.finditer(words)} - set(self._shut)
            if not found:
                raise ProxyError(_said(words))
            self._shut_at = time.monotonic()
            for name in found:
                self._shut[name] = f"{name} is not served: its port is somebody else's on this host"
            text = render(table, self.setting, files, self._shut)

    async def _load(self, text: Text) -> str:
        """Load a file; give HAProxy's words if it does not take it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new, place = self.folder / "haproxy.cfg.new", self.folder / "haproxy.cfg"
        new.write_text(text.whole)
        (self.folder / "inbound.map").write_text(text.inbound_map)
        try:
            await run(self.binary, "-c", "-q", "-f", str(new))
        except CommandError as error:
            raise ProxyError(str(error)) from error
        new.replace(place)
        journal = self.folder / "haproxy.log"
        try:
            before = await runtime.processes(self._master_socket)
        except RuntimeAwayError:
            journal.write_text("")
            started = await self._start(journal)
            return "" if started else journal.read_text()
        told = journal.stat().st_size if journal.exists() else 0
        os.kill(before.master, signal.SIGUSR2)
        self.reloads += 1
        done = await self._until(lambda: self._reloaded(before))
        if done:
            return ""
        return journal.read_bytes()[told:].decode(errors="replace") or "it does not reload"

    async def _start(self, journal: pathlib.Path) -> bool:
        with journal.open("ab") as output:
            self._master = master = subprocess.Popen(  # noqa: ASYNC220 — it is to outlive the loop.
                [self.binary, "-W", "-S", f"{self._master_socket},mode,600", "-f", "haproxy.cfg"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        async def up() -> bool | None:
            if master.poll() is not None:
                return False
            there = await runtime.processes(self._master_socket)
            return bool(there.worker and await self._worker_answers()) or None

        return await self._until(up)

    async def _reloaded(self, before: Processes) -> bool | None:
        there = await runtime.processes(self._master_socket)
        if there.reloads == before.reloads or there.failed > before.failed:
            return False if there.failed > before.failed else None
        if there.worker in (0, before.worker):
            return None
        return await self._worker_answers() or None

    async def _worker_answers(self) -> bool:
        said = await runtime.ask_worker(self._worker_socket, ["show info"])
        return "Pid:" in said[0]

    @staticmethod
    async def _until(done: Callable[[], Awaitable[bool | None]]) -> bool:
        """Ask until there is an answer; no answer in time is a no."""
        with anyio.move_on_after(_LOADS_WITHIN_S):
            while True:
                with contextlib.suppress(RuntimeAwayError):
                    if (answer := await done()) is not None:
                        return answer
                await anyio.sleep(0.02)
        return False


def _listener(match: re.Match[str]) -> str:
    name, port = match[1], match[2]
    return f"web:{port}" if name == "web" else name


def _said(words: str) -> str:
    lines = [line for line in words.splitlines() if "[ALERT]" in line] or words.splitlines()
    return (
        "; ".join(line.partition(" : ")[2] or line for line in lines[-5:]) or "it gives no reason"
    )
