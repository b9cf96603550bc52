"""Replay a recorded stretch, to see whether these cores owe what was decided then.

A recorded decision is confirmed if its author's core owed it, with its id, cause and content, on a
picture since that cause. That is not the newest picture before it: a leader may have read less.
Found are also decisions that are owed and were passed over: the leader decided another whose cause
it had read, though this one was owed before that; or the stretch ends and it has long been owed.

What was recorded is folded, never what is decided now, so a replay is open-loop: what other
decisions would have led to is not in it. Elections are taken as they were. News that no log holds
(beats) is not there, so only cores that live by the log alone can be replayed.

The clock is the log's; between two messages it stops where a core wants to be woken. Before a
recorded decision it shows what its author's clock did, which runs ahead of the log's or behind.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec

from segue.core import Core, Decision
from segue.differences import Comparison, Difference, Kind, Said, changes, content, said
from segue.envelope import ERRORS, Envelope, Record, UnknownTypeError, Unreadable, decode
from segue.events import Event
from segue.events.leader import LeaderElected
from segue.log import Stored
from segue.picture import Picture
from segue.recording import Recording, RecordingError

STEADY_S = 5.0  # What is owed for less at the end of the stretch may have been on its way.
AHEAD_MOST_S = 5.0  # An author's clock that ran further ahead than this is not believed.
BEHIND_MOST_S = 5.0  # So long may a leader have read nothing and still decide.
MILLISECOND_S = 0.001  # Authors write their time cut to it.
REASON_MOST = 500


def replay(recording: Recording, cores: Sequence[Core]) -> Comparison:
    """Compare what fresh cores owe with what their services decided.

    Raises `RecordingError` when this version cannot read what the recording holds.
    """
    judges = [_Judge(core, recording) for core in cores]
    for stored in recording.messages:
        message = understood(stored)
        for judge in judges:
            judge.read(stored, message)
    found = [difference for judge in judges for difference in judge.end()]
    return Comparison(
        first=recording.first,
        last=recording.last,
        messages=len(recording.messages),
        decided={judge.core.service: len(judge.recorded) for judge in judges},
        differences=sorted(found, key=lambda difference: difference.sequence),
        partial=recording.partial,
    )


def folded(recording: Recording) -> Picture:
    """Give the picture at the recording's end, or raise `RecordingError`."""
    core = Core()
    _begin(core, recording)
    for stored in recording.messages:
        fold(core, stored, understood(stored))
    return core.picture


def _begin(core: Core, recording: Recording) -> None:
    if recording.snapshot:
        try:
            core.picture.restore(recording.snapshot)
        except msgspec.ValidationError as error:
            raise RecordingError(
                f"line 1: {error}; export the stretch again with this version, or replay it with "
                "the version that recorded it"
            ) from error
    core.picture.state.cluster = recording.cluster


def understood(stored: Stored) -> Record | Unreadable:
    """Read a message as services do, or raise `RecordingError` where they would stop."""
    try:
        return decode(stored)
    except UnknownTypeError as error:
        if error.ours:
            raise RecordingError(
                f"sequence {stored.sequence} on {stored.subject}: {error}; "
                "a newer Segue wrote it: replay the recording with that one"
            ) from error
        reason = str(error)
    except ERRORS as error:
        reason = str(error) or type(error).__name__
    return Unreadable(stored.sequence, stored.time, stored.subject, reason[:REASON_MOST])


def fold(core: Core, stored: Stored, message: Record | Unreadable) -> None:
    """Take a message into a core's picture as services do."""
    if isinstance(message, Record):
        try:
            core.fold(message)
        except Exception as error:  # noqa: BLE001 — as in the shell: one event stops nothing.
            reason = f"it broke the fold of this version: {type(error).__name__}: {error}"
        else:
            return
        message = Unreadable(stored.sequence, stored.time, stored.subject, reason[:REASON_MOST])
    core.picture.unreadable(message)


_Decided = tuple[str, Event]  # The cause's id, and the event.


class _Owed(msgspec.Struct):
    """A decision that is owed without a break."""

    sequence: int
    time: float
    decided: _Decided


class _Judge:
    """Compares one service's decisions with what its core owes."""

    def __init__(self, core: Core, recording: Recording) -> None:
        self.core = core
        self.recorded: dict[str, int] = {}  # Ids of the service's decisions: sequence.
        self._source = f"/segue/{core.service}/"
        self._found: list[Difference] = []
        self._ever: dict[str, list[_Decided]] = {}  # All that was owed and is not recorded, by id.
        self._owed: dict[str, _Owed] = {}
        self._passed: dict[str, tuple[_Owed, int]] = {}  # Owed before the batch that began there.
        self._again: set[str] = set()
        self._sequences: dict[str, int] = {}
        self._batch: tuple[str, int, int] | None = None  # Its time as said, begin and end.
        _begin(core, recording)
        self._now = core.picture.state.time
        if recording.snapshot:
            self._ask(recording.first - 1, self._now)

    def read(self, stored: Stored, message: Record | Unreadable) -> None:
        """Let the time go by until a message, compare it if it is a decision, fold it."""
        own = self._is_own(message)
        stated = _stated_at(stored) if own else ""
        goes_on = own and self._goes_on(stored, stated, message)
        if not goes_on:
            if self._batch is not None:
                self._ask(self._batch[2], self._now)
                self._batch = None
            self._pass_time(stored.time)
            if own:
                self._ask(self.core.picture.state.sequence, max(self._now, stored.time))
                self._set_clock(stored, stated)
        if own:
            assert isinstance(message, Record), "what cannot be read has no author"
            begin = self._batch[1] if self._batch is not None else stored.sequence
            if not goes_on:
                self._pass_over(message)
            self._compare(message, begin)
            self._batch = (stated, begin, stored.sequence)
        fold(self.core, stored, message)
        if isinstance(message, Record):
            for name in (message.key, message.id):  # Older answers name no source.
                self._sequences.setdefault(name, stored.sequence)
        self._now = max(self._now, stored.time)
        if not own:
            self._ask(stored.sequence, self._now)
            self._foresee(stored.sequence)

    def end(self) -> list[Difference]:
        """Give all that was found."""
        if self._batch is not None:
            cut = self._batch[1]  # The rest of the last batch may stand behind the stretch.
            self._passed = {i: passed for i, passed in self._passed.items() if passed[1] != cut}
            self._ask(self._batch[2], self._now)
        for event_id, owed in self._owed.items():
            if self._now - owed.time >= STEADY_S:
                self._passed.setdefault(event_id, (owed, 0))
        for event_id, (owed, at) in self._passed.items():
            self._missed(event_id, owed, at)
        return self._found

    def _is_own(self, message: Record | Unreadable) -> bool:
        return (
            isinstance(message, Record)
            and message.source.startswith(self._source)
            and not isinstance(message.event, LeaderElected)
        )

    def _goes_on(self, stored: Stored, stated: str, message: Record | Unreadable) -> bool:
        """Tell whether a decision was made together with the one before it.

        Its author had decided all of them before it saw the first, so nothing is asked in between.
        """
        assert isinstance(message, Record), "what cannot be read has no author"
        if self._batch is None or (stated, stored.sequence - 1) != (self._batch[0], self._batch[2]):
            return False
        return (message.cause, content(message.event)) in self._ever.get(message.id, ())

    def _pass_time(self, until: float) -> None:
        while True:
            wake_at = self.core.wake_at
            if wake_at is None or not self._now < wake_at < until:
                return
            self._now = wake_at
            self._ask(self.core.picture.state.sequence, wake_at)

    def _set_clock(self, stored: Stored, stated: str) -> None:
        """Ask at the time at which the author says it decided."""
        try:
            time = dt.datetime.fromisoformat(stated).timestamp() + MILLISECOND_S
        except (ValueError, OverflowError):
            time = stored.time
        self._ask(self.core.picture.state.sequence, min(time, stored.time + AHEAD_MOST_S))

    def _ask(self, sequence: int, now: float) -> None:
        still: dict[str, _Owed] = {}
        for event_id, decided in self._decisions(now):
            if event_id in self.recorded:
                self._decided_again(event_id, _Owed(sequence, now, decided))
                continue
            self._note_owed(event_id, decided)
            since = self._owed.get(event_id) or _Owed(sequence, now, decided)
            still[event_id] = _Owed(since.sequence, since.time, decided)
        self._owed = still

    def _decisions(self, now: float) -> Iterator[tuple[str, _Decided]]:
        for one in self.core.decide(now):
            if isinstance(one, Decision):
                yield one.id, (one.cause.id if one.cause else "", content(one.event))

    def _foresee(self, sequence: int) -> None:
        """Ask as a leader would that has read no further when the core wants to be woken."""
        wake_at = self.core.wake_at
        if wake_at is None or not self._now < wake_at <= self._now + BEHIND_MOST_S:
            return
        for event_id, decided in self._decisions(wake_at):
            if event_id not in self.recorded:
                self._note_owed(event_id, decided)
        self._ask(sequence, self._now)

    def _note_owed(self, event_id: str, decided: _Decided) -> None:
        ever = self._ever.setdefault(event_id, [])
        if decided not in ever:
            ever.append(decided)

    def _decided_again(self, event_id: str, owed: _Owed) -> None:
        if event_id not in self._again:
            self._again.add(event_id)
            held = f"the log has held it since sequence {self.recorded[event_id]}"
            words = f"now it is decided again, though {held}"
            self._add("again", owed, now=said(event_id, *owed.decided), words=words)

    def _pass_over(self, record: Record) -> None:
        """Find what was owed when this decision was made; it must be in the same batch."""
        read_to = self._sequences.get(record.cause_key, -1)
        for event_id, owed in self._owed.items():
            if owed.sequence <= read_to:
                self._passed.setdefault(event_id, (owed, record.sequence))

    def _compare(self, record: Record, begin: int) -> None:
        self.recorded[record.id] = record.sequence
        ever, decided = self._ever.pop(record.id, []), (record.cause, content(record.event))
        owed, passed = self._owed.pop(record.id, None), self._passed.pop(record.id, None)
        recorded = said(record.id, *decided)
        if decided in ever:
            if passed is not None and passed[1] < begin:
                sooner_s = record.time - passed[0].time
                words = f"now at sequence {passed[0].sequence}, {sooner_s:.3f} s before it was then"
                self._add("sooner now", record, recorded=recorded, now=recorded, words=words)
        elif ever:
            now = said(record.id, *(owed.decided if owed else ever[-1]))
            words = changes(recorded, now)
            self._add("other", record, recorded=recorded, now=now, words=words)
        else:
            self._only_then(record, recorded)

    def _only_then(self, record: Record, recorded: Said) -> None:
        """Say what is decided now about the same thing, if anything is."""
        for event_id, owed in self._owed.items():
            now = said(event_id, *owed.decided)
            if now.subject == recorded.subject:
                self._passed.pop(event_id, None)
                words = changes(recorded, now) or "the same by another id"
                self._add("other", record, recorded=recorded, now=now, words=words)
                return
        self._add("only then", record, recorded=recorded, words="not decided now")

    def _missed(self, event_id: str, owed: _Owed, at: int) -> None:
        why = f"though another was at {at}" if at else "until the end"
        words = f"now at sequence {owed.sequence}; it was not decided then, {why}"
        self._add("only now", owed, now=said(event_id, *owed.decided), words=words)

    def _add(
        self,
        kind: Kind,
        at: Record | _Owed,
        *,
        recorded: Said | None = None,
        now: Said | None = None,
        words: str,
    ) -> None:
        self._found.append(
            Difference(
                kind=kind,
                service=self.core.service,
                sequence=at.sequence,
                time=at.time,
                recorded=recorded,
                now=now,
                words=words,
            )
        )


_envelope = msgspec.json.Decoder(Envelope)


def _stated_at(stored: Stored) -> str:
    """Give the time that an author wrote on what it decided; empty if it wrote none."""
    try:
        return _envelope.decode(stored.data).time or ""
    except ERRORS:
        return ""
