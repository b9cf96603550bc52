"""JetStream's own requests and answers, as far as a log and its buckets need them.

Requests go out raw, with our own ids and time-outs; answers are decoded into typed structs. An
error of the server becomes `BusRefusedError` with its code; nothing is retried here.
"""

import calendar
import time
from typing import Any, TypeVar

import msgspec

from segue.bus.connection import Connection, Reply
from segue.bus.errors import BusRefusedError
from segue.bus.protocol import read_headers
from segue.log import Stored

EVENTS = "EVENTS"
CLUSTER = "segue.cluster"  # The key of the log's id in the stream's metadata.

NOT_ENABLED = (10039, 10076)
NO_CLUSTER = 10074
NO_MESSAGE, NO_STREAM, NAME_IN_USE, NO_ROOM = 10037, 10059, 10058, 10047

T = TypeVar("T")


class ApiError(msgspec.Struct, frozen=True):
    """What the server has against a request."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct):
    """What every answer may carry."""

    error: ApiError | None = None


class StreamState(msgspec.Struct, frozen=True):
    """Bounds and size of a stream."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class Copy(msgspec.Struct, frozen=True):
    """A server's copy of a stream, as its leader knows it."""

    name: str = ""
    current: bool = False
    offline: bool = False
    lag: int = 0


class Servers(msgspec.Struct, frozen=True):
    """The servers of a cluster that have a stream or a consumer."""

    leader: str = ""
    replicas: list[Copy] | None = None

    def whole(self) -> set[str]:
        """Name those whose copy was complete when this was said."""
        copies = self.replicas or []
        good = {copy.name for copy in copies if copy.current and not copy.offline and not copy.lag}
        return good | {self.leader}


class StreamInfo(Answer):
    """A stream as it is; `ts` is the server's clock."""

    config: dict[str, Any] = {}
    state: StreamState = StreamState(0, 0, 0, 0)
    ts: str = ""
    cluster: Servers | None = None


class ConsumerInfo(Answer):
    """A consumer just made; `num_pending` messages are waiting for it."""

    name: str = ""
    num_pending: int = 0
    cluster: Servers | None = None


class RawMessage(msgspec.Struct):
    """A message fetched by its sequence or subject."""

    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""


class MessageAnswer(Answer):
    """The message that was asked for."""

    message: RawMessage | None = None


class PubAck(Answer):
    """The message is stored; `duplicate`: by an earlier try."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


def api(connection: Connection, verb: str) -> str:
    """Give the subject of a request."""
    domain = connection.settings.jetstream_domain
    return f"$JS.{domain}.API.{verb}" if domain else f"$JS.API.{verb}"


async def call(
    connection: Connection, verb: str, body: Any, kind: type[T], *, timeout_s: float = 5.0
) -> T:
    """Ask JetStream; raises a `BusError`, of which `BusRefusedError` carries the server's code."""
    data = msgspec.json.encode(body) if body is not None else b""
    reply = await connection.query(api(connection, verb), data, timeout_s=timeout_s)
    return read_answer(reply, kind, f"the bus refuses {verb}")


def read_answer(reply: Reply, kind: type[T], what: str) -> T:
    """Decode an answer or raise what the server has against it."""
    try:
        answer = msgspec.json.decode(reply.data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BusRefusedError(f"{what}, in words that cannot be read: {error}") from error
    problem = getattr(answer, "error", None)
    if problem is not None:
        lasting = problem.code in (400, 403)
        text = f"{what}: {problem.description}"
        raise BusRefusedError(text, problem.err_code, lasting=lasting)
    return answer


async def get_message(
    connection: Connection, stream: str, which: dict[str, Any], *, timeout_s: float = 5.0
) -> Stored | None:
    """Fetch one message: `seq`, `last_by_subj`, or `seq` with `next_by_subj`. None: no such."""
    try:
        answer = await call(
            connection, f"STREAM.MSG.GET.{stream}", which, MessageAnswer, timeout_s=timeout_s
        )
    except BusRefusedError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    raw = answer.message
    if raw is None:
        return None
    seconds = seconds_since_1970(raw.time)
    return Stored(raw.seq, seconds, raw.subject, raw.data, read_headers(raw.hdrs))


def seconds_since_1970(text: str) -> float:
    """Read the server's UTC time, whose nine decimals `datetime` would cut."""
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return (seconds * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or "0")) / 1e9
