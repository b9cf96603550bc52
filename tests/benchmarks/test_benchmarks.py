"""Benchmarks run, in tiny sizes, and write a table; of time nothing is asserted."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
LONG = ("at_rest", "beside_swarm", "bus_of_three", "host_loss", "mesh_losses")  # Than all else.
NOT_ONE = ("run", "test_benchmarks")
ALL = sorted(file.stem for file in HERE.glob("*.py") if file.stem not in NOT_ONE)


@pytest.mark.parametrize("name", [name for name in ALL if name not in LONG])
def test_it_runs(name: str, tmp_path: pathlib.Path) -> None:
    out = tmp_path / f"{name}.json"
    command = [sys.executable, str(HERE / f"{name}.py"), "--smoke", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert json.loads(out.read_text())["rows"]


@pytest.mark.parametrize("name", LONG)
def test_it_can_be_asked_what_it_does(name: str) -> None:
    subprocess.run([sys.executable, str(HERE / f"{name}.py"), "--help"], check=True)


def test_the_runner_knows_them_all() -> None:
    words = (HERE / "run.py").read_text()
    assert [name for name in ALL if f'"{name}"' not in words] == []
