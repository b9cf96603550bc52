"""Say a request and hear what becomes of it: the one way in which commands change anything.

A request's id is chosen before the first try and kept over every repeat, so it counts once. Whoever
answers names it as the cause. Nothing here decides whether a request is right.
"""

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Any

import anyio
import msgspec
from segue import asks
from segue.bus import Bus, BusError
from segue.compose.values import Invalid, as_duration
from segue.envelope import ERRORS, Record, decode, encode
from segue.events import Event
from segue.events.deploy import Problem
from segue.events.event import EventRejected
from segue.ids import uuid7

from segue_cli.amounts import span
from segue_cli.cloudevent import of_record
from segue_cli.connect import actor, source
from segue_cli.errors import (
    CommandError,
    FailedError,
    InterruptedByUserError,
    InvalidError,
    NotFoundError,
    TimedOutError,
    UnreachableError,
)

REPEATED_FOR_S = 30.0
GATEWAYS_ANSWER_WITHIN_S = 5.0
PATIENCE_S = 3.0  # After that the person is told that nobody has answered yet.


class Said(msgspec.Struct, frozen=True):
    """A request that is in the log."""

    id: str
    sequence: int
    after: int  # The log's end just before: its answers stand behind this.


def seconds(text: str) -> float:
    """Read a duration from the command line: `30s`, `5m`, `1h30m`; a bare number is seconds."""
    try:
        return as_duration(f"{text}s" if text.isdecimal() else text) / 1e9
    except Invalid as error:
        raise InvalidError(error.what, error.hint) from error


async def say(bus: Bus, event: Event, *, by: str = "", after: int | None = None) -> Said:
    """Publish a request; returns once it is in the log."""
    event_id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
    try:
        message = encode(event, id=event_id, source=source(), time=time.time(), actor=by or actor())
    except ERRORS as error:
        raise InvalidError(f"{event.type} cannot be said: {error}") from error
    if after is None:
        after = (await bus.head()).last
    give_up_at = anyio.current_time() + REPEATED_FOR_S
    while True:
        outcome = await bus.append([message])
        if outcome.kind == "stored":
            return Said(event_id, outcome.sequence, after)
        if outcome.kind != "unknown":
            raise FailedError(f"the bus does not take {event.type}: {outcome.reason}")
        if anyio.current_time() > give_up_at:
            raise UnreachableError(
                f"the bus has not confirmed the request for {REPEATED_FOR_S:g} s: {outcome.reason}",
                f"it may still be in the log, as event {event_id}",
            )
        await anyio.sleep(0.2)


async def records(
    bus: Bus, after: int, filters: Sequence[str] = ()
) -> AsyncGenerator[Record, None]:
    """Give what is said from now on, for ever; what cannot be read is passed over."""
    async with aclosing(bus.follow(after, filters)) as stretches:
        async for stretch in stretches:
            for stored in stretch.messages:
                try:
                    record = decode(stored)
                except ERRORS:
                    continue
                yield record


async def answer(bus: Bus, said: Said, timeout_s: float) -> Record:
    """Wait for the event that answers a request, or raise `TimedOutError`."""
    try:
        with anyio.fail_after(timeout_s):
            async with aclosing(records(bus, said.after)) as news:
                async for record in news:
                    if is_answer(record, said):
                        return record
    except TimeoutError:
        raise unanswered(timeout_s) from None
    raise AssertionError("a log has no end")


def is_answer(record: Record, said: Said) -> bool:
    """Tell whether an event answers a request, or raise what says that it could not be read."""
    event = record.event
    if isinstance(event, EventRejected) and event.sequence == said.sequence:
        raise FailedError(
            f"the request was not understood: {event.reason}",
            "the services are of another version than this command line",
        )
    return record.cause == said.id


def unless_interrupted(text: str, hint: str | Callable[[], str]) -> AbstractContextManager[None]:
    """Tell whoever presses Ctrl-C meanwhile what goes on all the same."""
    return interruptible(f"not followed any longer; {text}", hint)


@contextmanager
def interruptible(text: str, hint: str | Callable[[], str] = "") -> Iterator[None]:
    """Tell whoever presses Ctrl-C meanwhile what that leaves behind."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        raise InterruptedByUserError(text, hint() if callable(hint) else hint) from None


def unanswered(timeout_s: float) -> TimedOutError:
    """Say that nobody answers requests."""
    return TimedOutError(
        f"no answer within {span(timeout_s)}: the request is in the log and waits for the deployer",
        "`segue doctor` tells whether a deployer leads",
    )


async def patiently(waiting: Awaitable[Any], complain: Callable[[], None]) -> Any:
    """Wait for something, and complain once when it takes long."""

    async def later() -> None:
        await anyio.sleep(PATIENCE_S)
        complain()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(later)
        result = await waiting
        tasks.cancel_scope.cancel()
    return result


def refused(problems: Sequence[Problem]) -> CommandError:
    """Make the error of a request that was turned down, told from one about what is not there."""
    hint = "; ".join(problem.hint for problem in problems if problem.hint)
    if len(problems) == 1 and problems[0].where in ("app", "service", "node"):
        what = problems[0].what
        missing = f"no {problems[0].where} called" in what
        return NotFoundError(what, hint) if missing else FailedError(what, hint)
    said = [f"{problem.where}: {problem.what}" for problem in problems]
    return InvalidError("\n  ".join(said) if said else "refused without a reason", hint)


def json_line(record: Record) -> str:
    """Write an event as one line for programs."""
    return msgspec.json.encode(of_record(record)).decode()


async def gateway_facts(bus: Bus, nodes: Sequence[str]) -> dict[str, asks.Gateway | str]:
    """Ask nodes' gateways how they do; give by node the answer, or why there is none."""
    found: dict[str, asks.Gateway | str] = {}

    async def ask(name: str) -> None:
        try:
            subject = asks.gateway_subject(name, "facts")
            answer = await bus.ask(subject, timeout_s=GATEWAYS_ANSWER_WITHIN_S)
            found[name] = msgspec.json.decode(answer, type=asks.Gateway)
        except (BusError, msgspec.MsgspecError) as error:
            found[name] = str(error)

    async with anyio.create_task_group() as tasks:
        for name in nodes:
            tasks.start_soon(ask, name)
    return found
