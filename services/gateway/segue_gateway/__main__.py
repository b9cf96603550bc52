"""Run the gateway as a process: one for each host; no logic but its order of starting.

What was applied last is applied before anything else: the host goes on without a bus.
"""

import argparse
import functools
import importlib.metadata
import ipaddress
import os
import pathlib
import socket
import sys
import uuid
from collections.abc import Callable

import anyio
import anyio.abc
import msgspec
from segue import asks
from segue.beats import GATEWAY_BEATS, GatewayBeat
from segue.bus import Bus, BusError
from segue.events.gateway import GatewayJoined
from segue.shell import command, per_node
from segue.shell.errors import UnableError
from segue.shell.patience import patiently
from segue.shell.pump import Pump

from segue_gateway import flags, installed, limits, sampler, says
from segue_gateway.addresses import Addresses
from segue_gateway.certificates import Certificates
from segue_gateway.core import Gateway
from segue_gateway.hands import Adapter, Hands
from segue_gateway.proxy import Proxy
from segue_gateway.responder import Names
from segue_gateway.walls import Openings, Walls

READY_WITHIN_S = 5.0


class Host:
    """What is at work on the host before, and while, there is a bus."""

    def __init__(self) -> None:
        self.hands: Hands | None = None
        self.limits: list[str] = []
        self.proxy = ""
        self.bus: Bus | None = None
        self.joined: Callable[[], bool] = lambda: False
        self._claim: socket.socket | None = None  # Held as long as this process lives.

    async def begin(self, arguments: argparse.Namespace, tasks: anyio.abc.TaskGroup) -> None:
        """Do what was done last; `tasks` end with the process."""
        try:
            binary = installed.find()
            self.proxy = await installed.version(binary)
        except installed.MissingError as error:
            raise UnableError(str(error)) from error
        self.limits = await limits.check(arguments.pool)
        if not self.limits:
            self._claim, taken = limits.claim()
            self.limits += taken
        state = pathlib.Path(arguments.state) / arguments.node
        folder = pathlib.Path(arguments.runtime) / arguments.node
        setting = flags.setting(arguments, folder)
        proxy = Proxy(binary, setting, Certificates(state / "certificates", self._fetch))
        others: list[Adapter] = []
        if not self.limits:
            names = Names()
            web = (arguments.http_port, arguments.https_port)
            others = [Addresses(), Walls(Openings(arguments.pool, web=web)), names]
            tasks.start_soon(names.run)
        self.hands = Hands(state / "table.json", proxy, others)
        if (kept := self.hands.remembered()) is not None:
            await self.hands.apply(kept.table)
        tasks.start_soon(proxy.run)
        tasks.start_soon(self.hands.run)
        tasks.start_soon(self._ready)

    async def _ready(self) -> None:
        """Let what comes behind it start once it has joined; soon in any case."""
        with anyio.move_on_after(READY_WITHIN_S):
            while not self.joined():  # noqa: ASYNC110 — the log tells it, in no single place.
                await anyio.sleep(0.05)
        per_node.notify_ready()

    async def _fetch(self, digest: str) -> bytes | None:
        if self.bus is None:
            raise BusError("the bus is away")
        return await self.bus.get("files", digest)

    async def serve(self, bus: Bus, arguments: argparse.Namespace) -> None:
        """Serve on a connected bus until cancelled, then say that the gateway leaves."""
        hands = self.hands
        assert hands is not None, "it has begun"
        self.bus = hands.bus = bus
        await patiently(bus, lambda: _refuse_second(bus, arguments.node))
        session = uuid.uuid4().hex
        me = GatewayJoined(
            node=arguments.node,
            session=session,
            address=flags.address(arguments),
            port=arguments.mesh_port,
            mesh=arguments.mesh,
            proxy=self.proxy,
            limits=[*self.limits, *flags.limits(arguments)],
            version=importlib.metadata.version("segue-gateway"),
            names=not self.limits,
        )
        kept = hands.remembered()
        core = Gateway(me, kept.held if kept else {}, arguments.pool)
        beats = (GATEWAY_BEATS, msgspec.json.Decoder(GatewayBeat))
        pump = Pump(
            core, bus, instance=arguments.node, leads=False, perform=hands.perform, beats=beats
        )
        hands.hear, hands.held = pump.hear, lambda: core.held
        here = msgspec.json.encode(asks.Here(arguments.node, session))

        async def answer(_: bytes) -> bytes:
            return here

        async def tell(_: bytes) -> bytes:
            return msgspec.json.encode(await hands.facts())

        self.joined = lambda: core.has_joined
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(bus.serve, _ping(arguments.node), answer)
                await tasks.start(bus.serve, asks.gateway_subject(arguments.node, "facts"), tell)
                tasks.start_soon(sampler.run, bus, arguments.node, hands.proxy)
                await pump.run()
        finally:
            if not arguments.keep:
                with anyio.CancelScope(shield=True):
                    with anyio.move_on_after(per_node.LEAVE_TIMEOUT_S):
                        await _leave(core, pump)
                    await hands.proxy.stop()
                    if not core.picture.on_node.get(arguments.node):
                        await hands.clear()


def _ping(node: str) -> str:
    return asks.gateway_subject(node, "ping")


async def _refuse_second(bus: Bus, node: str) -> None:
    await per_node.refuse_second(bus, _ping(node), "gateway", node)


async def _leave(core: Gateway, pump: Pump) -> None:
    known = core.picture.gateways.get(core.me.node)
    if known is None or known.left or known.facts.session != core.me.session:
        return
    left, source = says.left(core.me.node), f"/segue/gateway/{core.me.node}"
    await per_node.say_left(pump, left, source, core.me.session, core.fence())


async def _check(pool: ipaddress.IPv4Network) -> int:
    """Tell what a gateway could not do on this host; nothing and 0: it can do everything."""
    try:
        await installed.version(installed.find())
    except installed.MissingError as error:
        sys.stdout.write(f"it cannot run here: {error}\n")
        return command.UNABLE
    found = await limits.check(pool)
    sys.stdout.write("".join(f"{words}\n" for words in found))
    return 1 if found else 0


def main() -> None:
    """Run until stopped."""
    os.umask(0o077)
    arguments = flags.flags().parse_args()
    if arguments.check:
        sys.exit(anyio.run(_check, arguments.pool))
    host = Host()
    run = functools.partial(command.run, before=host.begin)
    sys.exit(run("gateway", flags.flags(), host.serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
