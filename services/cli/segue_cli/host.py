"""Everything that one `segue up` runs on its host: a bus unless there is one, services, a node.

Begins with the bus, ends with it. The services need nothing of this: each is a process of its own
that would run as well without. What it stops is the control plane; containers go on.
"""

import hashlib
import importlib.util
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.abc
from segue.bus import Bus, BusError, BusUnreachableError, Settings, connect, settings
from segue.envelope import Record
from segue.events.gateway import GatewayJoined
from segue.shell import per_node

from segue_cli import embedded
from segue_cli.connect import host, quiet
from segue_cli.datadir import DataDir
from segue_cli.errors import FailedError, InvalidError
from segue_cli.plane import FENCER, GATEWAY, LEADING, NODE_RUNNER, Plane
from segue_cli.reading import sight
from segue_cli.supervisor import Program, Supervisor

CAP_KILL = 5  # capabilities(7)
UNABLE = (
    "this is not root, so the fencer may not kill containers: services with `singleton: true` are "
    "not taken here; run it as root, or with the capability CAP_KILL"
)
UNSERVED = "published ports and host names are not served on this host"
GATEWAY_FLAGS = "SEGUE_GATEWAY_FLAGS"  # More flags for the gateway, as in a node's node.env.
GATEWAY_WITHIN_S = 5.0  # How long the node runner waits, so that what it starts has names.
BUS_WITHIN_S = 20.0
HELD_TRIES = 6


@dataclass(frozen=True)
class Wanted:
    """What a `segue up` was asked to run."""

    place: DataDir
    node: str | None  # None: no node here.
    node_arguments: tuple[str, ...] = ()
    nats: str | None = None  # An existing bus; None, and no context: one of its own.
    context: str | None = None
    port: int | None = None
    gateway: bool = True  # On the node, if there is one.

    @property
    def services(self) -> list[str]:
        """Name the services, in the order of their start."""
        gateway = [GATEWAY] * self.gateway
        return [*LEADING, *([FENCER, *gateway, NODE_RUNNER] if self.node else [])]

    @property
    def embeds(self) -> bool:
        """It runs a bus of its own."""
        return not (self.nats or self.context)


class Watcher:
    """Is told what a host does; shows it or not."""

    folds = False  # It wants the picture of the whole cluster.

    def note(self, text: str) -> None:
        """Hear of something that a person may want to know."""

    def warn(self, text: str) -> None:
        """Hear of something that a person has to know."""
        self.note(text)

    def show(self, record: Record) -> None:
        """Hear of an event of the log."""

    def ready(self, there: "Host", took_s: float) -> None:
        """Hear that everything is up."""

    async def watch(self, there: "Host") -> None:
        """Show it as it runs, until cancelled."""


class Host:
    """What runs. `run` ends only by cancellation or an error."""

    def __init__(self, wanted: Wanted, watcher: Watcher) -> None:
        self.wanted, self.watcher = wanted, watcher
        self.place = wanted.place
        self.url = ""
        self.supervisor = Supervisor(self.place.children, self._note)
        self.plane: Plane | None = None

    async def run(self) -> None:
        """Take the data directory, start everything, keep it running."""
        quiet()
        if self.wanted.node and self.wanted.gateway and (why := _no_gateway(self.wanted)):
            self.watcher.warn(f"no gateway: {why}; {UNSERVED}")
            self.wanted = replace(self.wanted, gateway=False)
        _check_packages(self.wanted.services)
        held = await _hold(self.place)
        began = anyio.current_time()
        try:
            for name in await self.supervisor.end_leftovers():
                self.watcher.note(f"ended a {name} that had outlived its supervisor")
            async with anyio.create_task_group() as tasks:
                try:
                    await self._serve(tasks, began)
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop()
            os.close(held)

    async def _serve(self, tasks: anyio.abc.TaskGroup, began: float) -> None:
        chosen = await self._start_bus(tasks)
        async with await self._connected(chosen) as bus:
            await bus.set_up(embedded.plan(self.place) if self.wanted.embeds else None)
            head = await bus.head()
            plane = self.plane = Plane(bus, node=self.wanted.node, after=head.last)
            if self.watcher.folds:
                plane.picture = (await sight(bus)).picture
            async with anyio.create_task_group() as watching:
                watching.start_soon(plane.hear_leaders)
                watching.start_soon(self._follow, plane)
                watching.start_soon(self.watcher.watch, self)
                tasks.start_soon(self.supervisor.rotate_logs)
                for name in self.wanted.services:
                    if name == NODE_RUNNER and self.wanted.gateway:
                        await plane.until_gateway(GATEWAY_WITHIN_S)
                    tasks.start_soon(self.supervisor.keep, self._service(name))
                await plane.until_ready(self.wanted.services)
                self.watcher.ready(self, anyio.current_time() - began)
                await anyio.sleep_forever()

    async def _follow(self, plane: Plane) -> None:
        """Follow the log; whoever only looks must stop nobody when it cannot."""
        try:
            await plane.follow(self._show)
        except BusError as error:
            self.watcher.note(f"the log is not followed any longer: {error}")

    def _show(self, record: Record) -> None:
        self.watcher.show(record)
        said = record.event
        if isinstance(said, GatewayJoined) and said.node == self.wanted.node:
            for words in said.limits:
                self.watcher.warn(f"gateway: {words}")

    async def _start_bus(self, tasks: anyio.abc.TaskGroup) -> Settings:
        if not self.wanted.embeds:
            chosen = settings(self._env(), url=self.wanted.nats)
            self.url = chosen.shown_url
            return chosen
        port = embedded.choose_port(self.place, self.wanted.port)
        self.url = f"nats://127.0.0.1:{port}"
        await tasks.start(self.supervisor.keep, embedded.program(self.place, port))
        return Settings(url=self.url)

    async def _connected(self, chosen: Settings) -> Bus:
        """Connect as soon as the bus is there; a bus of one's own that dies is told of at once."""
        give_up_at = anyio.current_time() + BUS_WITHIN_S
        while True:
            try:
                bus = await connect(chosen, name=f"up.{host()}", wait=False)
            except BusUnreachableError:
                server = self.supervisor.programs.get(embedded.NAME)
                if server is None or anyio.current_time() > give_up_at:
                    raise
                if server.restarts or not server.pid:
                    raise FailedError(
                        "\n  ".join(["the bus does not start:", *server.last_words()]),
                        f"its log: {server.log}",
                    ) from None
                await anyio.sleep(0.02)
            else:
                if self.wanted.embeds:
                    self.place.bus_url.write_text(f"{self.url}\n", encoding="utf-8")
                return bus

    def _service(self, name: str) -> Program:
        command = [sys.executable, "-m", f"segue_{name}"]
        if name == NODE_RUNNER and self.wanted.node:
            command += ["--node", self.wanted.node, *self.wanted.node_arguments]
        if name == GATEWAY and self.wanted.node:
            command += ["--node", self.wanted.node, *self._gateway_arguments()]
        # A gateway that is killed leaves its proxy at work, for the next one to take over.
        orphaned = signal.SIGKILL if name == GATEWAY else signal.SIGTERM
        return Program(name, command, self._env(), self.place.log(name), orphaned=orphaned)

    def _gateway_arguments(self) -> list[str]:
        """Give the gateway folders of its own: another `segue up` here may have the same node."""
        base = per_node.folder("/run/segue", "XDG_RUNTIME_DIR", f"/tmp/{os.geteuid()}")  # noqa: S108 — last resort.
        mark = hashlib.sha256(bytes(self.place.path)).hexdigest()[:8]
        folders = ["--state", str(self.place.path / GATEWAY), "--runtime", f"{base}/up-{mark}"]
        return [*folders, *shlex.split(os.environ.get(GATEWAY_FLAGS, ""))]

    def _env(self) -> dict[str, str]:
        """Give what services find in their environment: which bus, and nothing of another."""
        fence = {"SEGUE_FENCE": str(self.place.path / "fence")}
        if self.wanted.embeds:
            env = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")}
            return fence | env | {"NATS_URL": self.url}
        env = fence | dict(os.environ)
        if self.wanted.context:
            env.pop("NATS_URL", None)
            env["NATS_CONTEXT"] = self.wanted.context
        if self.wanted.nats:
            env["NATS_URL"] = self.wanted.nats
        return env

    def _note(self, program: Program, text: str) -> None:
        if program.unable and self.plane is not None:
            self.plane.give_up_gateway(program.unable)
            self.watcher.warn(
                f"no gateway: {program.unable}; {UNSERVED} (--no-gateway: say nothing)"
            )
            return
        if program.pid and program.starts == 1:
            return
        complaint = "" if program.pid else program.complaint()
        self.watcher.note(f"{program.name} {text}" + (f": {complaint}" if complaint else ""))

    async def _stop(self) -> None:
        """End the services, then the bus they speak on."""
        self.place.bus_url.unlink(missing_ok=True)
        await self.supervisor.stop([n for n in self.supervisor.programs if n != embedded.NAME])
        await self.supervisor.stop([embedded.NAME])


async def _hold(place: DataDir) -> int:
    """Take the lock. A command that looks who holds it holds it for a moment itself."""
    for _ in range(HELD_TRIES):
        held = place.hold()
        if held is not None:
            return held
        await anyio.sleep(0.05)
    raise already_running(place)


def already_running(place: DataDir) -> FailedError:
    """Say that there is one already."""
    pid = place.holder()
    return FailedError(
        f"a `segue up` runs on {place.path} already" + (f", as process {pid}" if pid else ""),
        "`segue down` stops it; --data names another directory",
    )


def may_kill() -> bool:
    """Tell whether what is started here may kill processes of any user, as a fencer must."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> CAP_KILL & 1)
    return False


def _no_gateway(wanted: Wanted) -> str:
    """Say why there can be no gateway, if that is known before it is tried."""
    if importlib.util.find_spec(f"segue_{GATEWAY}") is None:
        return "the package segue-gateway is not installed here: install it"
    words = wanted.node_arguments
    engine = words[words.index("--docker") + 1] if "--docker" in words else ""
    if engine and not engine.startswith("unix://"):
        return f"the engine at {engine} is not on this host: run segue-gateway where it is"
    return ""


def _check_packages(services: Sequence[str]) -> None:
    for name in services:
        if importlib.util.find_spec(f"segue_{name}") is None:
            package = f"segue-{name.replace('_', '-')}"
            raise InvalidError(
                f"the package {package} is not installed here",
                f"`uv tool install 'segue[all]'` brings every service, or install {package}",
            )
