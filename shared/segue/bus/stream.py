"""The log's stream and the buckets: made once, widened when the vocabulary grows, else left alone.

Any number of services may do this at once. What an operator has changed stays changed and is told
of as drift; only `change` brings the plan's limits in. Nothing is ever taken away here.
"""

import asyncio
import uuid
from typing import Any

import msgspec
import structlog

from segue.bus.connection import Connection
from segue.bus.errors import (
    BusError,
    BusRefusedError,
    BusSetupError,
    BusTimeoutError,
    BusUnreachableError,
    NobodyAnswersError,
)
from segue.bus.jetstream import (
    CLUSTER,
    EVENTS,
    NAME_IN_USE,
    NO_CLUSTER,
    NO_ROOM,
    NO_STREAM,
    NOT_ENABLED,
    Answer,
    StreamInfo,
    call,
)
from segue.bus.leases import stream as leases_stream
from segue.events import REGISTRY

BUCKETS = ("snapshots", "files")
REPLICAS_IN_CLUSTER = 3
_NANOSECONDS = 1_000_000_000
_TRIES = 10
_RETRY_S = 0.25
# What `change` may bring in on a stream that exists, and what stays as it was made.
_LIMITS = ("max_age", "max_bytes", "num_replicas", "duplicate_window", "max_msg_size")
_FIXED = ("storage", "retention", "discard", "allow_direct", "deny_delete", "allow_rollup_hdrs")

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chooses of the log: how much of it is kept and in how many copies.

    The server reserves `bytes_max`: it must fit the store, so that the log refuses to grow loudly
    before the disk is full, which the server would bear silently.
    """

    age_max_s: float = 30 * 86_400.0
    bytes_max: int = 4 * 1024**3
    replicas: int = 0  # 0: three where the server belongs to a cluster, else one.
    bucket_bytes_max: int = -1  # For each bucket; -1: only the server's store limits it.


class SetUp(msgspec.Struct, frozen=True):
    """What was found or made. `drift` tells what differs from the plan and was left so."""

    cluster: str
    made: bool
    drift: list[str]


def log_subjects() -> list[str]:
    """Name what the log takes: everything that begins with a noun of the vocabulary."""
    nouns = {name.partition(".")[0] for name in REGISTRY} | {"load"}
    return [f"{noun}.>" for noun in sorted(nouns)]


async def set_up(
    connection: Connection, plan: Plan, *, change: bool = False, timeout_s: float = 30.0
) -> SetUp:
    """Make or widen the stream and the buckets, or raise `BusSetupError` saying what to do.

    What time may mend is tried again for `timeout_s`, and then raised as `BusTimeoutError`.
    """
    last: object = "no answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await _try(connection, plan, change=change)
                except BusError as error:
                    _explain(connection, error, plan)
                    log.debug("setting up has to wait", why=str(error))
                    last = error
                await asyncio.sleep(_RETRY_S)
    except TimeoutError:
        raise BusTimeoutError(f"the log could not be set up in {timeout_s:g} s: {last}") from None


async def _try(connection: Connection, plan: Plan, *, change: bool) -> SetUp:
    if not plan.replicas:
        copies = REPLICAS_IN_CLUSTER if connection.in_cluster else 1
        plan = msgspec.structs.replace(plan, replicas=copies)
    wanted = _events(plan)
    made, info = await _make(connection, wanted)
    for _ in range(_TRIES):
        target, drift = _merged(info.config, wanted, change=change)
        if target == info.config:
            break
        await call(connection, f"STREAM.UPDATE.{EVENTS}", target, Answer)
        info = await _info(connection, EVENTS)
    else:
        raise BusSetupError(f"the stream {EVENTS} does not keep the changes made to it")
    for bucket in BUCKETS:
        await _make(connection, _bucket(bucket, plan))
    await _make(connection, leases_stream(plan.replicas))
    for difference in drift:
        log.warning("the log's stream is not as planned", difference=difference)
    return SetUp(info.config["metadata"][CLUSTER], made, drift)


def _events(plan: Plan) -> dict[str, Any]:
    """Give the log's stream.

    Single messages cannot be deleted: history is not edited behind its readers' backs. A secret
    said by mistake can still be purged by its subject, and the oldest stretch by its sequence.
    """
    return {
        "name": EVENTS,
        "description": "Segue's log: every event of this cluster, in order",
        "subjects": log_subjects(),
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": int(plan.age_max_s * _NANOSECONDS),
        "max_bytes": plan.bytes_max,
        "max_msg_size": 1 << 20,
        "num_replicas": plan.replicas,
        "duplicate_window": 120 * _NANOSECONDS,
        "allow_atomic": True,
        "allow_direct": False,
        "allow_rollup_hdrs": False,
        "deny_delete": True,
        "deny_purge": False,
        "metadata": {CLUSTER: str(uuid.uuid4())},
    }


def _bucket(name: str, plan: Plan) -> dict[str, Any]:
    """Give a bucket as the object store of the `nats` command knows it (ADR-20)."""
    return {
        "name": f"OBJ_{name}",
        "subjects": [f"$O.{name}.C.>", f"$O.{name}.M.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": plan.bucket_bytes_max,
        "num_replicas": plan.replicas,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }


async def _info(connection: Connection, name: str) -> StreamInfo:
    return await call(connection, f"STREAM.INFO.{name}", None, StreamInfo)


async def _make(connection: Connection, wanted: dict[str, Any]) -> tuple[bool, StreamInfo]:
    """Make a stream unless it is there."""
    name = wanted["name"]
    for _ in range(_TRIES):
        try:
            return False, await _info(connection, name)
        except BusRefusedError as error:
            if error.code != NO_STREAM:
                raise
        try:
            await call(connection, f"STREAM.CREATE.{name}", wanted, Answer)
        except BusRefusedError as error:
            if error.code != NAME_IN_USE:
                raise
            continue  # Another service was faster: what it made is as good.
        return True, await _info(connection, name)
    raise BusSetupError(f"the stream {name} comes and goes; does something else delete it?")


def _merged(
    found: dict[str, Any], wanted: dict[str, Any], *, change: bool
) -> tuple[dict[str, Any], list[str]]:
    """Give what the stream should become, and where it differs from the plan even then."""
    missing = [subject for subject in wanted["subjects"] if subject not in found["subjects"]]
    target = found | {
        "subjects": found["subjects"] + missing,
        "allow_atomic": True,
        "metadata": wanted["metadata"] | (found.get("metadata") or {}),
    }
    if change:
        target |= {name: wanted[name] for name in _LIMITS}
    drift = [
        f"{name} is {target.get(name, False)!r}, planned is {wanted[name]!r}"
        for name in (*_LIMITS, *_FIXED)
        if target.get(name, False) != wanted[name]
    ]
    return target, drift


def _explain(connection: Connection, error: BusError, plan: Plan) -> None:
    """Raise what a person must resolve; return for what time resolves."""
    where = connection.settings.shown_url
    if isinstance(error, NobodyAnswersError) and connection.offers_jetstream:
        return  # Its cluster is electing.
    code = error.code if isinstance(error, BusRefusedError) else 0
    if isinstance(error, NobodyAnswersError) or code in NOT_ENABLED:
        raise BusSetupError(
            f"the server at {where} has no JetStream for this account, and the log needs it: "
            "start nats-server with -js, or enable jetstream for the account"
        ) from error
    if code == NO_ROOM:
        raise BusSetupError(
            f"the server at {where} has no room for a log of {plan.bytes_max} bytes: give its "
            "store more (max_file_store) or plan a smaller log"
        ) from error
    passing = isinstance(error, BusTimeoutError | BusUnreachableError)
    passing = passing or (isinstance(error, BusRefusedError) and not error.lasting)
    if not passing or code == NO_CLUSTER:
        raise BusSetupError(f"the log cannot be set up at {where}: {error}") from error
