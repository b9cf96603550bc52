"""The simulated bus: the log behind wires that lose, delay, double and cut.

A write may be stored though its answer is lost, or stored late, after its writer has given up
waiting. While the servers elect a leader nothing is stored, but core messages flow; while they are
down nothing flows at all. The store may be lost, or come back older than it was. Followers lag,
each in its own way, and are never out of order.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from segue.log import Fence, Head, Message, Outcome, Stored
from segue.testing.simlog import SimLog
from segue.testing.world.sim import Sim
from segue.testing.world.writes import Write

EPOCH_S = 1_000_000_000.0  # The log's clock at the beginning.


class Trouble(msgspec.Struct):
    """How badly the wires behave; all shares are 0 in calm times."""

    ack_lost: float = 0.0
    write_lost: float = 0.0
    write_late: float = 0.0
    core_lost: float = 0.0
    core_doubled: float = 0.0
    slow: float = 0.0  # A message takes up to a second instead of milliseconds.
    lag: float = 0.0  # A delivery to a follower waits up to two seconds.


Way = Literal["both", "in", "out"]  # What a cut wire does not carry, seen from the host.


class Client(Protocol):
    """A process with a connection: what the bus may call."""

    name: str
    host: str
    subjects: Sequence[str]
    run: int  # Counts its starts: what was meant for an earlier one is nothing to this one.

    @property
    def listens(self) -> Sequence[str]:
        """The core messages that it subscribes to."""

    def online(self, head: Head) -> None:
        """The bus is there."""

    def offline(self) -> None:
        """The bus is away."""

    def deliver(self, batch: list[Stored], upto: int) -> None:
        """The log goes on."""

    def position(self) -> int:
        """How far it has read."""

    def told(self, subject: str, data: bytes) -> None:
        """A core message arrived."""

    def answered(self, number: int, outcome: Outcome) -> None:
        """What became of a write."""


class SimBus:
    """One log and its clients."""

    def __init__(self, sim: Sim) -> None:
        self.sim, self.log, self.trouble = sim, SimLog(), Trouble()
        self.clients: dict[str, Client] = {}
        self.cut: dict[str, Way] = {}  # Hosts whose wire does not carry that way.
        self.down = self.electing = False
        self.replicated = False  # Three servers that agree on every write.
        self.under_way: dict[str, None] = {}  # Fences of writes not agreed on yet.
        self.stores = 0  # How often the store was replaced.
        self.stale: dict[str, None] = {}  # Processes that have not seen it yet.
        self.replaced: Callable[[], None] = lambda: None  # Called when the store was.
        self.snapshots: dict[int, bytes] = {}
        self.late: dict[str, None] = {}  # Ids of messages that were kept on the way.
        self.returned: Callable[[float], None] = lambda _: None  # Told how long it was down.
        self.grown: Callable[[], None] = lambda: None  # Called when the log may have grown.
        self._apart: dict[str, None] = {}  # Of the cut hosts those whose clients have not noticed.
        self._down_at = 0.0
        self._due: dict[str, bool] = {}
        self._heard_by: dict[str, list[str]] = {}  # Forgotten when a client comes or goes.

    @property
    def time(self) -> float:
        """The log's clock."""
        return EPOCH_S + self.sim.now

    def reaches(self, host: str) -> bool:
        """Tell whether a host has a way to the servers and back."""
        return not self.down and host not in self.cut

    def speaks(self, host: str) -> bool:
        """Tell whether what a host says gets to the servers."""
        return not self.down and self.cut.get(host, "in") == "in"

    def hears(self, host: str) -> bool:
        """Tell whether what the servers say gets to a host."""
        return not self.down and self.cut.get(host, "out") == "out"

    def join(self, client: Client) -> None:
        """Connect a process, or let it try until it can."""
        self.clients[client.name] = client
        self._heard_by = {}
        self._online(client.name)

    def leave(self, client: Client) -> None:
        """End a process's connection."""
        self.clients.pop(client.name, None)
        self._heard_by = {}

    def _online(self, name: str) -> None:
        client = self.clients.get(name)
        if client is None:
            return
        if not self.reaches(client.host) or self.electing:
            self.sim.at(self.sim.between(0.2, 0.8), self._online, name)
            return
        self.stale.pop(name, None)
        client.online(self.log.head(self.time))
        self._schedule(name)

    def asked_head(self, client: Client) -> Head | None:
        """Say where the log ends, if a process can ask and is told."""
        unheard = self.electing or client.name in self.stale or not self.reaches(client.host)
        return None if unheard else self.log.head(self.time)

    def set_cut(self, host: str, *, cut: bool, way: Way = "both") -> None:
        """Cut or mend a host's wire. The servers' and clients' pings notice after a while.

        A wire that carries one way only is closed then: it carries no answer to a ping.
        """
        self._apart.pop(host, None)
        if cut:
            self.cut[host] = way
            self.sim.at(self.sim.between(2, 6), self._close, host)
        else:
            self.cut.pop(host, None)
        for client in list(self.clients.values()):
            if client.host == host:
                self.sim.at(self.sim.between(2, 6), self._notice, client.name)

    def set_apart(self, host: str, *, apart: bool) -> None:
        """Cut a host off together with its own server: the clients there notice nothing."""
        if apart:
            self.cut[host], self._apart[host] = "both", None
            return
        if self._apart.pop(host, "seen") == "seen":
            self.set_cut(host, cut=False)
            return
        self.cut.pop(host, None)
        for client in list(self.clients.values()):
            if client.host == host:
                self._schedule(client.name)

    def _close(self, host: str) -> None:
        if host in self.cut:
            self.cut[host] = "both"

    def replace(self, cluster: str, upto: int) -> None:
        """Replace the store by one of which only the first messages are the same."""
        self.log.rewind(cluster, upto)
        self.stores += 1
        self.stale = dict.fromkeys(self.clients)
        self.snapshots = {at: data for at, data in self.snapshots.items() if at <= upto}
        self.replaced()

    def set_down(self, *, down: bool) -> None:
        """Stop or start the servers."""
        if down:
            self._down_at = self.sim.now
        elif self.down:
            self.returned(self.sim.now - self._down_at)
        self.down, self._apart = down, {}
        for client in list(self.clients.values()):
            delay = self.sim.between(0, 0.1) if down else self.sim.between(0.1, 0.8)
            self.sim.at(delay, self._notice, client.name)

    def _notice(self, name: str) -> None:
        client = self.clients.get(name)
        if client is None:
            return
        if self.reaches(client.host):
            self._online(name)
        else:
            self._apart.pop(client.host, None)
            client.offline()

    # The log.

    def write(
        self, client: Client, number: int, messages: list[Message], fence: Fence | None
    ) -> None:
        """Take a write on its way; the answer comes through `answered`, at the latest in time."""
        Write(self, client, number, messages, fence).send()

    def delay(self) -> float:
        """Draw how long a message takes."""
        if self.sim.chance(self.trouble.slow):
            return self.sim.between(0.02, 1.0)
        return self.sim.between(0.0002, 0.003)

    def say(self, messages: list[Message]) -> None:
        """Store what a program outside says; it repeats until it is stored."""
        if self.down or self.electing:
            self.sim.at(0.5, self.say, messages)
            return
        self.log.append(messages, None, self.time)
        self.news()

    def news(self) -> None:
        """Tell everyone that the log may have grown."""
        self.grown()
        for name in self.clients:
            self._schedule(name)

    def _schedule(self, name: str) -> None:
        if not self._due.get(name):
            self._due[name] = True
            lags = self.sim.chance(self.trouble.lag)
            self.sim.at(self.sim.between(0.1, 2) if lags else self.delay(), self._deliver, name)

    def _deliver(self, name: str) -> None:
        self._due[name] = False
        client = self.clients.get(name)
        if client is None or name in self.stale or not self.hears(client.host):
            return
        position = client.position()
        end = len(self.log.stored)
        if position >= end:
            return
        if end - position > 1 and self.sim.chance(0.2):
            end = self.sim.random.randint(position + 1, end)  # Half a batch may be seen first.
        batch = [s for s in self.log.stored[position:end] if wants(client, s.subject)]
        client.deliver(batch, end)
        if end < len(self.log.stored):
            self._schedule(name)

    # Core messages.

    def tell(self, host: str, subject: str, data: bytes) -> None:
        """Pass a core message on to everyone who listens, if it gets there."""
        if not self.speaks(host):
            return
        for name in self._hearers(subject):
            if self.sim.chance(self.trouble.core_lost):
                self.sim.mark("core.lost")
                continue
            times = 1
            if self.sim.chance(self.trouble.core_doubled):
                self.sim.mark("core.doubled")
                times = 2
            for _ in range(times):
                self.sim.at(self.delay(), self._told, name, subject, data)

    def _hearers(self, subject: str) -> list[str]:
        names = self._heard_by.get(subject)
        if names is None:
            names = self._heard_by[subject] = [
                client.name
                for client in self.clients.values()
                if any(covers(pattern, subject) for pattern in client.listens)
            ]
        return names

    def _told(self, name: str, subject: str, data: bytes) -> None:
        client = self.clients.get(name)
        if client is not None and self.hears(client.host):
            client.told(subject, data)


def wants(client: Client, subject: str) -> bool:
    """Tell whether a client follows a subject; one without filters follows all."""
    return not client.subjects or _covered(tuple(client.subjects), subject)


@functools.cache
def _covered(patterns: tuple[str, ...], subject: str) -> bool:
    return any(covers(pattern, subject) for pattern in patterns)


@functools.cache
def covers(pattern: str, subject: str) -> bool:
    """Match a subject against a filter with `*` and a last `>`."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(given) > index
        if index >= len(given) or token not in ("*", given[index]):
            return False
    return len(wanted) == len(given)
