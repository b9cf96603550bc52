"""Say what becomes of images that are pulled: facts that no picture holds.

Each is owed until it is read back from the log. The same may have been said of the same order
before, by this run of the runner or an earlier one: the bus would drop a repeat under the same id,
and this run would wait for ever to read it, so every fact is numbered within its session.
"""

from collections.abc import Iterable

import msgspec
from segue.core import Decision
from segue.envelope import Cause
from segue.events import Event, image
from segue.picture import Picture

from segue_node_runner import news
from segue_node_runner.labels import Identity


class Pulls:
    """What one runner has to say of pulls."""

    def __init__(self, picture: Picture, node: str, session: str) -> None:
        self._picture, self._node, self._session = picture, node, session
        self._owed: dict[str, Decision] = {}
        self._said_before = 0  # How many facts there were.
        self._done_bytes: dict[Identity, int] = {}  # What was said last of a pull.

    def owed(self) -> Iterable[Decision]:
        """Give what is not in the log yet, oldest first."""
        return self._owed.values()

    def said(self, event_id: str) -> None:
        """Note that an event stands in the log."""
        self._owed.pop(event_id, None)

    def comes_on(self, said: news.PullProgress) -> None:
        """Owe word of how far a pull is."""
        ordered = self._picture.container(*msgspec.structs.astuple(said.identity))
        if ordered is None or said.done_bytes <= self._done_bytes.get(said.identity, -1):
            return  # A pull that was begun again has said this before.
        self._done_bytes[said.identity] = said.done_bytes
        event = image.ImagePulling(
            node=self._node,
            image=said.image,
            done_bytes=said.done_bytes,
            total_bytes=said.total_bytes,
        )
        self._owe(event, ordered.cause)

    def done(self, said: news.StartDone) -> None:
        """Say once for all containers that waited for the same pull that the image is there."""
        self._done_bytes.pop(said.identity, None)
        ordered = self._picture.container(*msgspec.structs.astuple(said.identity))
        spec = self._picture.spec(ordered) if ordered is not None else None
        me = self._picture.nodes.get(self._node)
        if ordered is None or spec is None or me is None or said.pulled_s <= 0:
            return
        said_now = [one.event for one in self._owed.values()]
        if any(isinstance(e, image.ImagePulled) and e.image == spec.image for e in said_now):
            return
        if spec.image in me.images and spec.pull != "always":
            return
        event = image.ImagePulled(
            node=self._node, image=spec.image, digest=said.found.image, took_s=said.pulled_s
        )
        self._owe(event, ordered.cause)

    def _owe(self, event: Event, cause: Cause) -> None:
        self._said_before += 1
        decision = Decision(event, cause, key=f"{self._session} {self._said_before}")
        self._owed[decision.id] = decision
