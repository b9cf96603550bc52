"""One service: from its canonical section to its spec and its fragment of the create call.

Everything here reads well-formed values; what was refused is missing and takes its default.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal

from segue.compose import engine, jobs, scaling
from segue.compose.attributes import ROWS
from segue.compose.findings import Row
from segue.compose.values import as_duration
from segue.spec import (
    Dependency,
    FileRef,
    Health,
    Ingress,
    Mount,
    NetworkRef,
    Placement,
    Port,
    Probe,
    Resources,
    Restart,
    ServiceSpec,
    Strategy,
    Update,
)

_PREFIX = "services.*."
_REQUESTED = ("HostConfig.Devices", "HostConfig.DeviceRequests")
ENGINE_ROWS: tuple[Row, ...] = tuple(
    row for row in ROWS if row.engine and row.engine not in _REQUESTED
)
_CONDITIONS: dict[str, Literal["started", "healthy", "completed"]] = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_KEPT = ("endpoint_mode",)
_READ = ("x-autoscale", "x-ingress", "x-job", "x-schedule", "x-segue")
RETRIES = 6  # Of a job, as Kubernetes has it.


def make(
    section: dict[str, Any],
    *,
    runs_to_completion: bool = False,
    shared: frozenset[str] = frozenset(),
) -> ServiceSpec:
    """Make a service's spec; others may wait for it to run to completion.

    `shared` names the volumes whose data are the same on every node.
    """
    deploy = section.get("deploy", {})
    mode = deploy.get("mode", "replicated")
    once = runs_to_completion or mode.endswith("-job")
    return ServiceSpec(
        image=section.get("image", ""),
        mode=mode,
        replicas=replicas(section),
        autoscale=scaling.made(section, _resources(section)),
        job=jobs.made(section),
        schedule=jobs.schedule(section),
        pull=section.get("pull_policy", "missing"),
        stop_grace_s=_seconds(section, "stop_grace_period", 10.0),
        health=health(section.get("healthcheck")),
        restart=restart(section, once=once),
        depends_on=_depends_on(section),
        placement=_placement(section),
        resources=_resources(section),
        ports=[_port(port) for port in section.get("ports", [])],
        expose=exposed(section.get("expose", [])),
        ingress=[Ingress(**entry) for entry in section.get("x-ingress", [])],
        mounts=[_mount(mount, shared) for mount in section.get("volumes", [])],
        secrets=[_file(file) for file in section.get("secrets", [])],
        configs=[_file(file) for file in section.get("configs", [])],
        networks={
            name: NetworkRef(aliases=entry.get("aliases", []))
            for name, entry in section.get("networks", {}).items()
        },
        network_mode=section.get("network_mode"),
        labels=deploy.get("labels", {}),
        **_ours(section.get("x-segue", {})),
        **_versions(deploy, section.get("x-segue", {})),
        container=container(section),
        extensions={
            key: value
            for key, value in section.items()
            if key.startswith("x-") and key not in _READ
        }
        | {key: deploy[key] for key in _KEPT if key in deploy},
    )


def exposed(given: list[str]) -> list[int]:
    """Give the TCP ports; the others are reached on the same host as ever."""
    found: dict[int, None] = {}
    for entry in given:
        span, _, protocol = entry.partition("/")
        first, _, last = span.partition("-")
        if protocol == "tcp":
            found.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    return sorted(found)


def _ours(given: dict[str, Any]) -> dict[str, Any]:
    least = given.get("min_available", 0)
    share = isinstance(least, str)
    return {
        "strict": given.get("singleton", False),
        "min_available": 0 if share else least,
        "min_available_percent": int(least.removesuffix("%")) if share else 0,
        "on_return": given.get("on_return", "keep_newest"),
        "drain_s": _seconds(given, "drain", 10.0),
        "proxied": given.get("proxy_protocol", []),
        **{name: _probe(asked) for name, asked in given.get("probe", {}).items()},
    }


def _versions(deploy: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Give how one version follows another, where anything is said of it."""
    if not ("update_config" in deploy or "rollback_config" in deploy or "rollout" in ours):
        return {}
    return {
        "update": _update(deploy.get("update_config", {}), "rollback"),
        "rollback": _update(deploy.get("rollback_config", {}), "continue"),
        "strategy": _strategy(ours.get("rollout", {})),
    }


def _strategy(given: dict[str, Any]) -> Strategy:
    canary = given.get("canary", 1)
    share = isinstance(canary, str)
    return Strategy(
        kind=given.get("strategy", "rolling"),
        canary=1 if share else canary,
        canary_percent=int(canary.removesuffix("%")) if share else 0,
        promote=given.get("promote", "auto"),
        deadline_s=_seconds(given, "deadline", 300.0),
    )


def _update(given: dict[str, Any], action: Literal["rollback", "continue"]) -> Update:
    return Update(
        parallelism=given.get("parallelism"),
        delay_s=_seconds(given, "delay", 0.0),
        order=given.get("order"),
        failure_action=given.get("failure_action", action),
        monitor_s=_seconds(given, "monitor", 10.0),
        max_failure_ratio=given.get("max_failure_ratio", 0.0),
    )


def _probe(given: dict[str, Any]) -> Probe:
    kinds: tuple[Literal["http", "tcp", "nats"], ...] = ("http", "tcp", "nats")
    (kind,) = (one for one in kinds if one in given)
    return Probe(
        kind=kind,
        port=given[kind],
        path=given.get("path", "/"),
        every_s=_seconds(given, "every", 5.0),
        timeout_s=_seconds(given, "timeout", 2.0),
        failures=given.get("failures", 3),
        successes=given.get("successes", 1),
        start_s=_seconds(given, "start", 60.0),
    )


def replicas(section: dict[str, Any]) -> int:
    """Give how many slots a service begins with."""
    least = max(1, section.get("x-autoscale", {}).get("min", 1))  # One shows that it works.
    given: int = section.get("deploy", {}).get("replicas", section.get("scale", least))
    return given


def health(section: dict[str, Any] | None) -> Health | None:
    """Make the health check; None is what the image says, and a test of NONE is none at all."""
    if section is None:
        return None
    if section.get("disable") or section.get("test") == ["NONE"]:
        return Health(test=["NONE"])
    start_interval = _seconds(section, "start_interval", 0.0)
    # The engine reads zero as its default.
    return Health(
        test=section.get("test", []),
        interval_s=_seconds(section, "interval", 0.0) or 30.0,
        timeout_s=_seconds(section, "timeout", 0.0) or 30.0,
        retries=section.get("retries", 0) or 3,
        start_period_s=_seconds(section, "start_period", 0.0),
        start_interval_s=start_interval or None,
    )


def restart(section: dict[str, Any], *, once: bool) -> Restart:
    """Make the restart policy of either attribute; what runs once is repeated on failure only."""
    policy = section.get("deploy", {}).get("restart_policy", {})
    is_job = section.get("deploy", {}).get("mode", "").endswith("-job")
    word, _, count = section.get("restart", "").partition(":")
    if word == "no":
        return Restart(condition="none")
    if word == "on-failure":
        return Restart(condition="on-failure", max_attempts=int(count or 0) or None)
    if word:
        return Restart()
    delay, condition = policy.get("delay"), policy.get("condition", "on-failure" if once else "any")
    retries = section.get("x-job", {}).get("retries", RETRIES if is_job else None)
    return Restart(
        condition="none" if retries == 0 else condition,
        delay_s=None if delay is None else as_duration(delay) / 1e9,
        max_attempts=policy.get("max_attempts", retries) or None,
        window_s=_seconds(policy, "window", 0.0) or None,
    )


def container(section: dict[str, Any]) -> dict[str, Any]:
    """Make the fragment of the engine's create call that no core reads."""
    body: dict[str, Any] = {"HostConfig": {"Init": True}}
    for row, value in set_values(section):
        _put(body, row.engine, row.to(value))
    mapped = section.get("devices", [])
    wanted = [*section.get("gpus", []), *_at(section, "deploy.resources.reservations", "devices")]
    if direct := engine.devices(mapped):
        body["HostConfig"]["Devices"] = direct
    if requests := engine.device_requests(mapped, wanted):
        body["HostConfig"]["DeviceRequests"] = requests
    return body


def set_values(section: dict[str, Any]) -> Iterator[tuple[Row, Any]]:
    """Give each attribute that goes to the engine and has a value."""
    for row in ENGINE_ROWS:
        value: Any = section
        for key in row.path.removeprefix(_PREFIX).split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            yield row, value


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def _at(section: dict[str, Any], path: str, key: str) -> list[Any]:
    for part in path.split("."):
        section = section.get(part, {})
    found: list[Any] = section.get(key, [])
    return found


def _seconds(section: dict[str, Any], key: str, default: float) -> float:
    return as_duration(section[key]) / 1e9 if key in section else default


def _depends_on(section: dict[str, Any]) -> dict[str, Dependency]:
    return {
        name: Dependency(
            condition=_CONDITIONS[entry.get("condition", "service_started")],
            required=entry.get("required", True),
        )
        for name, entry in section.get("depends_on", {}).items()
    }


def _placement(section: dict[str, Any]) -> Placement:
    given = section.get("deploy", {}).get("placement", {})
    preferences = given.get("preferences", [])
    return Placement(
        constraints=given.get("constraints", []),
        spread=[preference["spread"] for preference in preferences if "spread" in preference],
        max_per_node=given.get("max_replicas_per_node", 0),
        platform=section.get("platform"),
    )


def _resources(section: dict[str, Any]) -> Resources:
    reserved = section.get("deploy", {}).get("resources", {}).get("reservations", {})
    cpus = Decimal(reserved.get("cpus", "0"))
    return Resources(
        cpu_millicores=int((cpus * 1000).to_integral_value(ROUND_CEILING)),
        memory_bytes=reserved.get("memory", section.get("mem_reservation", 0)),
    )


def _port(port: dict[str, Any]) -> Port:
    given = port.get("published")
    return Port(
        target=port["target"],
        published=None if given is None else int(given),
        protocol=port["protocol"],
        mode=port["mode"],
        host_ip=port.get("host_ip"),
        name=port.get("name"),
        app_protocol=port.get("app_protocol"),
    )


def _mount(mount: dict[str, Any], shared: frozenset[str]) -> Mount:
    kind = mount["type"]
    return Mount(
        kind=kind,
        target=mount["target"],
        source=mount.get("source"),
        read_only=mount.get("read_only", False),
        shared=kind == "volume" and mount.get("source") in shared,
        options=_mount_options(kind, mount.get(kind, {})),
    )


def _mount_options(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    if kind == "bind":
        recursive = given.get("recursive")
        options: dict[str, Any] = {"CreateMountpoint": given.get("create_host_path", True)}
        options["Propagation"] = given.get("propagation")
        options["NonRecursive"] = recursive == "disabled" or None
        options["ReadOnlyNonRecursive"] = recursive == "writable" or None
        options["ReadOnlyForceRecursive"] = recursive == "readonly" or None
    elif kind == "tmpfs":
        options = {"SizeBytes": given.get("size")}
        options["Mode"] = int(given["mode"], 8) if "mode" in given else None
    else:
        options = {"NoCopy": given.get("nocopy"), "Subpath": given.get("subpath")}
        options["Labels"] = given.get("labels")
    return {key: value for key, value in options.items() if value is not None}


def _file(file: dict[str, Any]) -> FileRef:
    return FileRef(
        source=file["source"],
        target=file["target"],
        uid=file["uid"],
        gid=file["gid"],
        mode=int(file["mode"], 8),
    )
