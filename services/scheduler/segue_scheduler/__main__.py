"""Run the scheduler as a process; no logic."""

import argparse
import sys

from segue.bus import Bus
from segue.shell import command
from segue.shell.pump import Pump

from segue_scheduler.core import Scheduler


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled."""
    await Pump(Scheduler(), bus, instance=arguments.instance).run()


def main() -> None:
    """Run until stopped."""
    flags = command.parser(
        "scheduler", "Decides which node runs each requested container, and says why."
    )
    sys.exit(command.run("scheduler", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
