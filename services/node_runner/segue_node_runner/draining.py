"""Tell how long a retired container is left at work, so that nothing that flows is cut off.

Only what gateways lead to is waited for, and only while one is at work on its node: until none
leads to it any more, and at most as long as its service allows. What is dead is not.
"""

from segue.picture import Container, Picture
from segue.spec import ServiceSpec

DRAIN_S = 10.0  # Where the service is not known any more.


class Draining:
    """What one node's retired containers still have to do."""

    def __init__(self, picture: Picture, node: str) -> None:
        self._picture, self._node = picture, node
        self._ends: list[float] = []

    def wake_at(self, otherwise: float | None) -> float | None:
        """Give when the first wait is over of those asked about since, or what comes before."""
        times = self._ends if otherwise is None else [*self._ends, otherwise]
        self._ends = []
        return min(times, default=None)

    def lasts(self, ordered: Container, now: float) -> bool:
        """Tell whether a container that runs is left at work for now."""
        spec = self._picture.spec(ordered)
        if not ordered.retired or ordered.drained_at or not _led_to(ordered, spec):
            return False
        is_ill = ordered.phase == "unhealthy" and ordered.probe != "readiness"
        if is_ill or ordered.retired == "unhealthy" or self._picture.gateway(self._node) is None:
            return False
        end = ordered.retired_at + (spec.drain_s if spec is not None else DRAIN_S)
        self._ends.append(end)
        return now < end


def _led_to(ordered: Container, spec: ServiceSpec | None) -> bool:
    """Tell whether gateways lead to it, or some of them may already."""
    if ordered.routed_at or spec is None:
        return ordered.routed_at > 0
    return bool(spec.routed) and (ordered.phase == "healthy" or not spec.checked)
