"""What a process tells its operators about itself: log lines.

Nothing here decides anything, and no core may import it: what a core returns is its log.
"""

from segue.telemetry.logs import configure

__all__ = ["configure"]
