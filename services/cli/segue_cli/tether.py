"""Become another program that is told to end when its supervisor dies, however it dies.

    python -I -S tether.py SUPERVISOR_PID SIGNAL PROGRAM ARGUMENT…

A killed supervisor cannot end what it started, so the kernel does: `PR_SET_PDEATHSIG` sends it
to whoever asked for it once the parent is gone, and stays set over `exec`. It is asked for here,
after the fork and in a process of its own, because code between fork and exec (`preexec_fn`) may
deadlock in a program with threads. Costs 15 ms a start. Elsewhere than on Linux nothing is asked.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, then become the program."""
    supervisor, how, program, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(supervisor):
        sys.exit("the supervisor died before this program began")
    os.execv(program, [program, *arguments])  # noqa: S606 — to become it is the point.


if __name__ == "__main__":
    main()
