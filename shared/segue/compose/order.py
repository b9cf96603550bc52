"""Who waits for whom: dependencies between services, their conditions and their cycles."""

from typing import Any

from segue.compose.findings import Findings

_DONE = "service_completed_successfully"


def waits(section: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give a service's dependencies."""
    given: dict[str, Any] = section.get("depends_on", {})
    return given


def awaited_to_end(services: dict[str, Any]) -> set[str]:
    """Name the services whose completion others wait for."""
    return {
        name
        for section in services.values()
        for name, entry in waits(section).items()
        if entry.get("condition") == _DONE
    }


def check(services: dict[str, Any], findings: Findings) -> None:
    """Judge all dependencies; one on a missing service that is not required is left out."""
    for name, section in services.items():
        for other, entry in list(waits(section).items()):
            at = findings.at(f"services.{name}.depends_on.{other}")
            if other in services:
                _condition(name, other, entry, services[other], findings)
            elif f"services.{other}" in findings.failed:
                continue
            elif entry.get("required", True):
                at.wrong(
                    f"there is no service '{other[:80]}'",
                    "correct the name, or activate its profile",
                    "reference",
                )
            else:
                at.note(f"there is no service '{other[:80]}'; it is not waited for")
                del section["depends_on"][other]
        if not section.get("depends_on", True):
            del section["depends_on"]
    for cycle in _cycles({name: sorted(waits(section)) for name, section in services.items()}):
        findings.at(f"services.{cycle[0]}.depends_on").wrong(
            f"waits for itself: {' → '.join(cycle)}", "break the circle", "conflict"
        )


def _condition(
    name: str, other: str, entry: dict[str, Any], target: dict[str, Any], findings: Findings
) -> None:
    at = findings.at(f"services.{name}.depends_on.{other}")
    condition = entry.get("condition")
    check = target.get("healthcheck", {})
    if condition == "service_healthy" and "readiness" not in target.get("x-segue", {}).get(
        "probe", {}
    ):
        if check.get("disable") or check.get("test") == ["NONE"]:
            at.wrong(
                f"waits for '{other}' to be healthy, whose health check is disabled",
                "wait for service_started, or enable the check",
                "conflict",
            )
        elif not check and f"services.{other}.healthcheck" not in findings.failed:
            at.note(
                f"'{other}' has no healthcheck here; its image must have one",
                "without one it never becomes healthy",
            )
    if condition == _DONE:
        policy = target.get("deploy", {}).get("restart_policy", {})
        always = target.get("restart", "") in ("always", "unless-stopped")
        if always or policy.get("condition") == "any":
            at.wrong(
                f"waits for '{other}' to complete, which is always restarted",
                "give it restart: on-failure",
                "conflict",
            )


def _cycles(waits_for: dict[str, list[str]]) -> list[list[str]]:
    """Find one cycle through each knot of services, smallest name first."""
    cycles: list[list[str]] = []
    done: set[str] = set()
    for start in sorted(waits_for):
        path: dict[str, int] = {}  # In order, with the length up to each.
        pending = [(start, iter(waits_for[start]))] if start not in done else []
        while pending:
            name, rest = pending[-1]
            path.setdefault(name, len(path))
            following = next(rest, None)
            if following is None:
                done.add(name)
                del path[name]
                pending.pop()
            elif following in path:
                cycles.append([*list(path)[path[following] :], following])
            elif following in waits_for and following not in done:
                pending.append((following, iter(waits_for[following])))
    return cycles
