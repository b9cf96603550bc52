"""One write on its way: sent, kept, stored, refused, acknowledged or never heard of again.

One server stores what arrives. Three agree first: until they have, another write with the same
fence is refused, and the writer looks into the log for what that means (`segue.bus.append`).
"""

from typing import TYPE_CHECKING

from segue.log import Fence, Message, Outcome

if TYPE_CHECKING:
    from segue.testing.world.bus import Client, SimBus

WRITE_TIMEOUT_S = 1.0  # As the pump has it.


class Write:
    """One try of a client to store messages."""

    def __init__(
        self,
        bus: "SimBus",
        client: "Client",
        number: int,
        messages: list[Message],
        fence: Fence | None,
    ) -> None:
        self.bus, self.sim, self.client, self.number = bus, bus.sim, client, number
        self.messages, self.fence, self.run = messages, fence, client.run
        self.store = -1 if client.name in bus.stale else bus.stores  # The one that it is meant for.
        self.open = True

    def send(self) -> None:
        """Take it on its way; the answer comes through `answered`, at the latest in time."""
        sim, trouble = self.sim, self.bus.trouble
        sim.at(WRITE_TIMEOUT_S, self._answer, Outcome("unknown", reason="no answer"))
        if sim.chance(trouble.write_lost):
            sim.mark("write.lost")
            return
        if sim.chance(trouble.write_late):
            self._mark_late()
            sim.at(sim.between(1, 12), self._arrive)
        else:
            sim.at(self.bus.delay(), self._arrive)

    def _arrive(self) -> None:
        bus = self.bus
        if self.store != bus.stores:
            return  # What was unsent went with the connection to the servers that were.
        if not bus.speaks(self.client.host) or bus.electing:
            if self.sim.chance(0.3):  # Kept on the way: stored when nobody expects it any more.
                self._mark_late()
                self.sim.at(self.sim.between(0.2, 8), self._arrive)
        elif not bus.replicated or self.fence is None:
            self._store()
        elif self.fence.subject in bus.under_way:
            self.sim.mark("write.collided")
            self.sim.at(bus.delay(), self._look)
        else:
            bus.under_way[self.fence.subject] = None
            self.sim.at(bus.delay(), self._agreed, self.fence)

    def _agreed(self, fence: Fence) -> None:
        """Store it once the servers have agreed; an election in between may keep or drop it."""
        bus = self.bus
        bus.under_way.pop(fence.subject, None)
        if self.store != bus.stores:
            return
        if not (bus.down or bus.electing):
            self._store()
        elif self.sim.chance(0.5):
            self._mark_late()
            self.sim.at(self.sim.between(4, 9), self._arrive)

    def _look(self) -> None:
        """Do what the writer does after a refusal: find out what it means."""
        if self.bus.reaches(self.client.host) and not self.bus.electing:
            outcome = self.bus.log.look(self.messages, self.fence)
            self.sim.mark(f"collision.{outcome.kind}")
            self._acknowledge(outcome)

    def _store(self) -> None:
        bus, sim = self.bus, self.sim
        outcome = bus.log.append(self.messages, self.fence, bus.time)
        sim.mark(f"write.{outcome.kind}")
        bus.news()
        if sim.chance(bus.trouble.ack_lost):
            sim.mark("ack.lost")
        else:
            self._acknowledge(outcome)

    def _acknowledge(self, outcome: Outcome) -> None:
        self.sim.at(self.bus.delay(), self._heard, outcome)

    def _heard(self, outcome: Outcome) -> None:
        if self.bus.hears(self.client.host):
            self._answer(outcome)
        elif self.bus.cut.get(self.client.host) == "in":
            self.sim.mark("ack.unheard")

    def _answer(self, outcome: Outcome) -> None:
        client = self.client
        if self.open and client.name in self.bus.clients and client.run == self.run:
            self.open = False
            client.answered(self.number, outcome)

    def _mark_late(self) -> None:
        self.sim.mark("write.late")
        self.bus.late.update(dict.fromkeys(message.id for message in self.messages))
