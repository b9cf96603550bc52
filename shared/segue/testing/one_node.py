"""A cluster that consists of one node runner, a real engine and a real bus, for its own tests.

What deployer and scheduler would say is said by hand; nothing here decides anything.
"""

import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from segue.envelope import Record
from segue.events.container import ContainerAssigned, ContainerRetired, ContainerStarted
from segue.events.deploy import DeployAccepted
from segue.events.node import NodeJoined
from segue.spec import AppSpec, ServiceSpec, digest
from segue.testing.cluster import Cluster, Service, running
from segue.testing.engine import BUSYBOX, Engine, PrivateEngine

NODE = "node-a"
SLEEP = ["sleep", "1000"]


class OneNode:
    """A cluster that consists of one node runner, and what is said to it."""

    def __init__(self, cluster: Cluster, engine: Engine) -> None:
        self.cluster, self.engine = cluster, engine
        self.revision = 0

    async def deploy(self, command: list[str] | None = None, app: Any = None, **runs: Any) -> None:
        """Accept a revision of `shop` whose service `web` runs a command."""
        self.revision += 1
        given: dict[str, Any] = {"image": BUSYBOX, "network_mode": "none"}
        given |= {"container": {"Cmd": command or SLEEP}} | runs
        self.spec = AppSpec(services={"web": ServiceSpec(**given)}, **(app or {}))
        await self.cluster.say(DeployAccepted(app="shop", revision=self.revision, spec=self.spec))

    def names(self, attempt: int, slot: int) -> dict[str, Any]:
        """Name a container on the node."""
        return {"app": "shop", "service": "web", "slot": slot, "attempt": attempt, "node": NODE}

    async def assign(self, attempt: int = 1, slot: int = 1, moves: int = 0) -> None:
        """Order a container, as the scheduler would."""
        names, mark = self.names(attempt, slot), digest(self.spec, "web")
        await self.cluster.say(
            ContainerAssigned(**names, revision=self.revision, digest=mark, moves=moves)
        )

    async def retire(self, attempt: int = 1, slot: int = 1) -> None:
        """Want a container gone, as the deployer would."""
        await self.cluster.say(
            ContainerRetired(**self.names(attempt, slot), reason="scaled", grace_s=1.0)
        )

    async def up(self, attempt: int = 1, slot: int = 1, moves: int = 0) -> Record:
        """Assign a container and wait for its start."""
        await self.assign(attempt, slot, moves)
        return await self.cluster.wait_event(ContainerStarted, attempt=attempt, slot=slot)

    @property
    def runner(self) -> Service:
        """The runner's process."""
        return self.cluster["node_runner", NODE]

    async def restart(self) -> Record:
        """Kill the runner and start it again."""
        head = await self.cluster.head()
        self.runner.kill()
        self.cluster.start("node_runner", NODE)
        return await self.cluster.wait_event(NodeJoined, after=head)


@asynccontextmanager
async def one_node(folder: pathlib.Path, engine: Engine) -> AsyncIterator[OneNode]:
    """Run it, joined, until the block ends."""
    async with running(folder) as cluster:
        cluster.start_node(NODE, engine)
        await cluster.wait_event(NodeJoined, node=NODE)
        try:
            yield OneNode(cluster, engine)
        finally:
            if isinstance(engine, PrivateEngine):
                engine.restore()  # A frozen engine removes nothing.
