"""The short syntaxes of services' attributes, and what completes an item in long syntax.

A short item becomes one or more long ones; `finish_*` then fills in defaults and judges what can
be judged from the item alone.
"""

import re
from typing import Any, Final

from segue.compose.findings import ABSENT, Place
from segue.compose.values import (
    Invalid,
    as_address,
    as_mode,
    as_port,
    as_ports,
    as_text,
    shown,
)

_DRIVE: Final = re.compile(r"[A-Za-z]:(?:\\|/[^:]*:/)")
_PROPAGATION: Final = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_EVERYWHERE: Final = ("/dev", "/etc", "/proc", "/run", "/sys", "/var/run")  # On every Linux host.
_CONSTRAINT: Final = re.compile(
    r"(?P<key>(?:node|engine)\.labels\.[\w./-]+|node\.(?:id|hostname|role|platform\.(?:os|arch)))"
    r"\s*(?P<test>==|!=)\s*(?P<value>\S(?:.*\S)?)"
)


def ports(_place: Place, value: Any) -> list[dict[str, Any]]:
    """Read `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]`, ranges included, as one entry for each port."""
    line, slash, protocol = as_text(value).strip().partition("/")
    host, colon, container = line.rpartition(":")
    targets = as_ports(container)
    address, _, wanted = host.rpartition(":") if colon else ("", "", "")
    shared: dict[str, Any] = {"protocol": protocol} if slash else {}
    if address:
        shared["host_ip"] = as_address(address)
    if not wanted:
        return [{"target": target} | shared for target in targets]
    published = as_ports(wanted)
    if len(published) != len(targets):
        if len(targets) == 1:
            return [{"target": targets[0], "published": wanted} | shared]
        raise Invalid(f"{shown(value)} maps {len(published)} ports to {len(targets)}")
    return [
        {"target": target, "published": str(port)} | shared
        for port, target in zip(published, targets, strict=True)
    ]


def finish_port(place: Place, port: dict[str, Any]) -> Any:
    """Complete a published port."""
    if "target" not in port:
        return _incomplete(place, "target")
    port = {"target": port["target"], "protocol": "tcp", "mode": "ingress"} | port
    if port["mode"] == "ingress" and port["protocol"] != "tcp":
        return place.wrong(
            f"{port['protocol']} port {port['target']} cannot be served by the gateway",
            "use the long syntax with mode: host",
            "unsupported",
        )
    if port["mode"] == "ingress" and "published" not in port:
        place.note(
            f"port {port['target']} is not published anywhere",
            "give the port to publish it on, or mode: host for one that the engine picks",
        )
    return port


def published(place: Place, value: Any) -> Any:
    """Read the port a target is published on; a range of them has no one meaning here."""
    text = as_text_or_absent(place, value)
    if text is ABSENT or text == "":
        return ABSENT
    try:
        return str(as_port(text))
    except Invalid as error:
        if re.fullmatch(r"[0-9]+-[0-9]+", text):
            return place.wrong(
                f"one target cannot be published on the range '{text}'",
                "give one port, or with mode: host none, and the engine picks one",
                "unsupported",
            )
        return place.invalid(error)


def as_text_or_absent(place: Place, value: Any) -> Any:
    """Read text, or report what else it is."""
    try:
        return as_text(value).strip()
    except Invalid as error:
        return place.invalid(error)


def exposed(place: Place, value: Any) -> Any:
    """Read `PORT[-PORT][/PROTOCOL]`."""
    try:
        number, _, protocol = as_text(value).strip().partition("/")
        given = as_ports(number)
    except Invalid as error:
        return place.invalid(error)
    if protocol not in ("", "tcp", "udp", "sctp"):
        return place.wrong(f"{shown(value)} has an unknown protocol", "use tcp, udp or sctp")
    span = f"{given[0]}-{given[-1]}" if len(given) > 1 else str(given[0])
    return f"{span}/{protocol or 'tcp'}"


def volumes(_place: Place, value: Any) -> list[dict[str, Any]]:
    """Read `[SOURCE:]TARGET[:OPTIONS]`."""
    line = as_text(value).strip()
    if _DRIVE.match(line):
        raise Invalid(f"{shown(value)} is a Windows path", "Segue's nodes run Linux containers.")
    parts = line.split(":")
    if len(parts) == 1:
        return [{"type": "volume", "target": line}]
    if len(parts) > 3:
        raise Invalid(f"{shown(value)} has too many colons", "write SOURCE:TARGET[:ro]")
    source, target, *rest = parts
    local = source.startswith(("/", ".", "~"))
    mount: dict[str, Any] = {"type": "bind" if local else "volume"}
    mount |= {"source": source, "target": target}
    for option in filter(None, ",".join(rest).split(",")):
        _volume_option(mount, option)
    return [mount]


def _volume_option(mount: dict[str, Any], option: str) -> None:
    bind = mount["type"] == "bind"
    if option in ("ro", "rw"):
        mount["read_only"] = option == "ro"
    elif option == "nocopy" and not bind:
        mount["volume"] = {"nocopy": True}
    elif option in ("z", "Z") and bind:
        mount.setdefault("bind", {})["selinux"] = option
    elif option in _PROPAGATION and bind:
        mount.setdefault("bind", {})["propagation"] = option
    elif option not in ("cached", "consistent", "delegated", "z", "Z"):
        raise Invalid(f"the mount option '{option}' is not known", "use ro or rw")


def finish_mount(place: Place, mount: dict[str, Any]) -> Any:
    """Complete a mount, and refuse what does not hold on every node."""
    if f"{place.at}.type" in place.findings.failed:
        return ABSENT
    kind = mount.setdefault("type", "volume")
    for other in ("volume", "bind", "tmpfs"):
        if other != kind and mount.get(other):
            return place.wrong(f"a {kind} mount has no options '{other}'", kind="conflict")
    if "target" not in mount:
        return _incomplete(place, "target")
    if not mount["target"].startswith("/"):
        return place.wrong(
            f"the target {shown(mount['target'])} is not an absolute path",
            "write SOURCE:/path/in/the/container",
        )
    source = mount.get("source", "")
    if kind == "tmpfs" and source:
        return place.wrong("a tmpfs mount has no source", kind="conflict")
    if kind == "volume":
        return mount if "/" not in source else _path_as_volume(place, source)
    return mount if kind == "tmpfs" else _bind(place, mount, source)


def _path_as_volume(place: Place, source: str) -> Any:
    return place.wrong(f"{shown(source)} is no volume's name", "a path on the host begins with '/'")


def _bind(place: Place, mount: dict[str, Any], source: str) -> Any:
    if not source:
        return _incomplete(place, "source")
    if not source.startswith("/"):
        return place.wrong(
            f"relative bind mount {shown(source)} needs a node",
            "use a config for a file, a named volume, or an absolute path plus "
            "deploy.placement.constraints",
            "portability",
        )
    if ".." in source.split("/"):
        return place.wrong(f"the path {shown(source)} climbs with '..'", "write it out")
    return mount


def is_everywhere(path: str) -> bool:
    """Tell whether a path of the host may be expected on every node."""
    return path == "/" or any(path == root or path.startswith(f"{root}/") for root in _EVERYWHERE)


def devices(_place: Place, value: Any) -> list[dict[str, Any]]:
    """Read `SOURCE[:TARGET][:PERMISSIONS]`, or a device by its CDI name."""
    line = as_text(value).strip()
    if re.fullmatch(r"[\w.-]+/[\w-]+=[\w.:-]+", line):
        return [{"source": line}]
    source, *rest = line.split(":")
    device = {"source": source}
    if rest and re.fullmatch(r"[rwm]{1,3}", rest[-1]):
        device["permissions"] = rest.pop()
    if len(rest) > 1:
        raise Invalid(f"{shown(value)} is no device", "write /dev/host:/dev/container:rwm")
    return [device | {"target": rest[0]}] if rest else [device]


def finish_device(place: Place, device: dict[str, Any]) -> Any:
    """Complete a device."""
    source = device.get("source", "")
    if "=" in source and not source.startswith("/"):
        return {"source": source}
    if not source.startswith("/") or not device.get("target", "/").startswith("/"):
        return place.wrong("a device is an absolute path", "write /dev/host:/dev/container:rwm")
    return {"source": source, "target": source, "permissions": "rwm"} | device


def named_source(_place: Place, value: Any) -> list[dict[str, Any]]:
    """Read the name alone of a secret or config."""
    return [{"source": as_text(value).strip()}]


def finish_secret(place: Place, file: dict[str, Any]) -> Any:
    """Complete a secret's place in the container."""
    return _file(place, file, "/run/secrets/")


def finish_config(place: Place, file: dict[str, Any]) -> Any:
    """Complete a config's place in the container."""
    return _file(place, file, "/")


def _file(place: Place, file: dict[str, Any], folder: str) -> Any:
    if not file.get("source"):
        return _incomplete(place, "source")
    target = file.get("target") or file["source"]
    full = target if target.startswith("/") else f"{folder}{target}"
    if ".." in full.split("/"):
        return place.wrong(f"the target {shown(target)} climbs with '..'", "write it out")
    # The specification has the writable bits ignored.
    bits = int(file.get("mode", "0444"), 8) & ~0o222
    return {
        "source": file["source"],
        "target": full,
        "uid": file.get("uid", "0"),
        "gid": file.get("gid", "0"),
        "mode": as_mode(bits),
    }


def constraint(place: Place, value: Any) -> Any:
    """Read a placement constraint in its one canonical form, `KEY == VALUE`."""
    line = as_text_or_absent(place, value)
    if line is ABSENT:
        return ABSENT
    if found := _CONSTRAINT.fullmatch(line):
        return f"{found['key']} {found['test']} {found['value']}"
    return place.wrong(
        f"{shown(line)} is no constraint",
        "write node.labels.KEY == VALUE or !=; also node.id, node.hostname, node.role, "
        "node.platform.os, node.platform.arch",
    )


def spread(place: Place, value: Any) -> Any:
    """Read what slots are spread over, a label of nodes."""
    line = as_text_or_absent(place, value)
    if line is ABSENT or re.fullmatch(r"(?:node|engine)\.labels\.[\w./-]+|node\.hostname", line):
        return line
    return place.wrong(f"{shown(line)} is nothing to spread over", "write node.labels.KEY")


def _incomplete(place: Place, key: str) -> Any:
    if f"{place.at}.{key}" in place.findings.failed:
        return ABSENT  # It was given, and has been judged.
    return place.wrong(f"has no {key}")
