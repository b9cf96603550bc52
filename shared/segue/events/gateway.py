"""What happens to gateways, one on each host, and to what they lead to: a container of a service.

joined ⇄ left

    container ready  ─→ endpoint.ready    (every live gateway leads to it)
    container retired ─→ endpoint.drained (none leads to it any more, and nothing flows)
"""

from typing import Literal

from segue.events.base import Event


class GatewayEvent(Event, scope=("node",)):
    """Common to all: the gateway of which node."""

    node: str


class GatewayJoined(GatewayEvent, type="gateway.joined"):
    """A gateway is at work on the node. Gateways and the node's runner react.

    Containers that start there from now on find services by its names and addresses. `session`
    names this run of it: a second one under the same name is refused.
    """

    session: str
    address: str  # Where other nodes' gateways reach this one; empty: nowhere but on this host.
    port: int = 7443
    mesh: Literal["mtls", "plain"] = "mtls"  # plain: encrypted, but nobody's certificate is asked.
    proxy: str = ""  # "HAProxy 2.6.12"
    limits: list[str] = []  # What it cannot do on this host, one sentence each.
    version: str = ""  # Segue's own.
    names: bool = False  # Services have addresses on the host, and it answers names there.


class GatewayLeft(GatewayEvent, type="gateway.left"):
    """The gateway was stopped on purpose. The node's runner reacts: nothing leads there now."""

    reason: str = "stopped"


class EndpointEvent(Event, scope=("app", "service", "slot", "node")):
    """Common to both: which container, on which node; its node's gateway says it."""

    app: str
    service: str
    slot: int
    node: str
    attempt: int


class EndpointReady(EndpointEvent, type="endpoint.ready"):
    """Every live gateway leads to the container. The deployer reacts: the older one may go."""

    unheard: list[str] = []  # Nodes whose gateways were not waited for: silent, or behind.


class EndpointDrained(EndpointEvent, type="endpoint.drained"):
    """No live gateway leads to the retired container any more. The node's runner stops it."""

    in_flight: int = 0  # Connections that were still open when the time was up.
    unheard: list[str] = []  # Nodes whose gateways were not waited for: silent, or behind.
