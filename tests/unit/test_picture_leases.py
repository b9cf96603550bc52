"""What the picture makes of leases: when something strict is gone, and what may never start."""

from typing import Any

from segue.events.node import NodeJoined, NodeLeaseEnded, NodeLossHeld, NodeLost
from segue.spec import ServiceSpec
from segue.testing.shop import Shop, accepted, joined
from segue_deployer.core import Deployer

LOST = NodeLost(node="a", silent_s=3)
STRICT = ServiceSpec(image="w", strict=True)


def holds(lease: int, **facts: Any) -> NodeJoined:
    return joined("a", lease=lease, fenced=bool(lease), **facts)


class Log(Shop):
    """A picture with node `a`, which holds lease 7 and runs `web`."""

    def __init__(self, spec: ServiceSpec = STRICT) -> None:
        super().__init__(Deployer(), nodes="b")
        self.say(holds(7))
        self.say(accepted(web=spec))
        self.run(self.ask("web"), "a")

    @property
    def gone(self) -> bool:
        return self.picture.is_gone(self.container("web"))


def test_what_is_strict_is_gone_once_its_node_is_lost_and_its_lease_over() -> None:
    log = Log()
    log.say(LOST)
    assert not log.gone
    log.picture.touched.clear()
    log.say(NodeLeaseEnded(node="a", lease=7))
    assert log.gone
    assert log.picture.touched == {("shop", "web"): {1}}


def test_what_is_not_strict_is_gone_with_its_node() -> None:
    log = Log(ServiceSpec(image="w"))
    log.say(LOST)
    assert log.gone


def test_the_end_of_an_older_lease_or_of_one_of_a_node_that_is_there_says_nothing() -> None:
    log = Log()
    log.say(NodeLeaseEnded(node="a", lease=7))
    log.say(LOST)
    assert not log.gone, "the node was there"
    log.say(NodeLeaseEnded(node="a", lease=6))
    assert not log.gone


def test_a_node_that_joins_again_with_the_same_lease_has_what_it_had() -> None:
    log = Log()
    for event in (LOST, NodeLeaseEnded(node="a", lease=7), holds(7)):
        log.say(event)
    assert not log.gone
    log.say(LOST)
    assert not log.gone, "the lease goes on"
    assert not log.container("web").fenced


def test_what_ran_under_an_older_lease_is_dead() -> None:
    log = Log()
    log.say(holds(0))
    assert not log.container("web").fenced, "which lease comes is not known yet"
    log.say(holds(9))
    assert log.container("web").fenced
    log.say(LOST)
    assert log.gone, "without another word"


def test_what_is_assigned_under_the_new_lease_is_not() -> None:
    log = Log()
    log.say(holds(9))
    log.assign(log.ask("web", attempt=2), "a")
    assert not log.container("web").fenced


def test_what_ran_before_the_node_ever_had_a_lease_runs_on() -> None:
    log = Log()
    log.say(joined("c"))
    log.run(log.ask("web", attempt=2), "c")
    log.say(joined("c", lease=5, fenced=True))
    assert not log.container("web").fenced


def test_what_is_not_strict_is_never_fenced() -> None:
    log = Log(ServiceSpec(image="w"))
    log.say(holds(9))
    assert not log.container("web").fenced


def test_a_held_loss_is_remembered_with_the_time_of_its_beginning() -> None:
    log = Log()
    began = log.now
    log.say(NodeLossHeld(nodes=["a", "b"], of=3))
    log.now += 10
    log.say(NodeLossHeld(nodes=["b"], of=3))
    state = log.picture.state
    assert (state.losses_held, state.losses_held_since) == (["b"], began)
    log.say(NodeLossHeld(nodes=[], of=0))
    assert (state.losses_held, state.losses_held_since) == ([], 0.0)
    assert state.losses_eased_at == log.now
    log.say(NodeLossHeld(nodes=["a"], of=3))
    assert (state.losses_held_since, state.losses_eased_at) == (log.now, 0.0)
