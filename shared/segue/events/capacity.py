"""What happens to the room that the nodes have together.

exhausted ─→ exhausted (another number waits, or more is missing) ─→ eased
"""

import msgspec

from segue.events.base import Event


class Shortage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Slots of a service that wait for room, and how much would do."""

    app: str
    service: str
    slots: int  # So many wait …
    cpu_millicores: int = 0  # … and each of them wants so much.
    memory_bytes: int = 0
    lacks_cpu_millicores: int = 0  # With so much more free on `node` all of them would fit.
    lacks_memory_bytes: int = 0
    node: str = ""  # Of those that may run it the one that lacks least.
    candidates: int = 0  # So many nodes may run it, if they had room.


class CapacityExhausted(Event, type="capacity.exhausted", scope=()):
    """Slots wait because no node has room for them. The notifier and whoever adds nodes react.

    Said once they have waited for 3 s, and again only when it has changed, at most every 10 s.
    """

    slots: int
    lacks_cpu_millicores: int  # Together: what is free on a node is counted once.
    lacks_memory_bytes: int
    shortages: list[Shortage]  # The first 20, by app and service.


class CapacityEased(Event, type="capacity.eased", scope=()):
    """No slot waits for room any more: there is more, or less is wanted."""

    waited_s: float  # Since it was said first.
