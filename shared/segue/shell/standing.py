"""When an instance stands for election, and under which id.

A leader that beats is left alone; how long its silence is borne differs from instance to instance
and from try to try, so that fellows do not stand at the same moment again and again.
"""

from segue.ids import derived

LEADER_TIMEOUT_S = 1.0


class Standing:
    """One instance's own elections."""

    def __init__(self, service: str, instance: str, session: str) -> None:
        self.at: float | None = None  # Unknown until it has caught up with the log.
        self.election: str | None = None  # The newest one's id.
        self._service, self._instance, self._session = service, instance, session
        self._count = 0

    def wait(self, now: float) -> None:
        """Somebody may lead, or be elected just now: give them time."""
        jitter = int(derived("jitter", self._instance, self._count)[:4], 16) / 0xFFFF
        self.at = now + LEADER_TIMEOUT_S * (1 + 0.3 * jitter)

    def stand(self, now: float) -> str:
        """Begin another election; give its id."""
        self._count += 1
        self.election = derived("election", self._service, self._session, self._count)
        self.wait(now)
        return self.election
