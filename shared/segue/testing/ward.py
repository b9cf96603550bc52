"""Let nodes beat or fall silent around a health monitor, for tests of what it makes of that."""

from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.nodes import GRACE_S

from segue.beats import NodeBeat
from segue.events import Event
from segue.testing.shop import Shop


class Ward(Shop):
    """A health monitor whose grace is over, and nodes that beat when they are told to."""

    def __init__(self, nodes: str = "a", *, beats_s: float = GRACE_S) -> None:
        self.monitor = HealthMonitor()
        super().__init__(self.monitor, nodes=nodes)
        self.settle()
        self.beat(nodes, for_s=beats_s)

    def beat(self, nodes: str, *, for_s: float) -> list[Event]:
        """Let these nodes beat every half second."""
        said: list[Event] = []
        for _ in range(round(for_s * 2)):
            self.now += 0.5
            for node in nodes:
                self.monitor.hear(NodeBeat(node, f"s-{node}"), self.now)
            said += self.settle()
        return said

    def silence(self, for_s: float) -> list[Event]:
        """Wake the monitor whenever it wants to be woken, and tell it nothing."""
        end, said = self.now + for_s, self.settle()
        while (wake_at := self.monitor.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            said += self.settle()
        self.now = end
        return said + self.settle()

    def phase(self, node: str) -> str:
        """Tell how a node is judged."""
        return self.picture.nodes[node].phase
