"""What is exported from a real bus is the log as it stands there, and can be replayed anywhere."""

import contextlib
import io
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import segue_scheduler
from segue.bus import Bus
from segue.bus.jetstream import call
from segue.events.deploy import DeployRequested
from segue.events.scale import ScaleRequested
from segue.log import Message
from segue.picture import Picture
from segue.recording import Recording, fingerprint, read
from segue.replay import folded
from segue.testing.stage import Stage
from segue_cli.__main__ import run
from segue_cli.connect import BusFlags
from segue_cli.errors import InvalidError, NotFoundError, Silent
from segue_cli.export import export
from segue_cli.reading import sight
from segue_cli.replay import replay
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

SERVICES = {"web": {"image": "web:1", "scale": 3}}


@pytest.fixture
async def told(bus: Bus) -> Stage:
    """Two nodes that run a shop, which is scaled; the bus has its log, and nonsense at its end."""
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a", "node-b")
    stage.ask(DeployRequested(app="shop", compose={"services": SERVICES}))
    stage.ask(ScaleRequested(app="shop", service="web", replicas=5))
    await stage.publish(bus)
    await bus.append([Message("node.lost.x", "nonsense", b"\xff\xfe")])
    return stage


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "log.jsonl"


def recording(file: pathlib.Path) -> Recording:
    with file.open("rb") as lines:
        return read(lines)


async def test_the_whole_log_is_exported_as_it_is_stored_and_replays_as_equal(
    told: Stage, bus: Bus, flags: BusFlags, file: pathlib.Path, output: Callable[[], list[Any]]
) -> None:
    await export(file, bus=flags)
    found = recording(file)
    assert found.messages == [stored async for stored in bus.read(1)]
    assert found.messages[-1].data == b"\xff\xfe"
    head = await bus.head()
    assert (found.cluster, found.first, found.last) == (head.cluster, 1, head.last)
    assert (found.snapshot, found.partial) == (b"", False)
    assert fingerprint(folded(found)) == fingerprint((await sight(bus)).picture)
    assert file.stat().st_mode & 0o777 == 0o600, "a Compose document may hold secrets"
    assert [path.name for path in file.parent.glob("*.jsonl*")] == [file.name]
    replay(file)
    assert output() == []


async def test_a_stretch_brings_the_picture_that_it_begins_with(
    told: Stage, bus: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    whole = await sight(bus)
    asked = next(r.sequence for r in told.log if isinstance(r.event, ScaleRequested))
    await export(file, start=str(asked), end=str(len(told.log)), bus=flags)
    found = recording(file)
    assert (found.first, found.last) == (asked, len(told.log))
    before = Picture()
    before.restore(found.snapshot)
    assert before.apps["shop"].services["web"].replicas == 3
    at_end = folded(found)
    assert at_end.apps == whole.picture.apps
    replay(file)


async def test_a_stretch_is_found_by_time_too(
    told: Stage, bus: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    await export(file, start="5m", end="now", bus=flags)
    assert recording(file).first == 1
    with pytest.raises(NotFoundError, match="the log has nothing there"):
        await export(file, start="now", bus=flags)
    with pytest.raises(InvalidError, match="nothing was said from 9 to 3"):
        await export(file, start="9", end="3", bus=flags)


async def test_a_log_without_its_beginning_begins_with_a_snapshot_or_says_so(
    told: Stage,
    bus: Bus,
    flags: BusFlags,
    file: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = next(r.sequence for r in told.log if isinstance(r.event, ScaleRequested))
    await export(file, start=str(asked), bus=flags)
    snapshot = recording(file).snapshot
    await call(bus._connection, "STREAM.PURGE.EVENTS", {"seq": asked}, dict)
    await export(file, bus=flags)
    assert recording(file).partial
    assert "has lost what came before" in capsys.readouterr().err
    await bus.put("snapshots", str(asked - 1), snapshot)
    await export(file, bus=flags)
    found = recording(file)
    assert (found.first, found.partial, bool(found.snapshot)) == (asked, False, True)
    replay(file)


async def test_a_recording_goes_to_standard_output_too(
    told: Stage, flags: BusFlags, file: pathlib.Path
) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stdout(out):
        await export(pathlib.Path("-"), bus=flags)
    await export(file, bus=flags)
    assert out.buffer.getvalue() == file.read_bytes()


async def test_changed_services_are_imported_from_their_folder_and_only_there(
    told: Stage,
    flags: BusFlags,
    file: pathlib.Path,
    tmp_path: pathlib.Path,
    output: Callable[[], list[Any]],
) -> None:
    await export(file, bus=flags)
    changed = tmp_path / "changed"
    shutil.copytree(pathlib.Path(segue_scheduler.__path__[0]), changed / "segue_scheduler")
    replay(file, folder=changed)
    assert output() == [], "a copy decides the same"
    scores = changed / "segue_scheduler" / "scores.py"
    scores.write_text(scores.read_text() + '\nprint("loaded")\nWEIGHTS["balance"] = 60.0\n')
    with pytest.raises(Silent) as ended:
        replay(file, folder=changed)
    assert ended.value.code == 1
    found = output()
    assert {(one["service"], one["kind"]) for one in found} == {("scheduler", "other")}
    assert all("score: then" in one["words"] for one in found)
    replay(file)


async def test_whatever_cannot_be_replayed_is_said_in_a_line(
    told: Stage,
    flags: BusFlags,
    file: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(*arguments: object) -> tuple[int, str]:
        code = run(["replay", *map(str, arguments)])
        return code, capsys.readouterr().err.splitlines()[0]

    await export(file, bus=flags)
    capsys.readouterr()
    broken = tmp_path / "broken" / "segue_deployer"
    broken.mkdir(parents=True)
    (broken / "core.py").write_text("no package without __init__")
    code, line = said(file, "--with", broken.parent)
    assert code == 2
    assert line == f"segue: {broken.parent} has no package segue_deployer nor segue_scheduler"
    (broken / "__init__.py").touch()
    (broken / "core.py").write_text("raise OSError('no disk')")
    code, line = said(file, "--with", broken.parent)
    assert code == 1
    assert line.endswith("cannot be replayed: OSError: no disk")
    (broken / "core.py").write_text("")
    assert "core.py has no core" in said(file, "--with", broken.parent)[1]
    file.write_bytes(file.read_bytes()[:-50])
    for more in ([], ["--with", broken.parent]):
        code, line = said(file, *more)
        assert code == 2
        assert "no message of a recording" in line
    assert said(tmp_path / "nothing")[0] == 1
