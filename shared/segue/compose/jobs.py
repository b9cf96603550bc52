"""Make how a job is run from `x-job`, and judge it with what else is said."""

from typing import Any

from segue.compose.findings import Findings
from segue.compose.values import as_duration
from segue.jobs import Job, Schedule

KEEP = "10m"  # Of each run that is over.


def schedule(section: dict[str, Any]) -> Schedule | None:
    """Give when the service is run again and again, or None."""
    given = section.get("x-schedule")
    if given is None:
        return None
    late_s = _seconds(given, "late")
    return Schedule(
        cron=given["cron"],
        zone=given.get("timezone", "UTC"),
        overlap=given.get("overlap", "skip"),
        late_s=3_600.0 if late_s is None else late_s,
    )


def made(section: dict[str, Any]) -> Job:
    """Give how the service is run if it is a job."""
    given = section.get("x-job", {})
    if "x-schedule" in section:
        given = {"keep": KEEP} | given
    return Job(
        parallelism=given.get("parallelism", 0),
        deadline_s=_seconds(given, "deadline"),
        keep_s=_seconds(given, "keep"),
    )


def _seconds(given: dict[str, Any], key: str) -> float | None:
    return as_duration(given[key]) / 1e9 if key in given else None


def check(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what has no effect, and what is said twice."""
    _scheduled(at, section, findings)
    given, deploy = section.get("x-job"), section.get("deploy", {})
    if given is None:
        return
    mode = deploy.get("mode", "replicated")
    if not mode.endswith("-job"):
        findings.at(f"{at}.x-job").wrong(
            f"has no effect with mode {mode}",
            "write deploy.mode: replicated-job, or remove it",
            "conflict",
        )
        return
    if mode == "global-job" and "parallelism" in given:
        findings.at(f"{at}.x-job.parallelism").wrong(
            "a global job runs on every node at once", "remove it", "conflict"
        )
    said = "restart" if "restart" in section else "deploy.restart_policy.max_attempts"
    if "retries" in given and ("restart" in section or "max_attempts" in _policy(deploy)):
        findings.at(f"{at}.{said}").wrong(
            "is given, and so is x-job.retries", "keep one of them", "conflict"
        )


def _scheduled(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what a job that is run again and again makes nothing of."""
    if "x-schedule" not in section:
        return
    deploy = section.get("deploy", {})
    mode = deploy.get("mode", "replicated")
    if mode != "replicated-job":
        findings.at(f"{at}.x-schedule").wrong(
            f"has no effect with mode {mode}", "write deploy.mode: replicated-job", "conflict"
        )
    elif deploy.get("replicas", section.get("scale", 1)) != 1:
        which = "deploy.replicas" if "replicas" in deploy else "scale"
        findings.at(f"{at}.{which}").wrong(
            "a run of a schedule is one container", "remove it", "conflict"
        )
    if "parallelism" in section.get("x-job", {}):
        findings.at(f"{at}.x-job.parallelism").wrong(
            "a run of a schedule is one container", "say it by x-schedule.overlap", "conflict"
        )
    if any(mount["type"] == "volume" for mount in section.get("volumes", [])):
        findings.at(f"{at}.x-schedule").note(
            "each run may be on another node, with that node's volume", "constrain its placement"
        )


def waited_for(
    at: str, section: dict[str, Any], services: dict[str, Any], findings: Findings
) -> None:
    """Refuse to wait for what comes and goes."""
    for name in section.get("depends_on", {}):
        if "x-schedule" in services.get(name, {}):
            findings.at(f"{at}.depends_on.{name}").wrong(
                "is run by its schedule only", "do not wait for it", "conflict"
            )


def _policy(deploy: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deploy.get("restart_policy", {})
    return found
