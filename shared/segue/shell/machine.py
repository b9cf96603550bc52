"""The shell's logic: follow, fold, lead, decide, write, see it come back, decide again.

This is the one piece of code that connects a core to a log. It does no I/O itself: a pump feeds it
what happened and carries out the commands it answers with, in production over the real bus and in
the simulator over a simulated one.

Laws:
- It decides only on a picture that holds the log up to its own election and its own last events.
- Every write names its fence; a refused one ends the term, and the log tells what became of it.
- A write of unknown fate is repeated with its ids until answered, but for what is owed no more.
- Nothing here waits: `wake_at` says when the clock alone makes `step` worth calling.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from segue.core import MOST_DECISIONS, BusReturned, Core, Decision
from segue.envelope import ERRORS, Record, UnknownTypeError, Unreadable, decode, encode
from segue.events import subjects
from segue.events.leader import LeaderElected
from segue.log import Fence, Head, Message, Outcome, Stored
from segue.picture.picture import claim
from segue.shell.commands import Append, Beat, Command, Note, Perform, Save, Say
from segue.shell.errors import LogReplacedError, OutdatedError
from segue.shell.fences import standing
from segue.shell.standing import Standing

BEAT_EVERY_S = 0.25
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0
SETTLED_KEPT = 20_000
SNAPSHOT_EVERY_EVENTS, SNAPSHOT_EVERY_S = 10_000, 3_600.0


class Machine:
    """One instance of one service. All times `now` are this host's own, in monotonic seconds."""

    def __init__(
        self,
        core: Core,
        *,
        instance: str,
        session: str,
        leads: bool = True,
        saves: bool = False,
        note: Callable[[Note], None] = lambda _: None,
        seen: Callable[[Record], None] = lambda _: None,
        decode: Callable[[Stored], Record] = decode,
    ) -> None:
        self.core, self.instance, self.session = core, instance, session
        self.leads, self.saves, self.note = leads, saves, note
        self.seen, self._decode = seen, decode
        self.source = f"/segue/{core.service}/{instance}"
        self.read_to = 0  # Everything that this follower can get up to here is folded.
        self.mark = ""  # Of the last message that is folded.
        self.target: int | None = None  # Caught up once `read_to` reaches it.
        self.term: int | None = None
        self.newest_term = 0
        self.offset_s: float | None = None  # The log's clock minus this host's.
        self.wake_at: float | None = None
        self.repeats = 0  # Decisions made again although the log holds them: a core's mistake.
        self.refusals = self.rejects = 0
        self._writing: list[Message] = []  # The write whose fate is not known yet.
        self._number = 0
        self._fence: Fence | None = None
        self._sent = self._alone = False  # Alone: one event at a time, to find who is not taken.
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S
        self._awaiting: dict[str, None] = {}  # Own events not yet seen in the log.
        self._await_to: int | None = None  # They all stand at or before this sequence.
        self._settled: dict[str, None] = {}
        self._standing = Standing(core.service, instance, session)
        self._last_leader: str | None = None
        self._beat_at = 0.0
        self._hold_until = 0.0
        self._started = self._was_away = False
        self._log_first = 1
        self._recheck = False  # The bus was away: what is being written may be owed no more.
        self._saved_at_sequence, self._saved_at = 0, 0.0

    # What happened.

    @property
    def caught_up(self) -> bool:
        """Everything that was in the log when it was last asked is folded."""
        return self.target is not None and self.read_to >= self.target

    @property
    def leading(self) -> bool:
        """Its decisions count, as far as it knows."""
        return self.term is not None

    def restore(self, snapshot: bytes, cluster: str) -> None:
        """Start from this cluster's snapshot, or raise `msgspec.ValidationError` unchanged."""
        said = claim(snapshot)
        if said.cluster not in ("", cluster):
            raise msgspec.ValidationError(f"the snapshot is of cluster {said.cluster}")
        self.core.picture.restore(snapshot)
        self.mark = said.mark
        self.read_to = self._saved_at_sequence = self.core.picture.state.sequence
        leader = self.core.picture.leaders.get(self.core.service)
        if leader is not None:
            self.newest_term, self._last_leader = leader.term, leader.instance

    def connected(self, head: Head, now: float, asked_at: int | None = None) -> None:
        """The bus is there; the log ends at `head.last`. Also called to set the clock again.

        `asked_at` is how far the log had been read when its head was asked for: what was read
        while the answer was on its way may well lie behind it.
        """
        known = self.core.picture.state.cluster
        read = self.read_to if asked_at is None else asked_at
        if head.last < read or known not in ("", head.cluster):
            raise LogReplacedError(
                f"the log ends at {head.last} in cluster {head.cluster or '?'}, but it had been "
                f"read to {read} in cluster {known or '?'}: it was lost or restored"
            )
        self.core.picture.state.cluster = head.cluster
        self.offset_s = head.time - now
        self._log_first = head.first
        if self.target is None:  # The log's end is a mark to reach, not one that moves on.
            self.target = max(head.last, self.read_to)
        if self._was_away:
            self._was_away, self._recheck = False, True
            if self._standing.at is not None:
                self._standing.wait(now)
            self.core.hear(BusReturned(), head.time)

    def away(self) -> None:
        """The bus is not there: nobody can be heard, so nobody's silence means anything."""
        self.target, self._was_away = None, True

    def read(self, batch: Sequence[Stored], now: float) -> None:
        """Fold what the log gave; raises `OutdatedError` when this code is too old to go on."""
        for stored in batch:
            self._read_one(stored, now)
            self.read_to = max(self.read_to, stored.sequence)
        state = self.core.picture.state
        if batch and batch[-1].sequence == state.sequence:
            self.mark = batch[-1].mark
        if batch and self.offset_s is not None:
            self.offset_s = max(self.offset_s, batch[-1].time - now)
        self._hold_until = 0.0 if batch else self._hold_until

    def passed(self, sequence: int) -> None:
        """Know that the log holds nothing more for this follower up to `sequence`."""
        self.read_to = max(self.read_to, sequence)

    def hear(self, news: Any, now: float) -> None:
        """Pass on what is not in the log."""
        self.core.hear(news, self.log_time(now))

    def heard_leader(self, beat: Beat, now: float) -> None:
        """A fellow says that it leads: no need to stand for a while."""
        if beat.instance == self.instance and beat.term == self.term:
            return
        if beat.term >= self.newest_term:
            self._standing.wait(now)

    def wrote(self, number: int, outcome: Outcome, now: float) -> None:
        """Learn what became of an `Append`; late news of one that the log told of is nothing."""
        if number != self._number or not self._writing:
            return
        if outcome.kind == "unknown":
            self._sent, self._retry_at = False, now + self._retry_s
            self._retry_s = min(self._retry_s * 2, RETRY_MOST_S)
            return
        self._retry_s = RETRY_FIRST_S
        stands = standing(self._fence, self._log_first, self.read_to)
        if outcome.kind == "refused" and stands != self._fence:
            self._fence, self._sent, self._retry_at = stands, False, now
            return
        messages, self._writing = self._writing, []
        if outcome.kind == "stored":
            self._await_to = outcome.sequence
            return
        for message in messages:
            self._awaiting.pop(message.id, None)
        if outcome.kind == "refused":
            self._refused(outcome, now)
        elif len(messages) > 1:
            self._alone = True  # Only one of them may be what will never be taken.
        else:
            self._alone = False
            self._settle([message.id for message in messages])
            self.note(Note("error", "the bus will never take an event", {"why": outcome.reason}))

    def log_time(self, now: float) -> float:
        """Tell the log's time, in seconds since 1970."""
        return now + (self.offset_s or 0.0)

    # What is owed.

    def step(self, now: float) -> list[Command]:
        """Say what to do now. Call it after anything happened, and at `wake_at`."""
        self.wake_at = None
        if not self.caught_up:
            return []
        commands: list[Command] = []
        self._started = self._started or self._start(now)
        if self._await_to is not None and self.read_to >= self._await_to:
            self._awaiting = {}  # What has not come by now was lost with its log.
        if self.term is not None:
            self._say_beat(now, commands)
        again = self._writing and not self._sent and now >= self._retry_at
        if (again or self._recheck) and self.term is not None:
            self._look_again(now)
        if self._writing and self._awaiting:
            return commands + self._repeat(now)
        self._writing = []
        if self._awaiting:
            return commands
        if self.leads and self.term is None:
            return self._stand(now)
        if now < self._hold_until:
            self._wake(self._hold_until)
            return commands
        self._decide(now, commands)
        self._save(now, commands)
        return commands

    def _start(self, now: float) -> bool:
        """Caught up for the first time: stand at once where nobody else can be leading."""
        if self.leads:
            leader = self._last_leader
            alone = leader is None or leader == self.instance
            self._standing.at = now
            if not alone:
                self._standing.wait(now)
        self._saved_at = now
        self.note(Note("info", "caught up with the log", {"sequence": self.read_to}))
        return True

    def _stand(self, now: float) -> list[Command]:
        at = self._standing.at
        assert at is not None, "a follower that has started knows when to stand"
        if now < at:
            self._wake(at)
            return []
        election = self._standing.stand(now)
        event = LeaderElected(
            service=self.core.service, instance=self.instance, after=self.newest_term
        )
        message = encode(event, id=election, source=self.source, time=self.log_time(now))
        fence = Fence(event.subject, self.newest_term)
        return self._write([message], fence)

    def _write(self, messages: list[Message], fence: Fence | None) -> list[Command]:
        self._writing, self._sent = messages, True
        self._fence = standing(fence, self._log_first, self.read_to)
        self._awaiting = dict.fromkeys(message.id for message in messages)
        self._await_to = None
        self._number += 1
        return [Append(self._number, messages, self._fence)]

    def _look_again(self, now: float) -> None:
        """Let another term keep out of the log what is on its way and owed no more."""
        self._recheck = False
        owed = {one.id for one in self.core.decide(self.log_time(now)) if isinstance(one, Decision)}
        self._writing = [message for message in self._writing if message.id in self._awaiting]
        if any(message.id not in owed for message in self._writing):
            self._writing, self.term, self._standing.at = [], None, now
        self._awaiting = dict.fromkeys(message.id for message in self._writing)

    def _repeat(self, now: float) -> list[Command]:
        if self._sent:
            return []
        if now < self._retry_at:
            self._wake(self._retry_at)
            return []
        self._writing = [message for message in self._writing if message.id in self._awaiting]
        self._sent = True
        self._number += 1
        return [Append(self._number, self._writing, self._fence)]

    def _say_beat(self, now: float, commands: list[Command]) -> None:
        if now >= self._beat_at:
            self._beat_at = now + BEAT_EVERY_S
            beat = msgspec.json.encode(Beat(self.instance, self.term or 0))
            commands.append(Say(f"beat.{self.core.service}.{self.instance}", beat))
        self._wake(self._beat_at)

    def _decide(self, now: float, commands: list[Command]) -> None:
        log_now = self.log_time(now)
        messages: list[Message] = []
        for owed in self.core.decide(log_now):
            if not isinstance(owed, Decision):
                commands.append(Perform(owed))
            elif len(messages) >= MOST_DECISIONS:
                break  # A core that acts never owes as much.
            elif owed.id in self._settled:
                self.repeats += 1
                self._hold_until = now + RETRY_MOST_S  # It may want to be asked again at once.
                text = "decided again what the log already holds"
                self.note(Note("error", text, {"event": owed.event.subject, "id": owed.id}))
            else:
                messages.append(self._encode(owed, log_now))
        if messages:
            fence = self._leader_fence() if self.leads else self.core.fence()
            commands.extend(self._write(messages[:1] if self._alone else messages, fence))
        if self.core.wake_at is not None:
            self._wake(self.core.wake_at - (self.offset_s or 0.0))

    def _encode(self, owed: Decision, time: float) -> Message:
        source, cause, actor = self.source, owed.cause, owed.actor
        return encode(owed.event, id=owed.id, source=source, time=time, cause=cause, actor=actor)

    def _leader_fence(self) -> Fence:
        assert self.term is not None, "only a leader decides"
        return Fence(subjects(LeaderElected, service=self.core.service), self.term)

    def _save(self, now: float, commands: list[Command]) -> None:
        if not self.saves or self._writing:
            return
        news = self.read_to - self._saved_at_sequence
        if news >= SNAPSHOT_EVERY_EVENTS or (news and now - self._saved_at >= SNAPSHOT_EVERY_S):
            self._saved_at_sequence, self._saved_at = self.read_to, now
            commands.append(Save(self.read_to, self.core.picture.snapshot(self.mark)))

    def _wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    # Reading.

    def _read_one(self, stored: Stored, now: float) -> None:
        if stored.sequence <= self.read_to:
            return
        try:
            record = self._decode(stored)
        except UnknownTypeError as error:
            if error.ours:
                raise OutdatedError(
                    f"sequence {stored.sequence} on {stored.subject}: {error}; "
                    "a newer Segue is at work here: update this one"
                ) from error
            self._reject(stored, str(error))
            return
        except ERRORS as error:
            self._reject(stored, str(error) or type(error).__name__)
            return
        if record.key in self._awaiting:
            self._settle([record.key])
        self.seen(record)
        try:
            self.core.fold(record)
        except Exception as error:  # noqa: BLE001 — one event must not stop every service for good.
            what = f"{type(error).__name__}: {error}"
            self.note(
                Note("error", "an event broke the fold", {"at": stored.sequence, "how": what})
            )
            self._reject(stored, f"it broke the fold of this version: {what}")
        if isinstance(record.event, LeaderElected) and record.event.service == self.core.service:
            self._elected(record, record.event, now)

    def _reject(self, stored: Stored, reason: str) -> None:
        self.rejects += 1
        self.core.picture.unreadable(
            Unreadable(stored.sequence, stored.time, stored.subject, reason[:500])
        )

    def _settle(self, ids: Sequence[str]) -> None:
        for event_id in ids:
            self._awaiting.pop(event_id, None)
            self._settled[event_id] = None
            if len(self._settled) > SETTLED_KEPT:
                del self._settled[next(iter(self._settled))]

    # Leading.

    def _elected(self, record: Record, event: LeaderElected, now: float) -> None:
        self.newest_term, self._last_leader = record.sequence, event.instance
        self._writing, self._awaiting = [], {}
        if record.key == self._standing.election:
            self.term, self._beat_at = record.sequence, 0.0
            self.note(Note("info", "leads", {"term": self.term}))
            return
        if self.term is not None:
            fields = {"term": self.term, "by": event.instance, "new_term": record.sequence}
            self.note(Note("warning", "deposed", fields))
        self.term = None
        if self._started:
            self._standing.wait(now)

    def _refused(self, outcome: Outcome, now: float) -> None:
        self.refusals += 1
        self._awaiting = {}
        if not self.leads:
            self.note(Note("warning", "the bus refused a fact", {"why": outcome.reason}))
            self._hold_until = now + RETRY_MOST_S
            return
        if self.term is not None:
            self.note(Note("warning", "the bus refused a decision", {"term": self.term}))
        self.term = None
        self._standing.wait(now)
