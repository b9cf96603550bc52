"""What a service answers when it is asked what it would decide."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from segue.core import Core
from segue.envelope import decode
from segue.events import REGISTRY, Event
from segue.events.container import (
    ContainerAssigned,
    ContainerRequested,
    ContainerRetired,
    ContainerUnplaceable,
)
from segue.events.deploy import (
    DeployAccepted,
    DeployRejected,
    DeployRequested,
    RemovalAccepted,
    RemovalRequested,
)
from segue.events.node import NodeCordoned, NodeLost
from segue.events.scale import ScaleAccepted, ScaleRequested
from segue.events.service import ServiceFlapping
from segue.log import Stored
from segue.shell.what_if import (
    PACKED_ABOVE_BYTES,
    Answer,
    Question,
    Supposed,
    answer,
    packed,
    unpacked,
)
from segue.spec import ServiceSpec
from segue.testing.shop import APP, Shop, accepted, joined, plain
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_scheduler.core import Scheduler

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "events").glob("*.json"))


def ask(shop: Shop, core: type[Core], *events: Event) -> list[Any]:
    """Ask one of the cores on a board; give the decisions it would make."""
    supposed = [Supposed(event.type, msgspec.to_builtins(event)) for event in events]
    (asked,) = [one for one in shop.cores if isinstance(one, core)]
    given = answer(asked, Question(supposed), shop.now)
    sent = msgspec.json.decode(msgspec.json.encode(given), type=Answer)
    assert sent.sequence == len(shop.log)
    return [msgspec.convert(one.data, REGISTRY[one.type]) for one in sent.decisions]


def shop() -> Shop:
    made = Shop(Deployer(), Scheduler(), HealthMonitor(), nodes="ab")
    made.deploy(web=ServiceSpec(image="w", replicas=2))
    return made


def test_losing_a_node_would_move_its_containers() -> None:
    made = shop()
    node = made.container("web", 1).node
    (moved,) = ask(made, Deployer, NodeLost(node=node, silent_s=3))
    assert isinstance(moved, ContainerRequested)
    assert (moved.slot, moved.previous) == (1, node)


def test_a_request_is_followed_through_to_what_it_leads_to() -> None:
    said = ask(shop(), Deployer, ScaleRequested(app=APP, service="web", replicas=4))
    assert [type(event) for event in said] == [ScaleAccepted] + [ContainerRequested] * 2
    said = ask(shop(), Deployer, RemovalRequested(app=APP))
    assert [type(event) for event in said] == [RemovalAccepted] + [ContainerRetired] * 2


def test_several_things_supposed_happen_one_after_the_other() -> None:
    compose = {"services": {"web": {"image": "w:2"}}}
    said = ask(
        shop(),
        Deployer,
        DeployRequested(app="blog", compose=compose),
        ScaleRequested(app="blog", service="web", replicas=2),
    )
    assert [type(event) for event in said[:2]] == [DeployAccepted, ScaleAccepted]
    assert len([event for event in said if isinstance(event, ContainerRequested)]) == 2


def test_a_bad_request_would_be_rejected() -> None:
    (said,) = ask(shop(), Deployer, DeployRequested(app=APP, compose={"services": {}}))
    assert isinstance(said, DeployRejected)


def test_the_scheduler_says_where_it_would_put_things_and_why_it_could_not() -> None:
    made = shop()
    asked = ContainerRequested(
        app=APP, service="web", slot=3, attempt=1, revision=1, digest="x", pinned="a"
    )
    (said,) = ask(made, Scheduler, asked)
    assert isinstance(said, ContainerAssigned)
    assert said.node == "a"
    (said,) = ask(made, Scheduler, NodeCordoned(node="a"), asked)
    assert isinstance(said, ContainerUnplaceable)


def test_the_health_monitor_says_when_it_would_call_a_service_flapping() -> None:
    made = Shop(Deployer(), Scheduler())
    made.deploy(web=ServiceSpec(image="w"))
    for _ in range(4):
        made.fail(made.container("web"))
        made.settle()
        made.now += 10
        made.up(*made.settle())
    event = made.fail(made.container("web")).event
    made.log.pop()
    quiet = HealthMonitor()
    for record in made.log:
        quiet.fold(record)
    quiet.decide(made.now)
    supposed = Supposed(event.type, msgspec.to_builtins(event))
    (said,) = answer(quiet, Question([supposed]), made.now).decisions
    assert said.type == ServiceFlapping.type


def test_asking_changes_nothing_and_gives_the_same_answer_again() -> None:
    made = shop()
    before = [plain(core.picture) for core in made.cores]
    first, second = (ask(made, Deployer, NodeLost(node="a", silent_s=3)) for _ in range(2))
    assert first == second
    assert [plain(core.picture) for core in made.cores] == before
    assert made.settle() == []


def test_what_is_owed_already_is_part_of_the_answer() -> None:
    made = Shop(Deployer())
    made.say(accepted(web=ServiceSpec(image="w")))
    (said,) = ask(made, Deployer)
    assert isinstance(said, ContainerRequested)


def test_supposing_nothing_of_a_shop_at_rest_leads_to_nothing() -> None:
    assert ask(shop(), Deployer) == []


@pytest.mark.parametrize(
    "wrong",
    [
        Supposed("container.exploded", {}),
        Supposed(NodeLost.type, {}),
        Supposed(NodeLost.type, {"node": 7, "silent_s": 1}),
        Supposed(NodeLost.type, {"node": "Not A Token", "silent_s": 1}),
        Supposed(DeployRequested.type, {"app": "*", "compose": {}}),
        Supposed(RemovalRequested.type, {"app": ">"}),
    ],
)
def test_a_question_about_what_cannot_be_in_the_log_is_refused(wrong: Supposed) -> None:
    with pytest.raises(msgspec.ValidationError):
        answer(Deployer(), Question([wrong]), 1.0)


@pytest.mark.parametrize("core", [Deployer, Scheduler, HealthMonitor])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_whatever_kind_of_event_is_supposed_there_is_an_answer(
    path: Path, core: type[Core]
) -> None:
    envelope = msgspec.json.decode(path.read_bytes())
    event = msgspec.convert(envelope["data"], REGISTRY[envelope["type"]])
    stored = Stored(1, 1.0, event.subject, path.read_bytes())
    assert decode(stored).event == event
    made = shop()
    made.say(joined("node-a"))
    for about in ("web", "db", "api"):
        made.say(accepted(7, about, **{about: ServiceSpec(image="w")}))
    made.settle()
    for supposed in ([event], [event, event]):
        ask(made, core, *supposed)


def test_what_is_too_large_for_a_message_is_packed_and_unpacked_again() -> None:
    large = msgspec.json.encode([{"app": "shop", "slot": number} for number in range(50_000)])
    assert len(large) > 1 << 20 > len(packed(large))
    assert unpacked(packed(large)) == large
    assert packed(b"{}") == unpacked(b"{}") == b"{}"


@pytest.mark.parametrize("end", [b"", b"\xff" * 10])
def test_what_cannot_be_unpacked_is_a_wrong_question(end: bytes) -> None:
    large = packed(b"[]" * PACKED_ABOVE_BYTES)
    with pytest.raises(msgspec.ValidationError):
        unpacked(large[:20] + end)


def test_nothing_unpacks_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    large = packed(b"[]" * PACKED_ABOVE_BYTES)
    monkeypatch.setattr("segue.shell.what_if.UNPACKED_MOST_BYTES", 1_000)
    with pytest.raises(msgspec.ValidationError):
        unpacked(large)
