"""Many hosts on one machine: each with a network, a Docker engine and processes of its own.

A host is a network namespace and a cgroup. Whatever is run on it is born in both, containers too,
so that a host can be cut off, frozen at one instant and ended as by a pulled plug. What runs is
told from the kernel's own tables, also while an engine is dead or frozen.
"""

import contextlib
import functools
import http.client
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from segue.testing.engine import EngineRefusedError, PrivateEngine
from segue.testing.network import HOSTS_MAX, Network
from segue.testing.process import Process

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_BIRTH = (
    'echo $$ >"$1"; net=$2; shift 2; echo -10 2>/dev/null >/proc/$$/autogroup || :; '
    'exec nsenter --net="$net" -- "$@"'
)
_FROZEN_WITHIN_S = 60.0


class Unit(Protocol):
    """What a host starts again after it was killed."""

    @property
    def running(self) -> bool:
        """Tell whether it lives."""
        ...

    def start(self) -> object:
        """Start it again."""
        ...

    def kill(self) -> None:
        """End it at once; no harm if it is dead already."""
        ...


class Running(msgspec.Struct, frozen=True):
    """A container in which at least one process lives.

    It has begun once its runtime, which makes ready for it, has made way for its program: of many
    that are started at once all have a process long before the first begins.
    """

    container: str
    labels: dict[str, str]
    pids: list[int]
    begun: bool


class HostEngine(PrivateEngine):
    """A private engine that lives on a host."""

    def __init__(
        self, namespace: str, cgroup: str, enter: Sequence[str], *, live_restore: bool = True
    ) -> None:
        self.namespace = namespace
        super().__init__(live_restore=live_restore, cgroup=cgroup, enter=enter)

    def _make_bridge(self) -> None:
        ip = ["ip", "-n", self.namespace]
        shown = subprocess.run(
            [*ip, "link", "show", self._bridge], capture_output=True, check=False
        )
        if shown.returncode == 0:
            return
        for line in (
            f"link add {self._bridge} type bridge",
            f"addr add {self.subnet}.1/22 dev {self._bridge}",
            f"link set {self._bridge} up",
        ):
            subprocess.run([*ip, *line.split()], check=True)


class Host:
    """One host; `Hosts` makes it. `units` is what was started on it, besides its engine."""

    def __init__(self, network: Network, number: int, folder: pathlib.Path) -> None:
        self.network, self.number, self.folder = network, number, folder
        self.name = f"host-{number}"
        self.address = network.address(number)
        self.units: list[Unit] = []
        self._down: list[Unit] = []
        self._known: dict[str, dict[str, str]] = {}  # Labels, by container.
        self.cgroup = network.namespace(number)
        _thaw(self.cgroup)  # A run that was killed may have left it frozen.
        self.engine = HostEngine(network.namespace(number), self.cgroup, self.enter)
        self.engine.root.mkdir(mode=0o711, exist_ok=True)

    @property
    def enter(self) -> list[str]:
        """A command that runs the words after it on this host; they keep its process id.

        A host stands for a machine of its own: what else this one has to do comes after it.
        """
        procs = _tree(self.cgroup) / "host" / "cgroup.procs"
        net = f"/run/netns/{self.network.namespace(self.number)}"
        return ["nice", "-n", "-10", "sh", "-ec", _BIRTH, "sh", str(procs), net]

    def run(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Run a program on this host, with its output in `<name>.log`."""
        log = self.folder / f"{name}.log"
        process = Process(name, [*self.enter, *argv], log, environment)
        self.units.append(process)
        return process

    def do(self, line: str) -> str:
        """Run a shell's line on this host to its end; give what it prints."""
        command = [*self.enter, "sh", "-ec", line]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        """Start the engine, and what was running when the host was killed."""
        (_tree(self.cgroup) / "host").mkdir(parents=True, exist_ok=True)
        self.engine.start()
        down, self._down = self._down, []
        for unit in down:
            if not unit.running:
                unit.start()

    def kill(self) -> None:
        """End everything on it at one instant; peers hear it from its kernel unless cut off."""
        self._down += [unit for unit in self.units if unit.running]
        self.freeze()
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _thaw(self.cgroup)
        for unit in self.units:
            unit.kill()
        for process in ("dockerd", "containerd"):
            self.engine.kill(process)
        while self._pids():
            time.sleep(0.005)

    def freeze(self) -> None:
        """Stop every process on it, those of containers too; its kernel goes on."""
        _freeze(self.cgroup)

    def thaw(self) -> None:
        """Let every process go on."""
        _thaw(self.cgroup)

    def cut(self) -> None:
        """Let it neither hear nor be heard; see `Network` for faults in one direction."""
        self.network.cut(self.number)

    def mend(self) -> None:
        """Undo every fault of the network that concerns it."""
        self.network.mend(self.number)

    def restore(self) -> None:
        """Undo every fault: mend, thaw, and start what was killed."""
        self.mend()
        self.thaw()
        self.engine.thaw()
        self.start()

    def processes(self) -> list[Running]:
        """Tell what runs in containers, without asking the engine."""
        found = []
        for folder in sorted(_tree(self.cgroup).glob("*/")):
            pids = sorted(living(folder))
            if folder.name != "host" and pids:
                begun = any(not _is_runtime(pid) for pid in pids)
                found.append(Running(folder.name, self._labels(folder.name), pids, begun))
        return found

    def pids(self, program: str) -> list[int]:
        """Tell which of its processes run a program."""
        found = []
        for pid in self._pids():
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == program:
                    found.append(pid)
        return found

    def end(self) -> None:
        """End it for good and remove every trace of it."""
        with contextlib.suppress(OSError):
            _thaw(self.cgroup)
        for unit in self.units:
            unit.kill()
        self.engine.stop()

    def _labels(self, container: str) -> dict[str, str]:
        """Read what the engine has written down of a container, once: it never changes."""
        if container in self._known:
            return self._known[container]
        file = self.engine.root / "data/containers" / container / "config.v2.json"
        try:
            found: dict[str, str] = json.loads(file.read_bytes())["Config"]["Labels"] or {}
        except (FileNotFoundError, json.JSONDecodeError):
            return {}  # It is being removed; what still runs is told of all the same.
        self._known[container] = found
        return found

    def _pids(self) -> set[int]:
        return living(_tree(self.cgroup))


class Hosts:
    """Hosts 1 to `count` with their engines, each of which has busybox. Use it in `with`."""

    def __init__(self, count: int, folder: pathlib.Path) -> None:
        self.network = Network(count)
        self._all: list[Host] = []
        self._folder = folder

    def __enter__(self) -> Self:
        """Build the network, and start all engines at once."""
        try:
            self.network.build()
            for number in self.network.numbers:
                folder = self._folder / f"host-{number}"
                folder.mkdir(parents=True, exist_ok=True)
                self._all.append(Host(self.network, number, folder))
            _at_once([functools.partial(_made_ready, host) for host in self._all])
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
        """End everything; nothing is left of any host."""
        self._end()

    def __getitem__(self, number: int) -> Host:
        """Give a host by its number, which begins with 1."""
        return self._all[number - 1]

    def __iter__(self) -> Any:
        """Give every host."""
        return iter(self._all)

    def __len__(self) -> int:
        """Count the hosts."""
        return len(self._all)

    def restore(self) -> None:
        """Undo every fault on every host."""
        _at_once([host.restore for host in self._all])

    def clear(self) -> None:
        """Remove every container, network and volume that Segue has made, on every host."""
        _at_once([functools.partial(_cleared, host.engine) for host in self._all])

    def _end(self) -> None:
        with contextlib.ExitStack() as stack:  # Each step is taken whatever the others raise.
            stack.callback(self.network.release)
            stack.callback(self.network.remove)
            for host in self._all:
                stack.callback(host.end)


def _made_ready(host: Host) -> None:
    host.start()
    host.engine.load_busybox()


def _cleared(engine: PrivateEngine) -> None:
    clusters = {(one["Labels"] or {}).get("segue.cluster", "") for one in engine.containers()}
    for kind in ("networks", "volumes"):
        with contextlib.suppress(EngineRefusedError, http.client.HTTPException):
            found = engine.ask("GET", f"/{kind}", filters={"label": ["segue.cluster"]})
            items = found if kind == "networks" else found["Volumes"] or []
            clusters |= {item["Labels"]["segue.cluster"] for item in items}
    for cluster in clusters - {""}:
        engine.clear(cluster)


def _at_once(steps: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(HOSTS_MAX) as pool:
        for done in [pool.submit(step) for step in steps]:
            done.result()


def _tree(cgroup: str) -> pathlib.Path:
    """Find the tree that can freeze: the only one, or the freezer's own (cgroup v1)."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    return (_CGROUPS if unified else _CGROUPS / "freezer") / cgroup


def living(tree: pathlib.Path) -> set[int]:
    """Give the processes of a cgroup and of those below it, which may go while they are read."""
    found: set[int] = set()
    for folder, _, _ in os.walk(tree):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in pathlib.Path(folder, "cgroup.procs").read_text().split()}
    return found


def _is_runtime(pid: int) -> bool:
    """Tell whether a container's process is its runtime still."""
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return not words or words.startswith(b"runc\0init")  # Between two programs it has none.
    return True  # It has gone meanwhile.


def _freeze(cgroup: str) -> None:
    tree = _tree(cgroup)
    if (switch := tree / "cgroup.freeze").exists():
        switch.write_text("1")
        state, wanted = tree / "cgroup.events", "frozen 1"
    else:
        switch = state = tree / "freezer.state"
        wanted = "FROZEN"
        switch.write_text(wanted)
    end = time.monotonic() + _FROZEN_WITHIN_S
    looks = 0
    while wanted not in state.read_text().splitlines():
        assert time.monotonic() < end, f"{cgroup} does not freeze"
        time.sleep(0.001)
        looks += 1
        if switch is state and looks % 200 == 0:  # Who joins meanwhile may be missed for ever.
            switch.write_text("THAWED")
            switch.write_text(wanted)


def _thaw(cgroup: str) -> None:
    tree = _tree(cgroup)
    for name, word in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
        if (tree / name).exists():
            (tree / name).write_text(word)
