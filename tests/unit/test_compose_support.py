"""The support page is what the table says."""

import pathlib

from segue.compose.attributes import ROWS
from segue.compose.support import page

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "compose.md"


def test_the_support_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run `python -m segue.compose.support > docs/compose.md`"
    )


def test_what_is_refused_or_noted_comes_with_a_word_of_advice() -> None:
    assert [row.path for row in ROWS if row.stand != "honour" and not row.says] == []


def test_every_attribute_that_is_honoured_goes_somewhere() -> None:
    """Parts of other attributes go where those go; profiles and external choose what goes."""
    nowhere = [
        row.path
        for row in ROWS
        if row.stand == "honour"
        and not (row.engine or row.field)
        and row.path.count(".") < 3
        and "[" not in row.path
        and not row.path.endswith("*")
    ]
    assert nowhere == [
        "networks.*.driver",
        "networks.*.ipam",
        "services.*.profiles",
        "services.*.deploy",
        "services.*.blkio_config",
        "services.*.x-segue",
    ]
