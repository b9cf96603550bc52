"""The top level, networks, volumes, secrets and configs."""

from segue.compose.attributes.naming import (
    app_name,
    digest,
    engine_name,
    is_service_name,
    labels,
)
from segue.compose.findings import Place, Row
from segue.compose.forms import anything, choice, flag, named, pairs, scalar, section, text

_INCLUDE = "Deploy with `segue deploy`, or write the included services out."
_CONTENT = "Deploy with `segue deploy`, give `x-digest`, or declare it external."


def _external(place: Place, value: object) -> object:
    """Read `external`, true or false; the old form `{name: …}` is left for its section."""
    if isinstance(value, dict):
        return section(place, value)
    return flag(place, value)


_DRIVER = choice(
    "bridge",
    "overlay",
    "default",
    refused={
        "macvlan": "Make it on the nodes and declare it external.",
        "ipvlan": "Make it on the nodes and declare it external.",
        "host": "Use network_mode: host on the service.",
        "none": "Use network_mode: none on the service.",
    },
)


def _driver(place: Place, value: object) -> object:
    """Read a network's driver; every network is a bridge on each node that needs it."""
    found = _DRIVER(place, value)
    if found == "overlay":
        place.note("becomes a bridge on each node; the gateway joins them")
    return "bridge" if found in ("overlay", "default") else found


def _rows(kind: str, *own: Row) -> tuple[Row, ...]:
    """Give the rows that networks, volumes, secrets and configs share, and their own."""
    return (
        Row(f"{kind}", "honour", named(), field=kind),
        Row(f"{kind}.*", "honour", section),
        Row(f"{kind}.*.name", "honour", engine_name, field="name"),
        *own,
        Row(f"{kind}.*.external", "honour", _external, field="external"),
        Row(f"{kind}.*.external.name", "honour", engine_name, field="name"),
        Row(f"{kind}.*.labels", "honour", labels, field="labels"),
    )


def _files(kind: str, *own: Row) -> tuple[Row, ...]:
    return _rows(
        kind,
        Row(f"{kind}.*.x-digest", "honour", digest, field="digest"),
        Row(f"{kind}.*.file", "client", anything, says=_CONTENT),
        Row(f"{kind}.*.environment", "client", anything, says=_CONTENT),
        *own,
        Row(
            f"{kind}.*.template_driver",
            "refuse",
            anything,
            says="Write the content out; Segue fills in no templates.",
        ),
    )


TOP: tuple[Row, ...] = (
    Row("name", "honour", scalar(app_name), field="app"),
    Row("version", "note", text, says="obsolete and without effect; remove it"),
    Row("include", "client", anything, says=_INCLUDE),
    Row("services", "honour", named(check=is_service_name), field="services"),
    Row("services.*", "honour", section),
    *_rows(
        "networks",
        Row(
            "networks.*.driver",
            "honour",
            _driver,
            says="a bridge on each node that needs it; `overlay` becomes one with a note",
        ),
        Row("networks.*.driver_opts", "honour", pairs, field="driver_opts"),
        Row("networks.*.ipam", "honour", section),
        Row(
            "networks.*.ipam.driver",
            "refuse",
            text,
            says="The engine of each node gives out its addresses.",
            neutral="default",
        ),
        Row(
            "networks.*.ipam.config",
            "refuse",
            anything,
            says="A fixed subnet cannot span nodes; let each node's engine choose one.",
        ),
        Row(
            "networks.*.ipam.options",
            "refuse",
            anything,
            says="The engine of each node gives out its addresses.",
        ),
        Row("networks.*.internal", "honour", flag, field="internal"),
        Row(
            "networks.*.attachable",
            "note",
            flag,
            says="a bridge can always be attached to; this has no effect",
            neutral=True,
        ),
        Row(
            "networks.*.enable_ipv4",
            "refuse",
            flag,
            says="Networks carry IPv4; leave it out.",
            neutral=True,
        ),
        Row(
            "networks.*.enable_ipv6",
            "refuse",
            flag,
            says="Networks carry IPv4 only; leave it out.",
        ),
    ),
    *_rows(
        "volumes",
        Row("volumes.*.driver", "honour", text, field="driver"),
        Row("volumes.*.driver_opts", "honour", pairs, field="driver_opts"),
    ),
    *_files(
        "secrets",
        Row(
            "secrets.*.content",
            "refuse",
            anything,
            says="A secret never travels in a document; "
            "deploy with the command line from `file` or `environment`.",
        ),
        Row(
            "secrets.*.driver",
            "refuse",
            anything,
            says="Segue keeps secrets itself; use `file`, `environment` or `external`.",
        ),
        Row(
            "secrets.*.driver_opts",
            "refuse",
            anything,
            says="Segue keeps secrets itself; use `file`, `environment` or `external`.",
        ),
    ),
    *_files(
        "configs",
        Row("configs.*.content", "client", anything, says=_CONTENT),
    ),
    Row(
        "models",
        "refuse",
        anything,
        says="Run the model server as a service, and name it in `environment`.",
    ),
)
