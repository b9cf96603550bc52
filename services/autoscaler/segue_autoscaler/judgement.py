"""Judge how many replicas one service is to have: what each metric asks for, and each clamp on it.

The order is the HPA's: the largest that any metric asks for; the stabilisation windows; how many
may come or go within a period; the bounds. What the bounds want is never waited for.

With `min: 0` no metric asks for fewer than one. That there is to be none follows from nobody asking
anything for long; that there is to be one again, from something that waits: both at once.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from segue import spans
from segue.envelope import Cause
from segue.events.scale import Clamp, Input
from segue.picture import Service
from segue.picture.scaling import Load, Scaling
from segue.spec import Autoscale, Pace

from segue_autoscaler import hpa

SCHEDULE = "schedule"  # Beside the metrics' names, without value and target.
Loads = dict[str, Load | None]


class Judgement(NamedTuple):
    """How many there are to be, and what led to that."""

    replicas: int
    recommended: int
    inputs: list[Input]
    clamps: list[Clamp]
    cause: Cause  # What was said of the metric that asks for most, or the deploy.
    again_at: float | None  # When the clock alone may change it.


def judge(service: Service, scaling: Scaling, spec: Autoscale, now: float) -> Judgement:
    """Judge a service by what is said of its load, whatever a person has said."""
    return _Case(service, scaling, spec, now).judged()


class _Case:
    """One service at one time."""

    def __init__(self, service: Service, scaling: Scaling, spec: Autoscale, now: float) -> None:
        self.current, self.now = service.replicas, now
        self.scaling, self.spec = scaling, spec
        self.least = spans.least(spec, now) if spec.schedule else spec.min
        self.loads = self._loads(now)
        self.at_once = self._none_or_one()
        self.recommended = self._recommended(self.loads, self.current, now)
        if self.at_once is not None:
            self.recommended = self.at_once.recommended
        self.clamps: list[Clamp] = []
        turns = spans.turns(spec, now)
        self.again: list[float] = [turns] if turns is not None else []

    def judged(self) -> Judgement:
        replicas = self.recommended
        if self.at_once is None and self.least <= self.current <= self.spec.max:
            replicas = self._paced(self._stabilised(replicas))
        replicas = self._bounded(replicas)
        return Judgement(
            replicas,
            self.recommended,
            [*self._inputs()],
            self.clamps,
            self._cause(),
            min((at for at in self.again if at > self.now), default=None),
        )

    # Whether there is to be none, or one again.

    def _none_or_one(self) -> Input | None:
        """Give what follows from nobody asking anything, or from what waits; None: nothing does."""
        scaling = self.scaling
        if self.least or (scaling.idle is None and scaling.waiting is None):
            return None
        if not self.current and scaling.waiting is not None:
            asked = max(1, self._recommended(self.loads, self.current, self.now))
            return Input(metric="waiting", level="high", recommended=asked)
        needed = (load.foreign and load.level == "high" for load in self.loads.values() if load)
        if self.current and scaling.idle is not None and not any(needed):
            return Input(metric="idle", level="low", recommended=0)
        return None

    # What the metrics ask for.

    def _loads(self, at: float) -> Loads:
        """Give what was known of each metric at a time; None: nothing yet."""
        found: Loads = {}
        for name in sorted(self.spec.target.keys() | self.scaling.loads.keys()):
            said = (load for load in reversed(self.scaling.loads.get(name, [])) if load.at <= at)
            found[name] = next(said, None)
        return found

    def _asks(self, load: Load | None, current: int) -> int:
        """Give how many a metric asks for: what is unknown, or as it should be, for no change."""
        if load is None or load.level == "normal":
            return current
        asked = hpa.recommended(
            load.value, load.target, load.replicas, current, self.spec.tolerance
        )
        return max(asked, current) if load.level == "high" else min(asked, current)

    def _recommended(self, loads: Loads, current: int, at: float) -> int:
        """Give what who wants most asks for: metrics, and the schedule, which has no other word."""
        asked = max((self._asks(load, current) for load in loads.values()), default=None)
        if self.spec.schedule:
            least = spans.least(self.spec, at)
            asked = least if asked is None else max(asked, least)
        elif asked is None:
            asked = current
        return asked if self.spec.min else max(asked, min(current, 1))

    def _inputs(self) -> Iterator[Input]:
        if self.at_once is not None:
            yield self.at_once
        if self.least > self.spec.min:
            yield Input(metric=SCHEDULE, level="high", recommended=self.least)
        yield from (self._input(name, load) for name, load in self.loads.items())

    def _input(self, name: str, load: Load | None) -> Input:
        asked = self._asks(load, self.current)
        if load is None:
            target = self.spec.target.get(name, 0.0)
            return Input(metric=name, level="", recommended=asked, target=target)
        return Input(
            metric=name,
            level=load.level,
            recommended=asked,
            value=load.value,
            target=load.target,
            replicas=load.replicas,
        )

    def _cause(self) -> Cause:
        if self.at_once is not None:
            because = self.scaling.waiting if self.at_once.recommended else self.scaling.idle
            assert because is not None, "it follows from that"
            return because
        asking = [
            load
            for load in self.loads.values()
            if load is not None
            and load.level != "normal"
            and self._asks(load, self.current) == self.recommended
        ]
        newest = max(asking, key=lambda load: load.at, default=None)
        return newest.cause if newest is not None else self.scaling.cause

    # What holds it back.

    def _pace(self, wanted: int) -> tuple[str, Pace]:
        return ("up", self.spec.up) if wanted > self.current else ("down", self.spec.down)

    def _stabilised(self, wanted: int) -> int:
        """Follow only what was recommended all through the window of its direction."""
        if wanted == self.current:
            return wanted
        which, pace = self._pace(wanted)
        past = list(self._history(pace.window_s))
        asked = [wanted, *(number for _, number in past)]
        up, down = (asked, [wanted]) if which == "up" else ([wanted], asked)
        result = hpa.stabilised(self.current, up, down)
        if result != wanted:
            self.again += [ended + pace.window_s for ended, _ in past]
            words = f"{result} was recommended in the last {pace.window_s:g} s ({which}.window)"
            self.clamps.append(Clamp("window", wanted, result, words))
        return result

    def _history(self, window_s: float) -> Iterator[tuple[float, int]]:
        """Give what was recommended within a window before now, each with when that ended.

        It begins with as many as there were when nothing was known yet.
        """
        since, sizes = self.scaling.since, self.scaling.sizes
        begins = max(self.now - window_s, since)
        if self.now - window_s < since and sizes and sizes[0].at <= since:
            yield since, sizes[0].replicas
        changes = {load.at for loads in self.scaling.loads.values() for load in loads}
        changes |= {size.at for size in self.scaling.sizes}
        times = sorted({begins, *(at for at in changes if begins < at < self.now)})
        for at, until in zip(times, [*times[1:], self.now], strict=True):
            replicas = next((one.replicas for one in reversed(sizes) if one.at <= at), None)
            if replicas is not None and until > begins:
                yield until, self._recommended(self._loads(at), replicas, at)

    def _paced(self, wanted: int) -> int:
        """Let only so many come or go within a period, counting the autoscaler's own steps."""
        if wanted == self.current:
            return wanted
        which, pace = self._pace(wanted)
        steps = list(self._steps(self.now - pace.every_s))
        added = sum(step for _, step in steps if step > 0)
        removed = -sum(step for _, step in steps if step < 0)
        if which == "up":
            result = min(wanted, hpa.up_limit(pace, self.current, added, removed))
        else:
            result = max(wanted, hpa.down_limit(pace, self.current, added, removed))
        if result != wanted:
            self.again += [at + pace.every_s for at, _ in steps]
            self.clamps.append(Clamp("pace", wanted, result, _allowed(which, pace)))
        return result

    def _steps(self, since: float) -> Iterator[tuple[float, int]]:
        for before, after in itertools.pairwise(self.scaling.sizes):
            if after.own and after.at > since:
                yield after.at, after.replicas - before.replicas

    def _bounded(self, wanted: int) -> int:
        result = max(self.least, min(self.spec.max, wanted))
        if result < wanted:
            words = f"there may be at most {self.spec.max}"
            self.clamps.append(Clamp("max", wanted, result, words))
        elif result > wanted:
            words = f"there are to be at least {self.least}"
            self.clamps.append(Clamp("min", wanted, result, words))
        return result


def _allowed(which: str, pace: Pace) -> str:
    verb = "come" if which == "up" else "go"
    parts = [str(pace.step)] if pace.step else []
    parts += [f"{pace.step_percent} %"] if pace.step_percent else []
    if not parts:
        return f"none may {verb} ({which}.step)"
    return f"{' or '.join(parts)} may {verb} in {pace.every_s:g} s ({which}.step)"
