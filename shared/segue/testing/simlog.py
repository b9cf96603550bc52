"""A log in memory with the real one's answers: order, fences, dropped repeats, whole batches.

What happens between a writer and the log (lost answers, late writes, cut wires) is the world's.
Semantics as measured on nats-server 2.15 through `Bus.append`: a repeat of a stored message is
answered `stored` with the first one's sequence, within the window and beyond it by its fence.
"""

from collections.abc import Sequence

from segue.log import Fence, Head, Message, Outcome, Stored

DEDUP_WINDOW_S = 120.0


class SimLog:
    """The stored messages, in order, numbered from 1."""

    def __init__(self, cluster: str = "sim") -> None:
        self.cluster = cluster
        self.stored: list[Stored] = []
        self.ids: dict[str, tuple[int, float]] = {}  # Id: sequence, time.
        self.last_on: dict[str, int] = {}

    def head(self, now: float) -> Head:
        """Give the log's bounds and time."""
        first = self.stored[0].sequence if self.stored else 1
        return Head(first=first, last=len(self.stored), time=now, cluster=self.cluster)

    def append(self, messages: Sequence[Message], fence: Fence | None, now: float) -> Outcome:
        """Store all of them or none."""
        known = [self._known(message.id, now) for message in messages]
        if all(known):
            return Outcome("stored", max(known), duplicate=True)
        if fence is not None and self.last_on.get(fence.subject, 0) != fence.sequence:
            return Outcome("refused", reason="wrong last sequence")
        for message, sequence in zip(messages, known, strict=True):
            if not sequence:
                self._store(message, now)
        return Outcome("stored", len(self.stored))

    def look(self, messages: Sequence[Message], fence: Fence | None) -> Outcome:
        """Find out what a refusal means, as a writer does that was told of a wrong sequence."""
        if fence is not None and self.last_on.get(fence.subject, 0) == fence.sequence:
            return Outcome("unknown", reason="another write with this fence is under way")
        found = [self.ids.get(message.id, (0, 0.0))[0] for message in messages]
        if all(found):
            return Outcome("stored", max(found), duplicate=True)
        return Outcome("refused", reason="wrong last sequence")

    def rewind(self, cluster: str, upto: int) -> None:
        """Become the log of a cluster that holds the first messages of this one and no more."""
        self.cluster = cluster
        del self.stored[upto:]
        self.ids = {one: at for one, at in self.ids.items() if at[0] <= upto}
        self.last_on = {stored.subject: stored.sequence for stored in self.stored}

    def _known(self, event_id: str, now: float) -> int:
        sequence, time = self.ids.get(event_id, (0, 0.0))
        return sequence if sequence and now - time <= DEDUP_WINDOW_S else 0

    def _store(self, message: Message, now: float) -> None:
        sequence = len(self.stored) + 1
        self.stored.append(Stored(sequence, now, message.subject, message.data, message.headers))
        self.ids[message.id] = (sequence, now)
        self.last_on[message.subject] = sequence

    def after(self, sequence: int) -> Sequence[Stored]:
        """Give everything behind a sequence."""
        return self.stored[sequence:]
