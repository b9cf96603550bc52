"""Mistakes to plant: each breaks one rule that the design rests on, and the checks must find it.

A test of the tests: a mistake that no seed finds says that a check is missing. They patch the
processes of one world and touch nothing else.
"""

# Planting is replacing methods of live objects, private ones too.
# ruff: noqa: SLF001
# mypy: disable-error-code="method-assign, assignment, attr-defined, return-value"

import uuid
from collections.abc import Callable
from types import MethodType
from typing import Any

import msgspec
from segue_deployer import doorkeeper, slots
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_node_runner import news
from segue_node_runner.core import NodeRunner
from segue_scheduler.core import Scheduler

from segue.core import Decision
from segue.envelope import Record
from segue.events.container import (
    ContainerAssigned,
    ContainerRequested,
    ContainerRetired,
    ContainerStopped,
)
from segue.log import Fence, Head, Outcome
from segue.picture import fold_container
from segue.shell.commands import Append
from segue.shell.machine import Machine
from segue.testing.world import rollout_mistakes, scaling_mistakes
from segue.testing.world.planting import Plant, each
from segue.testing.world.process import Process
from segue.testing.world.run import World


def unfenced(world: World) -> None:
    """Publish without the fence: a deposed leader's decisions are stored."""
    write = world.cluster.bus.write

    def bare(client: Any, number: int, messages: Any, _: Any) -> None:
        write(client, number, messages, None)

    world.cluster.bus.write = bare


def hasty_leader(world: World) -> None:
    """Decide as soon as the election is stored, before it is folded."""

    def patch(process: Process) -> None:
        wrote = process.machine.wrote

        def hasty(self: Machine, number: int, outcome: Outcome, now: float) -> None:
            standing = self.leads and self.term is None
            wrote(number, outcome, now)
            if standing and outcome.kind == "stored":
                self.term = outcome.sequence
                self._awaiting = {}

        process.machine.wrote = MethodType(hasty, process.machine)

    each(world, patch)


def own_events_unseen(world: World) -> None:
    """Decide again before one's own last events came back, each time under new ids."""

    def patch(process: Process) -> None:
        machine = process.machine
        encode = machine._encode
        write = machine._write

        def fresh(owed: Any, log_now: float) -> Any:
            return msgspec.structs.replace(encode(owed, log_now), id=uuid.uuid4().hex)

        def forgetful(self: Machine, messages: Any, fence: Any) -> list[Append]:
            commands = write(messages, fence)
            if self.term is not None:
                self._writing, self._awaiting = [], {}
            return commands

        if machine.leads:
            machine._encode = fresh
            machine._write = MethodType(forgetful, machine)

    each(world, patch)


def fresh_ids(world: World) -> None:
    """Choose an id anew for every try: a repeat of a stored write is stored twice."""
    write = world.cluster.bus.write

    def renamed(client: Any, number: int, messages: Any, fence: Any) -> None:
        random = world.sim.random
        again = [
            msgspec.structs.replace(m, id=f"{m.id}-{random.getrandbits(32)}") for m in messages
        ]
        write(client, number, again, fence)

    world.cluster.bus.write = renamed


def host_clock(world: World) -> None:
    """Take the log's time from the host's clock, which runs 2 % wrong and began elsewhere."""

    def patch(process: Process) -> None:
        process.machine.log_time = lambda now: now

    each(world, patch)


def never_rejoins(world: World) -> None:
    """A runner whose node was declared lost goes on as if nothing had happened."""

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, NodeRunner):
            fold = core.fold

            def deaf(self: NodeRunner, record: Record) -> None:
                fold(record)
                me = self.picture.nodes.get(self.node)
                if me is not None and me.phase == "lost":
                    me.phase = "up"

            core.fold = MethodType(deaf, core)

    each(world, patch)


def amnesia(world: World) -> None:
    """A runner that starts does not look at what runs already."""

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, NodeRunner):
            core.yard.listed = True
            core.yard.condition = news.Condition("well")
            core.yard._list_at = float("inf")

    each(world, patch)


def absence_is_an_order(world: World) -> None:
    """A runner stops what the log does not mention on its node."""

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, NodeRunner):

            def stray(self: NodeRunner, found: Any, now: float) -> Any:
                name = found.identity
                key = (name.app, name.service, name.slot, name.attempt)
                mine = self.picture.on_node.get(self.node, {})
                if (found.runs and key not in mine) or self.picture.state.sequence % 7 == 0:
                    yield from self._stop(found, 1.0, now)

            core._stray = MethodType(stray, core)

    each(world, patch)


def no_grace(world: World) -> None:
    """The health monitor takes silence for death although the bus was away."""

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, HealthMonitor):
            judge = core._nodes
            judge.blind_since = -1e9
            judge.blinded = lambda _: None

    each(world, patch)


def overbooking(world: World) -> None:
    """The scheduler does not count what is reserved on a node."""

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, Scheduler):
            core.picture._reserve = lambda *_: None

    each(world, patch)


def two_answers_at_once(world: World) -> None:
    """The doorkeeper answers all requests about an app from one picture."""

    def patch(process: Process) -> None:
        core = process.core
        if core.service == "deployer":
            decide = core.decide

            def eager(self: Any, now: float) -> list[Any]:
                owed = decide(now)
                said = {decision.cause.id for decision in owed if decision.cause}
                for request in self.picture.state.requests.values():
                    if request.cause.id not in said:
                        answer = doorkeeper._ANSWERS[request.type](self.picture, request)
                        owed.append(Decision(answer, request.cause))
                return owed

            core.decide = MethodType(eager, core)

    each(world, patch)


def _fold_instead(world: World, kind: str, fold: Callable[[Any, Record, Any], None]) -> None:
    def patch(process: Process) -> None:
        core = process.core
        own = core.fold

        def wrong(self: Any, record: Record) -> None:
            if record.event.type == kind:
                self.picture.state.sequence = record.sequence
                fold(self.picture, record, record.event)
            else:
                own(record)

        core.fold = MethodType(wrong, core)

    each(world, patch)


def deaf_to_late_assignments(world: World) -> None:
    """An assignment that crosses a retirement is ignored, though its node obeys it."""

    def fold(picture: Any, record: Record, event: Any) -> None:
        found = picture.container(event.app, event.service, event.slot, event.attempt)
        if found is None or found.phase != "stopped":
            fold_container.assigned(picture, record, event)

    _fold_instead(world, ContainerAssigned.type, fold)


def believes_blind_retirements(world: World) -> None:
    """A retirement that names no node counts for a container that has one by now."""

    def fold(picture: Any, record: Record, event: Any) -> None:
        found = picture.container(event.app, event.service, event.slot, event.attempt)
        if found is not None and found.node:
            event = msgspec.structs.replace(event, node=found.node)
        fold_container.retired(picture, record, event)

    _fold_instead(world, ContainerRetired.type, fold)


def moves_by_stopping(world: World) -> None:
    """What is moved is stopped before its successor begins, whatever its service can spare."""

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, Deployer):
            return
        decide = core.decide

        def stopping(now: float) -> list[Decision]:
            return [_stopped(core, decision) for decision in decide(now)]

        core.decide = stopping

    each(world, patch)


def _stopped(core: Deployer, decision: Decision) -> Decision:
    event = decision.event
    if not isinstance(event, ContainerRequested) or not event.moves:
        return decision
    service = core.picture.service(event.app, event.service)
    old = core.picture.container(event.app, event.service, event.slot, event.moves)
    if service is None or old is None or decision.cause is None:
        return decision
    return slots.retire(service, old, "moved", decision.cause)


def drains_nothing(world: World) -> None:
    """A drain begins, and what is on the node stays there."""

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, Deployer):
            return
        decide = core.decide

        def idle(now: float) -> list[Decision]:
            draining, core.picture.draining = core.picture.draining, {}
            owed = decide(now)
            core.picture.draining = draining
            return owed

        core.decide = idle

    each(world, patch)


def goes_on_in_another_log(world: World) -> None:
    """A process whose log was lost or restored older reads on in what is there now."""

    def patch(process: Process) -> None:
        machine = process.machine
        connected = machine.connected

        def trusting(head: Head, now: float, _: int | None = None) -> None:
            machine.core.picture.state.cluster = head.cluster
            connected(head, now, 0)

        machine.connected = trusting
        process._check_history = lambda: None

    each(world, patch)


def fenced_by_slot(world: World) -> None:
    """Fence each decision by its own subject, not by its leader's election."""
    bus = world.cluster.bus
    write = bus.write

    def narrow(client: Any, number: int, messages: Any, fence: Fence | None) -> None:
        subject = messages[0].subject
        if fence is not None and fence.subject.startswith("leader.") and subject != fence.subject:
            fence = Fence(subject, bus.log.last_on.get(subject, 0))
        write(client, number, messages, fence)

    bus.write = narrow


def obeys_old_orders(world: World) -> None:
    """A runner takes an order for a new one again, once what it was about is stopped."""

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, NodeRunner):
            return
        fold = core.fold

        def again(record: Record) -> None:
            event = record.event
            old = None
            if isinstance(event, ContainerStopped) and event.node == core.node:
                old = core.picture.container(event.app, event.service, event.slot, event.attempt)
            fold(record)
            if old is not None:
                anew = msgspec.structs.replace(old, phase="assigned", retired="", ended_at=0.0)
                core.picture.on_node.setdefault(core.node, {})[old.key] = anew

        core.fold = again

    each(world, patch)


def no_fencer(world: World) -> None:
    """Nobody kills what is strict when the node's lease ends."""
    for host in world.cluster.hosts:
        host.fences = False


def lease_counted_too_long(world: World) -> None:
    """A node counts its lease 3 s longer than it may."""
    for host in world.cluster.hosts:
        host.margin_s = -3.0


MISTAKES: dict[str, Plant] = (
    {
        plant.__name__: plant
        for plant in (
            unfenced,
            hasty_leader,
            own_events_unseen,
            fresh_ids,
            host_clock,
            never_rejoins,
            amnesia,
            absence_is_an_order,
            no_grace,
            overbooking,
            two_answers_at_once,
            deaf_to_late_assignments,
            believes_blind_retirements,
            moves_by_stopping,
            drains_nothing,
            goes_on_in_another_log,
            fenced_by_slot,
            obeys_old_orders,
            no_fencer,
            lease_counted_too_long,
        )
    }
    | rollout_mistakes.MISTAKES
    | scaling_mistakes.MISTAKES
)
