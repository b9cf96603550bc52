"""A merged Compose document becomes an app's canonical spec, or a list of all its problems.

Two steps: every attribute is read into its one canonical form by the table of attributes, then the
canonical document is judged as a whole and made into the spec. Converting the canonical document
gives itself and an equal spec. Nothing here reads files, the environment or a clock.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from segue.compose import checks, order, resources, service
from segue.compose.attributes import TABLE
from segue.compose.attributes.naming import app_name
from segue.compose.findings import ABSENT, Findings, Place
from segue.compose.forms import ordered, section
from segue.compose.values import Invalid
from segue.events.deploy import Problem
from segue.spec import AppSpec

DEPTH_MAX: Final = 64
SERVICES_MAX: Final = 2000
SPEC_BYTES_MAX: Final = 512 * 1024


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a document came to: a spec exactly when there are no problems."""

    spec: AppSpec | None
    canonical: dict[str, Any]
    problems: list[Problem]
    notes: list[Problem]


def convert(document: Mapping[str, Any], *, app: str, lenient: bool = False) -> Result:
    """Convert one merged document; `lenient` leaves out what is not supported, with a note."""
    findings = Findings(lenient=lenient)
    canonical = _read(document, app, findings)
    services: dict[str, Any] = canonical.get("services", {})
    resources.complete(canonical, app, findings)
    canonical = ordered("", canonical, TABLE)
    order.check(services, findings)
    checks.check(canonical, findings)
    once = order.awaited_to_end(services)
    shared = resources.shared_volumes(canonical)
    spec = AppSpec(
        services={
            name: service.make(part, runs_to_completion=name in once, shared=shared)
            for name, part in services.items()
        },
        volumes=resources.volumes(canonical),
        networks=resources.networks(canonical),
        secrets=resources.files(canonical, "secrets", findings),
        configs=resources.files(canonical, "configs", findings),
        extensions={key: value for key, value in canonical.items() if key.startswith("x-")},
    )
    if not findings.problems:
        _check_bytes(spec, findings)
    return Result(
        spec=None if findings.problems else spec,
        canonical=canonical,
        problems=findings.problems,
        notes=findings.notes,
    )


def _check_bytes(spec: AppSpec, findings: Findings) -> None:
    """Refuse what no event can carry."""
    try:
        size = len(msgspec.json.encode(spec))
    except UnicodeEncodeError:
        findings.wrong("services", "have bytes in a name or extension that are not UTF-8")
        return
    if size > SPEC_BYTES_MAX:
        what = f"come to {size // 1024} KiB, which fits into no event"
        findings.wrong("services", what, f"keep below {SPEC_BYTES_MAX // 1024} KiB")


def _is_too_deep(document: Any) -> bool:
    """Tell whether a document is nested deeper than anything that reads it can follow."""
    layer = [document]
    for _ in range(DEPTH_MAX):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True


def _read(document: Mapping[str, Any], app: str, findings: Findings) -> dict[str, Any]:
    place = Place("", "", findings, TABLE)
    if _is_too_deep(document):
        findings.wrong("services", f"are nested more than {DEPTH_MAX} deep")
        return {"name": app}
    found = section(place, document)
    canonical: dict[str, Any] = {} if found is ABSENT else found
    try:
        app_name(app)
    except Invalid as error:
        findings.wrong("name", error.what, error.hint)
    if canonical.get("name", app) != app:
        findings.note("name", f"'{canonical['name']}' is deployed as '{app}'")
    canonical.pop("version", None)
    services = canonical.get("services", {})
    if len(services) > SERVICES_MAX:
        findings.wrong("services", f"are more than {SERVICES_MAX}", "make several apps of them")
        services.clear()
    for name, part in list(services.items()):
        if profiles := part.get("profiles"):
            findings.note(
                f"services.{name}.profiles",
                f"none of {', '.join(profiles)} is active: the service is left out",
                "activate one with --profile",
            )
            del services[name]
    return {"name": app} | canonical | {"name": app}
