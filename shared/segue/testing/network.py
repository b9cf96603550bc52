"""A network of a test's own: a namespace for each host and one switch that a test can make faulty.

    host 1 ─┐
    host 2 ─┼─ switch (a bridge in a namespace of its own) ─── the test's own namespace
    host 3 ─┘

Every fault is a rule on the switch: frames vanish, no link goes down, nobody is told. So a fault
can hold in one direction or between two hosts only. Names and addresses come from a site, a number
with a lock; what a killed test run has left on the site is removed first.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

HOSTS_MAX = 5
_SITES = range(16)
_OUTSIDE = 14  # The test's own place among the 14 addresses of a site.
_ANY = 0
_GONE_WITHIN_S = 30.0
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Network:
    """Hosts are numbered from 1. Use `build` and `remove`, or `segue.testing.hosts`."""

    def __init__(self, hosts: int) -> None:
        assert 1 <= hosts <= HOSTS_MAX, f"a network has 1 to {HOSTS_MAX} hosts"
        self._lock, self.site = _locked_site()
        self.numbers = range(1, hosts + 1)
        self.name = f"segue-bed-{self.site}"
        self._lost: set[tuple[int, int]] = set()  # From whom, to whom.
        self._ruling = threading.Lock()
        self.remove()

    def namespace(self, number: int) -> str:
        """Name a host's namespace."""
        return f"{self.name}-{number}"

    def address(self, number: int) -> str:
        """Give a host's address; the block is set aside for documents and routed by nobody."""
        return f"198.51.100.{self.site * 16 + number}"

    def build(self) -> None:
        """Make the switch, the namespaces and the wires."""
        switch = self._switch
        _ip(f"netns add {switch}")
        _ip(f"-n {switch} link add br0 type bridge")
        _ip(f"-n {switch} link set br0 up")
        _ip(f"link add {self._outside} type veth peer name p{_OUTSIDE} netns {switch}")
        _ip(f"-n {switch} link set p{_OUTSIDE} master br0 up")
        _ip(f"addr add {self.address(_OUTSIDE)}/28 dev {self._outside}")
        _ip(f"link set {self._outside} up")
        for number in self.numbers:
            host = self.namespace(number)
            _ip(f"netns add {host}")
            _ip(f"link add eth0 netns {host} type veth peer name p{number} netns {switch}")
            _ip(f"-n {switch} link set p{number} master br0 up")
            _ip(f"-n {host} link set lo up")
            _ip(f"-n {host} addr add {self.address(number)}/28 dev eth0")
            _ip(f"-n {host} link set eth0 up")
        self._rule()

    def remove(self) -> None:
        """End whoever is left in the namespaces, and remove them with their wires."""
        for name in (self._switch, *(self.namespace(n) for n in range(1, HOSTS_MAX + 1))):
            if not pathlib.Path("/run/netns", name).exists():
                continue
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, check=False)
            for pid in found.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip(f"netns del {name}")
        wire = pathlib.Path("/sys/class/net", self._outside)
        with contextlib.suppress(subprocess.CalledProcessError):  # It goes with its other end.
            if wire.exists():
                _ip(f"link del {self._outside}")
        end = time.monotonic() + _GONE_WITHIN_S
        while wire.exists():
            assert time.monotonic() < end, f"{self._outside} does not go"
            time.sleep(0.01)

    def release(self) -> None:
        """Give the site to others."""
        self._lock.close()

    def inside(self, number: int, act: Callable[[], T]) -> T:
        """Do something within a host's namespace; a socket that is opened there stays there."""

        def enter_and_act() -> T:
            with pathlib.Path("/run/netns", self.namespace(number)).open("rb") as namespace:
                if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns failed")
            return act()

        with ThreadPoolExecutor(1) as thread:  # The namespace is a thread's, and ends with it.
            return thread.submit(enter_and_act).result()

    def cut(self, number: int) -> None:
        """Let a host neither hear nor be heard."""
        self._lose((number, _ANY), (_ANY, number))

    def mute(self, number: int) -> None:
        """Let a host hear everything and be heard by nobody."""
        self._lose((number, _ANY))

    def deafen(self, number: int) -> None:
        """Let a host be heard by everybody and hear nothing."""
        self._lose((_ANY, number))

    def part(self, one: int, other: int) -> None:
        """Let two hosts not hear each other; others hear both."""
        self._lose((one, other), (other, one))

    def mend(self, number: int) -> None:
        """Undo every fault that concerns a host."""
        with self._ruling:
            self._lost = {pair for pair in self._lost if number not in pair}
            self._rule()

    @property
    def _switch(self) -> str:
        return f"{self.name}-switch"

    @property
    def _outside(self) -> str:
        return self.name

    def _lose(self, *pairs: tuple[int, int]) -> None:
        with self._ruling:
            self._lost.update(pairs)
            self._rule()

    def _rule(self) -> None:
        """Put all rules in force at once."""
        rules = []
        for sender, hearer in sorted(self._lost):
            left = f'iifname "p{sender}" ' if sender != _ANY else ""
            right = f'oifname "p{hearer}" ' if hearer != _ANY else ""
            rules.append(f"add rule bridge faults forward {left}{right}drop\n")
        subprocess.run(
            ["ip", "netns", "exec", self._switch, "nft", "-f", "-"],
            input="add table bridge faults\n"
            "add chain bridge faults forward { type filter hook forward priority 0; }\n"
            "flush chain bridge faults forward\n" + "".join(rules),
            text=True,
            check=True,
        )


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def _locked_site() -> tuple[socket.socket, int]:
    """Take a site; an abstract socket is a lock for the whole machine that leaves no file."""
    for site in _SITES:
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0segue-bed-{site}")
        except OSError:
            lock.close()
        else:
            return lock, site
    raise RuntimeError(f"all {len(_SITES)} sites for test networks are taken")
