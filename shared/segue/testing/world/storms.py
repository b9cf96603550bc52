"""I14: no storms. The number of events is bounded by what was asked for and what broke."""

from collections import Counter

from segue.events.deploy import DeployAccepted
from segue.events.load import LoadEvent
from segue.events.scale import ScaleAccepted, ScaleDecided, ScaleHeld
from segue.testing.world.invariants import LogChecker

EACH = 8  # Requested, refused a place, assigned, pulled, started, healthy, retired, stopped.
WIDE = ("fault.bus_down", "fault.election", "fault.store_lost", "fault.store_restored")


def strikes(marks: Counter[str]) -> int:
    """Count what broke."""
    return sum(n for mark, n in marks.items() if mark.startswith("fault."))


def storm(checker: LogChecker, marks: Counter[str], requests: int, nodes: int) -> str:
    """Say how many events there are too many.

    A slot costs no more than `EACH` events each time it is asked for, a node no more each time
    that it or the bus is broken, and what stands on it as many once more. What is said of loads has
    a bound of its own.
    """
    struck, wide = strikes(marks), 1 + sum(marks[mark] for mark in WIDE)
    asked = _asked_for(checker, nodes)
    most = 400 + 30 * (requests + struck)
    most += EACH * (asked + nodes * wide + struck * (1 + asked // nodes))
    own = LoadEvent | ScaleDecided | ScaleHeld
    events = sum(not isinstance(record.event, own) for record in checker.records)
    events += len(checker.unreadable)
    return "" if events <= most else f"{events} events; {most} would be plenty"


def _asked_for(checker: LogChecker, nodes: int) -> int:
    """Count the slots that accepted requests were about, each as often as it was asked for."""
    events = [record.event for record in checker.records]
    scaled = sum(event.replicas for event in events if isinstance(event, ScaleAccepted))
    scaled += sum(
        abs(event.replicas - event.previous) for event in events if isinstance(event, ScaleDecided)
    )
    return scaled + sum(
        nodes if spec.is_global else spec.autoscale.max if spec.autoscale else spec.replicas
        for event in events
        if isinstance(event, DeployAccepted)
        for spec in event.spec.services.values()
    )
