"""A whole Segue on many hosts: three bus servers, two of each control service, runners, fencers.

`hosts` and `servers` are shared by the tests of a module; a `Bed` is one Segue on them with a log
of its own. What runs is told from the kernel's tables, so that no engine has to answer.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio

from segue.bus import Bus, Plan, connect
from segue.events.node import NodeJoined
from segue.testing.cluster import CONTROL, Cluster, Service
from segue.testing.hosts import Host, Hosts
from segue.testing.nats_cluster import NatsCluster
from segue.testing.process import Process

LOG_BYTES_MAX = 1 << 30
B = TypeVar("B", bound="Bed")


class Bed(Cluster):
    """Everything of one Segue on many hosts; use `standing` to get one."""

    def __init__(self, folder: Path, hosts: Hosts, servers: NatsCluster, bus: Bus) -> None:
        super().__init__(folder, servers.servers[0], bus)
        self.hosts, self.servers = hosts, servers
        self.homes: dict[tuple[str, str], Host] = {}
        self.fencers: dict[Host, Process] = {}

    def start(
        self, name: str, instance: str = "a", *extra: str, host: Host | None = None
    ) -> Service:
        """Start an instance of a service on a host, or start it again where it was."""
        key = (name, instance)
        host = host or self.homes[key]
        if old := self.services.get(key):
            old.kill()
            extra = extra or tuple(old.extra)
            self.homes[key].units.remove(old)
        service = Service(
            name,
            instance,
            self.folder,
            self.servers.url,
            list(extra),
            enter=host.enter,
            # As installed: a start does not compile everything anew.
            environment={**self.servers.environment, "PYTHONDONTWRITEBYTECODE": ""},
        )
        self.services[key], self.homes[key] = service, host
        host.units.append(service)
        return service

    def start_instances(self, services: Sequence[str] = CONTROL, /, **instances: int) -> None:
        """Start deployer, scheduler and health monitor: which instance on which host."""
        for name in services:
            for instance, number in instances.items():
                self.start(name, instance, host=self.hosts[number])

    def start_runners(self, *more: str) -> None:
        """Start a fencer and a node runner on each host; the node is called as the host."""
        for host in self.hosts:
            self.engines[host.name] = host.engine
            folders = {name: str(host.folder / name) for name in ("state", "run", "fence")}
            for folder in folders.values():
                Path(folder).mkdir(exist_ok=True)
            command = [sys.executable, "-m", "segue_fencer", "--folder", folders["fence"]]
            self.fencers[host] = host.run("fencer", command)
            words = ["--node", host.name, "--docker", host.engine.url, "--fence", folders["fence"]]
            words += ["--state", folders["state"], "--runtime", folders["run"], *more]
            self.start("node_runner", host.name, *words, host=host)

    def running(self, app: str = "shop", *, begun: bool = False) -> dict[str, list[str]]:
        """Give, by slot (`web.3`), the hosts on which a process of it lives, or it has `begun`."""
        found: dict[str, list[str]] = {}
        for host in self.hosts:
            for one in host.processes():
                if one.labels.get("segue.app") == app and one.begun >= begun:
                    slot = f"{one.labels['segue.service']}.{one.labels['segue.slot']}"
                    found.setdefault(slot, []).append(host.name)
        return found

    async def joined(self, after: int = 0) -> None:
        """Wait until the runner of every host has said that it is there."""
        for host in self.hosts:
            await self.wait_event(NodeJoined, node=host.name, after=after)

    async def close(self) -> None:
        """Undo every fault, stop every process, remove every container."""
        await anyio.to_thread.run_sync(self.hosts.restore)
        await anyio.to_thread.run_sync(self.servers.restore)
        await anyio.to_thread.run_sync(self.stop_services)
        await self.bus.close()
        for key, service in self.services.items():
            self.homes[key].units.remove(service)
        for host, fencer in self.fencers.items():
            await anyio.to_thread.run_sync(fencer.stop)
            host.units.remove(fencer)
        await anyio.to_thread.run_sync(self.hosts.clear)


@asynccontextmanager
async def built(
    kind: type[B], folder: Path, hosts: Hosts, servers: NatsCluster
) -> AsyncIterator[B]:
    """Give a Segue with a fresh log and no process yet; all of it ends with the block."""
    await servers.forget()
    bus = await connect(servers.settings, name="test")
    try:
        await bus.set_up(Plan(bytes_max=LOG_BYTES_MAX))
        bed = kind(folder, hosts, servers, bus)
    except BaseException:
        await bus.close()
        raise
    try:
        yield bed
    finally:
        with anyio.CancelScope(shield=True):
            await bed.close()


def standing(folder: Path, hosts: Hosts, servers: NatsCluster) -> AbstractAsyncContextManager[Bed]:
    """Give one that is nothing more than a `Bed`."""
    return built(Bed, folder, hosts, servers)
