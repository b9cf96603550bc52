"""A real Docker engine for tests: private, to be killed, frozen and restarted at will.

    site       a number with a lock: gives the engine its folder, subnet, bridge and cgroup
    start ⇄ stop        kill → start        freeze ⇄ thaw        (the same for containerd)

A site is reused, and whatever a killed test run has left on it is ended first, by pid and start
time or by cgroup. Speaks to the engine by HTTP only: the Docker SDK belongs to the node runner.
"""

import contextlib
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segue.testing.leftovers import clear_cgroup, clear_network, end_process, end_shims, start_time

BUSYBOX = "busybox:test"
_SITES = range(32)
_LABEL = "segue.cluster"


class Engine:
    """A Docker engine at a Unix socket, by its HTTP API."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """What `DOCKER_HOST` is set to."""
        return f"unix://{self.path}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout_s: float = 60.0,
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Any:
        """Ask the engine's API; give the answer's JSON, or its bytes where it is none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        line = _UnixConnection(self.path, timeout_s)
        try:
            target = f"{path}?{urllib.parse.urlencode(_texts(query))}" if query else path
            line.request(method, target, data, {"Content-Type": kind, **(headers or {})})
            answer = line.getresponse()
            content = answer.read()
        finally:
            line.close()
        if answer.status >= 400:
            raise EngineRefusedError(answer.status, f"{method} {path}: {content.decode()}")
        is_json = answer.headers.get_content_type() == "application/json"
        with contextlib.suppress(ValueError):
            return json.loads(content) if is_json else content
        return content

    def load_busybox(self, name: str = BUSYBOX) -> str:
        """Make the image `name` from the machine's static busybox, unless it is there; its id."""
        repository, tag = name.rsplit(":", 1)
        try:
            found = self.ask("GET", f"/images/{name}/json")
        except EngineRefusedError:
            self.ask(
                "POST",
                "/images/create",
                _busybox_tar(),
                fromSrc="-",
                repo=repository,
                tag=tag,
                changes='CMD ["sh"]',
            )
            found = self.ask("GET", f"/images/{name}/json")
        return str(found["Id"])

    def containers(self, cluster: str | None = None) -> list[dict[str, Any]]:
        """List containers, ended ones too, of one cluster or all."""
        filters = {"label": [_LABEL if cluster is None else f"{_LABEL}={cluster}"]}
        found: list[dict[str, Any]] = self.ask("GET", "/containers/json", all=1, filters=filters)
        return found

    def clear(self, cluster: str) -> None:
        """Remove every container, network and volume of a cluster."""
        for container in self.containers(cluster):
            with contextlib.suppress(EngineRefusedError):  # It may be going by itself.
                self.ask("DELETE", f"/containers/{container['Id']}", force=1, v=1)
        for kind in ("networks", "volumes"):
            found = self.ask("GET", f"/{kind}", filters={"label": [f"{_LABEL}={cluster}"]})
            for item in found if kind == "networks" else found["Volumes"] or []:
                self.ask("DELETE", f"/{kind}/{item.get('Id') or item['Name']}")


class PrivateEngine(Engine):
    """An engine of one's own with its own containerd, on a site of its own."""

    def __init__(
        self, *, live_restore: bool = True, cgroup: str = "", enter: Sequence[str] = ()
    ) -> None:
        """`enter` is a command that runs the words after it where the engine is to live."""
        self._lock, self.site = _locked_site()
        self.root = _folder(self.site)
        self.live_restore = live_restore
        self.subnet = f"198.{18 + self.site // 16}.{self.site % 16 * 16}"
        self.cgroup = cgroup or f"segue-engine-{self.site}"
        self.enter = list(enter)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__(self.root / "docker.sock")
        self._clear()

    def start(self) -> None:
        """Start what of the engine does not run, and wait until it answers."""
        self.root.mkdir(mode=0o711, exist_ok=True)
        self.start_containerd()
        if not self._runs("dockerd"):
            self._make_bridge()
            (self.root / "daemon.json").write_text("{}")
            (self.root / "docker.pid").unlink(missing_ok=True)
            self._spawn("dockerd", self._dockerd_arguments())
        self._await(lambda: self.ask("GET", "/_ping", timeout_s=2))

    def start_containerd(self) -> None:
        """Start containerd, as a process of its own as every packaged engine has it."""
        if self._runs("containerd"):
            return
        (self.root / "containerd.toml").write_text(
            f"version = 2\n"
            f'root = "{self.root}/containerd"\nstate = "{self.root}/containerd-state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self._containerd_socket}"\n'
        )
        self._containerd_socket.unlink(missing_ok=True)
        self._spawn("containerd", ["--config", str(self.root / "containerd.toml")])
        self._await(lambda: _connect(self._containerd_socket))

    def kill(self, process: str = "dockerd") -> None:
        """End dockerd or containerd as `kill -9` does; containers are left as they are."""
        if child := self._processes.pop(process, None):
            child.kill()
            child.wait()

    def freeze(self, process: str = "dockerd") -> None:
        """Stop dockerd or containerd in its tracks; it keeps its sockets and answers nothing."""
        self._processes[process].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let whatever is frozen go on."""
        for child in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)

    def restore(self) -> None:
        """Undo every fault: thaw, and start what was killed."""
        self.thaw()
        self.start()

    def stop(self) -> None:
        """End the engine with all its containers and remove every trace of it."""
        self.thaw()
        for name in ("dockerd", "containerd"):
            if (child := self._processes.get(name)) and child.poll() is None:
                child.kill()  # What follows ends and removes everything it would tidy up.
                child.wait()
        self._clear()
        self._lock.close()

    @property
    def log(self) -> str:
        """The last of what dockerd wrote."""
        path = self.root / "dockerd.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    @property
    def _containerd_socket(self) -> pathlib.Path:
        return self.root / "containerd.sock"

    def _dockerd_arguments(self) -> list[str]:
        """Nothing is shared with other engines and no setting of the machine is changed."""
        third = int(self.subnet.rsplit(".", 1)[1]) + 8
        pool = f"base={self.subnet.rsplit('.', 1)[0]}.{third}.0/21,size=26"
        arguments = {
            "--config-file": self.root / "daemon.json",
            "--data-root": self.root / "data",
            "--exec-root": self.root / "exec",
            "--pidfile": self.root / "docker.pid",
            "--host": self.url,
            "--containerd": self._containerd_socket,
            "--bridge": self._bridge,
            "--default-address-pool": pool,
            "--cgroup-parent": f"/{self.cgroup}",
            "--exec-opt": "native.cgroupdriver=cgroupfs",
            "--ip-forward=false": None,  # Else dockerd sets the machine's FORWARD policy to DROP.
            "--iptables=false": None,  # Engines that start empty each other's chains.
            "--log-level": "warn",
        }
        if self.live_restore:
            arguments["--live-restore"] = None
        pairs = [
            [name] if value is None else [name, str(value)] for name, value in arguments.items()
        ]
        return [word for pair in pairs for word in pair]

    @property
    def _bridge(self) -> str:
        return f"segue{self.site}"

    def _make_bridge(self) -> None:
        if pathlib.Path("/sys/class/net", self._bridge).exists():
            return
        for line in (
            f"ip link add {self._bridge} type bridge",
            f"ip addr add {self.subnet}.1/22 dev {self._bridge}",
            f"ip link set {self._bridge} up",
            # Where another engine has closed FORWARD, ours must reach each other all the same.
            f"iptables -w -I FORWARD -s {self.subnet}.0/20 -d {self.subnet}.0/20 -j ACCEPT",
        ):
            subprocess.run(line.split(), check=True)

    def _runs(self, name: str) -> bool:
        child = self._processes.get(name)
        return child is not None and child.poll() is None

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [*self.enter, name, *arguments], stdout=log, stderr=log, start_new_session=True
            )
        self._processes[name] = child
        (self.root / f"{name}.process").write_text(f"{child.pid} {start_time(child.pid)}")

    def _await(self, ready: Any, limit_s: float = 240.0) -> None:
        end = time.monotonic() + limit_s
        while True:
            try:
                ready()
            except (OSError, http.client.HTTPException) as error:
                dead = [name for name, c in self._processes.items() if c.poll() is not None]
                if dead or time.monotonic() > end:
                    raise RuntimeError(
                        f"{dead or 'the engine'} did not start: {self.log}"
                    ) from error
                time.sleep(0.01)
            else:
                return

    def _clear(self) -> None:
        """End and remove what stands on the site, whichever run has left it there."""
        for name in ("dockerd", "containerd"):
            end_process(self.root / f"{name}.process")
        end_shims(str(self._containerd_socket))
        clear_cgroup(self.cgroup)
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        for mount in reversed([line.split()[1] for line in mounts]):
            if mount.startswith(f"{self.root}/"):
                subprocess.run(["umount", "--lazy", mount], check=False)
        clear_network(f"{self.subnet}.0/20", self._bridge)
        shutil.rmtree(self.root, ignore_errors=True)


class EngineRefusedError(Exception):
    """The engine answered with an error: its status and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """Give the engine that `SEGUE_TEST_ENGINE` names (a socket's path), else a private one."""
    if chosen := os.environ.get("SEGUE_TEST_ENGINE"):
        engine = Engine(pathlib.Path(chosen.removeprefix("unix://")))
        engine.load_busybox()
        yield engine
        return
    private = PrivateEngine()
    try:
        private.start()
        private.load_busybox()
        yield private
    finally:
        private.stop()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path, timeout_s: float) -> None:
        super().__init__("docker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _connect(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))


def _texts(query: Mapping[str, object]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}


def _folder(site: int) -> pathlib.Path:
    return pathlib.Path(tempfile.gettempdir()) / f"segue-engine-{site}"


def _locked_site() -> tuple[socket.socket, int]:
    """Take a site; an abstract socket is a lock for the whole machine that leaves no file."""
    for site in _SITES:
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0segue-engine-{site}")
        except OSError:
            lock.close()
        else:
            return lock, site
    raise RuntimeError(f"all {len(_SITES)} sites for test engines are taken")


def _busybox_tar() -> bytes:
    """Make a root file system with nothing but busybox and its applets."""
    program = pathlib.Path("/bin/busybox")
    if not program.exists():
        raise RuntimeError("test images are made from /bin/busybox: install busybox-static")
    applets = subprocess.run([program, "--list"], capture_output=True, check=True, text=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "proc", "root", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        files = {
            "bin/busybox": program.read_bytes(),
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
            "etc/group": b"root:x:0:\nnobody:x:65534:\n",
        }
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(entry, io.BytesIO(content))
        for applet in applets.stdout.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(entry)
    return buffer.getvalue()
