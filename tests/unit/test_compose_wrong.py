"""Thoroughly wrong files, each with the exact answer that its author gets."""

import os
import pathlib

import pytest
from segue_cli.compose import load, render

FOLDER = pathlib.Path(__file__).parent / "compose_wrong"
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def answer(name: str) -> str:
    """Give what the command line prints: every problem, then every note."""
    found = load([pathlib.Path(f"{name}.yaml")], environ={"EMPTY": ""}, app="shop")
    assert found.spec is None
    problems = [render(one) for one in found.problems]
    notes = [f"note: {render(one)}" for one in found.notes]
    return "\n".join([*problems, *notes]) + "\n"


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_answered_in_full(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    given = answer(name)
    expected = FOLDER / f"{name}.txt"
    if os.environ.get("REWRITE_ANSWERS"):  # Read the difference before it is committed.
        expected.write_text(given, encoding="utf-8")
    assert given == expected.read_text(encoding="utf-8")


def test_there_are_many_and_none_is_forgotten() -> None:
    assert len(FILES) >= 10
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == FILES
