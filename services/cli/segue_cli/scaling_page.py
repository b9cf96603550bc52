"""Draw a service's load, its replicas and each decision for a terminal, as wide as it is.

Each metric is drawn in percent of its target, up to its highest, with a line at the target; the
number of replicas from 0. Nothing here reads the log or prints.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from segue.events.scale import Clamp, Input
from segue.picture import Service

from segue_cli import chart
from segue_cli.amounts import count
from segue_cli.moment import clock
from segue_cli.story_scaling import amount, reasons
from segue_cli.tables import STYLES, styled

HEIGHT, LABEL = 6, 10  # Lines of a chart, and columns beside it.
LEAST, MOST = 30, 160  # Columns of a chart.
Points = list[tuple[float, float]]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was said of a service's load or of its number of replicas."""

    at: dt.datetime | None
    sequence: int
    type: str
    by: str
    text: str
    replicas: int  # From then on.
    metric: str = ""
    value: float | None = None
    target: float | None = None
    recommended: int | None = None
    reason: str = ""
    inputs: list[Input] = []
    clamps: list[Clamp] = []


def page(
    name: str,
    service: Service,
    before: Service | None,
    found: Sequence[Line],
    *,
    span: tuple[float, float],
    width: int,
) -> Iterator[RenderableType]:
    """Draw load and replicas from one time to another, and list each decision."""
    wide = max(LEAST, min(MOST, width - LABEL - 2))
    spec = service.spec.autoscale
    bounds = f"{spec.min} to {spec.max}" if spec is not None else "as they are told"
    replicas = count(service.replicas, "replica")
    yield styled(f"{name}: {replicas}, {bounds}; {_standing(service)}", "name")
    yield Text("")
    targets = _targets(service, found)
    for metric, points in sorted(_loads(before, found, span[0], targets).items()):
        target = targets[metric]
        now, most = (target * share / 100 for share in (points[-1][1], max(p[1] for p in points)))
        title = f"{metric}: {amount(metric, now)}, at most {amount(metric, most)}; "
        title += f"its target is {amount(metric, target)}"
        yield from _drawn(title, points, span, wide, mark=100.0)
    numbers = [(span[0], float(before.replicas))] if before is not None else []
    numbers += [(_time(line), float(line.replicas)) for line in found]
    yield from _drawn("replicas", numbers, span, wide)
    yield _decisions(found)


def _standing(service: Service) -> str:
    scaling = service.scaling
    if scaling is None:
        return "they follow no load: give it x-autoscale"
    if (override := scaling.override) is not None:
        words = "a person gave the number" if override.kind == "manual" else "paused"
        until = f"until {_clock(override.until)}" if override.until else "until the next deploy"
        return f"{words}, {until}"
    if scaling.held:
        return f"held: {scaling.held}"
    return "they follow the load"


def _targets(service: Service, found: Sequence[Line]) -> dict[str, float]:
    """Give what each metric is to be, as it was said last; else as the service has it."""
    known = service.scaling.loads if service.scaling is not None else {}
    told = {line.metric: line.target for line in found if line.metric and line.target}
    spec = service.spec.autoscale
    own = spec.target if spec is not None else {}
    return {name: loads[-1].target for name, loads in known.items()} | told | own


def _loads(
    before: Service | None,
    found: Sequence[Line],
    begin: float,
    targets: Mapping[str, float],
) -> Mapping[str, Points]:
    """Give each metric in percent of its target, by when it was said; it holds until the next."""
    drawn: dict[str, Points] = {}
    known = before.scaling.loads if before is not None and before.scaling is not None else {}
    for metric, loads in known.items():
        if metric in targets:
            drawn[metric] = [(begin, 100.0 * loads[-1].value / loads[-1].target)]
    for line in found:
        target = line.target or targets.get(line.metric)
        if line.metric and line.value is not None and target:
            drawn.setdefault(line.metric, []).append((_time(line), 100.0 * line.value / target))
    return drawn


def _time(line: Line) -> float:
    return line.at.timestamp() if line.at is not None else 0.0


def _clock(time: float) -> str:
    """Write the time of day to the second: nobody scales by milliseconds."""
    return clock(time)[:8]


def _drawn(
    title: str, points: Points, span: tuple[float, float], width: int, mark: float | None = None
) -> Iterator[Text]:
    values = chart.steps(points, *span, width)
    top = max([value for value in values if value is not None] + ([mark] if mark else [1.0]))
    labels = {0: f"{top:.0f} %" if mark else f"{top:.0f}", HEIGHT - 1: "0"}
    if mark is not None:
        labels[HEIGHT - 1 - chart.row_of(mark, height=HEIGHT, top=top)] = "target"
    yield Text(title)
    drawn = chart.columns(values, height=HEIGHT, top=top, mark=mark)
    for number, row in enumerate(drawn):
        label = labels.get(number, "").rjust(LABEL)
        yield Text.assemble((f"{label} ", STYLES["dim"]), (row, STYLES["who"]))
    middle = (span[0] + span[1]) / 2
    first, half, last = (_clock(at)[:5] for at in (span[0], middle, span[1]))
    axis = first.ljust(width // 2 - 2) + half
    yield styled(f"{'':>{LABEL}} {axis.ljust(width - 5)}{last}", "dim")
    yield Text("")


def _decisions(found: Sequence[Line]) -> RenderableType:
    """List who decided what, and why; what is too long goes on below itself."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for line in found:
        if line.metric:
            continue
        grid.add_row(styled(_clock(_time(line)), "dim"), Text(line.text))
        for more in reasons(line.inputs, line.clamps):
            said = more.partition(", ")[2]
            if not (said and line.text.endswith(said)):  # It was the point already.
                grid.add_row("", styled(f"  {more}", "dim"))
    return grid
