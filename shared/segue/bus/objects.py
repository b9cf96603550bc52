"""Large values by key, in the form of NATS object stores: whole or not at all.

A value is cut into chunks under a name of its own; one message then makes it the value of its key,
stored only if nobody was faster. A reader takes chunks until size and digest agree, and gives
nothing instead of a part. `nats object get` reads what is written here.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import anyio
import msgspec
import structlog

from segue.bus.connection import Connection
from segue.bus.errors import BusError, BusRefusedError, BusTimeoutError, LogReplacedError
from segue.bus.follow import follow
from segue.bus.jetstream import Answer, PubAck, api, call, get_message, read_answer

CHUNK_BYTES = 128 * 1024
_WINDOW = 16  # Chunks under way at once.
_READS = 4
_RETRY_S, _LINGER_S = 0.25, 1.0
_ANSWER_S = 5.0
_WRONG_SEQUENCE = (10071, 10164)
_DIGEST = "SHA-256="

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


class _Entry(msgspec.Struct, omit_defaults=True):
    """What the message of a key says of its value (ADR-20)."""

    name: str
    bucket: str
    nuid: str = ""
    size: int = 0
    chunks: int = 0
    digest: str = ""
    mtime: str = ""
    deleted: bool = False


class _FasterError(Exception):
    """Another writer has given the key a value in between."""


class Bucket:
    """One bucket over one connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._stream = f"OBJ_{name}"

    async def put(self, key: str, data: bytes, timeout_s: float) -> None:
        """Make `data` the value of `key`, or raise a `BusError` and leave the value as it was.

        After `BusTimeoutError` the value is either the old or the new one, whole.
        """

        async def attempt() -> None:
            old, sequence = await self._entry(key)
            await self._enter(await self._send_chunks(key, data), sequence)
            if old is not None:
                await self._purge(self._chunks(old.nuid))

        await _insist(attempt, timeout_s, f"{key} was not put into {self._name}")

    async def get(self, key: str, timeout_s: float) -> bytes | None:
        """Give the value of `key`, whole; None: there is none, or only a part of it."""

        async def attempt() -> bytes | None:
            for _ in range(_READS):
                entry, _ = await self._entry(key)
                if entry is None:
                    return None
                if (data := await self._collect(entry)) is not None:
                    return data
                await asyncio.sleep(_RETRY_S)  # It may just have been replaced: look again.
            log.error("an object is not whole", bucket=self._name, key=key)
            return None

        return await _insist(attempt, timeout_s, f"{key} was not got from {self._name}")

    async def keys(self, timeout_s: float) -> list[str]:
        """Give the keys that have a value, sorted."""

        async def attempt() -> list[str]:
            found: dict[str, bool] = {}
            every = [self._subject("*")]
            async with aclosing(follow(self._connection, 0, every, self._stream)) as stretches:
                async for stretch in stretches:
                    for stored in stretch.messages:
                        if entry := _read_entry(stored.data):
                            found[entry.name] = not entry.deleted
                    if stretch.caught:
                        break
            return sorted(key for key, there in found.items() if there)

        return await _insist(attempt, timeout_s, f"{self._name} was not listed")

    async def delete(self, key: str, timeout_s: float) -> None:
        """Take away the value that `key` has now; a newer one stays."""

        async def attempt() -> None:
            entry, sequence = await self._entry(key)
            if sequence:
                await self._purge(self._subject(_encoded(key)), seq=sequence + 1)
            if entry is not None:
                await self._purge(self._chunks(entry.nuid))

        await _insist(attempt, timeout_s, f"{key} was not deleted from {self._name}")

    async def _send_chunks(self, key: str, data: bytes) -> _Entry:
        """Store the chunks under a new name; what cannot be stored whole is taken back."""
        entry = _Entry(key, self._name, nuid=secrets.token_hex(11), size=len(data))
        digest = hashlib.sha256()
        subject = self._chunks(entry.nuid)
        try:
            for start in range(0, len(data), _WINDOW * CHUNK_BYTES):
                window = data[start : start + _WINDOW * CHUNK_BYTES]
                chunks = [window[i : i + CHUNK_BYTES] for i in range(0, len(window), CHUNK_BYTES)]
                for chunk in chunks:
                    digest.update(chunk)
                await _all(self._publish(subject, chunk, {}) for chunk in chunks)
                entry.chunks += len(chunks)
        except BaseException:  # Cancelled or not: nobody will ever name these chunks.
            with suppress(BusError):
                verb = api(self._connection, f"STREAM.PURGE.{self._stream}")
                self._connection.send(verb, msgspec.json.encode({"filter": subject}))
            raise
        entry.digest = _DIGEST + base64.urlsafe_b64encode(digest.digest()).decode()
        entry.mtime = dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
        return entry

    async def _enter(self, entry: _Entry, sequence: int) -> None:
        """Make the chunks the value of the key if its last message still has this sequence."""
        headers = {
            "Nats-Msg-Id": entry.nuid,
            "Nats-Rollup": "sub",
            "Nats-Expected-Last-Subject-Sequence": str(sequence),
        }
        subject, data = self._subject(_encoded(entry.name)), msgspec.json.encode(entry)
        while True:
            try:
                await self._publish(subject, data, headers)
            except BusRefusedError as error:
                if error.code in _WRONG_SEQUENCE:
                    now, _ = await self._entry(entry.name)
                    if now is not None and now.nuid == entry.nuid:
                        return  # An earlier try, whose answer was lost.
                    await self._purge(self._chunks(entry.nuid))
                    raise _FasterError from error
                if error.lasting:
                    raise
            except BusError as error:
                log.debug("whether an object is stored is asked again", why=str(error))
            else:
                return
            await asyncio.sleep(_RETRY_S)

    async def _publish(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        reply = await self._connection.query(subject, data, timeout_s=_ANSWER_S, headers=headers)
        read_answer(reply, PubAck, f"the bucket {self._name} refuses a message")

    async def _collect(self, entry: _Entry) -> bytes | None:
        chunks: list[bytes] = []
        size, digest = 0, hashlib.sha256()
        filters = [self._chunks(entry.nuid)]
        try:
            async with aclosing(follow(self._connection, 0, filters, self._stream)) as stretches:
                async for stretch in stretches:
                    for stored in stretch.messages:
                        chunks.append(stored.data)
                        digest.update(stored.data)
                        size += len(stored.data)
                    if size >= entry.size or stretch.caught:
                        break
        except LogReplacedError:
            return None  # The bucket's oldest was deleted while this reader had to begin anew.
        said = entry.digest.partition("=")[2]
        whole = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=") == said.rstrip("=")
        return b"".join(chunks) if size == entry.size and whole else None

    async def _entry(self, key: str) -> tuple[_Entry | None, int]:
        """Give the key's value in words, and the sequence of the message that says so."""
        which = {"last_by_subj": self._subject(_encoded(key))}
        stored = await get_message(self._connection, self._stream, which)
        if stored is None:
            return None, 0
        entry = _read_entry(stored.data)
        return (None if entry is None or entry.deleted else entry), stored.sequence

    async def _purge(self, subject: str, *, seq: int | None = None) -> None:
        verb = f"STREAM.PURGE.{self._stream}"
        body = {"filter": subject} | ({"seq": seq} if seq else {})
        await call(self._connection, verb, body, Answer)

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self._name}.C.{nuid}"

    def _subject(self, encoded_key: str) -> str:
        return f"$O.{self._name}.M.{encoded_key}"


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _read_entry(data: bytes) -> _Entry | None:
    try:
        return msgspec.json.decode(data, type=_Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


async def _all(sends: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait until the last has ended, cancelled or not, then raise the first error.

    What is under way when the caller gives up could else be stored behind its being taken back.
    """
    tasks = [asyncio.create_task(send) for send in sends]
    try:
        await asyncio.wait(tasks)
    finally:
        with anyio.move_on_after(_LINGER_S, shield=True):
            await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if result is not None:
            raise result


async def _insist(attempt: Callable[[], Awaitable[T]], timeout_s: float, what: str) -> T:
    """Try until it is done: only what can never succeed, or the time, ends it."""
    why = "no answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await attempt()
                except _FasterError:
                    continue
                except BusError as error:
                    if isinstance(error, BusRefusedError) and error.lasting:
                        raise
                    why = str(error)
                await asyncio.sleep(_RETRY_S)
    except TimeoutError:
        raise BusTimeoutError(f"{what} within {timeout_s:g} s: {why}") from None
