"""The attributes of a service that have no parts of their own, in the specification's spelling."""

import re
from typing import Any

from segue.compose import engine, shorts
from segue.compose.attributes.deploy import device_requests
from segue.compose.attributes.naming import host_name, labels
from segue.compose.findings import ABSENT, Place, Row
from segue.compose.forms import (
    anything,
    choice,
    command,
    decimal,
    duration,
    each,
    flag,
    items,
    left_out,
    matching,
    named_or_list,
    optional_pairs,
    pairs,
    section,
    size,
    text,
    text_or_texts,
    texts,
    whole,
)
from segue.compose.values import Invalid, as_duration, as_size, as_whole, duration_text, shown

_BY_NAME = "Services reach each other by name; remove it."
_HOOK = "Put it into the image's entrypoint, or make it a job that others depend on."
_IMAGE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9._-]*(?::[0-9]+)?(?:/[a-zA-Z0-9._-]+)*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_WINDOWS = "Segue's nodes run Linux containers."


def _image(place: Place, value: Any) -> Any:
    """Read an image's reference."""
    found = text(place, value)
    if found is ABSENT and place.at not in place.findings.failed:
        return place.wrong("is empty", "name the image to run")
    if found is not ABSENT and not _IMAGE.fullmatch(found):
        return place.wrong(
            f"{shown(found)} is no image", "write [REGISTRY/]NAME[:TAG][@sha256:DIGEST]"
        )
    return found


def _build(place: Place, value: Any) -> Any:
    """Remember that a service would be built: beside an image that is noted, else refused."""
    if not isinstance(value, str | dict):
        return place.wrong("must be text or a mapping")
    place.findings.builds.add(place.at.removesuffix(".build"))
    return ABSENT


def environment(place: Place, value: Any) -> Any:
    """Read the environment; a variable without a value is the command line's to resolve."""
    found = optional_pairs(place, value)
    if found is ABSENT:
        return ABSENT
    for key in [key for key, given in found.items() if given is None]:
        place.note(f"{key} has no value and is left out", "give it one, or use the command line")
    return {key: given for key, given in found.items() if given is not None} or ABSENT


def _swap(place: Place, value: Any) -> Any:
    """Read memory plus swap; -1 is without limit and 0 asks for nothing."""
    try:
        if str(value).strip() == "-1":
            return -1
        return as_size(value) or ABSENT
    except Invalid as error:
        return place.invalid(error)


def _micros(place: Place, value: Any) -> Any:
    """Read microseconds, as a number or a duration."""
    try:
        if isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit()):
            return as_whole(value, 0)
        return duration_text(as_duration(value))
    except Invalid as error:
        return place.invalid(error)


def _pull(place: Place, value: Any) -> Any:
    """Read when to pull; timed pulls belong to a later part."""
    found = text(place, value)
    if found in ("daily", "weekly") or str(found).startswith("every_"):
        return place.wrong(f"'{found}' is not supported", "use always or missing", "unsupported")
    if found == "build":
        return place.wrong(
            "'build' is not supported", "build and push in CI; Segue runs images", "unsupported"
        )
    if found == "refresh":
        return place.wrong("'refresh' is not supported", "use always", "unsupported")
    found = "missing" if found == "if_not_present" else found
    return choice("always", "missing", "never")(place, found) if found is not ABSENT else found


def _security(place: Place, value: Any) -> Any:
    """Read security options; a profile in a file is not on the node."""
    found = texts(place, value)
    for index, option in enumerate([] if found is ABSENT else found):
        name, _, profile = option.replace(":", "=", 1).partition("=")
        if name == "seccomp" and not profile.startswith(("{", "unconfined", "builtin")):
            place.item(index).wrong(
                f"the profile {shown(profile)} is a file of this machine",
                "write the profile's JSON after 'seccomp='",
                "portability",
            )
    return found


def _hosts(place: Place, value: Any) -> Any:
    """Read additional hosts as `NAME=ADDRESS` lines."""
    lines: list[str] = []
    given: list[tuple[Place, Any]] = []
    if isinstance(value, dict):
        for host, addresses in value.items():
            many = addresses if isinstance(addresses, list) else [addresses]
            given += [(place.key(str(host), name=True), f"{host}={address}") for address in many]
    elif isinstance(value, list):
        given = [(place.item(index), item) for index, item in enumerate(value)]
    else:
        return place.wrong("must be a mapping or a list of HOST=ADDRESS")
    for at, item in given:
        line = text(at, item)
        if line is ABSENT:
            continue
        host, mark, address = line.partition("=") if "=" in line else line.partition(":")
        address = address.strip()
        if not (host and mark and address):
            at.wrong(f"{shown(line)} is no host with an address", "write HOST=ADDRESS")
            continue
        if address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        lines.append(f"{host.strip()}={address}")
    return sorted(set(lines)) or ABSENT


def _tmpfs(place: Place, value: Any) -> Any:
    """Read a path in the container, with options of the mount."""
    found = text(place, value)
    if found is ABSENT or found.startswith("/"):
        return found
    return place.wrong(f"{shown(found)} is not an absolute path", "write /PATH[:OPTIONS]")


def _ulimits(place: Place, value: Any) -> Any:
    """Read named limits, each one number or a soft and a hard one; -1 is without limit."""
    if not isinstance(value, dict):
        return place.wrong("must be a mapping")
    limit = whole(-1)
    read: dict[str, Any] = {}
    for name, given in sorted(value.items(), key=lambda item: str(item[0])):
        at = place.key(str(name), name=True)
        if given is None:
            continue
        if not isinstance(given, dict):
            both = limit(at, given)
            if both is not ABSENT:
                read[str(name)] = {"soft": both, "hard": both}
            continue
        found = section(at, given)
        if found.keys() >= {"soft", "hard"}:
            read[str(name)] = found
        elif not at.findings.failed & {f"{at.at}.soft", f"{at.at}.hard"}:
            at.wrong("needs both soft and hard", "give both, or one number for both")
    return read or ABSENT


def _gpus(place: Place, value: Any) -> Any:
    """Read device requests of which each has the capability `gpu`; `all` is every one."""
    if value == "all":
        value = [{"count": "all"}]
    found = device_requests(place, value)
    if found is ABSENT:
        return ABSENT
    return [
        request | {"capabilities": sorted({"gpu", *request.get("capabilities", [])})}
        for request in found
    ]


def _row(name: str, form: Any, to: str, convert: Any = None, **rest: Any) -> Row:
    """Honour an attribute whose value goes to the engine."""
    row = Row(f"services.*.{name}", "honour", form, engine=to, **rest)
    return row._replace(to=convert) if convert else row


def _typed(name: str, form: Any, field: str, **rest: Any) -> Row:
    """Honour an attribute that a core decides on."""
    return Row(f"services.*.{name}", "honour", form, field=field, **rest)


def _no(name: str, says: str, **rest: Any) -> Row:
    return Row(f"services.*.{name}", "refuse", anything, says=says, **rest)


SERVICE: tuple[Row, ...] = (
    _typed("image", _image, "image"),
    Row("services.*.build", "honour", _build, says="noted beside `image`, refused without"),
    _row("entrypoint", command, "Entrypoint"),
    _row("command", command, "Cmd"),
    _row("working_dir", text, "WorkingDir"),
    _row("user", text, "User"),
    _row("environment", environment, "Env", engine.assignments),
    Row("services.*.env_file", "client", anything, says="Give `environment` instead."),
    Row("services.*.label_file", "client", anything, says="Give `labels` instead."),
    Row("services.*.extends", "client", anything, says="Write the service out."),
    Row("services.*.profiles", "honour", each(text, alone=True), says="chosen by the client"),
    _row("labels", labels, "Labels"),
    _row("annotations", pairs, "HostConfig.Annotations", says="needs engine API 1.43"),
    _typed("ports", items(shorts.ports, shorts.finish_port), "ports"),
    Row(
        "services.*.expose",
        "note",
        each(shorts.exposed),
        says="has no effect: services on one network reach all of each other's ports",
    ),
    _typed("networks", named_or_list({}), "networks"),
    _typed(
        "network_mode",
        choice(
            "none",
            "host",
            refused={
                "bridge": "Leave it out: an app has a bridge of its own.",
                "default": "Leave it out: an app has a bridge of its own.",
                "service:": "Two services may run on two nodes; use a network.",
                "container:": "Segue's containers come and go; use a network.",
            },
        ),
        "network_mode",
    ),
    _typed(
        "depends_on",
        named_or_list({"condition": "service_started", "required": True}),
        "depends_on",
    ),
    _typed("healthcheck", section, "health"),
    Row("services.*.deploy", "honour", section),
    _typed("scale", whole(0, 100_000), "replicas"),
    _typed(
        "restart",
        matching(
            r"no|always|unless-stopped|on-failure(?::[0-9]{1,6})?",
            "no, always, unless-stopped or on-failure[:COUNT]",
        ),
        "restart",
    ),
    _typed("volumes", items(shorts.volumes, shorts.finish_mount), "mounts"),
    _row("tmpfs", each(_tmpfs, alone=True), "HostConfig.Tmpfs", engine.tmpfs),
    _typed("secrets", items(shorts.named_source, shorts.finish_secret), "secrets"),
    _typed("configs", items(shorts.named_source, shorts.finish_config), "configs"),
    _typed("pull_policy", _pull, "pull"),
    _no("pull_refresh_after", "Use pull_policy: always."),
    _typed("stop_grace_period", duration, "stop_grace_s"),
    _row("stop_signal", text, "StopSignal"),
    _typed(
        "platform",
        matching(r"[a-z0-9]+(?:/[a-z0-9_]+){0,2}", "a platform such as linux/amd64"),
        "placement.platform",
    ),
    _row("hostname", host_name, "Hostname"),
    _row("domainname", host_name, "Domainname"),
    _row("tty", flag, "Tty"),
    _row("stdin_open", flag, "OpenStdin"),
    _row("init", flag, "HostConfig.Init", says="true unless told otherwise"),
    _row("read_only", flag, "HostConfig.ReadonlyRootfs"),
    _row("privileged", flag, "HostConfig.Privileged"),
    _row("cap_add", texts, "HostConfig.CapAdd"),
    _row("cap_drop", texts, "HostConfig.CapDrop"),
    _row("security_opt", _security, "HostConfig.SecurityOpt"),
    _row("group_add", texts, "HostConfig.GroupAdd"),
    _row("userns_mode", choice("host"), "HostConfig.UsernsMode"),
    _row(
        "pid",
        choice("host", refused={"service:": _BY_NAME, "container:": _BY_NAME}),
        "HostConfig.PidMode",
    ),
    _row(
        "ipc",
        choice(
            "none",
            "private",
            "shareable",
            "host",
            refused={
                "service:": "Two services may run on two nodes; remove it.",
                "container:": "Segue's containers come and go; remove it.",
            },
        ),
        "HostConfig.IpcMode",
    ),
    _row("uts", choice("host"), "HostConfig.UTSMode"),
    _row("cgroup", choice("host", "private"), "HostConfig.CgroupnsMode"),
    _row("cgroup_parent", text, "HostConfig.CgroupParent"),
    _row("runtime", text, "HostConfig.Runtime"),
    _row("isolation", text, "HostConfig.Isolation"),
    _row("ulimits", _ulimits, "HostConfig.Ulimits", engine.ulimits),
    _row("sysctls", pairs, "HostConfig.Sysctls"),
    _row("shm_size", size, "HostConfig.ShmSize"),
    _row("storage_opt", pairs, "HostConfig.StorageOpt"),
    _row("logging", section, "HostConfig.LogConfig", engine.logging),
    _row("devices", items(shorts.devices, shorts.finish_device), "HostConfig.Devices"),
    _row("device_cgroup_rules", texts, "HostConfig.DeviceCgroupRules"),
    _row("gpus", _gpus, "HostConfig.DeviceRequests"),
    _row(
        "dns",
        text_or_texts,
        "HostConfig.Dns",
        says="replaces Segue's resolver: services may no longer find each other by name",
    ),
    _row("dns_search", text_or_texts, "HostConfig.DnsSearch"),
    _row("dns_opt", text_or_texts, "HostConfig.DnsOptions"),
    _row("extra_hosts", _hosts, "HostConfig.ExtraHosts", engine.hosts),
    _row("cpus", decimal, "HostConfig.NanoCpus", engine.nano_cpus),
    _row("cpuset", text, "HostConfig.CpusetCpus"),
    _row("cpu_shares", whole(0), "HostConfig.CpuShares"),
    _row("cpu_quota", whole(-1), "HostConfig.CpuQuota"),
    _row("cpu_period", whole(0), "HostConfig.CpuPeriod"),
    _row("cpu_rt_period", _micros, "HostConfig.CpuRealtimePeriod", engine.microseconds),
    _row("cpu_rt_runtime", _micros, "HostConfig.CpuRealtimeRuntime", engine.microseconds),
    _row("cpu_count", whole(0), "HostConfig.CpuCount"),
    _row("cpu_percent", whole(0, 100), "HostConfig.CpuPercent"),
    _row("mem_limit", size, "HostConfig.Memory"),
    _row("mem_reservation", size, "HostConfig.MemoryReservation", field="resources.memory_bytes"),
    _row("mem_swappiness", whole(0, 100), "HostConfig.MemorySwappiness"),
    _row("memswap_limit", _swap, "HostConfig.MemorySwap"),
    _row("pids_limit", whole(-1), "HostConfig.PidsLimit"),
    _row("oom_kill_disable", flag, "HostConfig.OomKillDisable"),
    _row("oom_score_adj", whole(-1000, 1000), "HostConfig.OomScoreAdj"),
    Row("services.*.blkio_config", "honour", section),
    Row(
        "services.*.container_name",
        "note",
        matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "a container's name"),
        says="has no effect: a container is named after its app, service and slot",
    ),
    Row("services.*.attach", "note", flag, says="has no effect: `segue logs` chooses"),
    Row("services.*.develop", "note", left_out, says="has no effect: it serves development"),
    _no("links", _BY_NAME),
    _no("external_links", "Join the other app's network as an external one."),
    _no("volumes_from", "Name the volume, and mount it in both services."),
    _no("mac_address", "Leave it out: slots move between nodes."),
    _no("credential_spec", _WINDOWS),
    _no("post_start", _HOOK),
    _no("pre_start", _HOOK),
    _no("pre_stop", "Handle the stop signal in the container; see stop_signal."),
    _no("provider", "Segue runs containers only; set the resource up beforehand."),
    _no("models", "Run the model server as a service, and name it in `environment`."),
    _no("use_api_socket", "Mount /var/run/docker.sock where the container may have it."),
)
