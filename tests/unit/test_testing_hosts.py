"""The hosts of a test tell what runs on them while it comes and goes."""

import os
import pathlib
from typing import Any

import pytest
from segue.testing.hosts import living


def test_a_container_that_ends_while_processes_are_counted_is_passed_over(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pids in (("host", "1\n2\n"), ("ends", "3\n"), ("stays", "4\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text(pids)
    look = os.scandir

    def ends_just_now(folder: Any) -> Any:
        if pathlib.Path(folder).name == "ends":
            pathlib.Path(folder, "cgroup.procs").unlink()
            pathlib.Path(folder).rmdir()
        return look(folder)

    monkeypatch.setattr(os, "scandir", ends_just_now)
    assert living(tmp_path) == {1, 2, 4}
