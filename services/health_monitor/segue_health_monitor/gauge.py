"""Measure the log's room, and trim the log when `segue_health_monitor.room` says so.

It takes away only what a snapshot holds that was read back and found to be of this log. While the
log is full nothing can be said and nobody elected; snapshots are kept elsewhere, so it is trimmed
all the same, and said afterwards.
"""

import anyio
import structlog
from segue.bus import Bus, BusError
from segue.shell import snapshots
from segue.shell.pump import Pump

from segue_health_monitor import room
from segue_health_monitor.room import Room, Trimmed

EVERY_S, SOON_S = 5.0, 1.0
EVENTS = "EVENTS"

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.health_monitor")


class Gauge:
    """One instance's look at the log; `pump` is told of what it finds."""

    def __init__(self, bus: Bus, pump: Pump) -> None:
        self._bus, self._pump = bus, pump
        self._useless: set[int] = set()  # Snapshots from which nobody can start.
        self._words = ""  # Why it could not be trimmed.

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            wait_s = EVERY_S
            try:
                found = await self._measured()
                self._pump.hear(found)
                if found.share >= room.ALARM_AT:
                    wait_s = SOON_S
                    await self._make_room(found)
            except BusError as error:
                log.debug("the log's room is not known", why=str(error))
            await anyio.sleep(wait_s)

    async def _measured(self) -> Room:
        info = await self._bus.stream(EVENTS)
        state = info.state if info else None
        limit = int(info.config.get("max_bytes", -1)) if info else -1
        return Room(
            used_bytes=state.bytes if state else 0,
            limit_bytes=max(0, limit),
            events=state.messages if state else 0,
            first=state.first_seq if state else 0,
            last=state.last_seq if state else 0,
            words=self._words,
        )

    async def _make_room(self, found: Room) -> None:
        """Have a snapshot to trim to in time, and trim when it is time."""
        machine = self._pump.machine
        must = room.must_trim(found, leading=machine.leading)
        if not must and not machine.leading:
            return
        try:
            at = await self._cut(found)
            if at is None and machine.caught_up:
                await self._pump.save()
                at = await self._cut(found)
            if must and at is not None:
                await self._trim(found, at)
        except BusError as error:
            if not must:
                raise
            log.warning("the log cannot be trimmed", why=str(error))
            self._words = str(error)

    async def _cut(self, found: Room) -> int | None:
        """Give the snapshot that the log is to begin at, if there is one that can be used."""
        there = [at for at in await snapshots.found(self._bus) if at not in self._useless]
        while (at := room.cut(found, there)) is not None:
            if await snapshots.can_be_used(self._bus, at):
                return at
            log.warning("a snapshot is no place to trim the log to", sequence=at)
            self._useless.add(at)
            there.remove(at)
        return None

    async def _trim(self, found: Room, at: int) -> None:
        await self._bus.trim(at)
        self._words = ""
        after = await self._measured()
        fields = {"first": after.first, "events": after.first - found.first}
        log.warning("trimmed the log: it was filling up", **fields)
        self._pump.hear(Trimmed(found, after))
        self._pump.hear(after)
        await snapshots.drop_before(self._bus, after.first)
