"""Run the deployer as a process; no logic."""

import argparse
import sys

from segue.bus import Bus
from segue.shell import command
from segue.shell.pump import Pump

from segue_deployer.core import Deployer


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled."""
    await Pump(Deployer(), bus, instance=arguments.instance, saves=True).run()


def main() -> None:
    """Run until stopped."""
    flags = command.parser(
        "deployer",
        "Decides what is to run: answers requests, fills slots, ends what is not wanted.",
    )
    sys.exit(command.run("deployer", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
