"""Answer requests about nodes: what can be met is said as done, all else is rejected with advice.

A node is forgotten only when it is silent for good. What runs where nobody can look must be known
to be dead, or be given up by a person's `force`; what may never run twice is never given up.
"""

import re

import msgspec
from segue.events.base import Event
from segue.events.deploy import Problem
from segue.events.node import (
    NodeCordoned,
    NodeCordonRequested,
    NodeDrainRequested,
    NodeDrainStarted,
    NodeLabelled,
    NodeLabelRequested,
    NodeRemovalRequested,
    NodeRemoved,
    NodeRequestRejected,
    NodeUncordoned,
    NodeUncordonRequested,
)
from segue.picture import Container, Node, Picture, Request

DRAIN_MOST_S = 7 * 86_400.0
LABELS_MOST, VALUE_MOST = 100, 256
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_NAMED = 5


def answer(picture: Picture, request: Request) -> Event:
    """Answer a request about a node."""
    name = request.data["node"]
    node = picture.nodes.get(name)
    if node is None:
        there = ", ".join(sorted(picture.nodes)[:20]) or "none"
        return _no(name, "node", f"there is no node called {name}", f"there are: {there}")
    if request.type == NodeCordonRequested.type:
        return NodeCordoned(node=name)
    if request.type == NodeUncordonRequested.type:
        return NodeUncordoned(node=name)
    if request.type == NodeDrainRequested.type:
        return _drain(msgspec.convert(request.data, NodeDrainRequested))
    if request.type == NodeLabelRequested.type:
        return _label(node, msgspec.convert(request.data, NodeLabelRequested))
    return _removal(picture, node, msgspec.convert(request.data, NodeRemovalRequested))


REQUESTS = (
    NodeCordonRequested,
    NodeUncordonRequested,
    NodeDrainRequested,
    NodeLabelRequested,
    NodeRemovalRequested,
)


def _no(node: str, where: str, what: str, hint: str = "") -> NodeRequestRejected:
    problem = Problem(where=where, what=what, hint=hint)
    return NodeRequestRejected(node=node, problems=[problem])


def _drain(asked: NodeDrainRequested) -> Event:
    if not 0 <= asked.deadline_s <= DRAIN_MOST_S:
        what = f"{asked.deadline_s:g} s is no deadline; from 0 s to a week are possible"
        return _no(asked.node, "deadline_s", what)
    return NodeDrainStarted(node=asked.node, deadline_s=asked.deadline_s)


def _label(node: Node, asked: NodeLabelRequested) -> Event:
    problems = [
        Problem(
            where=f"set.{name}"[:100],
            what="is no label",
            hint=f"letters, digits, '.', '_', '-' and '/'; values of at most {VALUE_MOST}",
        )
        for name, value in asked.set.items()
        if not _LABEL.fullmatch(name) or len(value) > VALUE_MOST
    ]
    both = sorted(asked.set.keys() & set(asked.remove))
    problems += [Problem(where=f"remove.{name}"[:100], what="is to be set, too") for name in both]
    if not asked.set and not asked.remove:
        problems.append(Problem(where="set", what="nothing is to be set, and nothing removed"))
    if len(node.labelled.keys() | asked.set.keys()) > LABELS_MOST:
        what = f"a node can be given {LABELS_MOST} labels"
        problems.append(Problem(where="set", what=what, hint="remove some first"))
    if problems:
        return NodeRequestRejected(node=node.name, problems=problems[:20])
    return NodeLabelled(node=node.name, set=asked.set, removed=asked.remove)


def _removal(picture: Picture, node: Node, asked: NodeRemovalRequested) -> Event:
    name = node.name
    if node.phase == "up":
        what = f"node {name} is at work"
        return _no(name, "node", what, "drain it and stop its runner first")
    there = picture.on_node.get(name, {}).values()
    strict = [one for one in there if _strict(picture, one) and not picture.is_gone(one)]
    if strict:
        what = (
            f"{_some([one.name for one in strict])} may still run there, and must never run twice"
        )
        return _no(name, "node", what, "ask again once the node's lease is over")
    if asked.force:
        return NodeRemoved(node=name)
    if node.phase == "suspected":
        what = f"node {name} has only just fallen silent"
        return _no(name, "node", what, "wait until it is lost; force gives it up at once")
    data = homes(picture, name)
    if data:
        what = f"node {name} has the data of {_some(data)}"
        return _no(name, "node", what, "force gives them up, and they begin with empty volumes")
    running = [one for one in there if not picture.is_gone(one)]
    if running:
        names = _some([one.name for one in running])
        what = f"{names} may still run on node {name}, whose runner was stopped"
        return _no(name, "node", what, "drain it while its runner works; force gives them up")
    return NodeRemoved(node=name)


def _strict(picture: Picture, container: Container) -> bool:
    spec = picture.spec(container)
    return spec is not None and spec.strict


def _some(of: list[str]) -> str:
    names = sorted(set(of))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def homes(picture: Picture, node: str) -> list[str]:
    """Name the slots whose data are on a node."""
    return [
        f"{app.name}/{service.name}.{slot.number}"
        for app in picture.apps.values()
        for service in app.services.values()
        for slot in service.slots.values()
        if slot.home == node
    ]
