"""Which container on an engine is whose: labels are the truth, the name is a fence.

A container is called as its slot (`shop.web.3`), so that one engine never runs a slot twice unless
it was told to: when a slot moves within its node, the older container gives its name to the newer
and runs on. What it is (which attempt, made by which decision) stands in its labels and nowhere
else.
"""

from collections.abc import Mapping

import msgspec

CLUSTER = "segue.cluster"
APP = "segue.app"
SERVICE = "segue.service"
SLOT = "segue.slot"
ATTEMPT = "segue.attempt"
REVISION = "segue.revision"
DIGEST = "segue.digest"
NODE = "segue.node"
CAUSE = "segue.cause"
CORRELATION = "segue.correlation"


class Identity(msgspec.Struct, frozen=True):
    """Which of a cluster's containers it is."""

    app: str
    service: str
    slot: int
    attempt: int

    @property
    def slot_name(self) -> str:
        """The engine's name for what fills the slot."""
        return f"{self.app}.{self.service}.{self.slot}"

    @property
    def past_name(self) -> str:
        """What it is called once a newer one has the slot's name; the engine adds its id."""
        return f"{self.slot_name}.{self.attempt}"


def identity(labels: Mapping[str, str]) -> Identity | None:
    """Read whose container this is, or None when the labels do not say."""
    try:
        return Identity(
            labels[APP], labels[SERVICE], int(labels[SLOT]), int(labels.get(ATTEMPT, "0"))
        )
    except (KeyError, ValueError):
        return None
