"""Run the autoscaler as a process; no logic."""

import argparse
import sys

from segue.bus import Bus
from segue.shell import command
from segue.shell.pump import Pump

from segue_autoscaler.core import Autoscaler


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled."""
    await Pump(Autoscaler(), bus, instance=arguments.instance).run()


def main() -> None:
    """Run until stopped."""
    about = "Decides how many replicas a service has by its load, and says why."
    flags = command.parser("autoscaler", about)
    sys.exit(command.run("autoscaler", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
