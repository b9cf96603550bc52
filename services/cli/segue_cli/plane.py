"""What is known of the services of one host: who leads, what has come up, what the log says.

It listens and folds; it starts nothing, and nothing follows from it but what is shown.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import anyio
import msgspec
from segue.bus import Bus, BusError
from segue.envelope import ERRORS, Record
from segue.events.gateway import GatewayJoined
from segue.events.node import NodeJoined
from segue.picture import Picture
from segue.shell.commands import Beat
from segue.shell.what_if import Answer

from segue_cli.asking import records

LEADING = ("deployer", "scheduler", "health_monitor", "autoscaler")
NODE_RUNNER = "node_runner"
FENCER = "fencer"
GATEWAY = "gateway"
LED_FOR_S = 2.0  # A leader that has not beaten for that long is not shown as one.
ASKED_EVERY_S = 2.0


class Plane:
    """The control plane as it is seen from the bus. `after`: the log's end before it began."""

    def __init__(self, bus: Bus, *, node: str | None, after: int) -> None:
        self.bus, self.node, self.after = bus, node, after
        self.leaders: dict[str, tuple[str, float]] = {}  # Instance, and when it was last heard.
        self.sequences: dict[str, int] = {}  # How far each has read.
        self.picture: Picture | None = None
        self.joined = node is None
        self.gateway: GatewayJoined | None = None  # As it has described itself since.
        self.no_gateway = ""  # Why there is none and will be none.
        self.last = after
        self._heard: set[str] = set()
        self._news = anyio.Event()

    def missing(self, wanted: Sequence[str]) -> list[str]:
        """Name what has not come up yet."""
        missing = [name for name in wanted if name in LEADING and name not in self._heard]
        if GATEWAY in wanted and not self.gateway_settled:
            missing.append(GATEWAY)
        return missing if self.joined else [*missing, f"node {self.node}"]

    @property
    def gateway_settled(self) -> bool:
        """Tell whether the node's gateway has joined, or never will."""
        return self.gateway is not None or bool(self.no_gateway)

    def give_up_gateway(self, why: str) -> None:
        """Know that there will be no gateway here."""
        self.no_gateway = why
        self._news.set()

    async def until_gateway(self, within_s: float) -> None:
        """Wait for the gateway, but no longer than that."""
        with anyio.move_on_after(within_s):
            while not self.gateway_settled:
                self._news = anyio.Event()
                await self._news.wait()

    async def until_ready(self, wanted: Sequence[str]) -> None:
        """Wait until every service is led and the node has joined."""
        while self.missing(wanted):
            self._news = anyio.Event()
            await self._news.wait()

    def leader(self, service: str) -> str:
        """Name who leads a service now, as far as it is heard."""
        instance, heard_at = self.leaders.get(service, ("", 0.0))
        return instance if anyio.current_time() - heard_at < LED_FOR_S else ""

    async def hear_leaders(self) -> None:
        """Listen to beats until cancelled."""
        decode = msgspec.json.Decoder(Beat).decode
        with self.bus.listen("beat.*.*") as beats:
            async for subject, data in beats:
                service = subject.split(".")[1]
                if service not in LEADING:
                    continue
                try:
                    beat = decode(data)
                except ERRORS:
                    continue
                self.leaders[service] = (beat.instance, anyio.current_time())
                self._heard.add(service)
                self._news.set()

    async def follow(self, show: Callable[[Record], None]) -> None:
        """Follow the log until cancelled."""
        after = self.picture.state.sequence if self.picture else self.after
        async with aclosing(records(self.bus, after)) as news:
            async for record in news:
                self.last = record.sequence
                if self.picture is not None:
                    self.picture.fold(record)
                event = record.event
                if record.sequence > self.after:
                    if isinstance(event, NodeJoined) and event.node == self.node:
                        self.joined = True
                    if isinstance(event, GatewayJoined) and event.node == self.node:
                        self.gateway = event
                    show(record)
                self._news.set()

    async def ask_sequences(self) -> None:
        """Ask services how far they have read, again and again until cancelled."""
        while True:
            for service in LEADING:
                sequence = await read_to(self.bus, service)
                if sequence is not None:
                    self.sequences[service] = sequence
            await anyio.sleep(ASKED_EVERY_S)


async def read_to(bus: Bus, service: str, *, timeout_s: float = 2.0) -> int | None:
    """Ask how far an instance of a service has read the log; None when nobody answers."""
    try:
        answer = await bus.ask(f"rpc.{service}.what_if", b'{"events":[]}', timeout_s=timeout_s)
        return msgspec.json.decode(answer, type=Answer).sequence
    except (BusError, msgspec.MsgspecError):
        return None
