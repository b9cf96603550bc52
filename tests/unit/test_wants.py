"""Which containers are led to, and what each was made from."""

from segue.events.container import ContainerUnhealthy
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.events.rollout import RolloutPromoteRequested
from segue.spec import ServiceSpec, Strategy
from segue.testing.shop import APP, Shop, accepted
from segue.testing.versions import CHECK, board, finish, images, service, spec, step
from segue.wants import routed
from segue_deployer.core import Deployer

SLOW = Strategy(kind="blue_green", promote="manual")


def led_to(there: Shop) -> list[tuple[int, int]]:
    """Give slots and attempts."""
    found = routed(there.picture, service(there))
    return sorted((one.slot, one.attempt) for one in found)


def test_nothing_leads_to_a_job() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=ServiceSpec(image="j", mode="replicated-job", expose=[80]))
    assert shop.container("web").phase == "started"
    assert led_to(shop) == []


def test_what_blue_green_prepares_is_led_to_once_it_is_promoted_and_all_at_once() -> None:
    there = board()
    for node in "ab":
        there.say(GatewayJoined(node=node, session=f"g-{node}", address=""))
    there.deploy(web=spec("w:1", replicas=2, expose=[80]))
    there.say(accepted(2, web=spec("w:2", replicas=2, expose=[80], strategy=SLOW)))
    for _ in range(3):
        step(there)
    assert len(images(there)) == 4, "both versions are up"
    assert led_to(there) == [(1, 1), (2, 1)]
    there.up(*there.tell(RolloutPromoteRequested(app=APP)))
    assert led_to(there) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for number in (1, 2):
        newer = there.container("web", number)
        there.say(EndpointReady(app=APP, service="web", slot=number, node=newer.node, attempt=2))
    finish(there)
    assert led_to(there) == [(1, 2), (2, 2)]


def test_what_was_never_ready_is_not_so_because_the_next_version_is_not_checked() -> None:
    """Seed 52: nothing had come up before, so there is no rollout that knows the older version."""
    there = board()
    there.up(*there.tell(accepted(1, web=spec("w:1", health=CHECK, expose=[80]))))
    assert there.container("web").phase == "started"
    assert led_to(there) == []
    there.say(accepted(2, web=spec("w:2", expose=[80])))
    assert service(there).rollout is None
    assert led_to(there) == []


def test_what_works_is_led_to_although_the_next_version_is_checked() -> None:
    there = board()
    there.deploy(web=spec("w:1", replicas=1, expose=[80]), db=spec("d:1", health=CHECK))
    there.say(accepted(2, web=spec("w:2", replicas=1, health=CHECK, expose=[80])))
    assert service(there).rollout is None, "the app never came up"
    assert led_to(there) == [(1, 1)]
    there.tells(ContainerUnhealthy, there.container("web"), streak=3)
    assert led_to(there) == []


def test_a_container_of_a_revision_that_is_not_known_is_what_its_digest_says() -> None:
    """The log may have been put back from an older copy while its node worked on."""
    shop = Shop(Deployer())
    shop.say(accepted(web=ServiceSpec(image="w")))
    shop.run(shop.ask("web", revision=7))
    known = shop.picture.spec(shop.container("web"))
    assert known is not None
    assert known.image == "w"
    there = board()
    there.deploy(web=spec("w:1"))
    there.say(accepted(2, web=spec("w:2")))
    there.settle()
    old = there.picture.container(APP, "web", 4, 1)
    assert old is not None
    old.revision = 7
    older = there.picture.spec(old)
    assert older is not None
    assert older.image == "w:1"
    old.digest = "another"
    assert there.picture.spec(old) is None
