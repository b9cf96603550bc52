"""Run the health monitor as a process; no logic."""

import argparse
import sys
import time
from contextlib import aclosing, suppress

import anyio
import msgspec
from segue.beats import NODE_BEATS, NodeBeat
from segue.bus import Bus
from segue.samples import (
    CONTAINER_SAMPLES,
    GATEWAY_SAMPLES,
    SERVICE_SAMPLES,
    GatewaySample,
    NodeSample,
    service_sample,
)
from segue.shell import command
from segue.shell.pump import Pump

from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.gauge import Gauge
from segue_health_monitor.leases import LeasesHeard, Watch

_BEATS = (NODE_BEATS, msgspec.json.Decoder(NodeBeat))


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled."""
    pump = Pump(HealthMonitor(), bus, instance=arguments.instance, beats=_BEATS)
    watch, changed = Watch(), anyio.Event()

    async def hear_leases() -> None:
        nonlocal changed
        async with aclosing(bus.leases.heard()) as news:
            async for one in news:
                watch.hear(one, time.monotonic())
                changed.set()

    async def tell_leases() -> None:
        nonlocal changed
        told = LeasesHeard()
        while True:
            now = time.monotonic()
            heard = watch.heard(now)
            if heard != told:
                told = heard
                pump.hear(heard)
            changed = anyio.Event()
            due_s = watch.wake_at - now if watch.wake_at is not None else None
            with anyio.move_on_after(due_s):
                await changed.wait()

    async def hear_all(subjects: str, kind: type[NodeSample | GatewaySample]) -> None:
        decode = msgspec.json.Decoder(kind).decode
        async for _, data in bus.listen(subjects):
            with suppress(msgspec.MsgspecError):  # Nobody may need any one sample.
                pump.hear(decode(data))

    async def hear_services() -> None:
        async for subject, data in bus.listen(SERVICE_SAMPLES):
            with suppress(msgspec.MsgspecError):
                pump.hear(service_sample(subject, data))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hear_all, CONTAINER_SAMPLES, NodeSample)
        tasks.start_soon(hear_all, GATEWAY_SAMPLES, GatewaySample)
        tasks.start_soon(hear_services)
        tasks.start_soon(hear_leases)
        tasks.start_soon(tell_leases)
        tasks.start_soon(Gauge(bus, pump).run)
        await pump.run()


def main() -> None:
    """Run until stopped."""
    about = "Judges nodes, containers and services, and whether the log has room."
    flags = command.parser("health_monitor", about)
    sys.exit(command.run("health_monitor", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
