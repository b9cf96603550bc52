"""What a fence says of a log that was trimmed, to whom."""

import pytest
from segue.log import Fence
from segue.shell.fences import standing


@pytest.mark.parametrize(
    ("sequence", "first", "read_to", "says"),
    [
        (5, 5, 4, 5),  # It is still there.
        (5, 6, 5, 0),
        (5, 9, 20, 0),
        (5, 9, 7, 5),  # A newer election may have gone with it: let the bus refuse.
        (0, 9, 20, 0),
    ],
)
def test_a_fence_whose_message_was_trimmed_away_names_none_for_who_has_read_all_that_went(
    sequence: int, first: int, read_to: int, says: int
) -> None:
    assert standing(Fence("leader.elected.a", sequence), first, read_to) == Fence(
        "leader.elected.a", says
    )
