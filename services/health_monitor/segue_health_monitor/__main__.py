"""Run the health monitor as a process; no logic."""

import argparse
import sys

import msgspec
from segue.beats import NODE_BEATS, NodeBeat
from segue.bus import Bus
from segue.shell import command
from segue.shell.pump import Pump

from segue_health_monitor.core import HealthMonitor

_BEATS = (NODE_BEATS, msgspec.json.Decoder(NodeBeat))


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled."""
    await Pump(HealthMonitor(), bus, instance=arguments.instance, beats=_BEATS).run()


def main() -> None:
    """Run until stopped."""
    about = "Judges nodes by their beats, containers by their health, services by their flapping."
    flags = command.parser("health_monitor", about)
    sys.exit(command.run("health_monitor", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
