"""Leases on a real server: claimed, renewed, ended by the server's own marker, never stolen."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import pytest
from segue.bus import Bus
from segue.leases import Claim, Claimed, Expired, News, Standing, Told, Void, terms
from segue.testing.nats_server import NatsServer

MINE, THEIRS = Claim("mine", 60.0), Claim("theirs", 60.0)
SHORT = Claim("mine", 6.0)


@pytest.fixture
async def news(bus: Bus) -> AsyncIterator[list[tuple[float, News]]]:
    """What is heard of all leases, and when."""
    heard: list[tuple[float, News]] = []

    async def listen() -> None:
        async with aclosing(bus.leases.heard()) as leases:
            async for one in leases:
                heard.append((time.monotonic(), one))  # noqa: PERF401 — as each comes.

    task = asyncio.create_task(listen())
    yield heard
    task.cancel()


async def until(heard: list[tuple[float, News]], *wanted: News, within_s: float = 60.0) -> float:
    """Wait until this and no more has been heard since the bus was last away; tell when."""
    with anyio.fail_after(within_s):
        while True:
            told = [one for _, one in heard]
            if Void() in told:
                last = len(told) - told[::-1].index(Void()) - 1
                if told[last:] == list(wanted):
                    return heard[-1][0]
            await anyio.sleep(0.01)


async def test_a_lease_is_begun_renewed_and_looked_at(bus: Bus) -> None:
    assert await bus.leases.look("a") == Standing()
    first = await bus.leases.claim("a", MINE, 0)
    again = await bus.leases.claim("a", MINE, first.sequence)
    assert (first.kind, again.kind) == ("stored", "stored")
    assert await bus.leases.look("a") == Standing(again.sequence, MINE)
    assert await bus.leases.look("b") == Standing()


async def test_a_renewed_lease_stands_and_an_abandoned_one_ends_by_marker(
    bus: Bus, news: list[tuple[float, News]]
) -> None:
    begun = await bus.leases.claim("a", SHORT, 0)
    await until(news, Void(), Claimed("a", SHORT), Told())
    await anyio.sleep(1.2)
    renewed_at = time.monotonic()
    renewed = await bus.leases.claim("a", SHORT, begun.sequence)
    ended_at = await until(
        news, Void(), Claimed("a", SHORT), Told(), Claimed("a", SHORT), Expired("a")
    )
    assert ended_at - renewed_at > 5.9, "the first claim's own end is no end"
    standing = await bus.leases.look("a")
    assert standing.claim is None
    assert standing.sequence > renewed.sequence, "the marker"
    assert (await bus.leases.claim("a", MINE, renewed.sequence)).kind == "refused", "it is over"
    assert (await bus.leases.claim("a", MINE, standing.sequence)).kind == "stored"


async def test_a_second_session_cannot_take_a_lease_that_stands(bus: Bus) -> None:
    begun = await bus.leases.claim("a", MINE, 0)
    assert (await bus.leases.claim("a", THEIRS, 0)).kind == "refused"
    assert await bus.leases.look("a") == Standing(begun.sequence, MINE)
    assert (await bus.leases.claim("a", MINE, begun.sequence)).kind == "stored"


async def test_a_claim_whose_answer_was_lost_is_refused_again_and_found_to_be_ones_own(
    bus: Bus,
) -> None:
    begun = await bus.leases.claim("a", MINE, 0)
    repeat = await bus.leases.claim("a", MINE, 0)
    assert (repeat.kind, "10071" in repeat.reason or "wrong last sequence" in repeat.reason) == (
        "refused",
        True,
    )
    assert await bus.leases.look("a") == Standing(begun.sequence, MINE)


async def test_what_stood_before_listening_is_told_and_then_that_it_was_all(bus: Bus) -> None:
    for node in "abc":
        await bus.leases.claim(node, MINE, 0)
    heard: list[News] = []
    async with aclosing(bus.leases.heard()) as leases:
        async for one in leases:
            heard.append(one)
            if isinstance(one, Told):
                break
    assert heard == [Void(), *(Claimed(node, MINE) for node in "abc"), Told()]


async def test_after_the_bus_was_away_everything_is_told_anew(
    nats: NatsServer, bus: Bus, news: list[tuple[float, News]]
) -> None:
    await bus.leases.claim("a", MINE, 0)
    await until(news, Void(), Claimed("a", MINE), Told())
    news.clear()
    nats.kill()
    nats.start()
    await until(news, Void(), Claimed("a", MINE), Told())


async def test_while_the_bus_is_away_a_claims_fate_is_unknown(nats: NatsServer, bus: Bus) -> None:
    nats.kill()
    began = time.monotonic()
    outcome = await bus.leases.claim("a", MINE, 0)
    assert outcome.kind == "unknown"
    assert time.monotonic() - began < 10
    nats.start()


async def test_one_server_keeps_a_lease_for_6_seconds_and_three_for_15(bus: Bus) -> None:
    assert await bus.leases.terms() == terms(1)
    assert (terms(1).ttl_s, terms(3).ttl_s) == (6.0, 15.0)
