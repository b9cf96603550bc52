"""The fencer on a real engine: what is overdue dies, whatever hangs; nothing else does."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from segue.testing.engine import BUSYBOX, Engine, EngineRefusedError, PrivateEngine

pytestmark = pytest.mark.engine


@pytest.fixture
def fence(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder that a fencer watches."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "segue_fencer", "--folder", str(tmp_path)], stderr=log
        )
    wait((tmp_path / "fencer.alive").exists)
    yield tmp_path
    process.terminate()
    assert process.wait(60) == 0


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    engine = PrivateEngine()
    try:
        engine.start()
        engine.load_busybox()
        yield engine
    finally:
        engine.stop()


def wait(true: object, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while not true():  # type: ignore[operator]  # A test's lambda.
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def started(engine: Engine) -> tuple[str, int]:
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"Init": True}}
    made = engine.ask("POST", "/containers/create", body)["Id"]
    engine.ask("POST", f"/containers/{made}/start")
    return made, engine.ask("GET", f"/containers/{made}/json")["State"]["Pid"]


def allow(folder: pathlib.Path, containers: list[str], for_s: float, name: str = "a") -> float:
    at = time.clock_gettime(time.CLOCK_BOOTTIME) + for_s
    fresh = folder / f"{name}.new"
    fresh.write_text(json.dumps({"deadline": at, "containers": containers}))
    fresh.replace(folder / f"{name}.json")
    return at


def looked(fence: pathlib.Path) -> None:
    """Wait for the end of a look."""
    sign = fence / "fencer.alive"
    before = sign.stat().st_mtime_ns
    wait(lambda: sign.stat().st_mtime_ns != before)


def alive(pid: int) -> bool:
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return words.rpartition(")")[2].split()[0] != "Z"


def test_what_is_overdue_dies_and_its_neighbour_lives(
    engine: PrivateEngine, fence: pathlib.Path
) -> None:
    strict, strict_pid = started(engine)
    _, other_pid = started(engine)
    overdue_at = allow(fence, [strict], for_s=2.0)
    wait(lambda: not alive(strict_pid))
    assert overdue_at <= time.clock_gettime(time.CLOCK_BOOTTIME) < overdue_at + 3.0
    assert alive(other_pid)
    wait(lambda: f"killed container {strict[:12]}" in (fence / "log").read_text())


def test_one_that_may_not_kill_says_so_and_is_not_counted_on(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "fence"
    folder.mkdir()
    folder.chmod(0o777)
    bare = ["setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*bare, sys.executable, "-m", "segue_fencer", "--folder", str(folder)], stderr=log
        )
    try:
        wait(lambda: "run it as root" in (tmp_path / "log").read_text())
        time.sleep(0.5)
        assert not (folder / "fencer.alive").exists()
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_a_renewal_lets_it_live(engine: PrivateEngine, fence: pathlib.Path) -> None:
    strict, pid = started(engine)
    for _ in range(6):
        allow(fence, [strict], for_s=4.0)
        time.sleep(1.0)
        assert alive(pid)


def test_it_dies_though_the_engine_hangs(engine: PrivateEngine, fence: pathlib.Path) -> None:
    strict, pid = started(engine)
    engine.freeze("dockerd")
    engine.freeze("containerd")
    try:
        allow(fence, [strict], for_s=0.2)
        wait(lambda: not alive(pid))
    finally:
        engine.thaw()


def test_a_start_that_takes_effect_too_late_is_killed_too(
    engine: PrivateEngine, fence: pathlib.Path
) -> None:
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"]}
    made = engine.ask("POST", "/containers/create", body)["Id"]
    allow(fence, [made], for_s=0.0)
    time.sleep(0.3)
    with contextlib.suppress(EngineRefusedError):  # Killed before the engine had it running.
        engine.ask("POST", f"/containers/{made}/start")
    wait(lambda: not engine.ask("GET", f"/containers/{made}/json")["State"]["Running"])


@pytest.mark.parametrize("gone", ["removed", "broken"])
def test_what_was_read_last_stands(engine: PrivateEngine, fence: pathlib.Path, gone: str) -> None:
    strict, pid = started(engine)
    allow(fence, [strict], for_s=3.0)
    for _ in range(2):  # One look may have been under way.
        looked(fence)
    if gone == "removed":
        (fence / "a.json").unlink()
    else:
        (fence / "a.json").write_text('{"deadline": "soon", "containers": []}')
    wait(lambda: not alive(pid))


def test_a_signal_in_the_middle_of_it_ends_it_cleanly(tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "segue_fencer", "--folder", str(tmp_path)])
    wait((tmp_path / "fencer.alive").exists)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 0
