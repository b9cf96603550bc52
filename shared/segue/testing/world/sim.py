"""Virtual time and chance: one heap of timed calls, one seeded generator, one run per seed.

Nothing here knows what is simulated. Equal seeds give equal runs, whatever the hash seed.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

STILL_MOST = 20_000  # Calls at one moment before time counts as standing still.


class StalledError(AssertionError):
    """Something calls itself again and again without time going on."""


class Sim:
    """The clock, the agenda, the dice, and the marks of what was reached."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self._throw = self.random.random
        self.now = 0.0
        self.steps = 0
        self.marks: Counter[str] = Counter()
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._still = 0

    def at(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Put a call on the agenda."""
        self._order += 1
        at = self.now + delay_s if delay_s > 0.0 else self.now
        heapq.heappush(self._agenda, (at, self._order, call, arguments))

    def run(self, until_s: float) -> None:
        """Make every call up to a time, in order."""
        agenda, pop = self._agenda, heapq.heappop
        while agenda and agenda[0][0] <= until_s:
            at, _, call, arguments = pop(agenda)
            self._still = self._still + 1 if at == self.now else 0
            if self._still > STILL_MOST:
                raise StalledError(f"seed {self.seed} at {at:.3f} s: {call} again and again")
            self.now = at
            self.steps += 1
            call(*arguments)
        self.now = until_s

    def chance(self, share: float) -> bool:
        """Throw the dice: true in this share of the throws."""
        return share > 0.0 and self._throw() < share

    def between(self, low: float, high: float) -> float:
        """Draw evenly from a range."""
        return low + (high - low) * self._throw()

    def mark(self, what: str) -> None:
        """Count that something worth reaching was reached."""
        self.marks[what] += 1
