"""Large values on a real server: whole or not at all, whoever dies or is faster."""

import asyncio
import hashlib
import os

import anyio
import nats as stock
import pytest
from segue.bus import Bus, BusTimeoutError, Settings, connect
from segue.testing.nats_server import NatsServer


async def stored_messages(bus: Bus, bucket: str = "snapshots") -> int:
    answer = await bus._connection.query(f"$JS.API.STREAM.INFO.OBJ_{bucket}", timeout_s=30)
    return int(answer.data.partition(b'"messages":')[2].partition(b",")[0])


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 5_000_000])
async def test_a_value_comes_back_as_it_was(bus: Bus, size: int) -> None:
    data = os.urandom(size)
    await bus.put("snapshots", "17", data)
    assert await bus.get("snapshots", "17") == data


async def test_a_hundred_megabytes_come_back_as_they_were(bus: Bus) -> None:
    data = hashlib.sha256(b"seed").digest() * (100 * 1024 * 1024 // 32)
    await bus.put("snapshots", "large", data, timeout_s=200)
    assert await bus.get("snapshots", "large", timeout_s=200) == data


async def test_keys_are_listed_and_taken_away(bus: Bus) -> None:
    assert await bus.keys("files") == []
    for key in ("b", "a/ä.txt", "*.>"):
        await bus.put("files", key, b"x")
    assert await bus.keys("files") == ["*.>", "a/ä.txt", "b"]
    await bus.delete("files", "b")
    await bus.delete("files", "never there")
    assert await bus.keys("files") == ["*.>", "a/ä.txt"]
    assert await bus.get("files", "b") is None
    assert await stored_messages(bus, "files") == 4


async def test_a_new_value_leaves_nothing_of_the_old(bus: Bus) -> None:
    for size in (500_000, 300_000, 0, 100):
        await bus.put("snapshots", "k", b"x" * size)
    assert await bus.get("snapshots", "k") == b"x" * 100
    assert await stored_messages(bus) == 2


async def test_of_racing_writers_one_value_remains_whole_and_nothing_else(
    nats: NatsServer, bus: Bus
) -> None:
    async with await connect(Settings(url=nats.url), name="other") as other:
        values = [bytes([n]) * 400_000 for n in range(6)]
        puts = [
            one.put("snapshots", "k", v) for v, one in zip(values, [bus, other] * 3, strict=True)
        ]
        await asyncio.gather(*puts)
    assert await bus.get("snapshots", "k") in values
    assert await stored_messages(bus) == 4 + 1


async def test_a_part_of_a_value_is_no_value(bus: Bus) -> None:
    await bus.put("snapshots", "k", b"x" * 1_000_000)
    body = b'{"seq":3}'  # The first of its eight chunks is at 1.
    await bus._connection.query("$JS.API.STREAM.PURGE.OBJ_snapshots", body, timeout_s=30)
    assert await bus.get("snapshots", "k") is None


async def test_a_damaged_value_is_no_value(bus: Bus) -> None:
    await bus.put("snapshots", "k", b"x" * 200_000)
    delete = "$JS.API.STREAM.MSG.DELETE.OBJ_snapshots"
    await bus._connection.query(delete, b'{"seq":2}', timeout_s=30)
    got = await bus._connection.query(
        "$JS.API.STREAM.MSG.GET.OBJ_snapshots", b'{"seq":1}', timeout_s=30
    )
    subject = got.data.partition(b'"subject":"')[2].partition(b'"')[0].decode()
    await bus._connection.query(subject, b"y" * (200_000 - 128 * 1024), timeout_s=30)
    assert await bus.get("snapshots", "k") is None


async def test_a_server_killed_while_a_value_is_put_delays_it_and_no_more(
    nats: NatsServer, bus: Bus
) -> None:
    data = os.urandom(30_000_000)
    await bus.put("snapshots", "k", b"old")
    putting = asyncio.create_task(bus.put("snapshots", "k", data))
    for _ in range(3):
        await asyncio.sleep(0.1)
        nats.restart(kill=True)
    await putting
    assert await bus.get("snapshots", "k") == data


async def test_a_server_killed_while_a_value_is_read_delays_it_and_no_more(
    nats: NatsServer, bus: Bus
) -> None:
    data = os.urandom(30_000_000)
    await bus.put("snapshots", "k", data)
    getting = asyncio.create_task(bus.get("snapshots", "k"))
    await asyncio.sleep(0.03)
    nats.restart(kill=True)
    assert await getting == data


async def test_a_put_that_was_given_up_leaves_the_old_value_and_no_chunks(bus: Bus) -> None:
    await bus.put("snapshots", "k", b"old")
    with anyio.move_on_after(0.05):
        await bus.put("snapshots", "k", b"x" * 100_000_000)
    assert await bus.get("snapshots", "k") == b"old"
    with anyio.fail_after(60):
        while await stored_messages(bus) > 2:
            await asyncio.sleep(0.01)


async def test_a_bus_that_is_away_is_not_an_absent_value(nats: NatsServer, bus: Bus) -> None:
    nats.kill()
    with pytest.raises(BusTimeoutError, match=r"k was not got from snapshots within 0\.3 s"):
        await bus.get("snapshots", "k", timeout_s=0.3)


async def test_other_clients_object_stores_read_and_write_the_same(
    nats: NatsServer, bus: Bus
) -> None:
    await bus.put("files", "ours", b"x" * 300_000)
    client = await stock.connect(nats.url)
    store = await client.jetstream().object_store("files")
    assert (await store.get("ours")).data == b"x" * 300_000
    await store.put("theirs", b"y" * 300_000)
    assert await bus.get("files", "theirs") == b"y" * 300_000
    await store.delete("ours")
    await client.close()
    assert await bus.keys("files") == ["theirs"]
    assert await bus.get("files", "ours") is None
