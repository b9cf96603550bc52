"""The simulated servers' leases: claimed over bad wires, removed in time, told to who listens.

As measured on the real ones (`segue.bus.leases`): a claim behind any but the newest message is
refused, a marker comes up to a third of a second late and stands for one second.
"""

from collections.abc import Callable

from segue_health_monitor.leases import LeasesHeard, Watch
from segue_node_runner.lease import Look, Renew

from segue.leases import Claimed, Expired, News, Standing, Told, Void
from segue.log import Outcome
from segue.testing.world.bus import SimBus
from segue.testing.world.process import Process

ASK_S, MARKER_LATE_S, MARKER_S = 1.5, 0.33, 1.0
UNKNOWN = Outcome("unknown", reason="no answer")
Answer = Callable[[Outcome | Standing], None]


class SimLeases:
    """All nodes' leases on one bus."""

    def __init__(self, bus: SimBus) -> None:
        self.bus, self.sim = bus, bus.sim
        self.standing: dict[str, Standing] = {}
        self.told: list[News] = []  # In order, for who follows.
        self.ears: list[Ear] = []
        self._sequence = 0

    def ask(self, node: str, act: Look | Renew, answer: Answer) -> None:
        """Take a question on its way; it is answered once, at the latest in time."""
        ask = _Ask(self, node, act, answer)
        self.sim.at(ASK_S, ask.answered, UNKNOWN)
        if self.sim.chance(self.bus.trouble.write_lost):
            return
        late = self.sim.chance(self.bus.trouble.write_late)
        self.sim.at(self.sim.between(1, 12) if late else self.bus.delay(), ask.arrive)

    def claim(self, node: str, renew: Renew) -> Outcome:
        """Store a claim, if it stands behind the newest message."""
        if renew.after != self.standing.get(node, Standing()).sequence:
            self.sim.mark("lease.refused")
            return Outcome("refused")
        self._sequence += 1
        self.standing[node] = Standing(self._sequence, renew.claim)
        self.sim.at(renew.claim.ttl_s, self._expire, node, self._sequence)
        self._tell(Claimed(node, renew.claim))
        return Outcome("stored", self._sequence)

    def _expire(self, node: str, sequence: int) -> None:
        if self.standing.get(node, Standing()).sequence != sequence:
            return
        if self.bus.down or self.bus.electing:
            self.sim.at(0.3, self._expire, node, sequence)
            return
        self.sim.at(self.sim.between(0, MARKER_LATE_S), self._mark, node, sequence)

    def _mark(self, node: str, sequence: int) -> None:
        if self.standing.get(node, Standing()).sequence == sequence:
            self.sim.mark("lease.expired")
            self._sequence += 1
            self.standing[node] = Standing(self._sequence)
            self.sim.at(MARKER_S, self._unmark, node, self._sequence)
            self._tell(Expired(node))

    def _unmark(self, node: str, sequence: int) -> None:
        if self.standing.get(node, Standing()).sequence == sequence:
            del self.standing[node]

    def lost(self) -> None:
        """Forget everything: the store is another."""
        self.standing.clear()

    def _tell(self, news: News) -> None:
        self.told.append(news)
        for ear in self.ears:
            ear.news()


class _Ask:
    """One question on its way."""

    def __init__(self, leases: SimLeases, node: str, act: Look | Renew, answer: Answer) -> None:
        self.leases, self.node, self.act, self._answer = leases, node, act, answer
        self._open = True

    def arrive(self) -> None:
        bus, sim = self.leases.bus, self.leases.sim
        if not bus.speaks(self.node) or bus.electing:
            if sim.chance(0.3):
                sim.at(sim.between(0.2, 8), self.arrive)
            return
        if isinstance(self.act, Renew):
            found: Outcome | Standing = self.leases.claim(self.node, self.act)
        else:
            found = self.leases.standing.get(self.node, Standing())
        if not sim.chance(bus.trouble.ack_lost):
            sim.at(bus.delay(), self._heard, found)

    def _heard(self, found: Outcome | Standing) -> None:
        if self.leases.bus.hears(self.node):
            self.answered(found)

    def answered(self, found: Outcome | Standing) -> None:
        """Pass an answer on, unless one came before."""
        if self._open:
            self._open = False
            self._answer(found)


class Ear:
    """A health monitor that follows the leases, as its process does."""

    def __init__(self, leases: SimLeases, process: Process) -> None:
        self.leases, self.process, self.sim = leases, process, leases.sim
        self._run = -1
        self._wake_at: float | None = None
        self._due = False
        process.at_change = self.changed
        leases.ears.append(self)
        self.changed(up=True)  # As every process is, that has just been started.

    def changed(self, *, up: bool) -> None:
        """Begin anew: the connection came or went."""
        if self._run != self.process.run:
            self._run, self._watch, self._told = self.process.run, Watch(), LeasesHeard()
            self._wake_at = None
        self._position = len(self.leases.told)
        news: list[News] = [Void()]
        if up:
            stand = self.leases.standing.items()
            news += [Claimed(node, one.claim) for node, one in stand if one.claim is not None]
            news.append(Told())
        self._hear(news)

    def news(self) -> None:
        """Notice that there is something to be told."""
        if not self._due:
            self._due = True
            lags = self.sim.chance(self.leases.bus.trouble.lag)
            delay_s = self.sim.between(0.1, 2) if lags else self.leases.bus.delay()
            self.sim.at(delay_s, self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._run != self.process.run:
            return  # It hears what stands once it is connected.
        if self.process.frozen or not self.leases.bus.hears(self.process.host):
            self._due = True
            self.sim.at(0.5, self._deliver)
            return
        news, self._position = self.leases.told[self._position :], len(self.leases.told)
        self._hear(news)

    def _hear(self, news: list[News]) -> None:
        for one in news:
            self._watch.hear(one, self.process.clock)
        self._tell(self._run)

    def _tell(self, run: int) -> None:
        """Tell the core what is so now, and again when the clock alone changes that."""
        if run != self.process.run or not self.process.alive:
            return
        if self.process.frozen:
            self.sim.at(0.5, self._tell, run)
            return
        heard = self._watch.heard(self.process.clock)
        if heard != self._told:
            self._told = heard
            self.process.hear(heard)
        wake_at = self._watch.wake_at
        if wake_at is not None and wake_at != self._wake_at:
            self._wake_at = wake_at
            wait_s = (wake_at - self.process.clock) / self.process.rate
            self.sim.at(max(wait_s, 0.001), self._wake, run, wake_at)

    def _wake(self, run: int, wake_at: float) -> None:
        if run == self._run and wake_at == self._wake_at:
            self._wake_at = None
            self._tell(run)
