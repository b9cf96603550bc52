"""What lists and differences show of a log on a real bus, at any moment."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
from segue.bus import Bus
from segue.bus.jetstream import call
from segue.events.deploy import DeployRequested
from segue.events.node import NodeJoined
from segue.events.scale import ScaleRequested
from segue.log import Message
from segue.testing.nats_server import NatsServer
from segue.testing.stage import Stage
from segue_cli import diff, events, listing
from segue_cli.__main__ import run
from segue_cli.connect import BusFlags
from segue_cli.errors import InvalidError, NotFoundError
from segue_cli.reading import sequence_at, sight

Printed = Callable[[], list[Any]]
WEB = {"web": {"image": "web:1", "scale": 3}}


# The picture of any moment.


async def test_ps_of_a_past_sequence_is_what_ps_printed_then(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    printed: dict[int, Any] = {}

    async def look() -> None:
        at = await told.publish(bus)
        await listing.ps(bus=flags)
        await listing.ls(bus=flags)
        await listing.nodes(bus=flags)
        printed[at] = output()

    await look()
    told.fail("shop/web.3")
    await look()
    told.ask(ScaleRequested(app="shop", service="web", replicas=5))
    await look()
    told.later(5)
    told.join("node-c")
    await look()
    assert len({json.dumps(seen) for seen in printed.values()}) == 4
    for at, seen in printed.items():
        await listing.ps(at=str(at), bus=flags)
        await listing.ls(at=str(at), bus=flags)
        await listing.nodes(at=str(at), bus=flags)
        assert output() == seen, f"at {at}"


async def test_a_snapshot_shortens_the_way_to_a_picture(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    at = await told.publish(bus)
    picture = told.cores[0].picture
    service = picture.apps["shop"].services["web"]
    service.spec = msgspec.structs.replace(service.spec, image="doctored")
    await bus.put("snapshots", str(at), picture.snapshot())
    told.fail("shop/web.3")
    last = await told.publish(bus)
    await bus.put("snapshots", str(last), b"written by another version")
    await bus.put("snapshots", str(last + 1_000), b"of another log")
    await listing.ls(bus=flags)
    assert [row["image"] for row in output()] == ["doctored"], "it began with the snapshot"
    await listing.ls(at=str(at - 1), bus=flags)
    assert [row["image"] for row in output()] == ["web:1"], "the snapshot is newer than that"


async def test_a_log_that_lost_its_beginning_gives_what_is_left(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    last = await told.publish(bus)
    joined = next(r.sequence for r in reversed(told.log) if isinstance(r.event, NodeJoined))
    await call(bus._connection, "STREAM.PURGE.EVENTS", {"seq": joined}, dict)
    seen = await sight(bus)
    assert seen.partial
    assert [*seen.picture.nodes] == ["node-b"]
    assert seen.picture.state.sequence == last


async def test_what_means_nothing_is_passed_over_and_counted(told: Stage, bus: Bus) -> None:
    await bus.append([Message("deploy.requested.shop", "odd", b"{not json")])
    seen = await sight(bus)
    assert seen.unread == 1
    assert len(seen.picture.apps["shop"].services["web"].slots) == 3


async def test_the_sequence_of_a_time_is_found(told: Stage, bus: Bus) -> None:
    stored = [one async for one in bus.read()]
    head = await bus.head()
    for one in stored:
        same = [other.sequence for other in stored if other.time == one.time]
        assert await sequence_at(bus, head, one.time) == max(same)
    assert await sequence_at(bus, head, stored[0].time - 1) == 0
    assert await sequence_at(bus, head, head.time + 1) == head.last


async def test_a_moment_outside_of_the_log_is_refused(told: Stage, flags: BusFlags) -> None:
    with pytest.raises(NotFoundError, match="has not come to 5000"):
        await listing.ps(at="5000", bus=flags)
    with pytest.raises(InvalidError, match="is not over yet"):
        await listing.ps(at="2999-01-01", bus=flags)
    with pytest.raises(InvalidError, match="is not a time"):
        await listing.ps(at="noonish", bus=flags)


async def test_ps_shows_one_app_or_one_service(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    blog = {"services": {"front": {"image": "f"}, "back": {"image": "b"}}}
    told.ask(DeployRequested(app="blog", compose=blog))
    await told.publish(bus)
    await listing.ps("blog", bus=flags)
    assert [row["service"] for row in output()] == ["back", "front"]
    await listing.ps("blog/back", bus=flags)
    assert [row["service"] for row in output()] == ["back"]
    with pytest.raises(NotFoundError) as caught:
        await listing.ps("blgo", bus=flags)
    assert caught.value.hint == "perhaps blog?"


async def test_inspect_gives_a_things_state_and_an_event_as_it_was_said(
    told: Stage, flags: BusFlags, output: Printed
) -> None:
    await listing.inspect("shop/web.2", bus=flags)
    [slot] = output()
    assert slot["container"]["phase"] == "started"
    asked = next(r for r in told.log if isinstance(r.event, DeployRequested))
    for name in (asked.id, str(asked.sequence)):
        await listing.inspect(name, bus=flags)
        [event] = output()
        assert (event["id"], event["sequence"]) == (asked.id, str(asked.sequence))
        assert event["data"] == {"app": "shop", "compose": {"services": WEB}}
    with pytest.raises(NotFoundError, match="the log has nothing at 4711"):
        await listing.inspect("4711", bus=flags)
    with pytest.raises(NotFoundError, match="no event with the id"):
        await listing.inspect(str(uuid.uuid4()), bus=flags)


# Differences.


async def test_diff_tells_what_changed_between_two_moments(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    before = await told.publish(bus)
    told.fail("shop/web.3")
    told.ask(ScaleRequested(app="shop", service="web", replicas=4))
    after = await told.publish(bus)
    told.join("node-c")
    await told.publish(bus)
    await diff.diff(start=str(before), end=str(after), bus=flags)
    found = {change["thing"]: change["words"] for change in output()}
    assert [*found] == ["shop/web", "shop/web.3", "shop/web.4"]
    assert found["shop/web"] == "replicas: 3 → 4"
    assert found["shop/web.3"].startswith("attempt 2 instead of 1: running on node-")
    await diff.diff(start=str(after), bus=flags)
    assert [change["words"] for change in output()] == ["joined, up"]
    with pytest.raises(NotFoundError, match="no app called blog"):
        await diff.diff("blog", start=str(before), bus=flags)


# The command as a whole.


async def test_on_a_terminal_rows_are_a_table_and_colours_can_be_refused(
    told: Stage, bus: Bus, nats: NatsServer
) -> None:
    told.fail("shop/web.3")
    await told.publish(bus)
    table = await anyio.to_thread.run_sync(on_a_terminal, "ps", nats.url, {"NO_COLOR": "1"})
    head, *slots = table.splitlines()
    assert head.split() == ["SERVICE", "SLOT", "NODE", "STATE", "RESTARTS", "AGE"]
    assert len(slots) == 3
    assert "\x1b[3" not in table
    coloured = await anyio.to_thread.run_sync(on_a_terminal, "ps", nats.url, {"FORCE_COLOR": "1"})
    assert "\x1b[32mrunning" in coloured


def on_a_terminal(command: str, url: str, environment: dict[str, str]) -> str:
    """Run a command whose output is a terminal; give what it shows."""
    ours, its = pty.openpty()
    asked = [sys.executable, "-m", "segue_cli", command, "--nats", url]
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100"} | environment
    process = subprocess.Popen(asked, stdout=its, stderr=its, stdin=its, env=variables)
    os.close(its)
    said = b""
    with contextlib.suppress(OSError):  # Linux's word for the end of a terminal.
        while piece := os.read(ours, 4096):
            said += piece
    os.close(ours)
    assert process.wait() == 0, said
    return said.decode().replace("\r\n", "\n")


async def test_what_is_not_there_ends_with_3_and_a_hint(
    told: Stage, nats: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["inspect", "shp", "--nats", nats.url]
    assert await anyio.to_thread.run_sync(run, asked) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "segue: there is no app and no node called shp",
        "hint: perhaps shop?",
    ]


@pytest.mark.parametrize("command", ["ls", "ps", "nodes", "events", "why shop", "diff --from 1m"])
async def test_no_bus_ends_with_5(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*command.split(), "--nats", "nats://127.0.0.1:9"]
    assert await anyio.to_thread.run_sync(run, asked) == 5
    assert "cannot be reached" in capsys.readouterr().err


async def test_an_empty_log_lists_nothing(bus: Bus, flags: BusFlags, output: Printed) -> None:
    await listing.ls(bus=flags)
    await listing.ps(bus=flags)
    await listing.nodes(bus=flags)
    await events.events(bus=flags)
    assert output() == []
