"""`x-segue.probe`: how a container's node asks it over the network, without a program inside it.

probe: {http: 8080, path: /healthz}              is readiness and liveness both
probe: {readiness: {tcp: 5432}, liveness: {…}}   or each for itself
"""

from typing import Any, Final

from segue.compose.attributes.service_values import ours
from segue.compose.findings import ABSENT, Place, Row
from segue.compose.forms import duration, matching, port, whole
from segue.compose.values import as_duration

_WAYS: Final = ("http", "tcp", "nats")
_EVERY_LEAST_NS: Final = 100_000_000


def probes(place: Place, value: Any) -> Any:
    """Read two probes, or one that is both."""
    if not isinstance(value, dict) or not {*_WAYS} & value.keys():
        return ours(place, value)
    found = probe(place._replace(path=f"{place.path}.liveness"), value)
    if found is ABSENT:
        return ABSENT
    for name in ("readiness", "liveness"):
        place.findings.origins[f"{place.at}.{name}"] = place.at
    ready = {key: given for key, given in found.items() if key != "start"}
    return {"readiness": ready, "liveness": found}


def probe(place: Place, value: Any) -> Any:
    """Read how a container is asked: in exactly one way, and not without pause."""
    before = len(place.findings.problems)
    found = ours(place, value)
    if len(place.findings.problems) > before:
        return ABSENT  # What is missing may be what was misspelt.
    ways = [way for way in _WAYS if found is not ABSENT and way in found]
    if len(ways) != 1:
        what = f"asks by {' and by '.join(ways)}" if ways else "does not say how to ask"
        return place.wrong(what, "give one of http, tcp and nats, with the port")
    if "path" in found and ways != ["http"]:
        return place.wrong(f"has a path and asks by {ways[0]}", "a path is for http")
    if as_duration(found.get("every", "1s")) < _EVERY_LEAST_NS:
        return place.wrong("asks more than ten times a second", "give every: 100ms or more")
    if as_duration(found.get("timeout", "1s")) <= 0:
        return place.wrong("has no time for an answer", "give a timeout above 0s")
    return found


def _row(name: str, form: Any, field: str = "", says: str = "") -> Row:
    return Row(f"services.*.x-segue.probe{name}", "honour", form, field=field, says=says)


def _one(name: str) -> tuple[Row, ...]:
    return (
        _row(f".{name}.http", port, f"{name}.port", says="a port; 200 to 399 passes"),
        _row(f".{name}.tcp", port, f"{name}.port", says="a port; a connection passes"),
        _row(f".{name}.nats", port, f"{name}.port", says="a port; a NATS server's greeting passes"),
        _row(
            f".{name}.path",
            matching(r"/[\x21-\x7e]*", "a path such as /healthz"),
            f"{name}.path",
            says="of http; without it /",
        ),
        _row(f".{name}.every", duration, f"{name}.every_s", says="without it 5s"),
        _row(f".{name}.timeout", duration, f"{name}.timeout_s", says="without it 2s"),
        _row(
            f".{name}.failures",
            whole(1, 1000),
            f"{name}.failures",
            says="in a row until it fails; without it 3",
        ),
        _row(
            f".{name}.successes",
            whole(1, 1000),
            f"{name}.successes",
            says="in a row until it passes; without it 1",
        ),
    )


PROBES: tuple[Row, ...] = (
    _row(
        "",
        probes,
        "readiness",
        says="`readiness` and `liveness`, or the keys of one that is both; asked from the node",
    ),
    _row(
        ".readiness",
        probe,
        "readiness",
        says="while it fails, the container is out of service, and goes on",
    ),
    _row(".liveness", probe, "liveness", says="when it fails, the container is replaced"),
    *_one("readiness"),
    *_one("liveness"),
    _row(
        ".liveness.start",
        duration,
        "liveness.start_s",
        says="until it has passed once it does not fail before this time; without it 60s",
    ),
)
