"""A node runner's core with a host that does nothing by itself, for tests of what it owes.

What the engine has and says is said by hand; what the core decides goes into the log at once.
"""

from typing import Any, TypeVar

from segue_node_runner import news
from segue_node_runner.core import NodeRunner
from segue_node_runner.effects import List
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity

from segue.events import Event
from segue.events.container import ContainerAssigned, ContainerRetired
from segue.events.deploy import DeployAccepted
from segue.spec import AppSpec, ServiceSpec
from segue.testing.shop import Shop

Effect = TypeVar("Effect")

WEB = ServiceSpec(image="shop:1", stop_grace_s=7.0)
FACTS = news.Facts(
    cpu_millicores=4_000,
    memory_bytes=8 << 30,
    disk_bytes=1,
    hostname="host",
    platform="linux/amd64",
    engine="docker",
    api_version="1.41",
    live_restore=True,
    images=["shop:0"],
)


def web(attempt: int = 1, slot: int = 1) -> Identity:
    """Name a container of `shop/web`."""
    return Identity("shop", "web", slot, attempt)


def has(identity: Identity, state: Any = "running", **more: Any) -> Found:
    """Say that the engine has a container."""
    return Found(
        identity=identity,
        engine_id=f"id-{identity.attempt}",
        name=identity.slot_name,
        cluster="",
        state=state,
        exit_code=0 if state == "exited" else None,
        **more,
    )


class Host(Shop):
    """Node `a` with its runner, joined and with nothing on its engine, and an app to run."""

    def __init__(self, *there: Found, session: str = "s-a", **services: ServiceSpec) -> None:
        self.core = NodeRunner("a", session)
        super().__init__(self.core)
        self.say(DeployAccepted(app="shop", revision=1, spec=AppSpec(services or {"web": WEB})))
        self.hear(FACTS)
        self.shows(*there)

    def hear(self, *said: Any) -> list[Event]:
        """Tell the core some news; give what it says about it."""
        for one in said:
            self.core.hear(one, self.now)
        return self.settle()

    def shows(self, *there: Found, **more: Any) -> list[Event]:
        """Answer the newest question for all that the engine has."""
        self.settle()
        asked = [effect for effect in self.effects if isinstance(effect, List)][-1]
        return self.hear(news.Inventory(list(there), number=asked.number, **more))

    def order(
        self, attempt: int = 1, slot: int = 1, service: str = "web", moves: int = 0
    ) -> ContainerAssigned:
        """Assign a container to the node."""
        event = self.assign(self.ask(service, slot, attempt, moves=moves))
        self.settle()
        return event

    def brought_up(self, attempt: int = 1, slot: int = 1) -> ContainerAssigned:
        """Assign a container and let it start."""
        event = self.order(attempt, slot)
        self.done(attempt, slot)
        return event

    def done(self, attempt: int = 1, slot: int = 1, **more: Any) -> list[Event]:
        """Let a start succeed."""
        identity = web(attempt, slot)
        return self.hear(news.StartDone(identity=identity, found=has(identity), **more))

    def retire(self, event: ContainerAssigned) -> None:
        """Want a container gone."""
        self.tells(ContainerRetired, event, reason="scaled", grace_s=3.0)

    def wants(self, kind: type[Effect]) -> list[Effect]:
        """Give the effects of a kind that came since this was last asked."""
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]
        return found
