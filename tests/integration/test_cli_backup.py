"""A log that is kept in a file and brought back is the same log, or the file is refused whole."""

import pathlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from anyio import CancelScope
from segue.bus import Bus, BusRefusedError
from segue.log import Message, Stored
from segue.testing.nats_server import NatsServer
from segue_cli.backup import Meter, backup, restore
from segue_cli.connect import BusFlags
from segue_cli.errors import FailedError, InterruptedByUserError, InvalidError

FILE_BYTES = b"secret" * 100_000


@pytest.fixture
async def told(bus: Bus) -> Bus:
    """A bus whose log, snapshots and files have something in them."""
    for number in range(40):
        message = Message(f"node.lost.n{number % 7}", f"id-{number}", b"x" * 20_000)
        assert (await bus.append([message])).kind == "stored"
    await bus.put("snapshots", "40", b"a picture")
    await bus.put("files", "digest", FILE_BYTES)
    return bus


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "cluster.segue"


async def messages(bus: Bus) -> list[Stored]:
    return [stored async for stored in bus.read(1)]


async def extend(bus: Bus, *ids: str) -> None:
    for one in ids:
        assert (await bus.append([Message("node.lost.later", one, b"y")])).kind == "stored"


async def test_what_is_brought_back_is_the_log_to_the_last_byte_and_time(
    told: Bus, flags: BusFlags, file: pathlib.Path, output: Callable[[], list[Any]]
) -> None:
    before, head = await messages(told), await told.head()
    await backup(file, bus=flags, as_json=True)
    (kept,) = output()
    assert (kept["events"], kept["first"], kept["last"]) == (40, 1, 40)
    assert kept["cluster"] == head.cluster
    assert file.stat().st_mode & 0o777 == 0o600, "it holds secrets"
    assert [path.name for path in file.parent.iterdir() if "segue" in path.name] == [file.name]
    await extend(told, "late-1", "late-2")
    await told.put("snapshots", "42", b"a later picture")
    await told.delete("files", "digest")
    await restore(file, replace=True, bus=flags, as_json=True)
    assert output() == [kept]
    after = await messages(told)
    assert after == before
    assert [one.mark for one in after] == [one.mark for one in before]
    assert (await told.head()).cluster == head.cluster
    assert await told.keys("snapshots") == ["40"], "no snapshot is from beyond the log's end"
    assert await told.get("files", "digest") == FILE_BYTES
    await extend(told, "new")
    assert (await told.head()).last == 41, "it goes on where it ended"
    assert (await told.set_up()).drift == []


async def test_a_log_comes_back_on_another_bus_that_has_none(
    told: Bus, flags: BusFlags, file: pathlib.Path, nats: NatsServer
) -> None:
    await backup(file, bus=flags)
    before, cluster = await messages(told), (await told.head()).cluster
    nats.stop()
    shutil.rmtree(nats.directory / "store")
    nats.start()
    await told.until(connected=True)
    await restore(file, bus=flags)
    assert await messages(told) == before
    assert (await told.set_up()).cluster == cluster


async def test_a_log_that_has_events_is_lost_only_by_a_plain_word(
    told: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    await backup(file, bus=flags)
    await extend(told, "late")
    with pytest.raises(FailedError, match="this cluster: 41 events, to sequence 41") as refused:
        await restore(file, bus=flags)
    assert "--replace" in refused.value.hint
    assert (await told.head()).last == 41


@pytest.mark.parametrize("service", ["deployer", "scheduler", "health_monitor"])
async def test_nothing_is_brought_back_while_somebody_decides(
    told: Bus, flags: BusFlags, file: pathlib.Path, service: str
) -> None:
    await backup(file, bus=flags)
    await extend(told, "late")

    async def lead() -> None:
        while True:
            await told.say(f"beat.{service}.a", b"{}")
            await told.say("beat.node_runner.node-a", b"{}")
            await anyio.sleep(0.25)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lead)
        name = service.replace("_", " ")
        with pytest.raises(FailedError, match=f"still at work: {name} a;"):
            await restore(file, replace=True, bus=flags)
        tasks.cancel_scope.cancel()
    assert (await told.head()).last == 41


async def test_a_file_that_is_there_is_kept_unless_it_is_to_go(
    told: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    file.write_text("precious")
    with pytest.raises(InvalidError, match="is there already"):
        await backup(file, bus=flags)
    assert file.read_text() == "precious"
    await backup(file, overwrite=True, bus=flags)
    await restore(file, replace=True, bus=flags)
    assert (await told.head()).last == 40


async def test_a_backup_that_breaks_off_leaves_nothing_behind(
    told: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    file.write_text("the last good one")
    await told._connection.query("$JS.API.STREAM.DELETE.OBJ_files", timeout_s=5)
    with pytest.raises(BusRefusedError, match="stream not found"):
        await backup(file, overwrite=True, bus=flags)
    assert file.read_text() == "the last good one"
    assert [path.name for path in file.parent.iterdir() if "segue" in path.name] == [file.name]


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], CancelScope]:
    """Let Ctrl-C be pressed once, while one thing is kept, compared or restored."""

    def at(thing: str) -> CancelScope:
        scope = CancelScope()

        class Breaks(Meter):
            @contextmanager
            def of(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
                if name == thing and not scope.cancel_called:
                    scope.cancel()
                with super().of(name, total) as seen:
                    yield seen

        monkeypatch.setattr("segue_cli.backup.Meter", Breaks)
        return scope

    return at


@pytest.mark.parametrize("thing", ["snapshots", "events", "files"])
async def test_a_backup_that_is_interrupted_says_that_there_is_none(
    told: Bus,
    flags: BusFlags,
    file: pathlib.Path,
    pressed: Callable[[str], CancelScope],
    thing: str,
) -> None:
    file.write_text("the last good one")
    with pressed(thing), pytest.raises(InterruptedByUserError, match="was not written"):
        await backup(file, overwrite=True, bus=flags)
    assert file.read_text() == "the last good one"
    assert [path.name for path in file.parent.iterdir() if "segue" in path.name] == [file.name]


async def test_while_a_backup_is_compared_ctrl_c_changes_nothing(
    told: Bus, flags: BusFlags, file: pathlib.Path, pressed: Callable[[str], CancelScope]
) -> None:
    await backup(file, bus=flags)
    await extend(told, "late")
    with pressed("checksums"), pytest.raises(InterruptedByUserError, match="nothing was changed"):
        await restore(file, replace=True, bus=flags)
    assert (await told.head()).last == 41


@pytest.mark.parametrize("thing", ["snapshots", "events", "files"])
async def test_a_restore_that_is_interrupted_says_so_and_is_made_whole_by_the_same_again(
    told: Bus,
    flags: BusFlags,
    file: pathlib.Path,
    pressed: Callable[[str], CancelScope],
    thing: str,
) -> None:
    await backup(file, bus=flags)
    before = await messages(told)
    with pressed(thing), pytest.raises(InterruptedByUserError, match="is not all there") as said:
        await restore(file, replace=True, bus=flags)
    assert "run the same again" in said.value.hint
    await restore(file, replace=True, bus=flags)
    assert await messages(told) == before
    assert await told.get("files", "digest") == FILE_BYTES


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.999])
async def test_one_wrong_bit_and_nothing_is_touched(
    told: Bus, flags: BusFlags, file: pathlib.Path, place: float
) -> None:
    await backup(file, bus=flags)
    data = file.read_bytes()
    file.write_bytes(flipped(data, int(len(data) * place)))
    await extend(told, "late")
    with pytest.raises(InvalidError) as refused:
        await restore(file, replace=True, bus=flags)
    assert refused.value.hint == "nothing was changed"
    assert (await told.head()).last == 41


async def test_half_a_backup_and_no_backup_are_refused(
    told: Bus, flags: BusFlags, file: pathlib.Path
) -> None:
    await backup(file, bus=flags)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InvalidError, match="is no backup, or not all of one"):
        await restore(file, replace=True, bus=flags)
    file.write_text("hello")
    with pytest.raises(InvalidError, match="is no backup"):
        await restore(file, replace=True, bus=flags)
    assert (await told.head()).last == 40
