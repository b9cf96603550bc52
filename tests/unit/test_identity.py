"""How an event is known among all: Segue's own by its id, another program's by its source too."""

import json

import pytest
from segue.envelope import Record, decode, encode
from segue.events.container import ContainerFailed
from segue.log import Stored

FAILED = ContainerFailed(app="shop", service="web", slot=3, attempt=7, node="a", reason="oom")


def asked(source: str) -> Record:
    """Read a request that some program gave the id 1."""
    said = {"specversion": "1.0", "id": "1", "source": source, "type": "removal.requested"}
    data = json.dumps({**said, "data": {"app": "shop"}}).encode()
    return decode(Stored(9, 12.5, "removal.requested.shop", data))


def answered(request: Record) -> tuple[bytes, Record]:
    message = encode(FAILED, id="a", source="/segue/t/1", time=0.0, cause=request.as_cause())
    return message.data, decode(Stored(10, 13.0, message.subject, message.data, message.headers))


def test_two_programs_may_choose_the_same_id() -> None:
    ci, desk = asked("/ci"), asked("/desk")
    assert ci.key == asked("/ci").key
    assert ci.key != desk.key
    assert answered(ci)[1].cause_key == ci.key
    assert answered(desk)[1].cause_key == desk.key


def test_what_another_program_caused_names_its_id_as_it_chose_it_and_its_source() -> None:
    _, answer = answered(asked("/ci"))
    assert (answer.cause, answer.cause_source) == ("1", "/ci")


@pytest.mark.parametrize("source", ["/segue/deployer/a", "/cli/desk", "/foreign"])
def test_ids_that_segue_makes_are_known_by_themselves(source: str) -> None:
    request = asked(source)
    data, answer = answered(request)
    assert request.key == answer.cause_key == "1"
    assert b"causationsource" not in data
