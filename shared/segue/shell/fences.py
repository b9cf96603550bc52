"""What a fence says once the log has been trimmed: the message that it names may be gone.

Then the last message on its subject is none. But only who has read all that went knows that no
newer one on the subject went with it: another's fence stays as it is, and the bus refuses it.
"""

from segue.log import Fence


def standing(fence: Fence | None, first: int, read_to: int) -> Fence | None:
    """Give the fence that says the same to a log that begins at `first`."""
    if fence is None or not 0 < fence.sequence < first or read_to < first - 1:
        return fence
    return Fence(fence.subject, 0)
