"""Decide what the host's gateway leads to, and what is to be said of it.

Laws:
- Of two gateways under one name the newer in the log goes on and the other gives way.
- What it says counts only while no other has joined under its name.
"""

from typing import Any

import msgspec
from segue.core import Core, Decision
from segue.envelope import Record
from segue.events import subjects
from segue.events.gateway import GatewayJoined
from segue.log import Fence

from segue_gateway import says


class GiveWay(msgspec.Struct, frozen=True):
    """Stop running here: a newer gateway has joined under this node's name."""

    session: str


class Gateway(Core):
    """The gateway's core."""

    service = "gateway"

    def __init__(self, me: GatewayJoined | None = None) -> None:
        super().__init__()
        self.me = me or GatewayJoined(node="", session="", address="")
        self._has_joined = False
        self._usurper = ""

    def fence(self) -> Fence | None:
        """A fact counts only while this is the newest gateway of its node."""
        known = self.picture.gateways.get(self.me.node)
        return Fence(subjects(GatewayJoined, node=self.me.node), known.joined_seq if known else 0)

    def fold(self, record: Record) -> None:
        """Correct the picture; notice what concerns this gateway itself."""
        super().fold(record)
        event = record.event
        if isinstance(event, GatewayJoined) and event.node == self.me.node:
            is_other = event.session != self.me.session
            self._usurper = event.session if is_other and self._has_joined else ""
            self._has_joined = self._has_joined or not is_other

    def decide(self, now: float) -> list[Any]:  # noqa: ARG002 — what is owed does not age.
        """Say what is to be done and what is to be said."""
        self.wake_at = None
        if self._usurper:
            return [GiveWay(self._usurper)]
        return self._said()

    def _said(self) -> list[Decision]:
        known = self.picture.gateways.get(self.me.node)
        if known is None or known.left or known.facts != self.me:
            return [says.joined(self.me, known.cause if known else None)]
        return []
