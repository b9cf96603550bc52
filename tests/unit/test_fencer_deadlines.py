"""What the fencer reads, and that it needs nothing but Python."""

import ast
import pathlib
import sys

import pytest
import segue_fencer
from segue_fencer.deadlines import Deadline, Deadlines, read

ONE, OTHER = "a" * 64, "b" * 64


def test_it_imports_nothing_but_the_standard_library() -> None:
    for path in pathlib.Path(segue_fencer.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                root = name.partition(".")[0]
                assert root in sys.stdlib_module_names or root == "segue_fencer", name


def test_a_deadline_is_read() -> None:
    text = f'{{"deadline": 8127.25, "containers": ["{ONE}"]}}'
    assert read(text) == Deadline(8127.25, frozenset({ONE}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"containers": []}',
        '{"deadline": 1}',
        '{"deadline": true, "containers": []}',
        '{"deadline": NaN, "containers": []}',
        '{"deadline": 1, "containers": ["short"]}',
        '{"deadline": 1, "containers": "aaaa"}',
        '{"deadline": 1, "containers": [1]}',
    ],
)
def test_what_is_no_deadline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_each_runner_has_its_own_deadline(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_text(f'{{"deadline": 10, "containers": ["{ONE}"]}}')
    (tmp_path / "b.json").write_text(f'{{"deadline": 20, "containers": ["{OTHER}"]}}')
    deadlines = Deadlines(tmp_path)
    assert deadlines.overdue(9.9) == frozenset()
    assert deadlines.overdue(10.0) == {ONE}
    assert deadlines.overdue(20.0) == {ONE, OTHER}


def test_an_unreadable_file_is_told_of_and_takes_nothing_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{"deadline": 10, "containers": ["{ONE}"]}}')
    deadlines = Deadlines(tmp_path)
    deadlines.overdue(0.0)
    path.write_text("half a fi")
    assert deadlines.overdue(10.0) == {ONE}
    assert list(deadlines.problems) == ["a.json"]
    path.write_text('{"deadline": 10, "containers": []}')
    assert deadlines.overdue(10.0) == frozenset()
    assert not deadlines.problems
