"""What an engine says of a container of ours, read from its inspect call."""

import datetime as dt
from typing import Any, Literal

import msgspec
from segue.events.container import Address

from segue_node_runner import labels
from segue_node_runner.labels import Identity

State = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
OUTPUT_MOST = 1_000


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A container of ours and how it is. Times are the host's, in seconds since 1970, 0: never."""

    identity: Identity
    engine_id: str
    name: str
    cluster: str
    state: State
    revision: int = 0
    digest: str = ""
    image: str = ""
    pid: int = 0
    exit_code: int | None = None  # None while it runs or when it never did.
    oom: bool = False
    bounded: bool = False  # Its memory is limited.
    error: str = ""  # Why the engine could not start it.
    health: str = ""  # "starting", "healthy", "unhealthy"; empty without a health check.
    streak: int = 0
    output: str = ""  # What the last health check printed.
    started_at: float = 0.0
    finished_at: float = 0.0
    addresses: list[Address] = []  # While it runs.

    @property
    def runs(self) -> bool:
        """It has processes, be they paused."""
        return self.state in {"running", "paused", "restarting"}

    @property
    def ended(self) -> bool:
        """It ran, or was to run, and never will again."""
        return self.state in {"exited", "dead", "removing"}

    @property
    def ran_s(self) -> float:
        """How long it ran."""
        return max(0.0, self.finished_at - self.started_at) if self.ended else 0.0


def found(inspected: dict[str, Any]) -> Found | None:
    """Read a container, or give None when it is none of any cluster's."""
    config, state = inspected["Config"], inspected["State"]
    marks = config.get("Labels") or {}
    identity = labels.identity(marks)
    if identity is None or labels.CLUSTER not in marks:
        return None
    health = state.get("Health") or {}
    probes = health.get("Log") or [{}]
    started_at, finished_at = _seconds(state["StartedAt"]), _seconds(state["FinishedAt"])
    status = state["Status"]
    has_ended = status in {"exited", "dead", "removing"}
    revision = marks.get(labels.REVISION, "")
    return Found(
        identity=identity,
        engine_id=inspected["Id"],
        name=inspected["Name"].removeprefix("/"),
        cluster=marks[labels.CLUSTER],
        state=status,
        revision=int(revision) if revision.isdecimal() else 0,
        digest=marks.get(labels.DIGEST, ""),
        image=config.get("Image", ""),
        pid=state.get("Pid", 0),
        exit_code=state["ExitCode"] if has_ended else None,
        oom=state.get("OOMKilled", False),
        bounded=(inspected.get("HostConfig") or {}).get("Memory", 0) > 0,
        error=state.get("Error", ""),
        health="" if health.get("Status") == "none" else health.get("Status", ""),
        streak=health.get("FailingStreak", 0),
        output=(probes[-1].get("Output") or "")[:OUTPUT_MOST],
        started_at=started_at,
        finished_at=finished_at if has_ended else 0.0,
        addresses=_addresses(inspected.get("NetworkSettings") or {}),
    )


def _addresses(settings: dict[str, Any]) -> list[Address]:
    """Read where it is reached; a network without an address here is the host's or nobody's."""
    networks = settings.get("Networks") or {}
    return [
        Address(name, there["IPAddress"], there["IPPrefixLen"], there.get("Gateway") or "")
        for name, there in sorted(networks.items())
        if there and there.get("IPAddress")
    ]


def _seconds(stamp: str) -> float:
    """Read the engine's time; its zero is the year 1."""
    if stamp.startswith("0001-"):
        return 0.0
    return dt.datetime.fromisoformat(stamp).timestamp()
