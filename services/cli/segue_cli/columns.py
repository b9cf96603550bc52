"""The columns of `ls`, `ps` and `nodes`: what of a row is shown, how, and how long ago."""

import datetime as dt
from collections.abc import Sequence

from segue_cli.amounts import age, cpus, size, span
from segue_cli.rows import TONES, NodeRow, ServiceRow, SlotRow
from segue_cli.tables import Column


def service_columns(now: float) -> Sequence[Column[ServiceRow]]:
    """Give the columns of `segue ls`."""
    return [
        Column("NAME", lambda row: (f"{row.app}/{row.service}", "name")),
        Column("MODE", lambda row: row.mode),
        Column("REPLICAS", _replicas, right=True),
        Column("OF", lambda row: "" if row.most is None else f"{row.least}..{row.most}"),
        Column("UPDATED", lambda row: _ago(row.updated, now), right=True),
        Column("IMAGE", lambda row: row.image, folds=True),
        Column("ENDPOINTS", lambda row: ", ".join(row.endpoints), folds=True),
        Column("STATE", lambda row: (row.state, TONES.get(row.state, "plain"))),
        Column("", lambda row: (row.note, "dim"), folds=True),
    ]


def _replicas(row: ServiceRow) -> tuple[str, str]:
    return f"{row.up}/{row.wanted}", "plain" if row.up >= row.wanted else "warn"


def slot_columns(now: float) -> Sequence[Column[SlotRow]]:
    """Give the columns of `segue ps`."""
    return [
        Column("SERVICE", lambda row: f"{row.app}/{row.service}"),
        Column("SLOT", lambda row: (str(row.slot), "name"), right=True),
        Column("NODE", lambda row: row.node or "-"),
        Column("STATE", lambda row: (row.state, TONES.get(row.state, "plain"))),
        Column("HEALTH", lambda row: (row.health, TONES.get(row.health, "plain"))),
        Column("RESTARTS", lambda row: str(row.restarts), right=True),
        Column("AGE", lambda row: _ago(row.since, now), right=True),
        Column("", lambda row: (slot_note(row, now), "dim"), folds=True),
    ]


def slot_note(row: SlotRow, now: float) -> str:
    """Say why a slot is as it is, and when that changes by itself."""
    if row.not_before is None:
        return row.note
    wait_s = row.not_before.timestamp() - now
    verb = "restarts" if row.restarts else "starts"
    return f"{verb} in {span(wait_s)}" if wait_s > 0 else f"{verb} now"


def node_columns(now: float) -> Sequence[Column[NodeRow]]:
    """Give the columns of `segue nodes`. CPU and memory are promised of what there is."""
    return [
        Column("NAME", lambda row: (row.node, "name")),
        Column("STATE", lambda row: (row.state, TONES.get(row.state, "plain"))),
        Column(
            "CPU",
            lambda row: f"{cpus(row.cpu_used_millicores)}/{cpus(row.cpu_millicores)}",
            right=True,
        ),
        Column("MEM", _memory, right=True),
        Column("CONTAINERS", lambda row: str(row.containers), right=True),
        Column("AGE", lambda row: _ago(row.since, now), right=True),
        Column("ENGINE", lambda row: row.engine, folds=True),
        Column("GATEWAY", _gateway, folds=True),
        Column("VERSION", lambda row: row.version),
        Column("LABELS", _labels, folds=True),
        Column("", lambda row: (row.note, "dim"), folds=True),
    ]


def _gateway(row: NodeRow) -> tuple[str, str]:
    return row.gateway, "warn" if row.gateway_limits else "plain"


def _labels(row: NodeRow) -> str:
    return " ".join(f"{key}={value}" for key, value in row.labels.items())


def _memory(row: NodeRow) -> str:
    used = size(row.memory_used_bytes) if row.memory_used_bytes else "0"
    return f"{used}/{size(row.memory_bytes)}"


def _ago(time: dt.datetime | None, now: float) -> str:
    return "" if time is None else age(now - time.timestamp())
