"""Run the fencer: one for each host, beside the node runner, needing neither it nor anything else.

    every 0.1 s:  whose time is over?  kill it, and again for as long as its time is over

It knows no bus and no engine, starts nothing and decides nothing: the node runner writes by when
its strict containers must be dead unless their lease is renewed. A runner that hangs, an engine
that hangs and a wire that is cut cannot keep it from its work. One that may not kill what is not
its own gives no sign of life: nobody must count on it.
"""

import argparse
import importlib.metadata
import os
import pathlib
import signal
import socket
import sys
import time

from segue_fencer import processes
from segue_fencer.deadlines import Deadlines

EVERY_S = 0.1
ALIVE_FILE = "fencer.alive"  # Touched at every look: a runner takes no strict slot without it.
ENDS = {signal.SIGTERM, signal.SIGINT}
FOLDER = "/run/segue/fence"
MEND = "run it as root, or with the capability CAP_KILL"


def say(words: str) -> None:
    """Say a line where the supervisor keeps it; a full disk or a closed pipe stops nothing."""
    try:
        sys.stderr.write(f"segue-fencer: {words}\n")
        sys.stderr.flush()
    except OSError:
        return


def notify(words: str) -> None:
    """Tell systemd, if it is there (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(words.encode(), address)
    except OSError:
        return


def look(deadlines: Deadlines, told: dict[str, str]) -> None:
    """Kill what is overdue now; tell of each container and of each unreadable file once."""
    overdue = deadlines.overdue(time.clock_gettime(time.CLOCK_BOOTTIME))
    if overdue:
        for pid, container in processes.of_containers(overdue).items():
            if processes.kill(pid, container) and container not in told:
                told[container] = ""
                say(f"killed container {container[:12]}: the node's lease was not renewed")
    for container in [one for one in told if len(one) == 64 and one not in overdue]:
        del told[container]
    for file, problem in deadlines.problems.items():
        if told.get(file) != problem:
            told[file] = problem
            say(f"{file}: {problem}; what was read before stands")


def alive(folder: pathlib.Path) -> None:
    """Leave a sign of life, by its time of change."""
    try:
        (folder / ALIVE_FILE).touch()
    except OSError as error:
        say(f"cannot write to {folder}: {error}")


def run(folder: pathlib.Path) -> None:
    """Watch the folder until a signal asks for the end."""
    deadlines = Deadlines(folder)
    told: dict[str, str] = {}
    able = processes.may_kill()
    say(f"watches {folder}")
    if not able:
        say(
            "may not kill other users' processes: what may run only once is not taken here; " + MEND
        )
    notify("READY=1")
    while signal.sigtimedwait(ENDS, EVERY_S) is None:
        look(deadlines, told)
        if able:
            alive(folder)
        notify("WATCHDOG=1")


def main() -> None:
    """Run until stopped."""
    flags = argparse.ArgumentParser(prog="segue-fencer", description=__doc__.split("\n")[0])
    flags.add_argument(
        "--folder",
        type=pathlib.Path,
        default=pathlib.Path(os.environ.get("SEGUE_FENCE") or FOLDER),
        metavar="DIR",
        help="where node runners write their deadlines (default: SEGUE_FENCE, or %(default)s)",
    )
    version = importlib.metadata.version("segue-fencer")
    flags.add_argument("--version", action="version", version=f"segue-fencer {version}")
    folder: pathlib.Path = flags.parse_args().folder
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        run(folder)
    except OSError as error:
        sys.exit(f"segue-fencer: {folder}: {error}; give a folder in memory with --folder")


if __name__ == "__main__":
    main()
