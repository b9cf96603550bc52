"""Make what a service's replicas follow from `x-autoscale`, and judge it with what else is said.

A share of cpu and memory is one of what is reserved, else of what is allowed. What has neither
reservation nor limit has no share of memory; of cpu it is one of a whole CPU.
"""

from decimal import Decimal
from typing import Any

from segue.compose.attributes.autoscale import SHARES
from segue.compose.findings import Findings
from segue.compose.values import as_duration
from segue.spec import Autoscale, Pace, Resources, Span

_UP, _DOWN, _IDLE_S = Pace(), Autoscale(max=1).down, Autoscale(max=1).idle_s
_WHOLE_CPU_MILLICORES = 1_000


def made(section: dict[str, Any], reserved: Resources) -> Autoscale | None:
    """Give what the replicas follow, or None."""
    given = section.get("x-autoscale")
    if given is None:
        return None
    return Autoscale(
        max=given["max"],
        min=given.get("min", 1),
        target={name: _target(name, value) for name, value in given.get("target", {}).items()},
        idle_s=_seconds(given, "idle", _IDLE_S),
        tolerance=_share(given.get("tolerance", "10%")) / 100,
        up=_pace(given.get("up", {}), _UP),
        down=_pace(given.get("down", {}), _DOWN),
        whole=_whole(section, reserved)
        if set(SHARES) & given.get("target", {}).keys()
        else Resources(),
        schedule=[
            Span(
                start=one["start"], end=one["end"], zone=one.get("timezone", "UTC"), min=one["min"]
            )
            for one in given.get("schedule", [])
        ],
    )


def _share(text: str) -> int:
    return int(text.removesuffix("%"))


def _target(name: str, value: str) -> float:
    if name in SHARES:
        return float(_share(value))
    return as_duration(value) / 1e9 if name == "latency" else float(value)


def _pace(given: dict[str, Any], default: Pace) -> Pace:
    steps = given.get("step", [default.step, f"{default.step_percent}%"])
    steps = steps if isinstance(steps, list) else [steps]
    return Pace(
        window_s=_seconds(given, "window", default.window_s),
        step=sum(one for one in steps if isinstance(one, int)),
        step_percent=sum(_share(one) for one in steps if isinstance(one, str)),
        every_s=_seconds(given, "every", default.every_s),
    )


def _seconds(given: dict[str, Any], key: str, default: float) -> float:
    return as_duration(given[key]) / 1e9 if key in given else default


def _whole(section: dict[str, Any], reserved: Resources) -> Resources:
    limits = section.get("deploy", {}).get("resources", {}).get("limits", {})
    cpus = Decimal(limits.get("cpus", section.get("cpus", "0")))
    memory = limits.get("memory", section.get("mem_limit", 0))
    return Resources(
        cpu_millicores=reserved.cpu_millicores or int(cpus * 1000) or _WHOLE_CPU_MILLICORES,
        memory_bytes=reserved.memory_bytes or memory,
    )


def check(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what contradicts it, and what cannot be measured."""
    given = section.get("x-autoscale")
    if given is None:
        return
    here, deploy = f"{at}.x-autoscale", section.get("deploy", {})
    mode = deploy.get("mode", "replicated")
    if mode != "replicated":
        what = (
            "a job ends by itself" if mode.endswith("-job") else "one slot on every node is fixed"
        )
        findings.at(here).wrong(f"has no effect with mode {mode}: {what}", "remove it", "conflict")
        return
    which = "deploy.replicas" if "replicas" in deploy else "scale"
    replicas = deploy.get("replicas", section.get("scale"))
    least, most = given.get("min", 1), given["max"]
    if replicas is not None and not least <= replicas <= most:
        findings.at(f"{at}.{which}").wrong(
            f"{replicas} is not within x-autoscale, {least} to {most}",
            "it is the number to begin with; change it or the bounds",
            "conflict",
        )
    if "memory" in given.get("target", {}) and not _limit(section):
        findings.at(f"{here}.target.memory").wrong(
            "is a share of nothing: no memory is reserved, and it has no limit",
            "give deploy.resources.reservations.memory, or mem_limit",
        )
    if "idle" in given and least:
        findings.at(f"{here}.idle").note("has no effect: min is not 0", "write min: 0")
    if "target" not in given and "schedule" not in given:
        findings.at(here).note(
            "has no target: the replicas follow only what others publish as load",
            "such as target: {cpu: 70%}",
        )


def _limit(section: dict[str, Any]) -> int:
    resources = section.get("deploy", {}).get("resources", {})
    found: int = (
        resources.get("reservations", {}).get("memory", 0)
        or section.get("mem_reservation", 0)
        or resources.get("limits", {}).get("memory", 0)
        or section.get("mem_limit", 0)
    )
    return found
