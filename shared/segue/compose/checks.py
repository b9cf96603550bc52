"""What attributes say together: conflicts, references to what is not there, and fair warnings."""

from collections.abc import Iterable
from typing import Any

from segue.compose import jobs, scaling, service
from segue.compose.findings import Findings
from segue.compose.resources import shared_volumes
from segue.compose.shorts import is_everywhere

_MEMORY_LEAST = 6 * 1024**2  # The engine starts no container with less.
_PLACES = (("volumes", "volumes"), ("secrets", "secrets"), ("configs", "configs"))


def check(canonical: dict[str, Any], findings: Findings) -> None:
    """Judge the whole document."""
    services: dict[str, Any] = canonical.get("services", {})
    if not services and not any(at.startswith("services") for at in findings.failed):
        findings.at("services").wrong("there are no services", "name at least one")
    for name, section in services.items():
        at = f"services.{name}"
        _image(at, section, findings)
        _counts(at, section, findings)
        _restarts(at, section, findings)
        _rollouts(at, section, findings)
        scaling.check(at, section, findings)
        jobs.check(at, section, findings)
        jobs.waited_for(at, section, services, findings)
        _engine(at, section, findings)
        _network(at, section, canonical, findings)
        _ports(at, section, findings)
        _proxied(at, section, findings)
        for index, entry in enumerate(section.get("x-ingress", [])):
            if entry.get("tls", "") not in ("", *canonical.get("secrets", {})):
                where = f"{at}.x-ingress[{index}].tls"
                _undefined(where, "secrets", entry["tls"], findings)
        _references(at, section, canonical, findings)
        _targets(at, section, findings)
        _mounts(at, section, canonical, findings)
    _ingress(services, findings)


def _image(at: str, section: dict[str, Any], findings: Findings) -> None:
    built, given = at in findings.builds, "image" in section
    if built and given:
        findings.at(f"{at}.build").note("is not built", "build and push in CI; segue runs images")
    elif built and f"{at}.image" not in findings.failed:
        findings.at(f"{at}.build").wrong(
            "not supported", "Build and push in CI, and name the image in `image`.", "unsupported"
        )
    if not given and f"{at}.image" not in findings.failed and (findings.lenient or not built):
        findings.at(at).wrong("has no image", "name one in `image`")


def _counts(at: str, section: dict[str, Any], findings: Findings) -> None:
    deploy = section.get("deploy", {})
    mode, replicas = deploy.get("mode", "replicated"), deploy.get("replicas")
    scale = section.get("scale")
    if scale is not None and replicas is not None and scale != replicas:
        findings.at(f"{at}.scale").wrong(
            f"{scale} disagrees with deploy.replicas, {replicas}", "keep one of them", "conflict"
        )
    if mode.startswith("global") and (scale is not None or replicas is not None):
        which = "deploy.replicas" if replicas is not None else "scale"
        findings.at(f"{at}.{which}").wrong(
            "a global service has one slot on each node", f"remove {which}", "conflict"
        )
    if mode.startswith("global") and "min_available" in section.get("x-segue", {}):
        findings.at(f"{at}.x-segue.min_available").wrong(
            "a global service has as many slots as there are nodes for it", "remove it", "conflict"
        )
    asked = section.get("x-segue", {}).get("probe", {})
    if mode.endswith("-job") and "readiness" in asked:
        findings.at(f"{at}.x-segue.probe.readiness").wrong(
            "a job is ready when it has ended", "leave it out", "conflict"
        )
    if section.get("network_mode") == "none" and asked:
        findings.at(f"{at}.x-segue.probe").wrong(
            "nothing can be asked without a network", "remove network_mode, or probe", "conflict"
        )
    if "container_name" in section and (service.replicas(section) > 1 or mode.startswith("global")):
        findings.at(f"{at}.container_name").wrong(
            "not supported",
            "Several containers cannot share a name; remove it.",
            "unsupported",
        )


def _restarts(at: str, section: dict[str, Any], findings: Findings) -> None:
    deploy = section.get("deploy", {})
    if "restart" in section and "restart_policy" in deploy:
        findings.at(f"{at}.restart").wrong(
            "is given, and so is deploy.restart_policy", "keep one of them", "conflict"
        )
        return
    job = deploy.get("mode", "").endswith("-job")
    if job and service.restart(section, once=True).condition == "any":
        which = "restart" if "restart" in section else "deploy.restart_policy"
        findings.at(f"{at}.{which}").wrong(
            "a job that ended well is not started again",
            "use on-failure, or leave it out",
            "conflict",
        )


def _rollouts(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what a strategy makes nothing of; say what cannot be had."""
    deploy, asked = section.get("deploy", {}), section.get("x-segue", {}).get("rollout", {})
    strategy = asked.get("strategy", "rolling")
    if "canary" in asked and strategy != "canary":
        findings.at(f"{at}.x-segue.rollout.canary").wrong(
            f"has no effect with strategy {strategy}", "write strategy: canary", "conflict"
        )
    if asked.get("promote") == "manual" and strategy == "rolling":
        findings.at(f"{at}.x-segue.rollout.promote").wrong(
            "has no effect with strategy rolling", "use canary or blue_green", "conflict"
        )
    given = [key for key in ("update_config", "rollback_config") if key in deploy]
    given += ["x-segue.rollout"] if asked else []
    if not given:
        return
    made = service.make(section)
    if made.is_job:
        for key in given:
            where = key if key.startswith("x-") else f"deploy.{key}"
            findings.at(f"{at}.{where}").note("has no effect: a job's slots run anew at once")
    for key in () if made.is_job or not made.alone else given:
        if key.startswith("x-") and strategy == "blue_green":
            findings.at(f"{at}.{key}.strategy").note(f"becomes rolling: {made.alone}")
        elif deploy.get(key, {}).get("order") == "start-first":
            findings.at(f"{at}.deploy.{key}.order").note(f"becomes stop-first: {made.alone}")
    stops = deploy.get("update_config", {}).get("order") == "stop-first"
    if stops and strategy == "blue_green" and not made.is_job and not made.alone:
        where = f"{at}.deploy.update_config.order"
        findings.at(where).note("becomes start-first: blue_green needs that")


def _engine(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse what the engine would refuse at every start."""
    seen: dict[str, tuple[str, Any]] = {}
    for row, value in service.set_values(section):
        attribute = row.path.removeprefix("services.*.")
        other, before = seen.setdefault(row.engine, (attribute, value))
        if before != value:
            findings.at(f"{at}.{attribute}").wrong(
                f"{value} disagrees with {other}, {before}", "keep one of them", "conflict"
            )
    if section.get("command") == [] and "entrypoint" not in section:
        findings.at(f"{at}.command").note(
            "is empty: the engine takes the image's command", "give entrypoint too"
        )
    memory = seen.get("HostConfig.Memory")
    if memory and 0 < memory[1] < _MEMORY_LEAST:
        findings.at(f"{at}.{memory[0]}").wrong(
            f"{memory[1]} bytes are too few for a container", "give at least 6m"
        )
    if section.get("memswap_limit", -1) != -1 and not memory:
        findings.at(f"{at}.memswap_limit").wrong(
            "limits memory plus swap, but memory has no limit", "give mem_limit too", "conflict"
        )
    cpus = seen.get("HostConfig.NanoCpus")
    if cpus and 0 < float(cpus[1]) < 0.01:
        findings.at(f"{at}.{cpus[0]}").wrong(f"{cpus[1]} CPUs are too few", "give at least 0.01")
    if cpus and float(cpus[1]) > 0:
        for other in {"cpu_quota", "cpu_period"} & section.keys():
            findings.at(f"{at}.{other}").wrong(
                f"cannot be set together with {cpus[0]}", "keep one of them", "conflict"
            )
    if section.get("dns"):
        findings.at(f"{at}.dns").note(
            "replaces Segue's resolver",
            "services may no longer find each other by name",
        )


def _network(
    at: str, section: dict[str, Any], canonical: dict[str, Any], findings: Findings
) -> None:
    mode = section.get("network_mode")
    if mode and "networks" in section:
        findings.at(f"{at}.network_mode").wrong(
            "is given, and so are networks", "keep one of them", "conflict"
        )
    if mode and section.get("ports"):
        findings.at(f"{at}.ports").wrong(
            f"network_mode: {mode} has no ports to publish", "remove the ports", "conflict"
        )
    known = canonical.get("networks", {})
    for name in section.get("networks", {}):
        if name not in known:
            _undefined(f"{at}.networks.{name}", "networks", name, findings)


def _undefined(at: str, kind: str, name: str, findings: Findings) -> None:
    if f"{kind}.{name}" in findings.failed:
        return
    findings.at(at).wrong(
        f"there is no {kind.removesuffix('s')} '{name[:80]}'",
        f"declare it under the top-level {kind}",
        "reference",
    )


def _ports(at: str, section: dict[str, Any], findings: Findings) -> None:
    ports = section.get("ports", [])
    first: dict[tuple[str, ...], int] = {}
    for index, port in enumerate(ports):
        if "published" not in port:
            continue
        key = tuple(port.get(k, "") for k in ("host_ip", "published", "protocol", "mode"))
        if key in first:
            findings.at(f"{at}.ports[{index}]").wrong(
                f"port {port['published']} is published twice", "keep one of them", "conflict"
            )
        first.setdefault(key, index)
    fixed = [p["published"] for p in ports if p["mode"] == "host" and "published" in p]
    if fixed and service.replicas(section) > 1 and not _is_global(section):
        findings.at(f"{at}.ports").note(
            f"port {fixed[0]} of a node can be bound once: each slot needs a node of its own",
            "leave `published` out and the engine picks a port",
        )


def _proxied(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Judge the ports behind which gateways are to tell who asks."""
    asked: list[int] = section.get("x-segue", {}).get("proxy_protocol", [])
    tcp = [one for one in section.get("ports", []) if one.get("protocol", "tcp") == "tcp"]
    web = {one["target"] for one in tcp if one.get("app_protocol") == "http"}
    web |= {one["port"] for one in section.get("x-ingress", [])}
    there = {*service.exposed(section.get("expose", [])), *(one["target"] for one in tcp)}
    for index, number in enumerate(asked):
        where = findings.at(f"{at}.x-segue.proxy_protocol[{index}]")
        if number in web:
            words = f"port {number} speaks HTTP: X-Forwarded-For tells there who asks"
            where.wrong(words, "leave it out", "conflict")
        elif number not in there:
            words = f"it has no TCP port {number}"
            where.wrong(words, "name it in `ports` or `expose`", "conflict")


def _is_global(section: dict[str, Any]) -> bool:
    mode: str = section.get("deploy", {}).get("mode", "")
    return mode.startswith("global")


def _references(
    at: str, section: dict[str, Any], canonical: dict[str, Any], findings: Findings
) -> None:
    for attribute, kind in _PLACES:
        known = canonical.get(kind, {})
        for index, entry in enumerate(section.get(attribute, [])):
            source = entry.get("source")
            named = kind != "volumes" or entry["type"] == "volume"
            if named and source and source not in known:
                _undefined(f"{at}.{attribute}[{index}]", kind, source, findings)


def _targets(at: str, section: dict[str, Any], findings: Findings) -> None:
    """Refuse two mounts or files at one path of the container."""
    taken: dict[str, str] = {}
    for attribute, _ in _PLACES:
        for index, entry in enumerate(section.get(attribute, [])):
            target = entry["target"].rstrip("/") or "/"
            place = findings.at(f"{at}.{attribute}[{index}]")
            first = taken.setdefault(target, place.at)
            if first != place.at:
                what = f"{target} is taken by {first.removeprefix(f'{at}.')}"
                place.wrong(what, "choose another target", "conflict")


def _mounts(
    at: str, section: dict[str, Any], canonical: dict[str, Any], findings: Findings
) -> None:
    constrained = bool(section.get("deploy", {}).get("placement", {}).get("constraints"))
    local, shared = set[str](), shared_volumes(canonical)
    for index, mount in enumerate(section.get("volumes", [])):
        source = mount.get("source", "")
        if mount["type"] == "bind" and not constrained and not is_everywhere(source):
            findings.at(f"{at}.volumes[{index}]").note(
                f"'{source}' must exist on every node that may run this service",
                "name the nodes with deploy.placement.constraints",
                "portability",
            )
        is_volume = mount["type"] == "volume" and source in canonical.get("volumes", {})
        if is_volume and source not in local | shared:
            local.add(source)
            findings.at(f"{at}.volumes[{index}]").note(
                f"the data of volume '{source}' stay on one node, and the slot with them"
            )


def _ingress(services: dict[str, Any], findings: Findings) -> None:
    """Refuse one port of the gateway published by two services."""
    first: dict[tuple[str, ...], str] = {}
    for name, index, port in _published(services):
        key = (port.get("host_ip", ""), port["published"])
        if first.setdefault(key, name) != name:
            findings.at(f"services.{name}.ports[{index}]").wrong(
                f"port {port['published']} is published by service '{first[key]}' already",
                "choose another port",
                "conflict",
            )


def _published(services: dict[str, Any]) -> Iterable[tuple[str, int, dict[str, Any]]]:
    for name, section in services.items():
        for index, port in enumerate(section.get("ports", [])):
            if port["mode"] == "ingress" and "published" in port:
                yield name, index, port
