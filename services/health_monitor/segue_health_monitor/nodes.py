"""Judge nodes by their beats: suspect fast, decide slowly.

Silence counts only while beats could have been heard: after its own start, after the bus was away
and after a gap in its own work the monitor takes nobody for dead until `GRACE_S` is over. A node
whose runner was stopped on purpose has `LEFT_LOST_AFTER_S` for that to be a restart or an upgrade.
When too many fall silent at once, `segue_health_monitor.brake` says which of them is given up when.
"""

from segue.beats import NODE_BEAT_EVERY_S, NodeBeat
from segue.core import Decision
from segue.events.node import NodeLost, NodeReturned, NodeSuspected
from segue.picture import Node, Picture

from segue_health_monitor import brake

SUSPECT_AFTER_S = 3 * NODE_BEAT_EVERY_S
LOST_AFTER_S = 3.0
LEFT_LOST_AFTER_S = 30.0
GRACE_S = 10.0  # A lease of 6 s and two renewals of 2 s.
GAP_S = 1.0  # A monitor that was silent itself this long cannot tell who else was.
_PATIENCE_S = {"up": SUSPECT_AFTER_S, "suspected": LOST_AFTER_S, "left": LEFT_LOST_AFTER_S}


class NodeJudge:
    """Who was heard when, and what follows from it."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.heard_at: dict[str, float] = {}
        self.blind_since: float | None = None  # None: nothing was decided yet.
        self.check_at = 0.0
        self._awake_at = 0.0
        self._broken_s: dict[str, float] = {}  # The newest long silence of each.

    def heard(self, beat: NodeBeat, now: float) -> None:
        """Note a beat of a node that there is."""
        self._awake(now)
        node = self.picture.nodes.get(beat.node)
        if node is None:
            return
        silent_s = now - self._known_at(node, now)
        if silent_s >= SUSPECT_AFTER_S:
            self._broken_s[beat.node] = silent_s
        if node.phase == "suspected":
            self.check_at = now
        self.heard_at[beat.node] = now

    def blinded(self, now: float) -> None:
        """Judge nobody for a while."""
        self.blind_since = self._awake_at = self.check_at = now
        self.heard_at, self._broken_s = {}, {}

    def _awake(self, now: float) -> None:
        """Notice one's own absence (later than planned, or never here before), and a new clock."""
        planned_s = max(0.0, self.check_at - self._awake_at)
        slept_s = now - self._awake_at
        if self.blind_since is None or not -GAP_S <= slept_s <= GAP_S + planned_s:
            self.blinded(now)
        self._awake_at = now

    def decide(self, now: float) -> list[Decision]:
        """Say which nodes are suspected, lost or heard again."""
        self._awake(now)
        assert self.blind_since is not None, "being awake begins with being blind"
        if now < self.check_at:
            return []
        self._forget_the_gone()
        graced = now < self.blind_since + GRACE_S
        owed: list[Decision] = []
        check_at = self.blind_since + GRACE_S if graced else now + LOST_AFTER_S
        losses: dict[str, Decision] = {}
        for name, node in sorted(self.picture.nodes.items()):
            if node.phase not in _PATIENCE_S:
                continue
            silent_s = now - self._known_at(node, now)
            if graced:
                if node.phase == "suspected" and name in self.heard_at:
                    owed.append(self._returned(node))
                continue
            decision = self._judge(node, silent_s)
            if decision is not None and node.phase == "suspected":
                losses[name] = decision
            elif decision is not None:
                owed.append(decision)
            check_at = min(check_at, now + max(_PATIENCE_S[node.phase] - silent_s, 0.01))
        if not graced:
            braked, again_at = brake.apply(self.picture, losses, now)
            owed += braked
            check_at = min(check_at, again_at) if again_at else check_at
        self.check_at = now if owed else check_at
        return owed

    def _forget_the_gone(self) -> None:
        for memory in (self.heard_at, self._broken_s):
            for name in memory.keys() - self.picture.nodes.keys():
                del memory[name]

    def _known_at(self, node: Node, now: float) -> float:
        """Give when the node was last known to be there; never before one could have heard it."""
        told_at = node.changed_at if node.phase == "left" else node.joined_at
        if told_at > now + GAP_S:  # Said by a clock that has been set back since.
            told_at = 0.0
        return max(self.heard_at.get(node.name, 0.0), told_at, self.blind_since or 0.0)

    def _judge(self, node: Node, silent_s: float) -> Decision | None:
        shown = round(silent_s, 3)
        if node.phase == "suspected" and silent_s < SUSPECT_AFTER_S:
            return self._returned(node)
        if silent_s < _PATIENCE_S[node.phase]:
            return None
        if node.phase == "up":
            return Decision(NodeSuspected(node=node.name, silent_s=shown), node.cause)
        return Decision(NodeLost(node=node.name, silent_s=shown), node.cause)

    def _returned(self, node: Node) -> Decision:
        silent_s = self._broken_s.get(node.name, SUSPECT_AFTER_S)  # Blind, it knows no more.
        return Decision(NodeReturned(node=node.name, silent_s=round(silent_s, 3)), node.cause)
