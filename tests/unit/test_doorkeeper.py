"""How requests are answered: each once, in their order, each on what the one before led to."""

import msgspec
import pytest
from segue.envelope import Record, decode, encode
from segue.events import Event
from segue.events.container import ContainerRequested, ContainerRetired, ContainerStopped
from segue.events.deploy import (
    DeployAccepted,
    DeployCompleted,
    DeployRequested,
    RemovalAccepted,
    RemovalCompleted,
    RemovalRequested,
)
from segue.events.node import (
    NodeCordoned,
    NodeCordonRequested,
    NodeUncordoned,
    NodeUncordonRequested,
)
from segue.events.scale import ScaleAccepted, ScaleRejected, ScaleRequested
from segue.picture.fold_app import ANSWERED_KEPT
from segue.shell.commands import Append
from segue.shell.machine import Machine
from segue.spec import AppSpec, ServiceSpec
from segue.testing.shop import APP, Shop
from segue.testing.simlog import SimLog
from segue_deployer.core import Deployer

WEB = ServiceSpec(image="w")


def wish(image: str = "w", app: str = APP) -> DeployRequested:
    return DeployRequested(app=app, compose={"services": {"web": {"image": image}}})


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def test_of_two_deploys_asked_for_at_once_the_second_is_the_next_revision() -> None:
    shop = Shop(Deployer())
    shop.say(wish("w:1"))
    shop.say(wish("w:2"))
    shop.settle()
    assert [event.revision for event in shop.all(DeployAccepted)] == [1, 2]
    assert shop.picture.apps[APP].services["web"].spec.image == "w:2"


def test_a_scale_asked_for_right_after_the_deploy_is_judged_by_what_the_deploy_made() -> None:
    shop = Shop(Deployer())
    shop.say(wish())
    shop.say(ScaleRequested(app=APP, service="web", replicas=3))
    shop.settle()
    assert not shop.all(ScaleRejected)
    assert [event.previous for event in shop.all(ScaleAccepted)] == [1]
    assert {event.slot for event in shop.all(ContainerRequested)} == {1, 2, 3}


def test_a_removal_is_not_completed_behind_a_deploy_that_was_accepted_meanwhile() -> None:
    """Its nodes would take the volumes away from under the new containers."""
    shop = Shop(Deployer())
    shop.deploy(web=WEB)
    shop.tell(RemovalRequested(app=APP, volumes=True))
    (retired,) = shop.all(ContainerRetired)
    shop.tells(ContainerStopped, retired)
    shop.say(wish())
    shop.settle()
    assert not shop.all(RemovalCompleted)
    assert shop.picture.apps[APP].phase == "deploying"


def test_who_asks_about_one_app_again_and_again_holds_up_no_other() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=WEB)
    shop.fail(shop.container("web"))
    for number in range(20):
        shop.say(wish(f"w:{number}", app="blog"))
    owed = [decision.event.subject for decision in shop.cores[0].decide(shop.now)]
    assert "container.requested.shop.web.1" in owed


def test_a_request_that_comes_again_after_its_answer_is_not_answered_again() -> None:
    shop = Shop(Deployer())
    shop.say(wish(), event_id="once")
    shop.settle()
    shop.say(wish(), event_id="once")
    assert shop.settle() == []
    assert not shop.picture.state.requests


def test_of_two_requests_with_one_id_the_first_counts() -> None:
    shop = Shop(Deployer())
    shop.say(wish("w:1"), event_id="once")
    shop.say(wish("w:2"), event_id="once")
    shop.settle()
    assert [event.spec.services["web"].image for event in shop.all(DeployAccepted)] == ["w:1"]


def test_only_so_many_answered_requests_are_remembered() -> None:
    shop = Shop(Deployer())
    for number in range(ANSWERED_KEPT + 5):
        record = shop.say(NodeCordonRequested(node="a"), event_id=f"r{number}")
        shop.say(NodeCordoned(node="a"), record.as_cause())
    answered = shop.picture.state.answered
    assert len(answered) == ANSWERED_KEPT
    assert shop.log[0].key not in answered
    assert record.key in answered


def test_a_request_stays_open_until_the_doorkeeper_answers_it() -> None:
    """Other programs may name it as the cause of what they say or ask."""
    shop = Shop(Deployer())
    asked = shop.say(wish())
    shop.say(ScaleRequested(app=APP, service="web", replicas=2), asked.as_cause())
    said = shop.settle()
    assert types(said)[:2] == [DeployAccepted.type, ScaleAccepted.type]


@pytest.mark.parametrize("ask", [NodeCordonRequested, NodeUncordonRequested])
def test_asking_for_what_is_so_already_is_answered_all_the_same(
    ask: type[NodeCordonRequested] | type[NodeUncordonRequested],
) -> None:
    shop = Shop(Deployer())
    for _ in range(2):
        shop.tell(ask(node="a"))
    answers = shop.all(NodeCordoned if ask is NodeCordonRequested else NodeUncordoned)
    assert len(answers) == 2


def test_the_answer_names_the_request_and_who_asked() -> None:
    shop = Shop(Deployer())
    asked = shop.say(wish())
    (decision, *_) = shop.cores[0].decide(shop.now)
    assert decision.cause == asked.as_cause()
    shop.settle()
    answer: Record = shop.log[-2]
    assert answer.cause == asked.id
    assert answer.correlation == asked.id


def test_a_removal_asked_for_twice_is_accepted_twice_and_completed_once() -> None:
    shop = Shop(Deployer())
    shop.deploy(web=WEB)
    for _ in range(2):
        shop.tell(RemovalRequested(app=APP))
    (retired,) = shop.all(ContainerRetired)
    shop.tells(ContainerStopped, retired)
    assert types(shop.settle()) == [RemovalCompleted.type]
    assert len(shop.all(RemovalAccepted)) == 2
    assert len(shop.all(DeployCompleted)) == 1


def test_requests_of_two_programs_are_two_though_they_chose_the_same_id() -> None:
    """CloudEvents: an event is known by its source and its id together."""
    machine = Machine(Deployer(), instance="a", session="s")
    log = SimLog()
    machine.connected(log.head(1.0), 1.0)
    asked = [("/ci", "w:1"), ("/ci", "w:1"), ("/desk", "w:2")]
    for source, image in asked:
        said = encode(wish(image), id="1", source=source, time=1.0)
        log.append([msgspec.structs.replace(said, id=f"{source}{len(log.stored)}")], None, 1.0)
    for _ in range(9):
        machine.read(log.after(machine.read_to), 1.0)
        for command in machine.step(1.0):
            if isinstance(command, Append):
                outcome = log.append(command.messages, command.fence, 1.0)
                machine.wrote(command.number, outcome, 1.0)
    records = [decode(stored) for stored in log.stored]
    answers = [r for r in records if isinstance(r.event, DeployAccepted)]
    assert [(r.cause, r.cause_source) for r in answers] == [("1", "/ci"), ("1", "/desk")]
    assert [r.event.revision for r in answers if isinstance(r.event, DeployAccepted)] == [1, 2]
    assert len({r.key for r in answers}) == 2
    assert machine.core.picture.state.requests == {}


def test_an_answer_that_names_no_source_closes_the_oldest_request_of_that_id() -> None:
    """So were answers written before sources counted; to give another would deploy again."""
    shop = Shop(Deployer())
    request = shop.say(wish())
    assert request.key != request.id
    cause = msgspec.structs.replace(request.as_cause(), source="")
    shop.say(DeployAccepted(app=APP, revision=1, spec=AppSpec(services={"web": WEB})), cause)
    shop.settle()
    assert len(shop.all(DeployAccepted)) == 1
    assert shop.picture.state.requests == {}
