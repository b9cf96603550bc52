"""A simulated process: a real machine with a real core, that can die, freeze and drift.

It carries out the machine's commands on the simulated bus as the pump does on the real one. While
it is frozen everything that reaches it waits, as in a socket's buffer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from segue.core import Core
from segue.envelope import Record, decode
from segue.log import Head, Outcome, Stored
from segue.shell.commands import Append, Beat, Note, Perform, Save, Say
from segue.shell.errors import LogReplacedError
from segue.shell.machine import Machine
from segue.testing.world.bus import SimBus, wants
from segue.testing.world.sim import Sim

CLOCK_SET_EVERY_S = 30.0  # As the pump does.
_BEAT = msgspec.json.Decoder(Beat)


class Decoded:
    """Decode each message of one log once for all processes: the same code, called less often."""

    def __init__(self) -> None:
        self._records: dict[int, tuple[Stored, Record]] = {}

    def __call__(self, stored: Stored) -> Record:
        """Give the message's record, or raise what `decode` raises."""
        known = self._records.get(stored.sequence)
        if known is not None and known[0] is stored:  # Another store has others.
            return known[1]
        record = decode(stored)
        self._records[stored.sequence] = (stored, record)
        return record


class Process:
    """One instance of a service on a host."""

    def __init__(
        self,
        sim: Sim,
        bus: SimBus,
        decoded: Decoded,
        *,
        name: str,
        host: str,
        make: Callable[[], Core],
        instance: str = "",
        leads: bool = True,
        subjects: Sequence[str] = (),
        hears: Sequence[str] = (),
        read_news: Callable[[str, bytes], Any] = lambda _, data: data,
        perform: Callable[["Process", Any], None] | None = None,
    ) -> None:
        self.sim, self.bus, self.decoded = sim, bus, decoded
        self.name, self.host, self.make, self.leads = name, host, make, leads
        self.instance = instance or name  # The same where one is started in two.
        self.subjects, self.hears, self.read_news = subjects, hears, read_news
        self.perform = perform
        self.rate = 1 + sim.between(-0.02, 0.02)  # Hosts' clocks run 2 % wrong at most.
        self.alive = self.frozen = False
        self.run = 0
        self.notes: list[Note] = []
        self.before_following: Callable[[Process, Head], None] = lambda _, __: None
        self.ended: Callable[[Process], None] = lambda _: None  # It has ended by itself.
        self.at_change: Callable[..., None] = lambda **_: None  # Its connection is there, or not.
        self.before_writing: Callable[[Process, Append], None] = lambda _, __: None
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._wake_at: float | None = None
        self.start()

    @property
    def listens(self) -> list[str]:
        """The core messages that it subscribes to."""
        own = [f"beat.{self.core.service}.*"] if self.leads else []
        return [*own, *self.hears]

    @property
    def clock(self) -> float:
        """Its host's monotonic clock."""
        return 1_000.0 + self.sim.now * self.rate

    # Life.

    def start(self) -> None:
        """Begin anew, from the newest snapshot or from nothing."""
        self.alive, self.frozen, self.run = True, False, self.run + 1
        self.core = self.make()
        self.machine = Machine(
            self.core,
            instance=self.instance,
            session=f"{self.name}-{self.run}",
            leads=self.leads,
            saves=self.core.service == "deployer",
            note=self.notes.append,
            decode=self.decoded,
        )
        if self.bus.snapshots:
            self.sim.mark("snapshot.restored")
            self.machine.restore(self.bus.snapshots[max(self.bus.snapshots)], self.bus.log.cluster)
        self._waiting, self._wake_at, self._has_followed = [], None, False
        begun_at, stored = self.machine.read_to, self.bus.log.stored
        self._last = stored[begun_at - 1] if begun_at else None
        self._beats = f"beat.{self.core.service}."
        self.sim.at(CLOCK_SET_EVERY_S, self._set_clock, self.run)
        self.bus.join(self)

    def kill(self) -> None:
        """End at once, without a word."""
        self.alive = False
        self.bus.leave(self)

    def freeze(self) -> None:
        """Stand still; what arrives waits."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on as if no time had passed; only the clock knows better."""
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for call, arguments in waiting:
            call(*arguments)
        self.pump()

    def held(self, call: Callable[..., None], *arguments: Any) -> bool:
        """Tell whether it cannot take this now; what reaches it while it is frozen waits."""
        if self.frozen:
            self._waiting.append((call, arguments))
        return self.frozen or not self.alive

    # What the bus says.

    def online(self, head: Head) -> None:
        """The bus is there."""
        if self.held(self.online, head):
            return
        try:
            if not self._has_followed:
                self.before_following(self, head)
            self.machine.connected(head, self.clock)
            self._check_history()
        except LogReplacedError:
            self.sim.mark("log.replaced")
            self.restarted()
            return
        self._has_followed = True
        self.at_change(up=True)
        self.pump()

    def _check_history(self) -> None:
        """Refuse a log that has grown again, as `segue.bus.follow` does."""
        stored, last, read_to = self.bus.log.stored, self._last, self.position()
        at = last.sequence if last is not None else 0
        other = len(stored) < read_to or (last is not None and stored[at - 1] is not last)
        if other or any(wants(self, one.subject) for one in stored[at:read_to]):
            self.sim.mark("log.regrown")
            raise LogReplacedError("the log holds other messages than were read there")

    def _set_clock(self, run: int) -> None:
        if run != self.run or not self.alive:
            return
        self.sim.at(CLOCK_SET_EVERY_S, self._set_clock, run)
        head = self.bus.asked_head(self)
        if head is not None and not self.frozen and self.machine.caught_up:
            self.machine.connected(head, self.clock)

    def offline(self) -> None:
        """The bus is away."""
        if not self.held(self.offline):
            self.machine.away()
            self.at_change(up=False)

    def restarted(self) -> None:
        """End, for the supervisor to start it again."""
        self.kill()
        self.ended(self)

    def position(self) -> int:
        """How far it has read."""
        return self.machine.read_to

    def deliver(self, batch: list[Stored], upto: int) -> None:
        """The log goes on."""
        if not self.held(self.deliver, batch, upto):
            self._last = batch[-1] if batch else self._last
            self.machine.read(batch, self.clock)
            self.machine.passed(upto)
            self.pump()

    def told(self, subject: str, data: bytes) -> None:
        """A core message arrived."""
        if self.held(self.told, subject, data):
            return
        if self.leads and subject.startswith(self._beats):
            self.machine.heard_leader(_BEAT.decode(data), self.clock)
        else:
            self.hear(self.read_news(subject, data))

    def answered(self, number: int, outcome: Outcome) -> None:
        """What became of a write."""
        if not self.held(self.answered, number, outcome):
            self.machine.wrote(number, outcome, self.clock)
            self.pump()

    def hear(self, news: Any) -> None:
        """Tell the core what is not in the log."""
        if not self.held(self.hear, news):
            self.machine.hear(news, self.clock)
            self.pump()

    # What the machine says.

    def pump(self) -> None:
        """Carry out what the machine asks for, until the next thing happens or its time comes."""
        if self.frozen or not self.alive:
            return
        for command in self.machine.step(self.clock):
            self._carry_out(command)
        wake_at = self.machine.wake_at
        if wake_at == self._wake_at:
            return
        self._wake_at = wake_at
        if wake_at is not None:
            self.sim.at((wake_at - self.clock) / self.rate, self._wake, self.run, wake_at)

    def _wake(self, run: int, wake_at: float) -> None:
        if run == self.run and wake_at == self._wake_at:
            self._wake_at = None
            self.pump()

    def _carry_out(self, command: Any) -> None:
        match command:
            case Append():
                self.before_writing(self, command)
                self.bus.write(self, command.number, command.messages, command.fence)
            case Say(subject=subject, data=data):
                self.bus.tell(self.host, subject, data)
            case Save(sequence=sequence, data=data):
                self.bus.snapshots[sequence] = data
                self.sim.mark("snapshot.saved")
            case Perform(effect=effect):
                assert self.perform is not None, f"{self.name} acts on nothing"
                self.perform(self, effect)
