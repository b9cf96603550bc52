"""What happens to the log itself: it fills up, its oldest part goes, it has room again.

filling ─→ trimmed ─→ eased
"""

from segue.events.base import Event


class LogFilling(Event, type="log.filling", scope=()):
    """The log has taken up most of the room that it may have. The notifier and people react.

    The health monitor trims it before it is full; where it cannot, `words` says why.
    """

    used_bytes: int
    limit_bytes: int
    events: int
    first: int  # The sequence that it begins at.
    words: str = ""


class LogTrimmed(Event, type="log.trimmed", scope=()):
    """The log begins at `first` now, so that it never blocks; what was before is gone.

    What all of that came to is in the snapshot at `first`, which every service can start from.
    """

    first: int
    events: int  # That many went …
    freed_bytes: int  # … and gave back so much.
    used_bytes: int
    limit_bytes: int


class LogEased(Event, type="log.eased", scope=()):
    """The log that was filling up has room again, whoever made it."""

    used_bytes: int
    limit_bytes: int
