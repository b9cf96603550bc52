"""Setting up the log on real servers: once, by whoever comes, with what is found respected."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from segue.bus import Bus, BusSetupError, Plan, Settings, connect
from segue.bus.stream import log_subjects
from segue.events import REGISTRY
from segue.testing.nats_server import NatsServer


async def config(bus: Bus, stream: str = "EVENTS") -> dict[str, object]:
    answer = await bus._connection.query(f"$JS.API.STREAM.INFO.{stream}", timeout_s=30)
    found = msgspec.json.decode(answer.data)["config"]
    assert isinstance(found, dict)
    return found


async def change(bus: Bus, **fields: object) -> None:
    body = msgspec.json.encode(await config(bus) | fields)
    answer = await bus._connection.query("$JS.API.STREAM.UPDATE.EVENTS", body, timeout_s=30)
    assert b'"error"' not in answer.data, answer.data


async def test_every_event_there_is_has_a_place_in_the_log() -> None:
    nouns = {subject.removesuffix(".>") for subject in log_subjects()}
    assert {name.partition(".")[0] for name in REGISTRY} <= nouns


async def test_the_log_is_made_as_planned(nats: NatsServer) -> None:
    async with await connect(Settings(url=nats.url), name="test") as bus:
        found = await bus.set_up(Plan(age_max_s=3600, bytes_max=10**8))
        assert found.made
        assert found.drift == []
        made = await config(bus)
        assert made["max_age"] == 3600 * 10**9
        assert made["max_bytes"] == 10**8
        assert (made["discard"], made["allow_atomic"]) == ("new", True)
        assert (made["deny_delete"], made["allow_direct"]) == (True, False)
        assert (await bus.head()).cluster == found.cluster != ""


async def test_services_that_start_together_make_one_log(nats: NatsServer) -> None:
    buses = [await connect(Settings(url=nats.url), name=f"{n}") for n in range(8)]
    found = await asyncio.gather(*(bus.set_up() for bus in buses))
    assert len({one.cluster for one in found}) == 1
    assert sum(one.made for one in found) == 1
    assert all(one.drift == [] for one in found)
    for bus in buses:
        await bus.close()


async def test_what_an_operator_changed_stays_and_is_told_of(bus: Bus) -> None:
    before = await bus.set_up()
    await change(bus, max_bytes=10**9, subjects=[*log_subjects(), "weather.>"])
    found = await bus.set_up()
    assert (found.cluster, found.made) == (before.cluster, False)
    assert found.drift == [f"max_bytes is {10**9}, planned is {4 * 1024**3}"]
    assert (await config(bus))["max_bytes"] == 10**9


async def test_a_plan_is_brought_in_when_asked_for(bus: Bus) -> None:
    found = await bus.set_up(Plan(age_max_s=7200), change=True)
    assert found.drift == []
    assert (await config(bus))["max_age"] == 7200 * 10**9


async def test_a_new_noun_widens_the_log_and_an_older_version_takes_none_away(bus: Bus) -> None:
    older = ["leader.>", "weather.>"]
    await change(bus, subjects=older, allow_atomic=False)
    found = await bus.set_up()
    assert set((await config(bus))["subjects"]) == {*older, *log_subjects()}  # type: ignore[call-overload]  # A list.
    assert (await config(bus))["allow_atomic"] is True
    assert found.drift == []


async def test_a_server_without_jetstream_is_told_of(tmp_path: Path) -> None:
    accounts = "accounts { plain { users: [{user: a, password: a}] } }\nno_auth_user: a"
    with NatsServer(tmp_path, extra=accounts) as server:
        async with await connect(Settings(url=server.url), name="test") as bus:
            with pytest.raises(BusSetupError, match="no JetStream for this account"):
                await bus.set_up()


async def test_a_log_larger_than_the_store_is_told_of(nats: NatsServer) -> None:
    async with await connect(Settings(url=nats.url), name="test") as bus:
        with pytest.raises(BusSetupError, match="no room for a log of 1000000000000 bytes"):
            await bus.set_up(Plan(bytes_max=10**12))


async def test_a_stream_in_the_way_is_told_of(nats: NatsServer) -> None:
    async with await connect(Settings(url=nats.url), name="test") as bus:
        body = b'{"name":"OTHERS","subjects":["container.>"],"storage":"memory"}'
        await bus._connection.query("$JS.API.STREAM.CREATE.OTHERS", body, timeout_s=30)
        with pytest.raises(BusSetupError, match="overlap"):
            await bus.set_up()


async def test_more_replicas_than_servers_are_told_of(nats: NatsServer) -> None:
    async with await connect(Settings(url=nats.url), name="test") as bus:
        with pytest.raises(BusSetupError, match="replicas"):
            await bus.set_up(Plan(replicas=3))


async def test_a_full_log_refuses_loudly_and_the_write_may_be_repeated(nats: NatsServer) -> None:
    from segue.log import Message

    async with await connect(Settings(url=nats.url), name="test") as bus:
        await bus.set_up(Plan(bytes_max=100_000))
        outcome = await bus.append([Message("load.x", "1", b"x" * 90_000)])
        assert outcome.kind == "stored"
        for batch in (
            [Message("load.x", "2", b"x" * 20_000)],
            [Message("load.x", f"{n}", b"x" * 15_000) for n in (3, 4)],
        ):
            outcome = await bus.append(batch)
            assert outcome.kind == "unknown"
            assert "maximum bytes exceeded" in outcome.reason
        assert (await bus.head()).last == 1
