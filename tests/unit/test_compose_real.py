"""Files as people write them: each is accepted, with the document and the notes as recorded."""

import os
import pathlib
from typing import Any

import pytest
from segue_cli.compose import Loaded, load, render, to_yaml

FOLDER = pathlib.Path(__file__).parent / "compose_real"
APPS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
ENVIRON = {"GRAFANA_PASSWORD": "hush", "RESTIC_PASSWORD": "hush", "LOG_LEVEL": "info"}
OPTIONS: dict[str, dict[str, Any]] = {"layered": {"profiles": ["debug"]}}


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.chdir(FOLDER / name)
    files = [pathlib.Path("compose.yaml"), pathlib.Path("compose.prod.yaml")]
    there = [path for path in files if path.exists()]
    return load(there, environ=ENVIRON, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", APPS)
def test_a_file_as_people_write_them_is_accepted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = loaded(name, monkeypatch)
    assert [render(one) for one in found.problems] == []
    notes = [f"# {render(one)}\n" for one in found.notes]
    given = "".join(notes) + to_yaml(found.document)
    expected = FOLDER / f"{name}.txt"
    if os.environ.get("REWRITE_ANSWERS"):  # Read the difference before it is committed.
        expected.write_text(given, encoding="utf-8")
    assert given == expected.read_text(encoding="utf-8")
    assert "hush" not in given
    assert "not-a-real-password" not in given


@pytest.mark.parametrize("name", APPS)
def test_its_canonical_document_is_accepted_again_as_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    first = loaded(name, monkeypatch)
    canonical = tmp_path / "canonical.yaml"
    canonical.write_text(to_yaml(first.document), encoding="utf-8")
    second = load([canonical], environ={})
    assert (second.app, second.spec, second.document) == (first.app, first.spec, first.document)


def test_there_are_a_dozen() -> None:
    assert len(APPS) >= 12
