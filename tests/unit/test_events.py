"""The vocabulary keeps its own rules: one spelling, one meaning, one place for each event."""

import ast
import inspect
import re
import sys
from pathlib import Path

import msgspec
import pytest
from segue.events import REGISTRY, Event, ring, subjects
from segue.events.container import ContainerFailed
from segue.events.leader import LeaderElected
from segue.events.load import LoadEvent
from segue.ids import is_token

SERVICES = Path(__file__).parents[2] / "services"
EVENTS = pytest.mark.parametrize("event", REGISTRY.values(), ids=REGISTRY)
# A noun whose events stand in another noun's module, because they are one story.
TOLD_ELSEWHERE = {
    "removal": "deploy",  # What happens to an app ends with its removal.
    "endpoint": "gateway",  # What a gateway leads to.
    "rollback": "rollout",  # The way back.
    "run": "job",  # Of a job that is run again and again …
    "schedule": "job",  # … by the clock.
}


@EVENTS
def test_a_class_is_called_like_its_type(event: type[Event]) -> None:
    words = re.split(r"[._]", event.type)
    assert event.__name__ == "".join(word.capitalize() for word in words)


@EVENTS
def test_a_type_is_a_noun_and_a_happening(event: type[Event]) -> None:
    assert len(event.type.split(".")) == 2
    assert all(is_token(part) for part in event.type.split("."))


@EVENTS
def test_an_event_stands_in_its_nouns_module(event: type[Event]) -> None:
    noun = event.type.split(".")[0]
    assert event.__module__ == f"segue.events.{TOLD_ELSEWHERE.get(noun, noun)}"
    law = sys.modules[event.__module__].__doc__ or ""
    assert len(law) >= 30, "a noun's module opens with the life of the noun"


@EVENTS
def test_an_event_says_what_happened(event: type[Event]) -> None:
    own = vars(event).get("__doc__") or ""
    assert len(own) >= 20, "its docstring is its description in the schema and the documents"
    assert own.split("\n")[0].endswith((".", ":")), own


@EVENTS
def test_an_event_has_a_place_in_the_ring(event: type[Event]) -> None:
    assert event in ring.RING, f"say in {ring.__name__} who says {event.type} and who acts on it"


def test_the_ring_names_services_that_exist() -> None:
    there = {path.name for path in SERVICES.iterdir() if (path / "pyproject.toml").exists()}
    for event, place in ring.RING.items():
        assert place.authors, f"{event.type} is said by nobody"
        assert set(place.authors) <= there | {ring.ANYONE}, event.type
        assert set(place.followers) <= there, event.type


@EVENTS
def test_only_a_request_or_a_load_may_be_said_by_anyone(event: type[Event]) -> None:
    anyones = ring.ANYONE in ring.RING[event].authors
    known = event.type.endswith("requested") or issubclass(event, LoadEvent)
    assert anyones <= known, f"{event.type} is neither a request nor a load"


@EVENTS
def test_who_is_said_to_react_does(event: type[Event]) -> None:
    """A docstring that says `The health monitor reacts` agrees with the ring."""
    sentences = re.split(r"(?<=[.;:])\s+", inspect.cleandoc(event.__doc__ or ""))
    for sentence in sentences:
        if " reacts" in sentence:
            said = sentence.lower().replace("'s runner", " node runner")
            named = {
                path.name for path in SERVICES.iterdir() if path.name.replace("_", " ") in said
            }
            assert named <= set(ring.RING[event].followers), sentence


def named(kind: type[ast.Call] | type[ast.MatchClass]) -> dict[str, set[str]]:
    """Give, by class, the services whose code constructs it, or matches it."""
    found: dict[str, set[str]] = {}
    for folder in SERVICES.iterdir():
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, kind):
                    what = node.func if isinstance(node, ast.Call) else node.cls
                    found.setdefault(ast.unparse(what).split(".")[-1], set()).add(folder.name)
    return found


def test_the_ring_is_what_the_code_does() -> None:
    """Authors make the event; whoever matches it follows it. A person may say what anyone may."""
    made, matched = named(ast.Call), named(ast.MatchClass)
    for event, place in ring.RING.items():
        if event is LeaderElected:  # The shell says it for the services that it leads.
            continue
        authors = {service for service in made.get(event.__name__, set()) if service != "cli"}
        assert authors == set(place.authors) - {ring.ANYONE}, f"who says {event.type}?"
        followers = matched.get(event.__name__, set()) - {"cli"}
        assert followers <= set(place.followers), f"who follows {event.type}?"


@EVENTS
def test_the_scope_names_fields_that_must_be_given(event: type[Event]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(event)}
    for name in event.scope:
        assert name in fields, f"{event.type} has no field {name}"
        assert fields[name].required, f"{name} is in the subject, so it cannot be left out"
        assert fields[name].type in (str, int), f"{name} cannot be a token"


@EVENTS
def test_a_field_carries_its_unit_last(event: type[Event]) -> None:
    odd = {"age", "cpu", "delay", "duration", "memory", "ms", "seconds", "size", "timeout"}
    for field in msgspec.structs.fields(event):
        assert field.name.split("_")[-1] not in odd, f"{event.type}.{field.name}: which unit?"


def test_a_subject_is_the_type_and_then_the_scope() -> None:
    event = ContainerFailed(
        app="shop", service="web", slot=3, attempt=7, node="node-a", reason="oom"
    )
    assert event.subject == "container.failed.shop.web.3.node-a"
    assert subjects(ContainerFailed, node="node-a") == "container.failed.*.*.*.node-a"


def test_an_event_is_frozen_and_its_fields_are_named() -> None:
    with pytest.raises(TypeError):
        ContainerFailed("shop", "web", 3, 7, "node-a", "oom")  # type: ignore[call-arg] # The rule itself.
    event = ContainerFailed(
        app="shop", service="web", slot=3, attempt=7, node="node-a", reason="oom"
    )
    with pytest.raises(AttributeError):
        event.slot = 4  # type: ignore[misc] # The rule that is tested.


def test_two_events_cannot_have_one_type() -> None:
    with pytest.raises(AssertionError, match=r"two events are called container\.failed"):

        class Again(Event, type="container.failed", scope=()):
            """The same again."""
