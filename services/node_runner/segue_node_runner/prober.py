"""Ask what the rounds say is due, many at a time, and pass on what they conclude."""

import time
from collections.abc import Callable

import anyio
from segue.spec import Probe

from segue_node_runner import dial
from segue_node_runner.effects import Ask
from segue_node_runner.news import Probed
from segue_node_runner.rounds import Question, Rounds

AT_ONCE = 64


class Prober:
    """The probes of one node's containers."""

    def __init__(self, hear: Callable[[Probed], None]) -> None:
        self._hear = hear
        self._rounds = Rounds()
        self._changed = anyio.Event()
        self._sleeps_to: float | None = None
        self._lines = anyio.CapacityLimiter(AT_ONCE)

    def want(self, ask: Ask) -> None:
        """Probe exactly these containers from now on."""
        self._rounds.want(ask.all, time.monotonic())
        self._changed.set()

    async def run(self) -> None:
        """Probe until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                for question in self._rounds.due(time.monotonic()):
                    tasks.start_soon(self._ask, question)
                self._changed, self._sleeps_to = anyio.Event(), self._rounds.wake_at()
                at = self._sleeps_to
                with anyio.move_on_after(None if at is None else max(0.0, at - time.monotonic())):
                    await self._changed.wait()

    async def _ask(self, question: Question) -> None:
        probe: Probe = question.probe
        async with self._lines:
            trouble = await dial.trouble(question.address, probe)
        if (said := self._rounds.heard(question, trouble, time.monotonic())) is not None:
            self._hear(said)
        at = self._rounds.wake_at()
        if at is not None and (self._sleeps_to is None or at < self._sleeps_to):
            self._changed.set()
