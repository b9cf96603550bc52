"""The engine's create call for a container, from the service's own fragment and what is ours.

Ours by law: image, labels, name, restart policy `no` (only Segue starts containers). Ours unless
the fragment says otherwise: an init process, bounded logs. Everything else is the fragment's.
"""

import copy
import math
from typing import Any

import msgspec
from segue.bridges import search_domain
from segue.spec import Health, Mount, NetworkSpec, Port

from segue_node_runner import labels
from segue_node_runner.effects import Start
from segue_node_runner.sdk import api_at_least

Body = dict[str, Any]
_LOGS_BOUND = {"max-size": "10m", "max-file": "3"}
_BOUNDED_DRIVERS = {"json-file", "local"}  # Those that know these two options.


class Ground(msgspec.Struct, frozen=True):
    """What the create call must know of the engine."""

    api_version: str
    log_driver: str = ""


def create_body(order: Start, ground: Ground, *, image: str, files: list[Body]) -> Body:
    """Make the whole body."""
    service = order.runs
    body: Body = copy.deepcopy(service.container)
    host: Body = body.setdefault("HostConfig", {})
    body["Image"] = image
    body["Labels"] = {**body.get("Labels", {}), **_marks(order)}
    body["Env"] = [*body.get("Env", []), *_environment(order)]
    body.setdefault("StopTimeout", math.ceil(service.stop_grace_s))
    if service.health is not None:
        body["Healthcheck"] = _health(service.health, ground)
    host["RestartPolicy"] = {"Name": "no"}
    host["AutoRemove"] = False
    host.setdefault("Init", True)
    if ground.log_driver in _BOUNDED_DRIVERS:
        host.setdefault("LogConfig", {"Type": ground.log_driver, "Config": _LOGS_BOUND})
    _add_mounts(host, order, ground, files)
    _add_ports(body, host, service.ports)
    _add_network(body, host, order, ground)
    if order.resolvers:
        host["Dns"] = order.resolvers
        host["DnsSearch"] = [search_domain(order.app), *host.get("DnsSearch", order.searches)]
    return body


def further_networks(order: Start, ground: Ground) -> dict[str, list[str]]:
    """Give the networks to connect after the create call, with the container's names on each.

    Engines before API 1.44 take one network at creation; the others are connected before the start.
    """
    names = _networks(order, ground)
    return {name: names[name] for name in list(names)[1:]}


def _networks(order: Start, ground: Ground) -> dict[str, list[str]]:
    """Give the networks, each with the container's names there.

    It has none where a gateway answers: they would lead past it, to this host's containers only.
    """
    if order.runs.network_mode is not None:
        return {}
    found: dict[str, list[str]] = {}
    for key in sorted(order.runs.networks):
        if (network := order.spec.networks.get(key)) is not None:
            names = [order.service, *order.runs.networks[key].aliases]
            found[network.name] = names if _engine_answers(order, network, ground) else []
    return found


def _engine_answers(order: Start, network: NetworkSpec, ground: Ground) -> bool:
    """Tell whether names on the network are the engine's own business.

    Engines from API 1.44 on give containers on an internal network no way to the gateway.
    """
    shut_off = network.internal and api_at_least(ground.api_version, "1.44")
    return not order.resolvers or shut_off


def _marks(order: Start) -> dict[str, str]:
    return {
        labels.CLUSTER: order.cluster,
        labels.APP: order.app,
        labels.SERVICE: order.service,
        labels.SLOT: str(order.slot),
        labels.ATTEMPT: str(order.attempt),
        labels.REVISION: str(order.revision),
        labels.DIGEST: order.digest,
        labels.NODE: order.node,
        labels.CAUSE: order.cause,
        labels.CORRELATION: order.correlation,
    }


def _environment(order: Start) -> list[str]:
    return [
        f"SEGUE_APP={order.app}",
        f"SEGUE_SERVICE={order.service}",
        f"SEGUE_SLOT={order.slot}",
        f"SEGUE_ATTEMPT={order.attempt}",
        f"SEGUE_NODE={order.node}",
    ]


def _health(health: Health, ground: Ground) -> Body:
    check: Body = {
        "Test": health.test,
        "Interval": _nanoseconds(health.interval_s),
        "Timeout": _nanoseconds(health.timeout_s),
        "Retries": health.retries,
        "StartPeriod": _nanoseconds(health.start_period_s),
    }
    if health.start_interval_s is not None and api_at_least(ground.api_version, "1.44"):
        check["StartInterval"] = _nanoseconds(health.start_interval_s)
    return check


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _add_mounts(host: Body, order: Start, ground: Ground, files: list[Body]) -> None:
    mounts: list[Body] = [*host.get("Mounts", []), *files]
    for mount in order.runs.mounts:
        if _must_be_bound(mount, ground):
            modes = ["ro" if mount.read_only else "rw"]
            if propagation := mount.options.get("Propagation"):
                modes.append(propagation)
            bind = f"{mount.source}:{mount.target}:{','.join(modes)}"
            host.setdefault("Binds", []).append(bind)
        else:
            mounts.append(_mount(mount, order))
    if mounts:
        host["Mounts"] = mounts


def _must_be_bound(mount: Mount, ground: Ground) -> bool:
    """Older engines make a missing folder on the host only for a bind in the old form."""
    wanted = mount.kind == "bind" and mount.options.get("CreateMountpoint", False)
    return bool(wanted) and not api_at_least(ground.api_version, "1.42")


def _mount(mount: Mount, order: Start) -> Body:
    made: Body = {"Type": mount.kind, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.source is not None:
        volume = order.spec.volumes.get(mount.source) if mount.kind == "volume" else None
        made["Source"] = volume.name if volume else mount.source
    if mount.options:
        made[f"{mount.kind.capitalize()}Options"] = mount.options
    return made


def _add_ports(body: Body, host: Body, ports: list[Port]) -> None:
    for port in ports:
        key = f"{port.target}/{port.protocol}"
        body.setdefault("ExposedPorts", {})[key] = {}
        if port.mode == "host":
            published = "" if port.published is None else str(port.published)
            binding = {"HostIp": port.host_ip or "", "HostPort": published}
            host.setdefault("PortBindings", {}).setdefault(key, []).append(binding)


def _add_network(body: Body, host: Body, order: Start, ground: Ground) -> None:
    if order.runs.network_mode is not None:
        host["NetworkMode"] = order.runs.network_mode
        return
    for name, aliases in list(_networks(order, ground).items())[:1]:
        host["NetworkMode"] = name
        body["NetworkingConfig"] = {"EndpointsConfig": {name: {"Aliases": aliases}}}
