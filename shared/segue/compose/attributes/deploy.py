"""The attributes of `services.*.deploy`, and the device requests that `gpus` shares with it."""

from typing import Any

from segue.compose import engine, shorts
from segue.compose.findings import ABSENT, Form, Place, Row
from segue.compose.forms import (
    anything,
    choice,
    decimal,
    duration,
    each,
    items,
    pairs,
    scalar,
    section,
    size,
    text,
    texts,
    whole,
)
from segue.compose.values import Invalid, as_text, as_whole


def _count(value: Any) -> int | str:
    """Read how many devices: `all`, or a number."""
    return "all" if as_text(value).lower() == "all" else as_whole(value, 1, 10_000)


def _finish_request(place: Place, request: dict[str, Any]) -> Any:
    if "count" in request and "device_ids" in request:
        return place.wrong("count and device_ids exclude each other", kind="conflict")
    return request


_REQUESTS = items(None, _finish_request)


def device_requests(place: Place, value: Any) -> Any:
    """Read a list of devices that a container is to get."""
    return _REQUESTS(place, value)


def _reserved(place: Place, value: Any) -> Any:
    """Read reserved devices; what they can do is required of each."""
    found = device_requests(place, value)
    for index, request in enumerate([] if found is ABSENT else found):
        if not request.get("capabilities"):
            place.findings.at(f"{place.at}[{index}]").wrong(
                "has no capabilities", "name some, such as [gpu]"
            )
    return found


def requests(attribute: str) -> tuple[Row, ...]:
    """Give the rows of a list of device requests."""
    path = f"services.*.{attribute}[]"
    return (
        Row(f"{path}.capabilities", "honour", texts),
        Row(f"{path}.driver", "honour", text),
        Row(f"{path}.count", "honour", scalar(_count)),
        Row(f"{path}.device_ids", "honour", texts),
        Row(f"{path}.options", "honour", pairs),
    )


def _ratio(value: Any) -> float:
    """Read a share between 0 and 1."""
    try:
        ratio = float(as_text(value))
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise Invalid(f"'{as_text(value)[:60]}' is not a share between 0 and 1")
    return ratio


def _rollout(kind: str, field: str, action: str, *actions: str) -> tuple[Row, ...]:
    path = f"services.*.deploy.{kind}"

    def row(key: str, form: Form, to: str, says: str = "") -> Row:
        return Row(f"{path}.{key}", "honour", form, field=f"{field}.{to}", says=says)

    return (
        Row(path, "honour", section, field=field),
        row(
            "parallelism",
            whole(0, 100_000),
            "parallelism",
            "0: all at once; without it a quarter of the slots, and at least one",
        ),
        row("delay", duration, "delay_s", "counts where it is longer than `monitor`"),
        row("failure_action", choice(action, *actions), "failure_action", f"without it {action}"),
        row(
            "monitor",
            duration,
            "monitor_s",
            "so long a new container has to be ready before the next step; without it 10s",
        ),
        row("max_failure_ratio", scalar(_ratio), "max_failure_ratio"),
        row(
            "order",
            choice("stop-first", "start-first"),
            "order",
            "without it start-first, but where a slot cannot run twice side by side",
        ),
    )


def _h(name: str, form: Form, field: str = "") -> Row:
    return Row(f"services.*.deploy.{name}", "honour", form, field=field)


DEPLOY: tuple[Row, ...] = (
    _h(
        "mode",
        choice("replicated", "global", "replicated-job", "global-job"),
        "mode",
    ),
    _h("replicas", whole(0, 100_000), "replicas"),
    Row(
        "services.*.deploy.endpoint_mode",
        "honour",
        choice("vip", "dnsrr"),
        field="extensions.endpoint_mode",
        says="dnsrr: names lead to the containers on the asker's host, if there are any",
    ),
    _h("labels", pairs, "labels"),
    *_rollout("update_config", "update", "rollback", "pause", "continue"),
    *_rollout("rollback_config", "rollback", "continue", "pause"),
    _h("restart_policy", section, "restart"),
    _h("restart_policy.condition", choice("none", "on-failure", "any"), "restart.condition"),
    _h("restart_policy.delay", duration, "restart.delay_s"),
    _h("restart_policy.max_attempts", whole(0), "restart.max_attempts"),
    _h("restart_policy.window", duration, "restart.window_s"),
    _h("placement", section, "placement"),
    _h("placement.constraints", each(shorts.constraint), "placement.constraints"),
    _h("placement.preferences", items(None, lambda _place, given: given or ABSENT)),
    _h("placement.preferences[].spread", shorts.spread, "placement.spread"),
    _h("placement.max_replicas_per_node", whole(0, 100_000), "placement.max_per_node"),
    _h("resources", section),
    _h("resources.limits", section),
    Row(
        "services.*.deploy.resources.limits.cpus",
        "honour",
        decimal,
        engine="HostConfig.NanoCpus",
        to=engine.nano_cpus,
    ),
    Row(
        "services.*.deploy.resources.limits.memory",
        "honour",
        size,
        engine="HostConfig.Memory",
    ),
    Row(
        "services.*.deploy.resources.limits.pids",
        "honour",
        whole(-1),
        engine="HostConfig.PidsLimit",
    ),
    _h("resources.reservations", section),
    _h("resources.reservations.cpus", decimal, "resources.cpu_millicores"),
    _h("resources.reservations.memory", size, "resources.memory_bytes"),
    Row(
        "services.*.deploy.resources.reservations.devices",
        "honour",
        _reserved,
        engine="HostConfig.DeviceRequests",
    ),
    *requests("deploy.resources.reservations.devices"),
    Row(
        "services.*.deploy.resources.reservations.generic_resources",
        "refuse",
        anything,
        says="Label the nodes that have them, and constrain the placement.",
    ),
)
