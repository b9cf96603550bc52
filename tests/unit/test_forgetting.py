"""What is kept of apps that were removed, so that a picture never grows without end."""

import pytest
from segue.events.container import ContainerFailed, ContainerRequested
from segue.events.deploy import DeployAccepted, DeployRequested, RemovalRequested
from segue.events.node import NodeLost
from segue.picture import Picture
from segue.spec import Mount, ServiceSpec
from segue.testing.shop import Shop, joined, plain
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w", replicas=3)
DB = ServiceSpec(image="d", strict=False, mounts=[Mount(kind="volume", source="v", target="/v")])
COMPOSE = {"services": {"web": {"image": "w", "deploy": {"replicas": 2}}}}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose picture keeps one removed app whole, and two more by name."""
    monkeypatch.setattr("segue.picture.fold_app.REMOVED_APPS_KEPT", 1)
    monkeypatch.setattr("segue.picture.fold_app.FORGOTTEN_KEPT", 2)
    return Shop(Deployer(), nodes="ab")


def pass_by(shop: Shop, app: str, spec: ServiceSpec = WEB, *, volumes: bool = False) -> None:
    """Let an app be deployed and removed."""
    shop.deploy(app, web=spec)
    shop.up(*shop.tell(RemovalRequested(app=app, volumes=volumes)))


def test_the_app_that_was_removed_longest_ago_is_forgotten(shop: Shop) -> None:
    pass_by(shop, "one")
    assert list(shop.picture.apps) == ["one"]
    pass_by(shop, "two")
    assert list(shop.picture.apps) == ["two"]
    forgotten = shop.picture.state.forgotten["one"]
    assert (forgotten.revision, forgotten.attempts) == (1, 1)


def test_the_names_of_the_forgotten_are_limited_too(shop: Shop) -> None:
    for app in ("one", "two", "three", "four"):
        pass_by(shop, app)
    assert list(shop.picture.state.forgotten) == ["two", "three"]


def test_apps_with_many_slots_are_forgotten_sooner(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.picture.fold_app.REMOVED_APPS_KEPT", 100)
    monkeypatch.setattr("segue.picture.fold_app.REMOVED_SLOTS_KEPT", 5)
    pass_by(shop, "one")
    pass_by(shop, "two")
    assert list(shop.picture.apps) == ["two"]


def test_a_forgotten_app_that_is_deployed_again_goes_on_counting(shop: Shop) -> None:
    shop.deploy("one", web=WEB)
    shop.tells(ContainerFailed, shop.container("web", 2, "one"), reason="exited")
    shop.up(*shop.settle())
    shop.up(*shop.tell(RemovalRequested(app="one")))
    pass_by(shop, "two")
    said = shop.tell(DeployRequested(app="one", compose=COMPOSE))
    (accepted,) = [event for event in said if isinstance(event, DeployAccepted)]
    assert accepted.revision == 2
    assert [(e.slot, e.attempt) for e in said if isinstance(e, ContainerRequested)] == [
        (1, 3),
        (2, 3),
    ]
    assert "one" not in shop.picture.state.forgotten
    shop.up(*said)
    shop.up(*shop.tell(RemovalRequested(app="one")))
    pass_by(shop, "three")
    assert shop.picture.state.forgotten["one"].attempts == 3


def test_old_news_of_a_forgotten_app_changes_nothing(shop: Shop) -> None:
    pass_by(shop, "one")
    first = next(event for event in shop.all(DeployAccepted) if event.app == "one")
    pass_by(shop, "two")
    shop.say(first)
    assert list(shop.picture.apps) == ["two"]


def test_what_may_still_run_or_has_data_is_not_forgotten(shop: Shop) -> None:
    pass_by(shop, "data", DB)
    pass_by(shop, "gone", DB, volumes=True)
    shop.deploy("away", web=WEB)
    shop.tell(NodeLost(node="a", silent_s=3))
    shop.up(*shop.tell(RemovalRequested(app="away")))
    for app in ("two", "three"):
        pass_by(shop, app)
    assert list(shop.picture.apps) == ["data", "away", "three"]


def test_nodes_forget_how_a_forgotten_app_failed_on_them(shop: Shop) -> None:
    shop.deploy("one", web=WEB)
    shop.fail(shop.container("web", 1, "one"))
    shop.up(*shop.settle())
    assert shop.picture.nodes["a"].failures
    shop.up(*shop.tell(RemovalRequested(app="one")))
    pass_by(shop, "two")
    assert shop.picture.nodes["a"].failures == {}


def test_a_picture_that_has_forgotten_is_read_back_from_its_snapshot(shop: Shop) -> None:
    pass_by(shop, "one")
    pass_by(shop, "two")
    other = Picture()
    other.restore(shop.picture.snapshot())
    assert plain(other) == plain(shop.picture)
    shop.tell(joined("c"))
