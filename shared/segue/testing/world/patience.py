"""What must happen soon: looked at each second, a violation once it has been owed for too long.

Only time in which it could have been done counts: with an engine that answers, a runner that is at
work and has read the log, and a bus that takes its word; or, for the control plane, once the faults
are over.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from segue.picture import Container
from segue.picture.ending import revivable
from segue.testing.world.bus import EPOCH_S
from segue.testing.world.hosts import Host
from segue.testing.world.invariants import LogChecker, ViolationError

if TYPE_CHECKING:
    from segue.testing.world.run import World

EVERY_S = 1.0
OUTDATED_MOST_S = 5.0  # Two seconds, and a stop that found its engine gone.
SETTLED_S = 20.0  # So long into the calm nodes and leaders are there again.
PLACED_S = 5.0


class Patience:
    """The impatient eye on one world."""

    def __init__(self, world: "World") -> None:
        self.world, self.sim = world, world.sim
        self._outdated: dict[tuple[str, str], float] = {}  # By host and container: since when.
        self._look()

    def _look(self) -> None:
        self.sim.at(EVERY_S, self._look)
        self._check(self.what_is_outdated_is_stopped_soon)
        if self.sim.now > self.world.plan.faults_s + SETTLED_S:
            self._check(self.what_fits_somewhere_is_placed_soon)

    def _check(self, law: Callable[[], str]) -> None:
        problem = law()
        if problem:
            raise ViolationError(self.world.checker.story(law.__name__, problem))

    def what_is_outdated_is_stopped_soon(self) -> str:
        """I9: what a newer one on its node is to take the place of is stopped soon."""
        now = self.sim.now
        found = {key for host in self.world.cluster.hosts for key in outdated(host)}
        self._outdated = {key: self._outdated.get(key, now) for key in sorted(found)}
        for (host, name), since in self._outdated.items():
            if now - since > OUTDATED_MOST_S:
                return f"{name} runs on {host}, which has known a newer one since {since:.0f} s"
        return ""

    def what_fits_somewhere_is_placed_soon(self) -> str:
        """I13: what no node refuses has one within five seconds."""
        return starved(self.world.checker, EPOCH_S + self.sim.now)


def outdated(host: Host) -> Iterator[tuple[str, str]]:
    """Give what a host runs though its runner knows a newer one of the slot there."""
    runner, engine = host.runner, host.engine
    at_work = runner.alive and not runner.frozen and runner.machine.caught_up
    at_work = at_work and host.bus.reaches(host.name) and not host.bus.electing
    me = runner.core.picture.nodes.get(host.name)
    if not at_work or engine.frozen or engine.away or me is None or me.phase == "lost":
        return
    newest: dict[tuple[str, str, int], Container] = {}
    for one in runner.core.picture.on_node.get(host.name, {}).values():
        if one.attempt >= newest.get(one.key[:3], one).attempt:
            newest[one.key[:3]] = one
    for identity, found in engine.there.items():
        newer = newest.get((identity.app, identity.service, identity.slot))
        if not found.runs or newer is None or found.cluster != host.bus.log.cluster:
            continue
        if identity.attempt < newer.attempt and identity.attempt != newer.moves:
            yield host.name, str(identity)


def starved(checker: LogChecker, now: float) -> str:
    """Name what has waited for a node for too long though nobody said why it must."""
    picture = checker.picture
    for container in picture.pending.values():
        slot = picture.slot(container.app, container.service, container.slot)
        since = max(container.requested_at, container.not_before)
        if slot is None or container.refused or container.retired or now - since < PLACED_S:
            continue
        if revivable(picture, slot) not in (None, slot.moving):
            continue  # Its node came back: the older one may go on instead.
        leaving = [one for one in slot.leaving.values() if not picture.is_gone(one)]
        if picture.is_strict(container) and leaving:
            continue  # It waits for the older one's end.
        return f"{container.name} waits for a node since {now - since:.1f} s"
    return ""
