"""A whole Segue on many hosts: three bus servers, two of each control service, a runner on each.

`hosts` and `servers` are shared by the tests of a module; a `Bed` is one Segue on them with a log
of its own. What runs is told from the kernel's tables, so that no engine has to answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from segue.bus import Bus, Plan, connect
from segue.events.node import NodeJoined
from segue.log import Message
from segue.testing.cluster import CONTROL, Cluster, Service
from segue.testing.hosts import Host, Hosts
from segue.testing.nats_cluster import NatsCluster

LOG_BYTES_MAX = 1 << 30


class Bed(Cluster):
    """Everything of one Segue on many hosts; use `standing` to get one."""

    def __init__(self, folder: Path, hosts: Hosts, servers: NatsCluster, bus: Bus) -> None:
        super().__init__(folder, servers.servers[0], bus)
        self.hosts, self.servers = hosts, servers
        self.homes: dict[tuple[str, str], Host] = {}

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

    def start_instances(self, **instances: int) -> None:
        """Start deployer, scheduler and health monitor: which instance on which host."""
        for name in CONTROL:
            for instance, number in instances.items():
                self.start(name, instance, host=self.hosts[number])

    def start_runners(self) -> None:
        """Start a node runner on each host; the node is called as the host."""
        for host in self.hosts:
            self.engines[host.name] = host.engine
            for folder in ("state", "run"):
                (host.folder / folder).mkdir(exist_ok=True)
            words = ["--node", host.name, "--docker", host.engine.url]
            words += ["--state", str(host.folder / "state"), "--runtime", str(host.folder / "run")]
            self.start("node_runner", host.name, *words, host=host)

    def running(self, app: str = "shop") -> dict[str, list[str]]:
        """Give, by slot (`web.3`), the hosts on which a process of it lives."""
        found: dict[str, list[str]] = {}
        for host in self.hosts:
            for one in host.processes():
                if one.labels.get("segue.app") == app:
                    slot = f"{one.labels['segue.service']}.{one.labels['segue.slot']}"
                    found.setdefault(slot, []).append(host.name)
        return found

    async def insist(self, message: Message, within_s: float = 60.0) -> int:
        """Store a message as any program must while the bus elects: again, with the same id."""
        with anyio.fail_after(within_s):
            while (outcome := await self.bus.append([message], timeout_s=2)).kind == "unknown":
                await anyio.sleep(0.05)
        assert outcome.kind == "stored", outcome
        return outcome.sequence

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
        await anyio.to_thread.run_sync(self.hosts.clear)


@asynccontextmanager
async def standing(folder: Path, hosts: Hosts, servers: NatsCluster) -> AsyncIterator[Bed]:
    """Give a Segue with a fresh log and no process yet; all of it ends with the block."""
    await servers.forget()
    bus = await connect(servers.settings, name="test")
    try:
        await bus.set_up(Plan(bytes_max=LOG_BYTES_MAX))
        bed = Bed(folder, hosts, servers, bus)
    except BaseException:
        await bus.close()
        raise
    try:
        yield bed
    finally:
        with anyio.CancelScope(shield=True):
            await bed.close()
