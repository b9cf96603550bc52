"""Leases on the bus: claimed behind one's own last message, removed by the server in time.

A stream beside the log keeps the newest message of each node; the server's marker in its place
says that it was not renewed. The words are those of `segue.leases`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from segue.bus.connection import Connection
from segue.bus.errors import BusError, BusRefusedError
from segue.bus.follow import RETRY_S, Consumer, Missed
from segue.bus.jetstream import PubAck, StreamInfo, call, get_message, read_answer
from segue.leases import Claim, Claimed, Expired, News, Standing, Terms, Told, Void, terms
from segue.log import Outcome, Stored

LEASES = "LEASES"
_ASK_S = 1.5  # Before another try: the next one may be answered by another server.
_BYTES_MAX = 16 << 20
_MARKER = "Nats-Marker-Reason"
_MARKER_TTL_S = 1  # The shortest there is; a lease lasts at least as long.
_WRONG_SEQUENCE = (10071, 10164)
_NANOSECONDS = 1_000_000_000
_decode = msgspec.json.Decoder(Claim).decode

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


def stream(replicas: int) -> dict[str, Any]:
    """Give the stream of leases. With more than one message a subject TTLs would be raised."""
    return {
        "name": LEASES,
        "description": "Segue's leases: which nodes may run what may run only once",
        "subjects": ["lease.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_bytes": _BYTES_MAX,
        "max_msg_size": 4096,
        "num_replicas": replicas,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": _MARKER_TTL_S * _NANOSECONDS,
        "allow_rollup_hdrs": True,  # The markers need it.
        "allow_direct": False,  # A copy that lags would tell of a lease that is over.
    }


class Leases:
    """All nodes' leases over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def terms(self) -> Terms:
        """Tell what holds on this bus; raises a `BusError`."""
        info = await call(self._connection, f"STREAM.INFO.{LEASES}", None, StreamInfo)
        return terms(info.config.get("num_replicas", 1))

    async def look(self, node: str) -> Standing:
        """Tell what stands on a node's lease; raises a `BusError`."""
        which = {"last_by_subj": f"lease.{node}"}
        stored = await get_message(self._connection, LEASES, which, timeout_s=_ASK_S)
        return Standing(stored.sequence, _claim(stored)) if stored is not None else Standing()

    async def claim(self, node: str, claim: Claim, after: int) -> Outcome:
        """Begin or renew a lease behind the last message that one knows on it (0: none).

        A refusal says that another message stands there, which may be one's own of an earlier try.
        """
        headers = {
            "Nats-TTL": f"{claim.ttl_s:.0f}s",
            "Nats-Expected-Last-Subject-Sequence": str(after),
        }
        try:
            reply = await self._connection.query(
                f"lease.{node}", msgspec.json.encode(claim), timeout_s=_ASK_S, headers=headers
            )
            ack = read_answer(reply, PubAck, "the bus refuses a lease")
        except BusRefusedError as error:
            kind = error.code in _WRONG_SEQUENCE
            return Outcome("refused" if kind else "unknown", reason=str(error))
        except BusError as error:
            return Outcome("unknown", reason=str(error))
        return Outcome("stored", ack.seq)

    async def heard(self) -> AsyncGenerator[News, None]:
        """Tell what stands and what becomes of it, for ever; `Void` after each gap."""
        while True:
            yield Void()
            await self._connection.until(up=True)
            try:
                async with aclosing(self._listened()) as news:
                    async for one in news:
                        yield one
            except (BusError, Missed) as error:
                log.debug("leases are not heard now", why=str(error))
            await asyncio.sleep(RETRY_S)

    async def _listened(self) -> AsyncGenerator[News, None]:
        info = await call(self._connection, f"STREAM.INFO.{LEASES}", None, StreamInfo)
        leader = info.cluster.leader if info.cluster else ""
        consumer = Consumer(self._connection, LEASES, 0, info.state.last_seq, leader)
        told = False
        try:
            await consumer.start([])
            while True:
                stretch = await consumer.next()
                for stored in stretch.messages:
                    node, claim = stored.subject.partition(".")[2], _claim(stored)
                    yield Expired(node) if claim is None else Claimed(node, claim)
                if stretch.caught and not told:
                    told = True
                    yield Told()
        finally:
            consumer.stop()


def _claim(stored: Stored) -> Claim | None:
    """Read a message; what nobody can read is a claim of somebody unknown."""
    if _MARKER in stored.headers:
        return None
    try:
        return _decode(stored.data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Claim("", terms(3).ttl_s)
