"""Connect a machine to the real bus, clock and tasks; decide nothing.

Everything runs in one event loop, so the machine is never entered twice at once. Each thing that
happens kicks the driver, which asks the machine what to do; the clock kicks only at `wake_at`.
"""

import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import structlog

from segue import telemetry
from segue.beats import GatewayBeat, NodeBeat
from segue.bus import Bus, BusError
from segue.core import Core
from segue.envelope import ERRORS, Record
from segue.log import Head
from segue.picture.picture import claim
from segue.shell import snapshots
from segue.shell.commands import Append, Beat, Command, Note, Perform, Save, Say
from segue.shell.errors import LogReplacedError
from segue.shell.machine import Machine
from segue.shell.patience import RETRY_S, patiently
from segue.shell.what_if import Question, answer_from, packed, unpacked

CLOCK_SET_EVERY_S = 30.0
SNAPSHOTS_TRIED = 3
# A bus that elects its leader drops what is said; a write is repeated with the same ids, so that
# giving up early costs nothing. Each message of a batch adds to what a loaded bus is given.
WRITE_S, WRITE_EACH_S = 1.0, 0.002

BeatDecoder = msgspec.json.Decoder[NodeBeat] | msgspec.json.Decoder[GatewayBeat]

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.shell")


class Pump:
    """One instance of a service on a connected bus. `run` ends only by cancellation or an error."""

    def __init__(
        self,
        core: Core,
        bus: Bus,
        *,
        instance: str,
        leads: bool = True,
        saves: bool = False,
        subjects: Sequence[str] = (),
        perform: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
        beats: tuple[str, BeatDecoder] | None = None,
    ) -> None:
        self.core, self.bus = core, bus
        self.subjects, self.perform, self.beats = subjects, perform, beats
        self.machine = Machine(
            core,
            instance=instance,
            session=uuid.uuid4().hex,
            leads=leads,
            saves=saves,
            note=_note,
            seen=self._seen,
        )
        self._kick = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Follow, decide and write until cancelled."""
        await patiently(self.bus, self._restore)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._watch_connection)
            tasks.start_soon(self._set_clock)
            tasks.start_soon(self._follow)
            if self.machine.leads:
                tasks.start_soon(self._hear_leaders)
            tasks.start_soon(self._answer_what_if)
            if self.beats is not None:
                tasks.start_soon(self._hear_beats, *self.beats)
            await self._drive()

    def hear(self, news: Any) -> None:
        """Tell the core what is not in the log, from within the event loop."""
        self.machine.hear(news, time.monotonic())
        self._kick.set()

    async def _drive(self) -> None:
        while True:
            self._kick = anyio.Event()
            begun = time.monotonic()
            commands = self.machine.step(begun)
            telemetry.decided(len(commands), took_s=time.monotonic() - begun)
            for command in commands:
                self._carry_out(command)
            wake_at = self.machine.wake_at
            if wake_at is None:
                await self._kick.wait()
                continue
            with anyio.move_on_after(max(0.0, wake_at - time.monotonic())):
                await self._kick.wait()

    def _carry_out(self, command: Command) -> None:
        assert self._tasks is not None, "commands come only while it runs"
        match command:
            case Append():
                self._tasks.start_soon(self._append, command)
            case Say(subject=subject, data=data):
                self._tasks.start_soon(self.bus.say, subject, data)
            case Perform(effect=effect):
                assert self.perform is not None, "only a service that acts has effects"
                self._tasks.start_soon(self.perform, effect)
            case Save():
                self._tasks.start_soon(self._save, command)

    async def _append(self, command: Append) -> None:
        begun = time.monotonic()
        timeout_s = WRITE_S + WRITE_EACH_S * len(command.messages)
        outcome = await self.bus.append(command.messages, command.fence, timeout_s=timeout_s)
        if outcome.kind == "stored":
            telemetry.published(command.messages, took_s=time.monotonic() - begun)
        else:
            telemetry.not_stored(outcome)
        if outcome.kind == "refused" and command.fence is not None:
            await self._ask_head()  # The message that it names may have been trimmed away.
        self.machine.wrote(command.number, outcome, time.monotonic())
        self._kick.set()

    def _seen(self, record: Record) -> None:
        if self.machine.caught_up:  # What is replayed was told about when it happened.
            lag_s = self.machine.log_time(time.monotonic()) - record.time
            telemetry.processed(record, lag_s=max(0.0, lag_s))

    async def _follow(self) -> None:
        read_to, mark = self.machine.read_to, self.machine.mark
        async with aclosing(self.bus.follow(read_to, self.subjects, mark=mark)) as stretches:
            async for stretch in stretches:
                self.machine.read(stretch.messages, time.monotonic())
                self.machine.passed(stretch.upto)
                self._kick.set()

    async def _watch_connection(self) -> None:
        async for up in self.bus.states():
            if up:
                await self._ask_head()
            else:
                self.machine.away()
            self._kick.set()

    async def _set_clock(self) -> None:
        while True:
            await anyio.sleep(CLOCK_SET_EVERY_S)
            if self.bus.connected:
                await self._ask_head()

    async def _ask_head(self) -> None:
        while self.bus.connected:
            asked_at = self.machine.read_to
            try:
                head = await self.bus.head(asked_at)
            except BusError as error:
                log.warning("the log does not answer", why=str(error))
                await anyio.sleep(RETRY_S)
                continue
            self.machine.connected(head, time.monotonic(), asked_at)
            self._kick.set()
            return

    async def _hear_leaders(self) -> None:
        decode = msgspec.json.Decoder(Beat).decode
        async for subject, data in self.bus.listen(f"beat.{self.core.service}.*"):
            try:
                beat = decode(data)
            except ERRORS:
                continue  # Nobody may need any one beat.
            if subject.endswith(f".{beat.instance}"):
                self.machine.heard_leader(beat, time.monotonic())
                self._kick.set()

    async def _hear_beats(self, subjects: str, decoder: BeatDecoder) -> None:
        async for subject, data in self.bus.listen(subjects):
            try:
                beat = decoder.decode(data)
            except ERRORS:
                continue
            if subject.endswith(f".{beat.node}"):  # Nobody speaks for another.
                self.hear(beat)

    async def _answer_what_if(self) -> None:
        decode, turn = msgspec.json.Decoder(Question).decode, anyio.CapacityLimiter(1)

        async def handle(data: bytes) -> bytes:
            now, picture = self.machine.log_time(time.monotonic()), self.core.picture.snapshot()

            def think() -> bytes:
                given = answer_from(type(self.core), picture, decode(unpacked(data)), now)
                return packed(msgspec.json.encode(given))

            # In a thread: who leads must be heard, and decide what is, while somebody only asks.
            return await anyio.to_thread.run_sync(think, limiter=turn)

        await self.bus.serve(f"rpc.{self.core.service}.what_if", handle, queue="what_if")

    async def _restore(self) -> None:
        """Start from the newest snapshot of this log's history; without one, from its start."""
        head = await self.bus.head()
        if await self._restored(head):
            return
        if head.first > 1 and self.machine.leads:
            raise LogReplacedError(
                f"the log begins at {head.first} and no snapshot of what was before can be read: "
                "leading on would forget every app; restore a snapshot, or begin with a new log"
            )

    async def _restored(self, head: Head) -> bool:
        """Take the newest snapshot whose last message the log holds as it was folded.

        A log put back from an older copy has grown another history under the same sequences. Where
        the message has been purged nothing contradicts the snapshot, and it is believed, unless a
        newer one was of another history: then this one may be too.
        """
        keys = await snapshots.found(self.bus)
        tries, elsewhere = SNAPSHOTS_TRIED, [key for key in keys if key > head.last]
        abandoned = False
        for key in reversed(keys):
            if not tries or not head.first - 1 <= key <= head.last:
                continue
            data = await snapshots.read(self.bus, key)
            try:
                said = claim(data)
                stored = await self.bus.at(said.sequence)
                if abandoned if stored is None else stored.mark != said.mark:
                    abandoned = True
                    elsewhere.append(key)
                    continue
                self.machine.restore(data, head.cluster)
            except msgspec.MsgspecError as error:
                tries -= 1
                log.warning("a snapshot is not used", sequence=key, why=str(error))
                continue
            break
        else:
            key = 0
        if elsewhere:
            text = "snapshots of another history of this log are not used"
            log.warning(text, sequences=sorted(elsewhere), starts_from=key)
        elif key:
            log.info("starts from a snapshot", sequence=key)
        return key > 0

    async def save(self) -> int:
        """Keep a snapshot of what is folded now; give its sequence, or raise a `BusError`."""
        sequence = self.machine.read_to
        await snapshots.keep(self.bus, sequence, self.core.picture.snapshot(self.machine.mark))
        return sequence

    async def _save(self, command: Save) -> None:
        try:
            await snapshots.keep(self.bus, command.sequence, command.data)
        except BusError as error:
            log.warning("a snapshot could not be saved", why=str(error))


def _note(note: Note) -> None:
    log.log({"info": 20, "warning": 30, "error": 40}[note.level], note.text, **note.fields)
