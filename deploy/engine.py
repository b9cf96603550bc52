"""Start a Docker engine on a host whose init system does not, and end that one and no other.

    engine.py start FOLDER    start dockerd, with its log and its process in FOLDER
    engine.py stop FOLDER     end what `start` has started, if it still runs

Runs on the host's own Python as root. A process is known by its id and its start time, so that a
number which the kernel has given away again is left alone.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

STOP_S = 20.0


def main(action: str, folder: pathlib.Path) -> int:
    """Do what the command line says; return the exit code."""
    record = folder / "dockerd.process"
    if action == "start":
        stop(record)  # What an interrupted run has left; it does not answer.
        mount_cgroups()
        start(record, folder / "dockerd.log")
    elif action == "stop":
        stop(record)
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


def start(record: pathlib.Path, log: pathlib.Path) -> None:
    """Start dockerd with its defaults, in a session of its own that Ctrl-C does not reach."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
    record.write_text(f"{child.pid} {started_at(child.pid)}\n")


def stop(record: pathlib.Path) -> None:
    """End dockerd as it wishes to be ended; it takes its containers along."""
    with contextlib.suppress(OSError, ValueError):
        pid, began = map(int, record.read_text().split())
        if started_at(pid) == began:
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + STOP_S
            while started_at(pid) == began and time.monotonic() < end:
                time.sleep(0.05)
            if started_at(pid) == began:
                os.kill(pid, signal.SIGKILL)
    record.unlink(missing_ok=True)


def started_at(pid: int) -> int:
    """Give when a process began, in ticks since the host's start; 0 if it is no more."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def mount_cgroups() -> None:
    """Mount control groups where nobody has: an engine needs them in any version."""
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    if any(line.split()[2] in ("cgroup", "cgroup2") for line in mounts):
        return
    if program := shutil.which("cgroupfs-mount"):
        subprocess.run([program], check=True)
    else:
        subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else "", pathlib.Path(*sys.argv[2:3])))
