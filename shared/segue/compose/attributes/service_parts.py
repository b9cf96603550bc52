"""The parts of a service: health check, items of ports, mounts, files, limits and devices."""

from typing import Any

from segue.compose import engine, shorts
from segue.compose.attributes.deploy import requests
from segue.compose.findings import ABSENT, Place, Row
from segue.compose.forms import (
    address,
    anything,
    choice,
    duration,
    flag,
    items,
    matching,
    mode,
    pairs,
    port,
    section,
    size,
    text,
    texts,
    whole,
)

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_MOUNTS = choice(
    "volume",
    "bind",
    "tmpfs",
    refused={
        "image": "Copy the files into the image, or mount a volume.",
        "npipe": "Segue's nodes run Linux containers.",
        "cluster": "Use a volume with a driver that every node has.",
    },
)
_ADDRESS = "Slots move between nodes; reach them by name."


def _test(place: Place, value: Any) -> Any:
    """Read a health check's test; text is a line for the container's shell."""
    if not isinstance(value, list):
        line = text(place, value)
        return line if line is ABSENT else ["CMD-SHELL", line]
    words = [text(place.item(index), item) for index, item in enumerate(value)]
    words = ["" if word is ABSENT else word for word in words]
    if not words:
        return ABSENT
    if words == ["NONE"] or (words[0] in ("CMD", "CMD-SHELL") and len(words) > 1):
        return words
    return place.wrong(
        "must begin with CMD, CMD-SHELL or NONE", 'write ["CMD", …] or the command as text'
    )


def _path_items(amount: str) -> Any:
    def finish(place: Place, limit: dict[str, Any]) -> Any:
        missing = [
            key
            for key in ("path", amount)
            if key not in limit and f"{place.at}.{key}" not in place.findings.failed
        ]
        if missing:
            return place.wrong(f"has no {missing[0]}")
        return limit if {"path", amount} <= limit.keys() else ABSENT

    return items(None, finish)


def _blkio(name: str, amount: str, form: Any, key: str) -> tuple[Row, ...]:
    path = f"services.*.blkio_config.{name}"
    to = f"HostConfig.{key}"
    return (
        Row(path, "honour", _path_items(amount), engine=to, to=engine.throttles),
        Row(f"{path}[].path", "honour", text),
        Row(f"{path}[].{amount}", "honour", form),
    )


def _files(kind: str) -> tuple[Row, ...]:
    path = f"services.*.{kind}[]"
    return (
        Row(f"{path}.source", "honour", text, field=f"{kind}[].source"),
        Row(f"{path}.target", "honour", text, field=f"{kind}[].target"),
        Row(f"{path}.uid", "honour", text, field=f"{kind}[].uid"),
        Row(f"{path}.gid", "honour", text, field=f"{kind}[].gid"),
        Row(f"{path}.mode", "honour", mode, field=f"{kind}[].mode"),
    )


def _h(name: str, form: Any, field: str = "", says: str = "") -> Row:
    return Row(f"services.*.{name}", "honour", form, field=field, says=says)


def _n(name: str, form: Any, says: str) -> Row:
    return Row(f"services.*.{name}", "note", form, says=says)


def _r(name: str, says: str) -> Row:
    return Row(f"services.*.{name}", "refuse", anything, says=says)


SERVICE_PARTS: tuple[Row, ...] = (
    _h("healthcheck.test", _test, "health.test"),
    _h("healthcheck.interval", duration, "health.interval_s"),
    _h("healthcheck.timeout", duration, "health.timeout_s"),
    _h("healthcheck.retries", whole(0, 100_000), "health.retries"),
    _h("healthcheck.start_period", duration, "health.start_period_s"),
    _h("healthcheck.start_interval", duration, "health.start_interval_s"),
    _h("healthcheck.disable", flag, "health.test"),
    _h("depends_on.*.condition", choice(*_CONDITIONS), "depends_on.*.condition"),
    _h("depends_on.*.required", flag, "depends_on.*.required"),
    _n("depends_on.*.restart", flag, "has no effect: dependents are not restarted"),
    _h("ports[].name", text, "ports[].name"),
    _h("ports[].target", port, "ports[].target"),
    _h("ports[].published", shorts.published, "ports[].published"),
    _h("ports[].host_ip", address, "ports[].host_ip"),
    _h("ports[].protocol", choice("tcp", "udp", "sctp"), "ports[].protocol"),
    _h("ports[].app_protocol", text, "ports[].app_protocol"),
    _h("ports[].mode", choice("ingress", "host"), "ports[].mode"),
    _h("networks.*.aliases", texts, "networks.*.aliases"),
    _r("networks.*.ipv4_address", _ADDRESS),
    _r("networks.*.ipv6_address", _ADDRESS),
    _r("networks.*.link_local_ips", _ADDRESS),
    _r("networks.*.mac_address", "Leave it out: slots move between nodes."),
    _r("networks.*.interface_name", "Interfaces are named by the engine; leave it out."),
    _n("networks.*.priority", whole(), "has no effect"),
    _n("networks.*.gw_priority", whole(), "has no effect"),
    _n("networks.*.driver_opts", pairs, "has no effect on one container"),
    _h("volumes[].type", _MOUNTS, "mounts[].kind"),
    _h("volumes[].source", text, "mounts[].source"),
    _h("volumes[].target", text, "mounts[].target"),
    _h("volumes[].read_only", flag, "mounts[].read_only"),
    _n("volumes[].consistency", text, "has no effect on Linux"),
    _h("volumes[].bind", section),
    _h("volumes[].bind.propagation", choice(*_PROPAGATIONS), "mounts[].options.Propagation"),
    _h("volumes[].bind.create_host_path", flag, "mounts[].options.CreateMountpoint"),
    _h(
        "volumes[].bind.recursive",
        choice("enabled", "disabled", "writable", "readonly"),
        "mounts[].options",
    ),
    _n(
        "volumes[].bind.selinux",
        choice("z", "Z"),
        "is not done: label the directory on the nodes",
    ),
    _h("volumes[].volume", section),
    _h("volumes[].volume.nocopy", flag, "mounts[].options.NoCopy"),
    _h("volumes[].volume.subpath", text, "mounts[].options.Subpath", says="needs engine API 1.45"),
    _h("volumes[].volume.labels", pairs, "mounts[].options.Labels"),
    _h("volumes[].tmpfs", section),
    _h("volumes[].tmpfs.size", size, "mounts[].options.SizeBytes"),
    _h("volumes[].tmpfs.mode", mode, "mounts[].options.Mode"),
    _r("volumes[].image", "Copy the files into the image, or mount a volume."),
    *_files("secrets"),
    *_files("configs"),
    _h("ulimits.*.soft", whole(-1)),
    _h("ulimits.*.hard", whole(-1)),
    _h("logging.driver", text),
    _h("logging.options", pairs),
    _h("devices[].source", text),
    _h("devices[].target", text),
    _h("devices[].permissions", matching(r"[rwm]{1,3}", "some of r, w and m")),
    *requests("gpus"),
    Row(
        "services.*.blkio_config.weight",
        "honour",
        whole(10, 1000),
        engine="HostConfig.BlkioWeight",
    ),
    *_blkio("weight_device", "weight", whole(10, 1000), "BlkioWeightDevice"),
    *_blkio("device_read_bps", "rate", size, "BlkioDeviceReadBps"),
    *_blkio("device_write_bps", "rate", size, "BlkioDeviceWriteBps"),
    *_blkio("device_read_iops", "rate", whole(0), "BlkioDeviceReadIOps"),
    *_blkio("device_write_iops", "rate", whole(0), "BlkioDeviceWriteIOps"),
)
