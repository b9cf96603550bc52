"""What `why` and `events` tell of a log on a real bus."""

import json
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from segue.bus import Bus
from segue.bus.jetstream import call
from segue.envelope import encode
from segue.events.container import ContainerFailed
from segue.events.deploy import DeployAccepted, DeployRequested
from segue.events.image import ImagePulling
from segue.events.node import (
    NodeCordonRequested,
    NodeLeaseEnded,
    NodeLost,
    NodeUncordonRequested,
)
from segue.events.scale import ScaleRequested
from segue.events.service import ServiceFlapping
from segue.log import Message
from segue.testing.nats_server import NatsServer
from segue.testing.stage import Stage
from segue_cli import events, why
from segue_cli.connect import BusFlags
from segue_cli.errors import FailedError, InvalidError, NotFoundError

Printed = Callable[[], list[Any]]
WEB = {"web": {"image": "web:1", "scale": 3}}


# Reasons.


async def test_why_tells_a_slot_from_its_request(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    told.fail("shop/web.3", logs=["panic"])
    told.later(2)
    told.fail("shop/web.3", reason="oom", exit_code=137)
    told.later(2)
    await told.publish(bus)
    await why.why("shop/web.3", bus=flags)
    life = ["container.requested", "container.assigned", "container.started"]
    ended = [*life, "container.failed"]
    kinds = [event["type"] for event in output()]
    assert kinds == ["deploy.requested", "deploy.accepted", *ended, *ended, *life]
    await why.why("shop/web.3@1", bus=flags)
    assert [event["type"] for event in output()] == kinds[:6]
    with pytest.raises(NotFoundError, match="the log says nothing"):
        await why.why("shop/web.3@9", bus=flags)


async def test_a_cause_is_found_however_far_back_it_stands(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    everywhere = {"image": "a", "deploy": {"mode": "global"}}
    told.ask(DeployRequested(app="agents", compose={"services": {"agent": everywhere}}))
    await told.publish(bus)
    pulling = ImagePulling(node="node-a", image="big")
    for batch in range(11):
        noise = [
            encode(pulling, id=f"{batch}-{i}", source="/segue/node_runner/node-a", time=1.0)
            for i in range(1_000)
        ]
        assert (await bus.append(noise)).kind == "stored"
    told.skip(11_000)
    told.join("node-c")
    await told.publish(bus)
    await why.why("agents/agent.3", bus=flags)
    kinds = [event["type"] for event in output()]
    assert kinds[:3] == ["deploy.requested", "deploy.accepted", "container.requested"]


async def test_a_story_whose_beginning_is_gone_begins_where_the_log_does(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    told.fail("shop/web.3")
    await told.publish(bus)
    accepted = next(r.sequence for r in told.log if isinstance(r.event, DeployAccepted))
    picture = told.cores[0].picture
    await bus.put("snapshots", str(picture.state.sequence), picture.snapshot())
    await call(bus._connection, "STREAM.PURGE.EVENTS", {"seq": accepted + 1}, dict)
    await why.why("shop/web.3", bus=flags)
    assert output()[0]["type"] == "container.requested"


async def test_why_tells_apps_services_nodes_and_events(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    told.ask(ScaleRequested(app="shop", service="web", replicas=4))
    await told.publish(bus)
    await why.why("shop", bus=flags)
    assert output()[0]["type"] == "deploy.requested"
    await why.why("shop/web", bus=flags)
    kinds = [event["type"] for event in output()]
    assert kinds[-2:] == ["scale.requested", "scale.accepted"]
    await why.why("node-a", bus=flags)
    assert [event["type"] for event in output()] == ["node.joined"]
    failed = told.fail("shop/web.1")
    await told.publish(bus)
    await why.why(failed.id, bus=flags)
    found = output()
    assert found[-1]["id"] == failed.id
    assert "container.started" in [event["type"] for event in found], "it is told whole"


async def test_why_tells_the_failures_of_what_flaps_also_after_a_redeploy(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    failed = told.fail("shop/web.2", logs=["panic"])
    flapping = ServiceFlapping(
        app="shop", service="web", slot=2, failures=5, within_s=9.0, last_reason="panic"
    )
    said = told.say(flapping, failed.as_cause())
    told.ask(DeployRequested(app="shop", compose={"services": WEB | {"db": {"image": "db"}}}))
    await told.publish(bus)
    for name in ("shop/web", "shop"):
        await why.why(name, bus=flags)
        found = [event["sequence"] for event in output()]
        assert {str(failed.sequence), str(said.sequence)} <= set(found), name
        assert found == sorted(found, key=int)


async def test_why_tells_what_made_room_for_a_slot_that_had_waited(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    for node in ("node-a", "node-b"):
        told.ask(NodeCordonRequested(node=node))
    told.ask(DeployRequested(app="late", compose={"services": {"one": {"image": "x"}}}))
    told.later(60)
    told.ask(NodeUncordonRequested(node="node-b"))
    told.fail("shop/web.1")
    await told.publish(bus)
    await why.why("late/one.1", bus=flags)
    kinds = [event["type"] for event in output()]
    waited = ["container.unplaceable", "node.uncordoned", "container.assigned"]
    at = kinds.index(waited[0])
    assert kinds[at : at + 3] == waited


async def test_why_tells_whose_lease_a_slot_waits_for_and_when_that_is_over(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    once = {"db": {"image": "x", "x-segue": {"singleton": True}}}
    told.ask(DeployRequested(app="once", compose={"services": once}))
    node = told.cores[0].picture.apps["once"].services["db"].slots[1].container
    assert node is not None
    told.silent |= {node.node}
    told.say(NodeLost(node=node.node, silent_s=3.0))
    told.play()
    await told.publish(bus)
    await why.why("once/db.1", bus=flags)
    assert [event["type"] for event in output()][-1] == "node.lost"
    told.say(NodeLeaseEnded(node=node.node))
    told.play()
    await told.publish(bus)
    await why.why("once/db.1", bus=flags)
    kinds = [event["type"] for event in output()]
    assert kinds.index("node.lease_ended") < kinds.index("container.assigned", 4)


async def test_forward_tells_what_came_of_it(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    failed = told.fail("shop/web.1")
    await told.publish(bus)
    await why.why(str(failed.sequence), forward=True, bus=flags)
    found = output()
    kinds = ["failed", "requested", "assigned", "started"]
    assert [event["type"] for event in found] == [f"container.{kind}" for kind in kinds]


async def test_an_unreadable_message_has_no_reasons_and_says_why(
    told: Stage, bus: Bus, flags: BusFlags
) -> None:
    outcome = await bus.append([Message("deploy.requested.shop", "odd", b"{not json")])
    with pytest.raises(FailedError, match="means nothing"):
        await why.why(str(outcome.sequence), bus=flags)


# Events.


async def test_events_are_the_newest_unless_told_otherwise(
    told: Stage, flags: BusFlags, output: Printed
) -> None:
    await events.events(bus=flags)
    found = output()
    last = len(told.log)
    assert [int(one["sequence"]) for one in found] == [*range(max(1, last - 19), last + 1)]
    assert {one["specversion"] for one in found} == {"1.0"}
    await events.events(tail=2, types=("container.st*",), bus=flags)
    found = output()
    assert [(one["type"], one["data"]["slot"]) for one in found] == [
        ("container.started", 2),
        ("container.started", 3),
    ]


async def test_events_are_narrowed_by_app_service_and_node(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    told.ask(DeployRequested(app="blog", compose={"services": {"front": {"image": "f"}}}))
    await told.publish(bus)
    await events.events(app="blog", since="1", bus=flags)
    found = output()
    assert {one["data"]["app"] for one in found} == {"blog"}
    assert found[0]["type"] == "deploy.requested"
    await events.events(app="blog/front", since="1", bus=flags)
    assert {one["data"]["service"] for one in output()} == {"front"}
    await events.events(node="node-b", since="1", bus=flags)
    assert {one["data"]["node"] for one in output()} == {"node-b"}
    with pytest.raises(InvalidError, match="has --node"):
        await events.events(types=("deploy.*",), node="node-b", bus=flags)
    with pytest.raises(InvalidError) as caught:
        await events.events(types=("container.faild",), bus=flags)
    assert "container.failed" in caught.value.hint


async def test_events_are_read_from_and_to_a_moment(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    await events.events(since="3", until="5", bus=flags)
    assert [one["sequence"] for one in output()] == ["3", "4", "5"]
    await events.events(since="10m", bus=flags)
    assert len(output()) == len(told.log)
    await events.events(until="10m", bus=flags)
    assert output() == []


async def test_an_unreadable_message_is_shown_as_what_it_is(
    told: Stage, bus: Bus, flags: BusFlags, output: Printed
) -> None:
    await bus.append([Message("deploy.requested.shop", "odd", b"{not json")])
    await events.events(tail=1, bus=flags)
    [found] = output()
    assert (found["on"], found["content"]) == ("deploy.requested.shop", "{not json")
    assert "malformed" in found["problem"]


async def test_followed_events_come_as_they_happen(told: Stage, bus: Bus, nats: NatsServer) -> None:
    command = [sys.executable, "-m", "segue_cli", "events", "-f", "-n", "1", "--nats", nats.url]
    async with await anyio.open_process(command) as process:
        assert process.stdout is not None
        lines = Lines(TextReceiveStream(process.stdout))
        with anyio.fail_after(60):
            first = json.loads(await lines.next())
            failed = told.fail("shop/web.1")
            await told.publish(bus)
            second = json.loads(await lines.next())
        process.terminate()
    assert int(first["sequence"]) + 1 == failed.sequence
    assert second["id"] == failed.id
    assert second["type"] == ContainerFailed.type


class Lines:
    """The lines of a process as they come."""

    def __init__(self, stream: TextReceiveStream) -> None:
        self._stream, self._rest = stream, ""

    async def next(self) -> str:
        while "\n" not in self._rest:
            self._rest += await self._stream.receive()
        line, _, self._rest = self._rest.partition("\n")
        return line
