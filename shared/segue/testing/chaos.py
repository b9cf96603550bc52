"""Faults at random on a whole Segue on many hosts, and people who want something else all the time.

Every fault ends by itself after a while, as a supervisor or an operator would end it. What was done
is counted. Nothing is judged here.
"""

import contextlib
import os
import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine

import anyio

from segue.envelope import encode
from segue.events import Event
from segue.events.deploy import DeployRequested
from segue.events.node import NodeDrainRequested, NodeUncordonRequested
from segue.events.scale import ScaleRequested
from segue.log import Message
from segue.testing.bed import Bed
from segue.testing.crowd import crowd
from segue.testing.hosts import Host

APPS = ("shop", "cafe")
REPLICAS_MOST = 12
FAULT_EVERY_S, WISH_EVERY_S = (0.5, 4.0), (0.3, 2.0)


Step = Callable[[], object]


class Chaos:
    """`run` it for a while, then `calm` it; `faults` and `wishes` tell what there was."""

    def __init__(self, bed: Bed, seed: int) -> None:
        self.bed, self.dice = bed, random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.wishes: Counter[str] = Counter()
        self._hit: set[object] = set()  # What a fault has in its hands now.

    async def run(self, for_s: float) -> None:
        """Break things and change wishes, without a pause."""
        with anyio.move_on_after(for_s):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._supervise)
                tasks.start_soon(self._wish)
                while True:
                    await anyio.sleep(self.dice.uniform(*FAULT_EVERY_S))
                    tasks.start_soon(self.dice.choice(self._kinds))

    async def calm(self) -> None:
        """Undo every fault."""
        await anyio.to_thread.run_sync(self.bed.hosts.restore)
        await anyio.to_thread.run_sync(self.bed.servers.restore)
        self._hit.clear()
        self._start_dead()
        for host in self.bed.hosts:
            await self._ask(NodeUncordonRequested(node=host.name))

    @property
    def _kinds(self) -> list[Callable[[], Coroutine[None, None, None]]]:
        services = [self._kill_service, self._freeze_service] * 3
        others = [self._kill_container, self._kill_engine, self._freeze_engine]
        servers = [self._kill_server, self._freeze_server]
        return [*services, *others, *servers, self._cut_host, self._lose_host]

    async def _supervise(self) -> None:
        while True:
            self._start_dead()
            await anyio.sleep(0.3)

    def _start_dead(self) -> None:
        for key, service in self.bed.services.items():
            if service not in self._hit:
                service.thaw()
            if self.bed.homes[key] not in self._hit:
                service.start()

    # Faults.

    async def _for(self, name: str, what: object, do: Step, undo: Step) -> None:
        """Hold a fault for a while, unless another one has its hands on the same thing."""
        if what in self._hit:
            return
        self.faults[name] += 1
        self._hit.add(what)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(do)
        try:
            await anyio.sleep(self.dice.uniform(0.5, 8.0))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(undo)
            self._hit.discard(what)

    def _host(self) -> Host:
        return self.bed.hosts[self.dice.randint(1, len(self.bed.hosts))]

    async def _kill_service(self) -> None:
        key = self.dice.choice(list(self.bed.services))
        service = self.bed.services[key]
        if service in self._hit or self.bed.homes[key] in self._hit:
            return
        self.faults["service killed"] += 1
        await anyio.to_thread.run_sync(service.kill)

    async def _freeze_service(self) -> None:
        service = self.dice.choice(list(self.bed.services.values()))
        await self._for("service frozen", service, service.freeze, service.thaw)

    async def _kill_container(self) -> None:
        found = self._host().processes()
        if found:
            self.faults["container killed"] += 1
            for pid in self.dice.choice(found).pids:
                with contextlib.suppress(ProcessLookupError):  # It dies with the first of them.
                    os.kill(pid, signal.SIGKILL)

    async def _kill_engine(self) -> None:
        host = self._host()
        if host not in self._hit:
            await self._for("engine killed", host.engine, host.engine.kill, self._restart(host))

    async def _freeze_engine(self) -> None:
        host = self._host()
        if host not in self._hit and host.engine not in self._hit:
            await self._for("engine frozen", host.engine, host.engine.freeze, host.engine.thaw)

    def _restart(self, host: Host) -> Callable[[], None]:
        return lambda: None if host in self._hit else host.engine.start()

    async def _kill_server(self) -> None:
        server = self.dice.choice(self.bed.servers.servers)
        if server.host not in self._hit and server.running:
            await self._for("bus server killed", server, server.kill, server.start)

    async def _freeze_server(self) -> None:
        server = self.dice.choice(self.bed.servers.servers)
        if server.host not in self._hit and server.running:
            await self._for("bus server frozen", server, server.freeze, server.thaw)

    async def _cut_host(self) -> None:
        host = self._host()
        await self._for("host cut off", host.address, host.cut, host.mend)

    async def _lose_host(self) -> None:
        host = self._host()
        server = self.bed.servers[host.number]
        if server in self._hit or host.engine in self._hit:
            return

        def lose() -> None:
            host.cut()
            host.kill()

        await self._for("host lost", host, lose, host.restore)

    # What people want.

    async def _wish(self) -> None:
        drained: str | None = None
        number = 0
        while True:
            await anyio.sleep(self.dice.uniform(*WISH_EVERY_S))
            app, replicas = self.dice.choice(APPS), self.dice.randint(1, REPLICAS_MOST)
            number += 1
            chance = self.dice.random()
            if drained and chance < 0.3:
                await self._ask(NodeUncordonRequested(node=drained))
                drained = None
            elif not drained and chance < 0.1:
                drained = self._host().name
                await self._ask(NodeDrainRequested(node=drained))
            elif chance < 0.5:
                self.wishes[DeployRequested.type] += 1
                await self._insist(crowd(replicas, f"c{number}", app))
            else:
                await self._ask(ScaleRequested(app=app, service="web", replicas=replicas))

    async def _ask(self, event: Event) -> None:
        self.wishes[event.type] += 1
        said = encode(event, id=str(uuid.uuid4()), source="/test", time=time.time(), actor="test")
        await self._insist(said)

    async def _insist(self, message: Message) -> None:
        await self.bed.insist(message, within_s=120)
