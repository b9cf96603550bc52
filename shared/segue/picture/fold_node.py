"""Fold what happens to nodes.

A verdict on a node says nothing about its containers' own state: that a container on a lost node
counts as gone is derived (`Picture.is_gone`), so a node's return needs no repair. What a joining
node has says which of them may go on, and which there are that the log does not know.
"""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events.image import ImagePulled, ImagePulling
from segue.events.node import (
    NodeCordoned,
    NodeDegraded,
    NodeDrained,
    NodeDrainHeld,
    NodeDrainStarted,
    NodeEvent,
    NodeJoined,
    NodeLabelled,
    NodeLeaseEnded,
    NodeLeft,
    NodeLossHeld,
    NodeLost,
    NodeRecovered,
    NodeRemoved,
    NodeReturned,
    NodeSuspected,
    NodeUncordoned,
)
from segue.picture import ending, fold_rollout
from segue.picture.indexed import Indexed
from segue.picture.state import UP, Drain, Node, Removed

IMAGES_KEPT = 300
REMOVED_KEPT = 10_000


def joined(picture: Indexed, record: Record, event: NodeJoined) -> None:
    """Know the node as its runner describes it now."""
    node = picture.nodes.get(event.node) or _begin(picture, record, event)
    node.facts, node.joined_seq, node.joined_at = event, record.sequence, record.time
    node.images = dict.fromkeys(event.images)
    node.degraded, node.refusals = "", {}
    node.lease_over = False
    _compare(picture, record, event)
    _fence(picture, node, event.lease)
    _judge(picture, record, node, "up")


def _begin(picture: Indexed, record: Record, facts: NodeJoined) -> Node:
    """Know a node that is not known, or no more: what it says is fenced by its last loss."""
    node = Node(name=facts.node, facts=facts, cause=record.as_cause())
    before = picture.state.removed.pop(facts.node, None)
    if before is not None:
        node.lost_seq, node.ended = before.lost_seq, before.ended
    picture.nodes[facts.node] = node
    return node


def _compare(picture: Indexed, record: Record, event: NodeJoined) -> None:
    """Note what the node runs no more, and what it has that the log does not know."""
    running = {(h.app, h.service, h.slot, h.attempt) for h in event.inventory if h.running}
    for key, container in list(picture.on_node.get(event.node, {}).items()):
        container.absent = container.phase in UP and key not in running
        if container.absent and container.adopted:
            ending.lose(picture, container, record)  # Its runner never knew it.
    for strangers in picture.state.strangers.values():
        strangers.pop(event.node, None)
    node = picture.nodes[event.node]
    node.ended = [key for key in node.ended if key in running]
    for held in sorted(event.inventory, key=lambda held: held.attempt):
        slot = picture.slot(held.app, held.service, held.slot)
        greatest = slot.attempt if slot is not None else 0
        known = picture.container(held.app, held.service, held.slot, held.attempt)
        ended = (held.app, held.service, held.slot, held.attempt) in node.ended
        if known is None and not ended and (held.running or held.attempt > greatest):
            name = f"{held.app}/{held.service}.{held.slot}"
            picture.state.strangers.setdefault(name, {})[event.node] = held


def _fence(picture: Indexed, node: Node, lease: int) -> None:
    """Know that what ran under another lease than this is dead."""
    if not lease:
        return
    if node.lease not in (0, lease):
        for container in picture.on_node.get(node.name, {}).values():
            container.fenced = container.fenced or picture.is_strict(container)
    node.lease = lease


def _judge(picture: Indexed, record: Record, node: Node, phase: Any) -> None:
    node.phase, node.changed_at = phase, record.time
    _fate_changed(picture, record, node)


def _fate_changed(picture: Indexed, record: Record, node: Node) -> None:
    """Note that what is on the node may be owed something."""
    for container in picture.on_node.get(node.name, {}).values():
        picture.touch(container.app, container.service, container.slot)
    _fitness_changed(picture, record, node)


def _fitness_changed(picture: Indexed, record: Record, node: Node) -> None:
    """Note that the node may be of other use now: a global service may owe it a slot."""
    node.cause = record.as_cause()
    node.usable_since = (node.usable_since or record.time) if node.usable else 0.0
    picture.nodes_changed = True
    picture.touched_nodes.add(node.name)
    for app in picture.apps.values():
        for service in app.services.values():
            if service.wanted and service.spec.is_global:
                picture.touch(app.name, service.name)


def _phase(phase: str, *after: str) -> Callable[[Indexed, Record, NodeEvent], None]:
    """Fold a verdict on a node that is still as the verdict found it; only joining undoes it."""

    def fold(picture: Indexed, record: Record, event: NodeEvent) -> None:
        node = picture.nodes.get(event.node)
        forgotten = picture.state.removed.get(event.node)
        if phase == "lost" and node is None and forgotten is not None:
            forgotten.lost_seq = record.sequence  # Both were said at once; its runner's fence.
        if node is None or node.phase not in after:
            return
        if phase == "lost":
            node.lost_seq = record.sequence
            for container in picture.on_node.get(node.name, {}).values():
                fold_rollout.note_loss(picture, record, container)
        _judge(picture, record, node, phase)

    return fold


def lease_ended(picture: Indexed, record: Record, event: NodeLeaseEnded) -> None:
    """Give up what is strict on a lost node, unless the node has begun another lease since."""
    node = picture.nodes.get(event.node)
    if node is not None and node.phase == "lost" and node.lease == event.lease:
        node.lease_over = True
        for container in picture.on_node.get(node.name, {}).values():
            picture.touch(container.app, container.service, container.slot)
        _fitness_changed(picture, record, node)


def loss_held(picture: Indexed, record: Record, event: NodeLossHeld) -> None:
    """Remember which silent nodes are kept for now."""
    state = picture.state
    if not (state.losses_held and event.nodes):
        state.losses_held_since = record.time if event.nodes else 0.0
    state.losses_held, state.losses_told = event.nodes, record.sequence
    state.losses_eased_at = 0.0 if event.nodes else record.time


def returned(picture: Indexed, record: Record, event: NodeReturned) -> None:
    """Trust a suspected node again; a lost one has to join again first."""
    node = picture.nodes.get(event.node)
    if node is not None and node.phase == "suspected":
        _judge(picture, record, node, "up")


def degraded(picture: Indexed, record: Record, event: NodeDegraded) -> None:
    """Note that its engine is of no use now, also of a node that for that reason never joined."""
    node = picture.nodes.get(event.node)
    if node is None:
        nothing = NodeJoined(node=event.node, session="", cpu_millicores=0, memory_bytes=0)
        node = _begin(picture, record, nothing)
        node.phase, node.changed_at = "lost", record.time
    node.degraded = event.reason or "unknown"
    _fitness_changed(picture, record, node)


def recovered(picture: Indexed, record: Record, event: NodeRecovered) -> None:
    """Note that its engine works again."""
    node = picture.nodes.get(event.node)
    if node is not None:
        node.degraded = ""
        _fitness_changed(picture, record, node)


def _cordon(*, cordoned: bool) -> Callable[[Indexed, Record, NodeEvent], None]:
    def fold(picture: Indexed, record: Record, event: NodeEvent) -> None:
        node = picture.nodes.get(event.node)
        if node is not None:
            node.cordoned = cordoned
            if not cordoned:
                node.drain = None
                picture.draining.pop(event.node, None)
            _fate_changed(picture, record, node)

    return fold


def drain_started(picture: Indexed, record: Record, event: NodeDrainStarted) -> None:
    """Want the node empty; said again, until another time."""
    node = picture.nodes.get(event.node)
    if node is not None:
        moved = node.drain.moved if node.drain is not None else 0
        deadline_at = record.time + event.deadline_s
        node.cordoned = True
        node.drain = Drain(cause=record.as_cause(), deadline_at=deadline_at, moved=moved)
        picture.draining[event.node] = None
        _fate_changed(picture, record, node)


def drain_held(picture: Indexed, record: Record, event: NodeDrainHeld) -> None:
    """Note what is in the way."""
    node = picture.nodes.get(event.node)
    if node is not None and node.drain is not None:
        node.drain.blockers, node.drain.cause = event.blockers, record.as_cause()


def drained(picture: Indexed, record: Record, event: NodeDrained) -> None:
    """Note that the node is empty, but for what stays."""
    node = picture.nodes.get(event.node)
    if node is not None and node.drain is not None:
        node.drain.done, node.drain.cause = True, record.as_cause()


def removed(picture: Indexed, record: Record, event: NodeRemoved) -> None:
    """Forget the node; what ran there is over, and its data are given up."""
    node = picture.nodes.pop(event.node, None)
    if node is None:
        return
    kept = picture.state.removed
    there = picture.on_node.get(event.node, {})
    ended = {key for key, container in there.items() if not container.adopted}
    kept[event.node] = Removed(record.as_cause(), node.lost_seq, sorted(ended.union(node.ended)))
    while len(kept) > REMOVED_KEPT:
        del kept[next(iter(kept))]
    for container in list(picture.on_node.get(event.node, {}).values()):
        ending.lose(picture, container, record)
    _give_up_data(picture, event.node)
    _fitness_changed(picture, record, node)
    for name, strangers in list(picture.state.strangers.items()):
        strangers.pop(event.node, None)
        if not strangers:
            del picture.state.strangers[name]
    picture.on_node.pop(event.node, None)
    picture.used.pop(event.node, None)
    picture.draining.pop(event.node, None)
    picture.gateways.pop(event.node, None)


def _give_up_data(picture: Indexed, node: str) -> None:
    for app in picture.apps.values():
        for service in app.services.values():
            for slot in service.slots.values():
                if slot.home == node:
                    slot.home, slot.home_attempt = "", 0
                    picture.touch(app.name, service.name, slot.number)


def labelled(picture: Indexed, record: Record, event: NodeLabelled) -> None:
    """Let people's labels outweigh the runner's."""
    node = picture.nodes.get(event.node)
    if node is not None:
        node.labelled.update(event.set)
        for name in event.removed:
            node.labelled.pop(name, None)
            if name in node.facts.labels:
                node.labelled[name] = None
        _fitness_changed(picture, record, node)


def pulled(picture: Indexed, record: Record, event: ImagePulled) -> None:
    """Remember that the node has the image; forget the oldest beyond the limit."""
    pulling(picture, record, event)
    node = picture.nodes.get(event.node)
    if node is not None:
        node.images[event.image] = None
        picture.touched_nodes.add(node.name)
        while len(node.images) > IMAGES_KEPT:
            del node.images[next(iter(node.images))]


def pulling(picture: Indexed, record: Record, event: ImagePulling | ImagePulled) -> None:
    """Count a pull as progress of the deploys that wait for it."""
    for container in picture.on_node.get(event.node, {}).values():
        spec = picture.spec(container)
        if container.phase == "assigned" and spec is not None and spec.image == event.image:
            app = picture.apps[container.app]
            app.progressed_at = max(app.progressed_at, record.time)
            fold_rollout.note_pull(picture, record, container)


FOLDS: dict[str, Callable[[Indexed, Record, Any], None]] = {
    NodeJoined.type: joined,
    NodeLeft.type: _phase("left", "up", "suspected"),
    NodeSuspected.type: _phase("suspected", "up"),
    NodeLost.type: _phase("lost", "up", "suspected", "left", "lost"),
    NodeLeaseEnded.type: lease_ended,
    NodeLossHeld.type: loss_held,
    NodeReturned.type: returned,
    NodeDegraded.type: degraded,
    NodeRecovered.type: recovered,
    NodeCordoned.type: _cordon(cordoned=True),
    NodeUncordoned.type: _cordon(cordoned=False),
    NodeDrainStarted.type: drain_started,
    NodeDrainHeld.type: drain_held,
    NodeDrained.type: drained,
    NodeRemoved.type: removed,
    NodeLabelled.type: labelled,
    ImagePulled.type: pulled,
    ImagePulling.type: pulling,
}
