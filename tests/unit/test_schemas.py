"""What others read of the events is current, true, and readable for ever."""

import copy
import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import compatibility
import event_sample
import event_schema
import generate
import jsonschema
import msgspec
import pytest
from segue.envelope import CONTENT_TYPE, decode
from segue.events import REGISTRY
from segue.log import Stored

SAMPLES = sorted(generate.SAMPLES.glob("*.json"))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def stored(sample: dict[str, Any]) -> Stored:
    subject = ".".join(filter(None, (sample["type"], *sample.get("subject", "").split("/"))))
    body = json.dumps(sample).encode()
    return Stored(1, 1_782_000_000.5, subject, body, {"Content-Type": CONTENT_TYPE})


def within(part: Any, whole: Any) -> bool:
    """Tell whether everything in `part` stands in `whole` too."""
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


def test_the_committed_files_are_the_generated_ones() -> None:
    stale = [str(path.relative_to(generate.ROOT)) for path in generate.changes()]
    assert stale == [], "run `just schemas` and read the diff"


@pytest.mark.parametrize("path", sorted(generate.SCHEMAS.glob("*.*.json")), ids=lambda p: p.stem)
def test_a_schema_is_valid_json_schema(path: Path) -> None:
    schema = read(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:segue:{path.stem}:1"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_an_event_once_written_is_read_for_ever(path: Path) -> None:
    """A sample is never edited: it stands for what a log out there holds."""
    sample = read(path)
    record = decode(stored(sample))
    assert record.id == sample["id"]
    assert record.correlation == sample["correlationid"]
    assert within(sample["data"], msgspec.to_builtins(record.event)), "a field was dropped"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_a_sample_is_what_the_schemas_say(path: Path) -> None:
    sample = read(path)
    assert path.stem.rsplit(".", 1)[0] == sample["type"]
    jsonschema.validate(sample, event_schema.envelope_schema(), jsonschema.Draft202012Validator)
    schema = read(generate.SCHEMAS / f"{sample['type']}.json")
    jsonschema.validate(sample["data"], schema, jsonschema.Draft202012Validator)


def test_every_event_has_a_sample() -> None:
    assert {path.stem.rsplit(".", 1)[0] for path in SAMPLES} == set(REGISTRY)


def test_the_first_sample_of_a_new_event_says_all_its_fields() -> None:
    for event in REGISTRY.values():
        made = json.loads(event_sample.sample(event))["data"]
        assert set(made) == {field.name for field in msgspec.structs.fields(event)}, event.type


def test_the_asyncapi_document_refers_only_to_what_it_has() -> None:
    document = read(generate.SCHEMAS / "asyncapi.json")
    assert set(document["channels"]) == set(REGISTRY)
    for reference in references(document):
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for item in part for found in references(item)] if isinstance(part, list) else []


@functools.cache
def released() -> str:
    """Name the last release's tag; empty before the first one and outside a repository."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    found = subprocess.run(command, cwd=generate.ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def at_release(path: Path) -> Any:
    """Read a file as the last release has it."""
    name = f"{released()}:{path.relative_to(generate.ROOT)}"
    command = ["git", "show", name]
    shown = subprocess.run(command, cwd=generate.ROOT, capture_output=True, text=True, check=False)
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def test_nothing_that_the_last_release_wrote_has_become_unreadable() -> None:
    broken = []
    for path in sorted(generate.SCHEMAS.glob("*.*.json")) if released() else []:
        if old := at_release(path):
            broken += [f"{path.stem}: {line}" for line in compatibility.breaks(old, read(path))]
    assert broken == [], f"{released()} wrote events that this code cannot read"


def test_no_sample_of_the_last_release_was_edited() -> None:
    for path in SAMPLES if released() else []:
        old = at_release(path)
        assert old in (None, read(path)), f"{path.name}: add a sample, leave this one as it was"


OLD = {
    "type": "object",
    "properties": {
        "app": {"type": "string"},
        "took_s": {"type": "integer"},
        "reason": {"enum": ["exited", "oom"]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "best": {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}]},
    },
    "required": ["app"],
    "$defs": {
        "Part": {
            "type": "object",
            "properties": {
                "score": {"type": "number"},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
            },
            "required": ["score"],
        }
    },
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """Give the old schema with one place changed; None takes it away."""
    new = copy.deepcopy(OLD)
    place: Any = new
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return new


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (changed("properties", "app", to=None), "app is gone"),
        (changed("properties", "app", "type", to="integer"), "app was string and is integer"),
        (changed("required", to=["app", "took_s"]), "took_s is now required"),
        (changed("properties", "reason", "enum", to=["oom"]), "reason can no longer be exited"),
        (changed("properties", "app", to={"enum": ["shop"]}), "app was any value and is now one"),
        (changed("properties", "best", to={"$ref": "#/$defs/Part"}), "best was null or object"),
        (changed("$defs", "Part", "properties", "score", to=None), "score is gone"),
        (changed("$defs", "Part", "required", to=["score", "parts"]), "parts is now required"),
    ],
)
def test_a_change_that_breaks_a_reader_is_named(new: dict[str, Any], said: str) -> None:
    assert any(said in line for line in compatibility.breaks(OLD, new))


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        changed("properties", "extra", to={"type": "string", "default": ""}),
        changed("properties", "took_s", "type", to="number"),
        changed("properties", "reason", "enum", to=["exited", "oom", "start"]),
        changed("properties", "app", "description", to="Another word for it."),
        changed("required", to=[]),
    ],
)
def test_a_change_that_breaks_nothing_is_let_through(new: dict[str, Any]) -> None:
    assert compatibility.breaks(OLD, new) == []
