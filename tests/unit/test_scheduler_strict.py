"""What may never run twice is placed only once nothing of its slot can run."""

from segue.core import Core
from segue.events import Event
from segue.events.container import NOWHERE, ContainerAssigned, ContainerRetired, ContainerStopped
from segue.events.node import NodeLeaseEnded, NodeLost
from segue.spec import ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined, node_of
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler


def crossed(spec: ServiceSpec, core: Core | None = None) -> Shop:
    """Let an assignment cross the retirement of its container, and the slot be filled anew."""
    shop = Shop(core or Scheduler(), nodes="")
    for node in "abc":
        shop.say(joined(node, fenced=True, lease=1))
    shop.say(accepted(boss=spec))
    first = shop.ask("boss")
    shop.say(
        ContainerRetired(
            app=APP, service="boss", slot=1, attempt=1, node=NOWHERE, reason="replaced"
        )
    )
    shop.ask("boss", attempt=2)
    shop.assign(first, "a")
    return shop


def nodes(said: list[Event]) -> list[str]:
    return [node_of(event) for event in said if isinstance(event, ContainerAssigned)]


def test_an_assignment_that_crossed_its_retirement_is_waited_for() -> None:
    shop = crossed(ServiceSpec(image="o", strict=True))
    assert shop.settle() == []
    stopped = ContainerStopped(app=APP, service="boss", slot=1, attempt=1, node="a")
    assert len(nodes(shop.tell(stopped))) == 1


def test_an_assignment_that_crossed_its_retirement_is_retired_again_at_once() -> None:
    """Its node may have lost its specification meanwhile, and then neither would ever begin."""
    (said,) = crossed(ServiceSpec(image="o", strict=True), Deployer()).settle()
    assert isinstance(said, ContainerRetired)
    assert (said.attempt, said.node, said.reason) == (1, "a", "superseded")


def test_with_its_node_it_is_waited_for_until_the_lease_is_over() -> None:
    shop = crossed(ServiceSpec(image="o", strict=True))
    assert nodes(shop.tell(NodeLost(node="a", silent_s=3))) == []
    (node,) = nodes(shop.tell(NodeLeaseEnded(node="a", lease=1)))
    assert node in "bc"


def test_what_may_run_twice_waits_for_nothing() -> None:
    assert len(nodes(crossed(ServiceSpec(image="o")).settle())) == 1
