"""What happens to events themselves: what cannot be read is said, and changes nothing."""

from segue.events.base import Event


class EventRejected(Event, type="event.rejected", scope=()):
    """A stored message could not be understood; it changed nothing. The notifier reacts."""

    sequence: int
    on: str  # The subject it came on.
    reason: str
