"""What the simulator's laws allow and refuse, where no seed of today shows it any more."""

from typing import Any

from segue.events.container import ContainerAssigned, ContainerRequested
from segue.spec import ServiceSpec
from segue.testing.shop import APP, Shop
from segue.testing.world.invariants import LogChecker, nothing_is_stopped_without_an_order
from segue.testing.world.process import Decoded
from segue.testing.world.sim import Sim
from segue_deployer.core import Deployer
from segue_node_runner.effects import Stop


def test_what_another_log_left_on_a_node_makes_way_there_for_what_is_moved_to_it() -> None:
    """Seed 707350: the log's own attempt 1 runs on until 2 is up; the one on b has no claim."""
    shop = Shop(Deployer(), nodes="ab")
    shop.deploy(web=ServiceSpec(image="w"))
    first = shop.container("web")
    assert first.node == "a"
    where: dict[str, Any] = {"app": APP, "service": "web", "slot": 1, "attempt": 2}
    shop.say(ContainerRequested(**where, revision=1, digest=first.digest, moves=1))
    shop.say(ContainerAssigned(**where, node="b", revision=1, digest=first.digest))
    checker = LogChecker(Sim(0), Decoded(), {})
    checker.picture = shop.picture
    stop = Stop(app=APP, service="web", slot=1, attempt=1, engine_id="x", grace_s=1.0)
    assert nothing_is_stopped_without_an_order(checker, "b", stop) == ""
    assert "is started in the log" in nothing_is_stopped_without_an_order(checker, "a", stop)
