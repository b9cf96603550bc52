"""From an attribute's canonical value to what the engine's create call wants of it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from segue.compose.values import as_duration


def nano_cpus(cpus: str) -> int:
    """Turn `0.5` CPUs into the engine's billionths."""
    return int(Decimal(cpus) * 1_000_000_000)


def microseconds(value: int | str) -> int:
    """Turn a duration, or a number of microseconds, into microseconds."""
    return value if isinstance(value, int) else as_duration(value) // 1000


def assignments(pairs: Mapping[str, str]) -> list[str]:
    """Turn a mapping into `KEY=VALUE` lines."""
    return [f"{key}={value}" for key, value in sorted(pairs.items())]


def hosts(lines: list[str]) -> list[str]:
    """Turn `host=address` into the engine's `host:address`."""
    return [line.replace("=", ":", 1) for line in lines]


def ulimits(limits: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Turn named limits into the engine's list."""
    return [
        {"Name": name, "Soft": limit["soft"], "Hard": limit["hard"]}
        for name, limit in sorted(limits.items())
    ]


def tmpfs(mounts: list[str]) -> dict[str, str]:
    """Turn `PATH[:OPTIONS]` into a mapping from paths to options."""
    return {path: options for path, _, options in (line.partition(":") for line in mounts)}


def logging(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a logging section into the engine's."""
    return {"Type": config.get("driver", ""), "Config": config.get("options", {})}


def throttles(limits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn limits of block devices into the engine's."""
    return [
        {"Path": limit["path"]}
        | {name.capitalize(): limit[name] for name in ("rate", "weight") if name in limit}
        for limit in limits
    ]


def devices(mappings: list[dict[str, str]]) -> list[dict[str, str]]:
    """Turn device mappings into the engine's; those with a CDI name are requests instead."""
    return [
        {
            "PathOnHost": device["source"],
            "PathInContainer": device["target"],
            "CgroupPermissions": device["permissions"],
        }
        for device in mappings
        if "target" in device
    ]


def device_requests(
    mappings: list[dict[str, str]], wanted: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Turn CDI names, `gpus` and reserved devices into the engine's device requests."""
    named = [device["source"] for device in mappings if "target" not in device]
    requests: list[dict[str, Any]] = [{"Driver": "cdi", "DeviceIDs": named}] if named else []
    for want in wanted:
        # The engine takes -1 for all of them.
        count = want.get("count", 0 if "device_ids" in want else "all")
        requests.append(
            {
                "Driver": want.get("driver", ""),
                "Count": -1 if count == "all" else int(count),
                "DeviceIDs": want.get("device_ids", []),
                "Capabilities": [want.get("capabilities", [])],
                "Options": want.get("options", {}),
            }
        )
    return requests
