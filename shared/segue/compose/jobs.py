"""Make how a job is run from `x-job`, and judge it with what else is said."""

from typing import Any

from segue.compose.findings import Findings
from segue.compose.values import as_duration
from segue.jobs import Job


def made(section: dict[str, Any]) -> Job:
    """Give how the service is run if it is a job."""
    given = section.get("x-job", {})
    return Job(
        parallelism=given.get("parallelism", 0),
        deadline_s=_seconds(given, "deadline"),
        keep_s=_seconds(given, "keep"),
    )


def _seconds(given: dict[str, Any], key: str) -> float | None:
    return as_duration(given[key]) / 1e9 if key in given else None


def check(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what has no effect, and what is said twice."""
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


def _policy(deploy: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deploy.get("restart_policy", {})
    return found
