"""What the simulator's laws allow and refuse, where no seed of today shows it any more."""

from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace
from segue.envelope import encode
from segue.events import Event
from segue.events.container import ContainerAssigned, ContainerRequested
from segue.events.node import NodeLost
from segue.events.rollout import RolloutAdvanced
from segue.events.scale import ScaleRequested
from segue.log import Stored
from segue.shell.commands import Append
from segue.spec import ServiceSpec
from segue.testing import versions
from segue.testing.laws import no_secret_is_told
from segue.testing.shop import APP, Shop, accepted
from segue.testing.world.agreement import everyone_sees_the_same
from segue.testing.world.invariants import LogChecker, nothing_is_stopped_without_an_order
from segue.testing.world.process import Decoded
from segue.testing.world.rollouts import a_rollout_takes_no_more_room
from segue.testing.world.run import World
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


def test_what_was_stored_just_before_the_end_is_missed_by_nobody() -> None:
    """Seed 910222: it was stored 3 ms before the end, and was still on its way."""
    world = World(0)
    world.sim.run(5.0)
    world.people.say(ScaleRequested(app=APP, service="web", replicas=1))
    seen = world.cluster, world.checker.records, world.checker.picture
    assert everyone_sees_the_same(*seen) == ""
    world.sim.now += 1.0
    assert "has not read what was stored 1.000 s ago" in everyone_sees_the_same(*seen)


def test_a_secret_in_a_message_is_found_wherever_it_stands() -> None:
    plain = Stored(1, 0.0, "deploy.requested.shop", b'{"x-digest": "aa"}', {"Actor": "me"})
    assert no_secret_is_told([plain], [b"hunter2"]) == ""
    for name, word in (("data", b"a hunter2"), ("headers", {"Actor": "hunter2"})):
        told = no_secret_is_told([plain, replace(plain, sequence=2, **{name: word})], [b"hunter2"])
        assert told == "message 2 (deploy.requested.shop) holds a secret"


def about_to_say(shop: Shop, event: Event) -> tuple[Any, Append, float]:
    """Give what a law of decisions is asked: who decides, what, and when."""
    message = encode(event, id="x", source="/segue/deployer/d", time=shop.now)
    process = SimpleNamespace(core=shop.cores[0], name="d")
    return process, Append(1, [message], None), shop.now


def test_a_step_takes_no_more_room_than_one_slot_at_a_time_may_have_both_versions() -> None:
    """Seed 1001083: what came back with its node after its slot was advanced is nobody's doing."""
    shop = versions.shop(nodes="ab")
    shop.up(*shop.tell(accepted(2, web=versions.spec("w:2"))))
    step = RolloutAdvanced(app=APP, service="web", slots=[2], done=1, total=4)
    told = a_rollout_takes_no_more_room(*about_to_say(shop, step))
    assert told == "web: [1, 2] would run both versions, of 1 at once"
    old = shop.slot("web").moving
    assert old is not None
    shop.say(NodeLost(node=old.node, silent_s=3.0))
    assert a_rollout_takes_no_more_room(*about_to_say(shop, step)) == ""
