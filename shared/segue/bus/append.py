"""Writing to the log: what became of a write is found out, not guessed, and never raised.

A refusal proves nothing by itself: a single server checks the fence before it knows the id, so the
repeat of a write whose acknowledgement was lost is refused although it is stored; three servers
refuse a write while another with the same fence is under way. So a refused write is looked for in
the log before it is called refused.
"""

import asyncio
import secrets
from collections.abc import Iterator, Sequence

from segue.bus.connection import Connection, Reply
from segue.bus.errors import BusError, BusRefusedError, NobodyAnswersError
from segue.bus.jetstream import EVENTS, PubAck, StreamInfo, call, get_message, read_answer
from segue.bus.protocol import covers
from segue.envelope import MAX_BYTES
from segue.log import Fence, Message, Outcome

BATCH_MESSAGES_MAX = 1_000  # The server's own limit.
BATCH_BYTES_MAX = 8 << 20
_LOOKED_THROUGH_MAX = 512
_LOOK_S = 1.0  # Nobody answers while the servers elect: the write is to be tried again soon.
_WRONG_SEQUENCE = (10071, 10164)
_DUPLICATE_INSIDE = 10201
# Too large, another stream's subject, no batches: trying again cannot help. All else may pass.
_NEVER = (10054, 10060, 10097, 10174, 10177, 10199)


class Writer:
    """Writes over one connection; any number of writes at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(
        self, messages: Sequence[Message], fence: Fence | None, timeout_s: float
    ) -> Outcome:
        """Store all messages, in order, behind `fence`, and say what became of them."""
        outcome = Outcome("stored", duplicate=True)
        try:
            async with asyncio.timeout(timeout_s):
                for batch in _batches(messages):
                    done = await self._write(batch, fence, timeout_s)
                    if done.kind != "stored":
                        return done
                    duplicate = outcome.duplicate and done.duplicate
                    outcome = Outcome("stored", done.sequence, duplicate)
        except NobodyAnswersError as error:
            return await self._unheard(messages, str(error))
        except BusRefusedError as error:
            if error.code and error.code not in _NEVER:
                return Outcome("unknown", reason=str(error))
            return Outcome("invalid", reason=str(error))
        except BusError as error:
            return Outcome("unknown", reason=str(error))
        except TimeoutError:
            return Outcome("unknown", reason=f"no answer from the bus within {timeout_s:g} s")
        return outcome

    async def _unheard(self, messages: Sequence[Message], why: str) -> Outcome:
        """Tell a subject that is not the log's from a log that is not there just now."""
        try:
            info = await call(
                self._connection, f"STREAM.INFO.{EVENTS}", None, StreamInfo, timeout_s=_LOOK_S
            )
        except BusError:
            return Outcome("unknown", reason=why)
        taken = info.config["subjects"]
        for message in messages:
            if not any(covers(subject, message.subject) for subject in taken):
                text = f"{message.subject} is not for the log, which takes {', '.join(taken)}"
                return Outcome("invalid", reason=text)
        return Outcome("unknown", reason=why)

    async def _write(
        self, batch: Sequence[Message], fence: Fence | None, timeout_s: float
    ) -> Outcome:
        try:
            if len(batch) > 1:
                return await self._atomically(batch, fence, timeout_s)
            return await self._singly(batch[0], fence, timeout_s)
        except BusRefusedError as error:
            if error.code in _WRONG_SEQUENCE and fence is not None:
                return await self._after_refusal(batch, fence, error, timeout_s)
            if error.code != _DUPLICATE_INSIDE:
                raise
            return await self._one_by_one(batch, fence, timeout_s)

    async def _singly(self, message: Message, fence: Fence | None, timeout_s: float) -> Outcome:
        reply = await self._connection.query(
            message.subject, message.data, timeout_s=timeout_s, headers=_headers(message, fence)
        )
        return _stored(reply)

    async def _atomically(
        self, batch: Sequence[Message], fence: Fence | None, timeout_s: float
    ) -> Outcome:
        """Store all or nothing; the answer comes to the last message."""
        name, connection = secrets.token_hex(16), self._connection
        await connection.until(up=True)
        for number, message in enumerate(batch, 1):
            headers = _headers(message, fence if number == 1 else None)
            headers |= {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            if number == len(batch):
                headers["Nats-Batch-Commit"] = "1"
                reply = await connection.query(
                    message.subject, message.data, timeout_s=timeout_s, headers=headers
                )
                return _stored(reply)
            connection.send(message.subject, message.data, headers=headers)
            await connection.drained()
        raise AssertionError("a batch has messages")

    async def _one_by_one(
        self, batch: Sequence[Message], fence: Fence | None, timeout_s: float
    ) -> Outcome:
        """Settle a batch of which some is stored already: the ids keep the rest from repeating."""
        outcome = Outcome("stored", duplicate=True)
        for message in batch:
            done = await self._write([message], fence, timeout_s)
            if done.kind != "stored":
                return done
            last = max(outcome.sequence, done.sequence)
            outcome = Outcome("stored", last, outcome.duplicate and done.duplicate)
        return outcome

    async def _after_refusal(
        self, batch: Sequence[Message], fence: Fence, error: BusRefusedError, timeout_s: float
    ) -> Outcome:
        """Find out what a refusal means: stored before, no longer wanted, or only a collision."""
        newest = await get_message(
            self._connection, EVENTS, {"last_by_subj": fence.subject}, timeout_s=timeout_s
        )
        if (newest.sequence if newest else 0) == fence.sequence:
            return Outcome("unknown", reason="another write with this fence is under way")
        found = await self._find(batch[0], fence.sequence + 1, timeout_s)
        if found is None:
            return Outcome("refused", reason=str(error))
        if len(batch) > 1:
            return await self._one_by_one(batch, fence, timeout_s)
        return Outcome("stored", found, duplicate=True)

    async def _find(self, message: Message, first: int, timeout_s: float) -> int | None:
        """Look for a message by its id; an earlier try cannot stand before the fence it passed."""
        which: dict[str, object] = {"last_by_subj": message.subject}
        for _ in range(_LOOKED_THROUGH_MAX):
            stored = await get_message(self._connection, EVENTS, which, timeout_s=timeout_s)
            if stored is None:
                return None
            if stored.headers.get("Nats-Msg-Id") == message.id:
                return stored.sequence
            if "last_by_subj" not in which:
                first = stored.sequence + 1
            which = {"seq": first, "next_by_subj": message.subject}
        return None


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut where the server's limits are reached."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        if len(message.data) > MAX_BYTES:  # The server would take a little more; no reader does.
            raise BusRefusedError(
                f"{len(message.data)} bytes on {message.subject}; at most {MAX_BYTES} are read"
            )
        more = len(message.data) + len(message.subject)
        if batch and (len(batch) == BATCH_MESSAGES_MAX or size + more > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += more
    if batch:
        yield batch


def _headers(message: Message, fence: Fence | None) -> dict[str, str]:
    headers = message.headers | {"Nats-Msg-Id": message.id}
    if fence is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(fence.sequence)
        headers["Nats-Expected-Last-Subject-Sequence-Subject"] = fence.subject
    return headers


def _stored(reply: Reply) -> Outcome:
    ack = read_answer(reply, PubAck, "the log refuses a message")
    if ack.stream != EVENTS:
        raise BusRefusedError(f"the stream {ack.stream!r}, not the log, has taken the message")
    return Outcome("stored", ack.seq, ack.duplicate)
