"""What happens to images on nodes.

pulling ─→ pulled (a failed pull is a `container.failed` with reason `image`)
"""

from segue.events.base import Event


class ImageEvent(Event, scope=("node",)):
    """Common to all: which image on which node."""

    node: str
    image: str


class ImagePulling(ImageEvent, type="image.pulling"):
    """A pull is under way; said at its start and then at most every 2 s."""

    done_bytes: int = 0
    total_bytes: int = 0


class ImagePulled(ImageEvent, type="image.pulled"):
    """The node has the image: the scheduler prefers it for what runs that image."""

    digest: str = ""
    took_s: float = 0.0
