"""What must hold, each a function with its name; a violation names it and shows what led there.

The log's invariants are checked on every message as it is stored, the engines' after every change,
the rest at the end of the calm.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec
from segue_node_runner.effects import Start, Stop
from segue_node_runner.labels import Identity

from segue.envelope import ERRORS, Record, Unreadable
from segue.events.container import (
    ContainerAssigned,
    ContainerEvent,
    ContainerRequested,
)
from segue.events.deploy import DeployAccepted
from segue.events.event import EventRejected
from segue.events.leader import LeaderElected
from segue.events.node import NodeLost
from segue.log import Stored
from segue.picture import Container, Picture, Service
from segue.shell.commands import Append
from segue.testing.world.process import Decoded, Process
from segue.testing.world.sim import Sim
from segue.wants import ready

SHOWN = 12
AHEAD_MOST_S = 2.5  # 2 % of what four askings for the log's time take, three of them unheard.


class ViolationError(AssertionError):
    """An invariant does not hold."""


class Said(msgspec.Struct, frozen=True):
    """Something in the log that a service's number of replicas hangs on."""

    sequence: int
    at: float
    metric: str = ""  # Empty: the number itself was changed …
    level: str = ""  # … by the autoscaler's step "up" or "down", or by another's word, "".
    asks: int = 0  # What the load asked for, of as many as it was measured of.
    target: float = 0.0


class LogChecker:
    """Watch the log grow."""

    def __init__(self, sim: Sim, decoded: Decoded, late: Mapping[str, None]) -> None:
        self.sim, self.decoded, self.late = sim, decoded, late
        self.records: list[Record] = []
        self.sequence_of: dict[str, int] = {}
        self.leaders: dict[str, str] = {}  # Service: source of the newest leader.
        self.attempts: dict[tuple[str, str, int], int] = {}
        self.assigned: dict[tuple[str, str, int, int], str] = {}
        self.revisions: dict[str, int] = {}
        self.unreadable: dict[int, int] = {}  # Sequence: records of its rejection.
        self.scales: dict[tuple[str, int], dict[str, int]] = {}  # Slots wanted, by revision.
        self.said: dict[tuple[str, str], list[Said]] = {}  # What a number of replicas hangs on.
        self.green: dict[tuple[str, str, str], None] = {}  # Versions that are not promoted.
        self.by_type: Counter[str] = Counter()
        self.laws = LAWS
        self.picture = Picture()  # What one would know who saw every message as it is stored.
        self.replaced = False  # The store was: attempts pass over those that nodes still have.
        self.known_before: set[str] = set()  # Ids in the logs that the store had before.
        self.blind_until = 0.0  # Nobody may be declared lost before: the bus was away.

    def check(self, news: Iterable[Stored]) -> None:
        """Check messages in the order they were stored."""
        for stored in news:
            try:
                record = self.decoded(stored)
            except ERRORS:
                self.unreadable[stored.sequence] = 0
                self.picture.unreadable(
                    Unreadable(stored.sequence, stored.time, stored.subject, "unreadable")
                )
                continue
            self.records.append(record)
            self.by_type[record.event.type] += 1
            for law in () if self._crossed(record) else self.laws:
                problem = law(self, record)
                if problem:
                    raise ViolationError(self.story(law.__name__, problem, record))
            self.sequence_of[record.id] = record.sequence
            self.picture.fold(record)
            problem = no_node_is_overcommitted(self, record)
            if problem:
                raise ViolationError(self.story("no_node_is_overcommitted", problem, record))

    def forget_green(self, app: str, service: str) -> None:
        """Take all versions of a service as ones that gateways may lead to."""
        self.green = {which: None for which in self.green if which[:2] != (app, service)}

    def _crossed(self, record: Record) -> bool:
        """Tell whether a write was under way while the store was replaced: it speaks of the old."""
        return record.cause in self.known_before and record.cause not in self.sequence_of

    def story(self, law: str, problem: str, record: Record | None = None) -> str:
        """Tell a violation: seed, law, what, and the last events about the same thing."""
        about = record.event.subject.split(".")[2:5] if record is not None else []
        lines = [
            f"  {r.sequence:>5} {r.time % 1e6:10.3f} {r.event.subject}  by {r.source}"
            for r in self.records
            if not about or r.event.subject.split(".")[2:5] == about
        ][-SHOWN:]
        head = f"seed {self.sim.seed} at {self.sim.now:.3f} s: {law}: {problem}"
        return "\n".join([head, *lines, f"  again: just replay {self.sim.seed}"])


def every_event_is_stored_once(checker: LogChecker, record: Record) -> str:
    """I6: an id stands in the log once."""
    if record.id in checker.sequence_of:
        return f"{record.id} is stored at {checker.sequence_of[record.id]} too"
    return ""


def every_decision_names_its_cause(checker: LogChecker, record: Record) -> str:
    """I4: what one of ours says has a cause that stands before it in the log."""
    if not record.source.startswith("/segue/"):
        return ""
    if isinstance(record.event, (LeaderElected, EventRejected)) or not record.cause:
        starts = record.event.type.startswith(("node.", "leader.", "event.", "image."))
        return "" if starts else "it has no cause"
    if record.cause not in checker.sequence_of:
        return f"its cause {record.cause} is not in the log before it"
    return ""


def only_the_leader_decides(checker: LogChecker, record: Record) -> str:
    """No decision stands in the log past its leader's term."""
    service = record.source.split("/")[2] if record.source.startswith("/segue/") else ""
    if isinstance(record.event, LeaderElected):
        checker.leaders[record.event.service] = record.source
        return ""
    if service in ("autoscaler", "deployer", "health_monitor", "scheduler"):
        leader = checker.leaders.get(service, "nobody")
        if leader != record.source:
            return f"{record.source} decided while {leader} led"
    return ""


def attempts_rise_by_one(checker: LogChecker, record: Record) -> str:
    """I5: each request of a slot has the next attempt."""
    event = record.event
    if not isinstance(event, ContainerRequested):
        return ""
    key = (event.app, event.service, event.slot)
    last = checker.attempts.get(key, 0)
    checker.attempts[key] = event.attempt
    app = checker.picture.apps.get(event.app)
    least = max(last, app.attempts if app is not None else 0)
    fits = event.attempt > last if checker.replaced else event.attempt == least + 1
    return "" if fits else f"attempt {event.attempt} follows {last}"


def an_attempt_has_one_node(checker: LogChecker, record: Record) -> str:
    """An attempt is assigned once."""
    event = record.event
    if not isinstance(event, ContainerAssigned):
        return ""
    key = (event.app, event.service, event.slot, event.attempt)
    if key in checker.assigned:
        return f"it was assigned to {checker.assigned[key]} already"
    checker.assigned[key] = event.node
    return ""


def nobody_speaks_of_what_was_not_asked_for(checker: LogChecker, record: Record) -> str:
    """Facts and decisions about an attempt follow its request."""
    event = record.event
    if isinstance(event, ContainerRequested) or not isinstance(event, ContainerEvent):
        return ""
    asked = checker.attempts.get((event.app, event.service, event.slot), 0)
    return "" if event.attempt <= asked else f"attempt {event.attempt} was never requested"


def revisions_rise_by_one(checker: LogChecker, record: Record) -> str:
    """I5: each accepted deploy has the next revision."""
    event = record.event
    if not isinstance(event, DeployAccepted):
        return ""
    last = checker.revisions.get(event.app, 0)
    checker.revisions[event.app] = event.revision
    return "" if event.revision == last + 1 else f"revision {event.revision} follows {last}"


def a_rejection_is_of_something_unreadable(checker: LogChecker, record: Record) -> str:
    """I16: what could not be read is rejected at most once, and nothing else is."""
    if not isinstance(record.event, EventRejected):
        return ""
    sequence = record.event.sequence
    if sequence not in checker.unreadable:
        return f"message {sequence} can be read"
    checker.unreadable[sequence] += 1
    return "" if checker.unreadable[sequence] == 1 else f"message {sequence} is rejected twice"


def nobody_is_lost_in_the_dark(checker: LogChecker, record: Record) -> str:
    """After the bus was away no node is declared lost until its beats could be heard again."""
    if record.id in checker.late:
        return ""  # It was decided before, in the light.
    if isinstance(record.event, NodeLost) and checker.sim.now < checker.blind_until:
        return f"{record.event.node} was declared lost before {checker.blind_until:.3f} s"
    return ""


def no_node_is_overcommitted(checker: LogChecker, record: Record) -> str:
    """I3: what is reserved on a node is within what it has, from each assignment on."""
    if not isinstance(record.event, ContainerAssigned):
        return ""
    name = record.event.node
    used, node = checker.picture.used.get(name), checker.picture.nodes.get(name)
    if used is None or node is None:
        return ""  # It was forgotten while the assignment was on its way.
    facts = node.facts
    if used.cpu_millicores <= facts.cpu_millicores:
        return ""
    return f"{name} has {facts.cpu_millicores} millicores, {used.cpu_millicores} are reserved"


def no_clock_runs_ahead(process: Process, _: Append, now: float) -> str:
    """What it takes for the log's time runs ahead no more than a host's clock does between askings.

    Behind it may be: an answer that reached it while it was frozen was read only later.
    """
    ahead_s = now - process.bus.time
    return f"{process.name} is {ahead_s:.3f} s ahead" if ahead_s > AHEAD_MOST_S else ""


def a_leader_has_folded_its_election(process: Process, command: Append, _: float) -> str:
    """A leader decides on a picture that holds the log up to its own election."""
    machine = process.machine
    if not machine.leads or machine.term is None:
        return ""
    folded = process.core.picture.leaders.get(process.core.service)
    if folded is not None and folded.term == machine.term:
        return ""
    return f"{process.name} decides {command.messages[0].subject} before it has folded its election"


def a_move_leaves_enough_up(process: Process, command: Append, now: float) -> str:
    """I8: what is moved before its drain's deadline leaves as many up as its service wants."""
    picture: Picture = process.core.picture
    gone: set[tuple[str, str, int, int]] = set()
    for message in command.messages:
        if not message.subject.startswith("container.retired."):
            continue
        told = msgspec.json.decode(message.data)["data"]
        key = told["app"], told["service"], told["slot"], told["attempt"]
        service, container = picture.service(*key[:2]), picture.container(*key)
        gone.add(key)
        if told["reason"] != "moved" or service is None or container is None:
            continue
        node = picture.nodes.get(container.node)
        drain = node.drain if node is not None else None
        over = drain is not None and drain.deadline_at <= now
        if over or service.spec.is_global or not ready(service, container):
            continue
        up = {
            slot.number
            for slot in service.slots.values()
            for one in slot.containers()
            if _serves(service, one, gone) and not picture.is_gone(one)
        }
        least = service.spec.least_up(service.replicas)
        if container.slot not in up and len(up) < least:
            return f"{container.name} is moved, and leaves {len(up)} up of at least {least}"
    return ""


def _serves(service: Service, container: Container, gone: set[tuple[str, str, int, int]]) -> bool:
    return ready(service, container) and not container.retired and container.key not in gone


def nothing_is_stopped_without_an_order(checker: LogChecker, node: str, effect: Stop) -> str:
    """I10: a container is stopped when it was retired, has ended in the log, or has a successor.

    A successor stands on the same node: after the store was replaced, a node may have a container
    of the slot that the log never put there. What another node has under the same attempt makes way
    for it too, even while the log's own is still moved away from.
    """
    key = (effect.app, effect.service, effect.slot)
    slot = checker.picture.slot(*key)
    if slot is None:
        return f"{effect.identity} is stopped and nobody ever asked for its slot"
    known = checker.picture.container(*key, effect.attempt)
    if known is None or known.ended or known.retired or known.fenced:
        return ""
    newer = [
        other
        for other in slot.containers()
        if other.attempt > effect.attempt and other.node == node
        if known.node != node or other.moves != effect.attempt
    ]
    return "" if newer else f"{effect.identity} is stopped and is {known.phase} in the log"


def an_older_attempt_is_never_started(there: Iterable[Identity], effect: Start) -> str:
    """I9: what a node starts is the newest of its slot that it has."""
    newer = [
        other
        for other in there
        if other.slot_name == effect.identity.slot_name and other.attempt > effect.attempt
    ]
    return f"{effect.identity} is started beside {newer}" if newer else ""


LAWS: tuple[Callable[[LogChecker, Record], str], ...] = (
    every_event_is_stored_once,
    every_decision_names_its_cause,
    only_the_leader_decides,
    attempts_rise_by_one,
    an_attempt_has_one_node,
    nobody_speaks_of_what_was_not_asked_for,
    revisions_rise_by_one,
    a_rejection_is_of_something_unreadable,
    nobody_is_lost_in_the_dark,
)
