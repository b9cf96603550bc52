"""The attributes of a service that have no parts of their own, in the specification's spelling."""

from typing import Any

from segue.compose import engine, shorts
from segue.compose.attributes.naming import host_name, labels
from segue.compose.attributes.service_values import (
    build,
    environment,
    gpus,
    hosts,
    image,
    least_up,
    micros,
    ours,
    pull,
    restart,
    security,
    swap,
    tmpfs,
    ulimits,
)
from segue.compose.findings import Row
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
    pairs,
    section,
    size,
    text,
    text_or_texts,
    texts,
    whole,
)

_BY_NAME = "Services reach each other by name; remove it."
_APART = "Two services may run on two nodes; remove it."
_FLEETING = "Segue's containers come and go; remove it."
_HOOK = "Put it into the image's entrypoint, or make it a job that others depend on."
_WINDOWS = "Segue's nodes run Linux containers."


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
    _typed("image", image, "image"),
    Row("services.*.build", "note", build, says="refused where there is no `image`"),
    _row("entrypoint", command, "Entrypoint"),
    _row("command", command, "Cmd"),
    _row("working_dir", text, "WorkingDir"),
    _row("user", text, "User"),
    _row("environment", environment, "Env", engine.assignments),
    Row("services.*.env_file", "client", anything, says="Give `environment` instead."),
    Row("services.*.label_file", "client", anything, says="Give `labels` instead."),
    Row("services.*.extends", "client", anything, says="Write the service out."),
    Row("services.*.profiles", "honour", each(text, alone=True), says="the command line chooses"),
    _row("labels", labels, "Labels"),
    _row("annotations", pairs, "HostConfig.Annotations", says="needs engine API 1.43"),
    _typed(
        "ports",
        items(shorts.ports, shorts.finish_port),
        "ports",
        says="mode: host binds on the slot's node; ingress is served by the gateway, tcp only",
    ),
    Row(
        "services.*.expose",
        "honour",
        each(shorts.exposed),
        field="expose",
        says="tcp ports that other services reach by its name, wherever its containers are",
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
        says="none or host; service:… and container:… are refused",
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
        restart,
        "restart",
        says="always, unless-stopped: any; on-failure[:COUNT]; no: none; without it: any",
    ),
    _typed(
        "volumes",
        items(shorts.volumes, shorts.finish_mount),
        "mounts",
        says="a relative path of the host is refused: it means nothing on another node",
    ),
    _row("tmpfs", each(tmpfs, alone=True), "HostConfig.Tmpfs", engine.tmpfs),
    _typed("secrets", items(shorts.named_source, shorts.finish_secret), "secrets"),
    _typed("configs", items(shorts.named_source, shorts.finish_config), "configs"),
    _typed("pull_policy", pull, "pull", says="always, missing, never; timed pulls are refused"),
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
    _row("security_opt", security, "HostConfig.SecurityOpt"),
    _row("group_add", texts, "HostConfig.GroupAdd"),
    _row("userns_mode", choice("host"), "HostConfig.UsernsMode"),
    _row(
        "pid",
        choice("host", refused={"service:": _APART, "container:": _FLEETING}),
        "HostConfig.PidMode",
        says="host; service:… and container:… are refused",
    ),
    _row(
        "ipc",
        choice(
            "none",
            "private",
            "shareable",
            "host",
            refused={
                "service:": _APART,
                "container:": _FLEETING,
            },
        ),
        "HostConfig.IpcMode",
        says="service:… and container:… are refused",
    ),
    _row("uts", choice("host"), "HostConfig.UTSMode"),
    _row("cgroup", choice("host", "private"), "HostConfig.CgroupnsMode"),
    _row("cgroup_parent", text, "HostConfig.CgroupParent"),
    _row("runtime", text, "HostConfig.Runtime"),
    _row("isolation", text, "HostConfig.Isolation"),
    _row("ulimits", ulimits, "HostConfig.Ulimits", engine.ulimits),
    _row("sysctls", pairs, "HostConfig.Sysctls"),
    _row("shm_size", size, "HostConfig.ShmSize"),
    _row("storage_opt", pairs, "HostConfig.StorageOpt"),
    _row("logging", section, "HostConfig.LogConfig", engine.logging),
    _row("devices", items(shorts.devices, shorts.finish_device), "HostConfig.Devices"),
    _row("device_cgroup_rules", texts, "HostConfig.DeviceCgroupRules"),
    _row("gpus", gpus, "HostConfig.DeviceRequests"),
    _row(
        "dns",
        text_or_texts,
        "HostConfig.Dns",
        says="replaces Segue's resolver: services may no longer find each other by name",
    ),
    _row("dns_search", text_or_texts, "HostConfig.DnsSearch"),
    _row("dns_opt", text_or_texts, "HostConfig.DnsOptions"),
    _row("extra_hosts", hosts, "HostConfig.ExtraHosts", engine.hosts),
    _row("cpus", decimal, "HostConfig.NanoCpus", engine.nano_cpus),
    _row(
        "cpuset",
        matching(r"[0-9]+(?:[,-][0-9]+)*", "a set of CPUs such as 0-3,5"),
        "HostConfig.CpusetCpus",
    ),
    _row("cpu_shares", whole(0), "HostConfig.CpuShares"),
    _row("cpu_quota", whole(-1), "HostConfig.CpuQuota"),
    _row("cpu_period", whole(0), "HostConfig.CpuPeriod"),
    _row("cpu_rt_period", micros, "HostConfig.CpuRealtimePeriod", engine.microseconds),
    _row("cpu_rt_runtime", micros, "HostConfig.CpuRealtimeRuntime", engine.microseconds),
    _row("cpu_count", whole(0), "HostConfig.CpuCount"),
    _row("cpu_percent", whole(0, 100), "HostConfig.CpuPercent"),
    _row("mem_limit", size, "HostConfig.Memory"),
    _row("mem_reservation", size, "HostConfig.MemoryReservation", field="resources.memory_bytes"),
    _row("mem_swappiness", whole(0, 100), "HostConfig.MemorySwappiness"),
    _row("memswap_limit", swap, "HostConfig.MemorySwap"),
    _row("pids_limit", whole(-1), "HostConfig.PidsLimit"),
    _row("oom_kill_disable", flag, "HostConfig.OomKillDisable"),
    _row("oom_score_adj", whole(-1000, 1000), "HostConfig.OomScoreAdj"),
    Row("services.*.blkio_config", "honour", section),
    Row("services.*.x-segue", "honour", ours, says="what is here and no key below is refused"),
    _typed(
        "x-segue.singleton",
        flag,
        "strict",
        says="true: no slot ever runs twice, so that one whose node is lost waits for its lease",
    ),
    _typed(
        "x-segue.min_available",
        least_up,
        "min_available",
        says="so many of its slots, or `50%` of them, stay up while others are moved",
    ),
    _typed(
        "x-segue.on_return",
        choice("keep_newest", "keep_original"),
        "on_return",
        says="which container stays when a node comes back whose slots were filled elsewhere",
    ),
    _typed(
        "x-segue.drain",
        duration,
        "drain_s",
        says="how long connections through gateways may go on before a container is stopped; 10s",
    ),
    _typed(
        "x-segue.proxy_protocol",
        each(whole(1, 65_535), alone=True),
        "proxied",
        says="TCP ports at which gateways tell the container who asks, by PROXY v2",
    ),
    Row("services.*.x-segue.rollout", "honour", ours, field="strategy"),
    _typed("x-segue.rollout.strategy", choice("rolling", "canary", "blue_green"), "strategy.kind"),
    _typed(
        "x-segue.rollout.canary",
        least_up,
        "strategy.canary",
        says="so many slots, or `10%` of them, try the new version before the others; without it 1",
    ),
    _typed(
        "x-segue.rollout.promote",
        choice("auto", "manual"),
        "strategy.promote",
        says="manual: a canary, or blue_green's new side, waits for `segue rollout promote`",
    ),
    _typed(
        "x-segue.rollout.deadline",
        duration,
        "strategy.deadline_s",
        says="a rollout that came no step further for so long, pulls left out, stalls; 5m",
    ),
    Row(
        "services.*.container_name",
        "note",
        matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "a container's name"),
        says="has no effect: containers are named after app, service and slot",
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
