"""Draw numbers over time as columns of blocks, for a terminal; it knows not what they mean."""

import math
from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def columns(
    values: Sequence[float | None], *, height: int, top: float, mark: float | None = None
) -> list[str]:
    """Give the lines of a chart from 0 to `top`, highest first; `mark` is drawn behind it.

    What is None is left empty: nothing is known of that time.
    """
    scale = height * 8 / top if top > 0 else 0.0
    lines = []
    for row in reversed(range(height)):
        behind = mark is not None and row == row_of(mark, height=height, top=top)
        cells = [_cell(value, scale, row) for value in values]
        lines.append("".join("┄" if behind and cell == " " else cell for cell in cells))
    return lines


def row_of(value: float, *, height: int, top: float) -> int:
    """Give the line in which a value ends, counted from the bottom."""
    eighths = value * height * 8 / top if top > 0 else 0.0
    return max(0, min(height - 1, math.ceil(eighths / 8) - 1))


def _cell(value: float | None, scale: float, row: int) -> str:
    if value is None:
        return " "
    filled = round(value * scale) - row * 8
    if row == 0 and value > 0:
        filled = max(1, filled)
    return _EIGHTHS[max(0, min(8, filled))]


def steps(
    points: Sequence[tuple[float, float]], begin: float, end: float, width: int
) -> list[float | None]:
    """Give what held at the end of each of `width` equal spans, by when each value began to."""
    found: list[float | None] = []
    for number in range(1, width + 1):
        at = begin + (end - begin) * number / width
        found.append(next((value for since, value in reversed(points) if since <= at), None))
    return found
