"""`x-autoscale`: between which bounds, and by which load, replicas come and go by themselves.

x-autoscale:
  min: 2
  max: 10
  target: {cpu: 70%, rps: 50}                    the mean per replica; who wants most counts
  idle: 5m                                       with min: 0, until there is none
  up: {window: 0s, step: [4, 100%], every: 15s}
  down: {window: 2m, step: 100%}
  schedule: [{start: "0 8 * * 1-5", end: "0 18 * * 1-5", timezone: Europe/Berlin, min: 6}]

Metrics that Segue does not measure itself may have any name: whoever knows them publishes them.
"""

from decimal import Decimal
from typing import Any, Final

from segue import schedules
from segue.compose.attributes.service_values import ours
from segue.compose.findings import ABSENT, Form, Place, Row
from segue.compose.forms import decimal, duration, items, section, text, whole
from segue.compose.values import as_duration, kind, shown
from segue.ids import is_token

SHARES: Final = ("cpu", "memory")  # Of what is reserved, in percent.
METRICS_MOST: Final = 20
_WINDOW_MOST_NS: Final = 3_600_000_000_000  # What was recommended is remembered so long.
_MOST: Final = 100_000


def percent(place: Place, value: Any) -> Any:
    """Read a share in percent, which may be more than the whole."""
    given = str(value).strip().removesuffix("%").strip()
    if not isinstance(value, str) or not value.strip().endswith("%"):
        return place.wrong(f"{shown(value)} is no share", "write it in percent, such as 70%")
    found = whole(1, 10_000)(place, given)
    return found if found is ABSENT else f"{found}%"


def above_zero(place: Place, value: Any) -> Any:
    """Read a number that something can be divided by."""
    found = decimal(place, value)
    if found is not ABSENT and Decimal(found) == 0:
        return place.wrong("is 0", "give a number above 0")
    return found


def some_time(place: Place, value: Any) -> Any:
    """Read a duration that something can be divided by."""
    found = an_hour(place, value)
    if found is not ABSENT and as_duration(found) <= 0:
        return place.wrong("is no time", "give a duration above 0s")
    return found


def an_hour(place: Place, value: Any) -> Any:
    """Read a duration of at most an hour."""
    found = duration(place, value)
    if found is not ABSENT and as_duration(found) > _WINDOW_MOST_NS:
        return place.wrong(f"{found} is more than an hour", "give at most 1h")
    return found


def targets(place: Place, value: Any) -> Any:
    """Read what each metric is to be, on average per replica; names of one's own are allowed."""
    if not isinstance(value, dict):
        return place.wrong(f"must be a mapping, is {kind(value)}", "write {cpu: 70%}")
    if len(value) > METRICS_MOST:
        return place.wrong(f"names {len(value)} metrics", f"at most {METRICS_MOST} are watched")
    known = {key: given for key, given in value.items() if key in place.table[place.path]}
    read = section(place, known)
    for name, given in value.items():
        at = place.key(str(name), name=True)
        if name in known:
            continue
        if not is_token(str(name)):
            at.wrong("is no metric", "use at most 63 of a-z, 0-9, - and _")
        elif (found := above_zero(at, given)) is not ABSENT:
            read[str(name)] = found
    return dict(sorted(read.items())) or ABSENT


def steps(place: Place, value: Any) -> Any:
    """Read how many slots at once: a number, a share in percent, or one of each; 0 is none."""
    places = enumerate(value) if isinstance(value, list) else [(None, value)]
    found = [_step(place if number is None else place.item(number), one) for number, one in places]
    if ABSENT in found:
        return ABSENT
    shares = [one for one in found if isinstance(one, str)]
    if len(shares) > 1 or len(found) - len(shares) > 1 or not found:
        return place.wrong("is not one number, one share, or one of each", "write [4, 100%]")
    return found[0] if len(found) == 1 else sorted(found, key=lambda one: isinstance(one, str))


def _step(place: Place, value: Any) -> Any:
    return (percent if str(value).strip().endswith("%") else whole(0, _MOST))(place, value)


def span(place: Place, found: dict[str, Any]) -> Any:
    """Judge a span of time: both its crons and its zone are needed to know when it is."""
    missing = [key for key in ("start", "end", "min") if key not in found]
    if missing:
        example = (
            'write {start: "0 8 * * 1-5", end: "0 18 * * 1-5", timezone: Europe/Berlin, min: 6}'
        )
        return place.wrong(f"has no {missing[0]}", example)
    for key in ("start", "end"):
        if why := schedules.wrong(found[key], found.get("timezone", "UTC")):
            return place.wrong(why)
    if found["start"].split() == found["end"].split():
        return place.wrong("ends when it begins", "give another end", "conflict")
    return found


def autoscale(place: Place, value: Any) -> Any:
    """Read it all; without an upper bound there is none to judge by."""
    before = len(place.findings.problems)
    found = ours(place, value)
    if len(place.findings.problems) > before:
        return ABSENT  # What is missing may be what was misspelt.
    if found is ABSENT or "max" not in found:
        return place.wrong("has no max", "say how many replicas there may be, such as max: 10")
    least = found.get("min", 1)
    if least > found["max"]:
        return place.wrong(f"min {least} is above max {found['max']}", "raise max", "conflict")
    for one in found.get("schedule", []):
        if one["min"] > found["max"]:
            what = f"min {one['min']} of the schedule is above max {found['max']}"
            return place.wrong(what, "raise max", "conflict")
    return found


def _row(name: str, form: Form, field: str = "", says: str = "") -> Row:
    return Row(f"services.*.x-autoscale{name}", "honour", form, field=field, says=says)


def _direction(name: str, window: str, step: str) -> tuple[Row, ...]:
    return (
        _row(f".{name}", ours, f"autoscale.{name}"),
        _row(
            f".{name}.window",
            an_hour,
            f"autoscale.{name}.window_s",
            f"the most careful number that was recommended in this time counts; {window}",
        ),
        _row(
            f".{name}.step",
            steps,
            f"autoscale.{name}.step",
            f"so many slots, or a share, or the larger of both, within `every`; {step}; 0: none",
        ),
        _row(f".{name}.every", some_time, f"autoscale.{name}.every_s", "without it 15s"),
    )


AUTOSCALE: tuple[Row, ...] = (
    _row(
        "",
        autoscale,
        "autoscale",
        "replicas follow the load by themselves; `deploy.replicas` is the first number",
    ),
    _row(
        ".min",
        whole(0, _MOST),
        "autoscale.min",
        "without it 1; 0: there is none while nobody asks, and what is asked then waits for one",
    ),
    _row(
        ".idle",
        some_time,
        "autoscale.idle_s",
        "with `min: 0`, so long nothing is asked before there is none; without it 5m",
    ),
    _row(".max", whole(1, _MOST), "autoscale.max"),
    _row(
        ".target",
        targets,
        "autoscale.target",
        "the mean per replica; the metric that wants most counts; gateways measure `rps`, "
        "`inflight` and `errors`; others have any name",
    ),
    _row(
        ".target.cpu",
        percent,
        "autoscale.target",
        "of the CPUs that are reserved, else of their limit, else of one",
    ),
    _row(
        ".target.memory",
        percent,
        "autoscale.target",
        "of the memory that is reserved, else of its limit",
    ),
    _row(
        ".target.latency",
        some_time,
        "autoscale.target",
        "from a request to the beginning of its answer, on average",
    ),
    _row(
        ".tolerance", percent, "autoscale.tolerance", "so far from the target nothing is done; 10%"
    ),
    *_direction("up", "without it 0s", "without it [4, 100%]"),
    *_direction("down", "without it 2m", "without it 100%"),
    _row(
        ".schedule",
        items(None, span),
        "autoscale.schedule",
        "spans of time in which there are at least so many, whatever the load",
    ),
    _row(".schedule[].start", text, "autoscale.schedule.start", "five fields of cron: it begins"),
    _row(".schedule[].end", text, "autoscale.schedule.end", "five fields of cron: it ends"),
    _row(
        ".schedule[].timezone",
        text,
        "autoscale.schedule.zone",
        "such as `Europe/Berlin`; without it UTC",
    ),
    _row(".schedule[].min", whole(1, _MOST), "autoscale.schedule.min"),
)
