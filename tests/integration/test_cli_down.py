"""What `segue down --containers` says of what runners have not removed."""

import anyio
import msgspec
import pytest
from segue import asks
from segue.bus import Bus
from segue.events.deploy import DeployRequested, RemovalRequested
from segue.testing.stage import Stage
from segue_cli import down
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler


async def test_what_a_runner_has_not_removed_in_time_is_named(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(down, "CLEARED_WITHIN_S", 0.3)
    stage = Stage(Deployer(), Scheduler())
    stage.join("clean", "gone", "slow")
    for app, volumes in (("shop", True), ("blog", False)):
        stage.ask(DeployRequested(app=app, compose={"services": {"web": {"image": "w"}}}))
        stage.ask(RemovalRequested(app=app, volumes=volumes))
    stage.ask(DeployRequested(app="stays", compose={"services": {"web": {"image": "w"}}}))
    await stage.publish(bus)

    async def kept(_: bytes) -> bytes:
        found = asks.Kept(networks_of=["blog", "stays"], volumes_of=["blog", "shop"])
        return msgspec.json.encode(found)

    async def nothing(_: bytes) -> bytes:
        return msgspec.json.encode(asks.Kept(networks_of=["stays"]))

    async with anyio.create_task_group() as tasks:
        for node, answers in (("clean", nothing), ("slow", kept)):
            await tasks.start(bus.serve, asks.subject(node, "kept"), answers)
        await down._wait_for_runners(bus)
        tasks.cancel_scope.cancel()
    gone, slow = capsys.readouterr().err.splitlines()
    assert gone.startswith("left on gone: perhaps networks (nobody serves rpc.node.gone.kept")
    assert slow == (
        "left on slow: networks of blog, volumes of shop; its runner removes it when it runs"
    )
